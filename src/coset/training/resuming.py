"""Runs that stop and go on: the folder of a run, and how a checkpoint is taken up again."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only

from coset.errors import CheckpointError, ConfigurationError
from coset.models.saving import FORMAT


def open_folder(folder: Path, resume: bool) -> Path:
    """Make the folder of a run.

    Raises:
        ConfigurationError: It holds a run already, which is not to be resumed.
    """
    holds = (folder / "checkpoints").exists() or (folder / "record.json").exists()
    if holds and not resume:
        raise ConfigurationError(
            f"{folder} already holds a run; choose another output folder, remove this one, or resume it (resume=True, "
            "--resume)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    _keep_curves(folder / "logs")
    return folder


@rank_zero_only
def _keep_curves(logs: Path) -> None:
    """Lightning begins `metrics.csv` afresh; what the interrupted run wrote stays beside it, numbered."""
    if (logs / "metrics.csv").is_file():
        (logs / "metrics.csv").rename(logs / f"metrics-{len(list(logs.glob('metrics*.csv')))}.csv")


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


def completed_epochs(path: Path) -> int:
    """How many epochs lie behind a checkpoint.

    Raises:
        CheckpointError: It is unreadable, or of another format.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        found = checkpoint.get("coset", {}).get("format")
    except Exception as reason:
        raise CheckpointError(f"{path}: cannot be read ({reason}); remove it to start again") from reason
    if found != FORMAT:
        raise CheckpointError(
            f"{path}: written in format {found!r}, this version of coset reads format {FORMAT}; "
            "resume with the version that wrote it, or start again in another folder"
        )
    return len(checkpoint["coset"]["history"])
