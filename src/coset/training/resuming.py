"""Runs that stop and go on: the folder of a run, and how a checkpoint is taken up again."""

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only

from coset.errors import CheckpointError, ConfigurationError
from coset.models.saving import FORMAT
from coset.training.fingerprint import compare


def check_folder(output: str | Path | None, resume: bool) -> Path | None:
    """The folder of a run that is still to be made, or taken up.

    Raises:
        ConfigurationError: It holds a run which is not to be resumed, a file stands in its place, or there is none to
            resume in.
    """
    if output is None:
        if resume:
            raise ConfigurationError("resume: give the folder of the run as `output`, or leave out resume")
        return None
    folder = Path(output).expanduser()
    if is_first() and not resume and ((folder / "checkpoints").exists() or (folder / "record.json").exists()):
        raise ConfigurationError(
            f"{folder} already holds a run; choose another output folder, remove this one, or resume it (resume=True, "
            "--resume)"
        )
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise ConfigurationError(f"{folder}: cannot be a folder, for {place} is a file; choose another output")
    return folder


def is_first() -> bool:
    """Whether this is the process that writes, of one or several."""
    return (rank_zero_only.rank or 0) == 0


def open_folder(folder: Path) -> Path:
    """Make the folder of a run, or take up what a process left that was killed there."""
    folder.mkdir(parents=True, exist_ok=True)
    _keep_curves(folder / "logs")
    _sweep(folder)
    return folder


@rank_zero_only
def _keep_curves(logs: Path) -> None:
    """Lightning begins `metrics.csv` afresh; what the interrupted run wrote stays beside it, numbered."""
    if (logs / "metrics.csv").is_file():
        (logs / "metrics.csv").rename(logs / f"metrics-{len(list(logs.glob('metrics*.csv')))}.csv")


@rank_zero_only
def _sweep(folder: Path) -> None:
    """Remove what was being written when a process was killed."""
    for file in folder.rglob("*.partial"):
        file.unlink(missing_ok=True)
    for part in folder.glob("model/.saving-*"):
        shutil.rmtree(part, ignore_errors=True)


def begin_next_epoch(loop: dict[str, Any]) -> None:
    """Count the epoch of a checkpoint as completed, and nothing of the next one as done.

    Checkpoints are taken at the end of an epoch, a moment before Lightning counts it. From the counts as they are, it
    would draw one more batch, or end the epoch once more.
    """

    def forget(progress: dict[str, Any]) -> None:
        for name, part in progress.items():
            if name == "current":
                part.update(dict.fromkeys(part, 0))
            elif name == "is_last_batch":
                progress[name] = False
            elif isinstance(part, dict):
                forget(part)

    for name, progress in loop.items():
        if name == "epoch_progress":
            for counts in progress.values():
                counts["completed"] = counts["processed"]
        elif isinstance(progress, dict):
            forget(progress)


@dataclass(frozen=True)
class Kept:
    """A checkpoint that can be resumed from.

    Attributes:
        path: of the file.
        epochs: how many lie behind it.
        fingerprint: of the training that wrote it; empty where an earlier version of coset did.
    """

    path: Path
    epochs: int
    fingerprint: dict[str, Any]


def newest_checkpoint(folder: Path | None, about: Mapping[str, Any], resume: bool) -> Kept | None:
    """The newest checkpoint of a run that is whole; None where there is none at all.

    Args:
        folder: of the run.
        about: the fingerprint of the training that is to go on.
        resume: whether it is to go on at all.

    Raises:
        CheckpointError: All are unreadable, one is of another format, or it is one of another training.
    """
    if folder is None or not resume:
        return None
    unreadable = {}
    for path in (folder / "checkpoints" / name for name in ("last.ckpt", "best.ckpt")):
        if not path.is_file():
            continue
        try:
            saved = _read(path)
        except CheckpointError:
            raise
        except Exception as reason:
            unreadable[path] = reason
            continue
        for torn, reason in unreadable.items():
            warnings.warn(
                f"{torn} cannot be read ({str(reason)[:80]}); the run goes on from {path.name}, after {saved.epochs} "
                "epochs",
                stacklevel=4,
            )
        compare(path, saved.fingerprint, about)
        return saved
    if unreadable:
        path, reason = next(iter(unreadable.items()))
        raise CheckpointError(f"{path}: cannot be read ({reason}); remove it to start again")
    return None


def _read(path: Path) -> Kept:
    checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    about = checkpoint.get("coset", {})
    if about.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: written in format {about.get('format')!r}, this version of coset reads format {FORMAT}; resume "
            "with the version that wrote it, or start again in another folder"
        )
    return Kept(path, len(about["history"]), about.get("fingerprint", {}))
