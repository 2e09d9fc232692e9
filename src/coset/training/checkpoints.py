"""Checkpoints of every epoch, each whole or not at all, and the end of training that no longer gets better."""

import math
import shutil
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Checkpoint

from coset.writing import whole


class Checkpoints(Checkpoint):
    """Write `last.ckpt` after every epoch and `best.ckpt` after the best one; stop when none is better for a while.

    What is written stands beside its target until it is whole and on the disk, and then takes its place. An epoch that
    was cut short, by a limit of time or a signal, leaves no checkpoint: it is repeated when the run is resumed.

    Args:
        folder: where they are written; nothing is where None.
        validated: whether the bound of validation decides which epoch is best, or that of training, mean of the epoch.
        patience: epochs without a better one after which training stops; never where None.
    """

    def __init__(self, folder: Path | None, validated: bool, patience: int | None):
        self.folder, self.score, self.patience = folder, "validation" if validated else "bound", patience
        self.best, self.waited = -math.inf, 0
        self.last_model_path = ""

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Judge the epoch by its row in the record, which the module has written before."""
        if pl_module.cut_short:
            return
        score = pl_module.record.history[-1].get(self.score)
        better = score is not None and score > self.best
        if score is not None:
            self.best, self.waited = max(score, self.best), 0 if better else self.waited + 1
        if self.folder is not None:
            self._write(trainer, self.folder, better)
        if self.patience is not None and self.waited >= self.patience:
            trainer.should_stop = True

    def _write(self, trainer: lightning.Trainer, folder: Path, better: bool) -> None:
        last = folder / "last.ckpt"
        self.last_model_path = str(last)
        if not trainer.is_global_zero:
            trainer.save_checkpoint(last)  # takes all processes, of which the first one writes
            return
        first = folder / "best.ckpt" if better else last  # the last one says how good the best one is
        with whole(first) as partial:
            trainer.save_checkpoint(partial)
        if better:
            with whole(last) as partial:
                shutil.copyfile(first, partial)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self.best, self.waited = state_dict["best"], state_dict["waited"]
