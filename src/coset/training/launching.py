"""Lightning's trainer, run: in this process, or in several that it launches."""

import inspect
import json
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.trainer.states import TrainerStatus
from torch.utils.data import DataLoader

from coset.training.module import SetTraining


def run(
    engine: lightning.Trainer,
    module: SetTraining,
    loaders: Sequence[DataLoader],
    last: Path | None,
) -> None:
    """Train; what processes of Lightning's own have recorded comes back into the module.

    Raises:
        KeyboardInterrupt: Training was interrupted, which Lightning itself passes over.
    """
    checkpoint: Any = None if last is None else str(last)
    # Later versions of Lightning ask whether a checkpoint may hold more than numbers: it may not.
    safe: dict[str, Any] = {"weights_only": True} if "weights_only" in inspect.signature(engine.fit).parameters else {}
    with tempfile.TemporaryDirectory() as folder:
        module.handover = handover = Path(folder) / "record.json"
        train, validation = loaders[0], loaders[1] if len(loaders) > 1 else None
        try:
            engine.fit(module, train, validation, ckpt_path=checkpoint, **safe)
        except SystemExit:  # by which later versions of Lightning answer Ctrl-C, with the status of a failure
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None
        if not module.record.history and handover.is_file():
            kept = json.loads(handover.read_text())
            module.record.history, module.record.seconds = kept["history"], kept["seconds"]
    if engine.state.status == TrainerStatus.INTERRUPTED:
        raise KeyboardInterrupt
