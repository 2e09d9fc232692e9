"""Checkpoints of every epoch, each whole or not at all, and the end of training that no longer gets better."""

import math
import os
import shutil
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Checkpoint


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
        partial, last = folder / "last.ckpt.partial", folder / "last.ckpt"
        trainer.save_checkpoint(partial)  # all processes together
        if trainer.is_global_zero:
            replace(partial, last)
            if better:
                shutil.copyfile(last, folder / "best.ckpt.partial")
                replace(folder / "best.ckpt.partial", folder / "best.ckpt")
        self.last_model_path = str(last)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self.best, self.waited = state_dict["best"], state_dict["waited"]


def replace(whole: Path, target: Path) -> None:
    """Put a file that is complete in the place of another, once it is on the disk."""
    with whole.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(whole, target)
