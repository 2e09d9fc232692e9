"""How far training is, where output goes to a file: a line now and then, not a bar that is drawn anew."""

import time
from typing import Any

import lightning

SELDOM = 5.0
"""Seconds between two lines at least; the last one is always written."""


class EpochLines(lightning.Callback):
    """Writes a line at the end of an epoch: how far it is, the bound, and how long the rest will take."""

    def __init__(self) -> None:
        self.began, self.first, self.spoke = 0.0, 0, 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock with the first epoch of this process, which may resume an earlier one."""
        if not self.began:
            self.began, self.first = time.monotonic(), trainer.current_epoch
            self.spoke = self.began

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the line."""
        now, done, epochs = time.monotonic(), trainer.current_epoch + 1, trainer.max_epochs
        if not trainer.is_global_zero or (now - self.spoke < SELDOM and done < epochs):
            return
        self.spoke = now
        left = (now - self.began) / (done - self.first) * (epochs - done)
        found = {name: trainer.callback_metrics.get(f"{name}/bound") for name in ("train", "validation")}
        bounds = ", ".join(
            f"{name} bound {float(value):.2f} nats" for name, value in found.items() if value is not None
        )
        print(f"epoch {done} of {epochs}: {bounds or 'trained'}; {_spelt(left)} left", flush=True)


def _spelt(seconds: float) -> str:
    """A duration in words.

    >>> _spelt(0.2), _spelt(95), _spelt(7300)
    ('0 s', '1 min 35 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
