"""How far training is: one bar on a terminal, and where output goes to a file a line now and then."""

import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

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
        print(f"epoch {done} of {epochs}: {_bounds(trainer) or 'trained'}; {_spelt(left)} left", flush=True)


class WholeBar(ProgressBar):
    """One bar for all steps of training, with the bounds and how long the rest will take."""

    def __init__(self) -> None:
        super().__init__()
        self._drawn, self._bar = True, tqdm(disable=True)

    def disable(self) -> None:
        """Draw nothing, in a process that is not to speak."""
        self._drawn = False

    def enable(self) -> None:
        """Draw again."""
        self._drawn = True

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Draw the bar, from the step on that is resumed from."""
        total = trainer.estimated_stepping_batches
        self._bar = tqdm(
            total=int(total), initial=trainer.global_step, unit=" steps", dynamic_ncols=True, disable=not self._drawn
        )

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move it."""
        self._bar.set_postfix_str(_bounds(trainer), refresh=False)
        self._bar.update(trainer.global_step - self._bar.n)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Leave it as it is, and go to the next line."""
        self._bar.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Likewise, so that what is said then has a line of its own."""
        self._bar.close()


def _bounds(trainer: Any) -> str:
    found = {name: trainer.callback_metrics.get(f"{name}/bound") for name in ("train", "validation")}
    return ", ".join(f"{name} bound {float(value):.2f} nats" for name, value in found.items() if value is not None)


def _spelt(seconds: float) -> str:
    """A duration in words.

    >>> _spelt(0.2), _spelt(95), _spelt(7300)
    ('0 s', '1 min 35 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
