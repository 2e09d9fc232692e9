"""`fit`: everything between a model with its data, and a trained model with its record."""

import contextlib
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from coset.data import FactorTable, SetCollection, SetSampler, as_table_or_sets
from coset.discovery import build
from coset.errors import ConfigurationError
from coset.models.base import Model
from coset.objectives.base import Bound, Objective, parts
from coset.objectives.schedules import Schedule
from coset.programs import Programs
from coset.training.module import CHECK_EVERY, Record, SetTraining
from coset.training.resuming import completed_epochs, open_folder

CLIPPING = ("gradient_clip_val", "gradient_clip_algorithm")
"""Options of Lightning's trainer, which does not clip gradients where there are two optimisers."""

SOME_SETS = 1024
"""Training sets that `finish` is shown after training."""


def fit(
    model: Model,
    data: Any,
    *,
    validation: Any = None,
    epochs: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    output: str | Path | None = None,
    resume: bool = False,
    sets: Mapping[str, Any] | None = None,
    objective: Callable[[Programs], Bound] | None = None,
    schedule: Schedule | None = None,
    learning_rate: float = 2e-3,
    learning_rate_schedule: Literal["constant", "one-cycle"] = "one-cycle",
    patience: int | None = None,
    compile: bool = False,
    workers: int = 0,
    **trainer: Any,
) -> Record:
    """Train a model in place.

    Args:
        model: any model of coset.
        data: a `FactorTable`, a `SetCollection`, or a list of sets.
        validation: the same, held out; its bound is logged, chooses the best checkpoint and when to stop early.
        epochs: passes; 20 where neither these nor `steps` are given.
        steps: batches in all, for each process.
        seed: of the sets that are drawn and of all sampling during training.
        output: folder for checkpoints, logs (CSV, TensorBoard) and the final model; nothing is written where None.
        resume: go on from the last checkpoint in `output`; the result equals that of training uninterrupted.
        sets: options of `FactorTable.sets` or `SetCollection.sets`; a model without contexts takes single items.
        objective: what to maximise; the model's `default_objective` where None.
        schedule: weights of the terms; those of the objective where None.
        learning_rate: of Adam.
        learning_rate_schedule: `constant` or `one-cycle`.
        patience: stop after so many epochs without a better bound; never where None.
        compile: compile the networks with `torch.compile`.
        workers: processes that draw batches; 0 is fastest when items lie in memory.
        trainer: options of `lightning.Trainer`: `precision`, `strategy`, `devices`, `gradient_clip_val`, ...

    Raises:
        DataError, ConfigurationError: Data, model and options do not fit together; before anything expensive.
        CheckpointError: The run to be resumed has no readable checkpoint.
        NonFiniteError: A term became NaN or infinite.
    """
    length = _read_length(epochs, steps, trainer)
    sampler = _sampler(model, data, seed, sets)
    held_out = None if validation is None else _validation_loader(model, validation, seed, sets, workers)
    folder = None if output is None else open_folder(Path(output), resume)
    last = _last_checkpoint(folder, resume, sampler)
    maximised = default_objective(model) if objective is None else objective
    weights = schedule or getattr(maximised, "schedule", Objective.schedule)
    options = _trainer_options(folder, held_out is not None, patience, trainer)
    build_module = partial(SetTraining, model, maximised, weights, learning_rate, learning_rate_schedule, seed)
    if compile:
        _compile(model)
    return _train(build_module, _loader(sampler, workers), held_out, length, options, folder, last)


def _train(
    build_module: Callable[..., SetTraining],
    loader: DataLoader,
    held_out: DataLoader | None,
    length: tuple[int | None, int | None],
    options: dict[str, Any],
    folder: Path | None,
    last: Path | None,
) -> Record:
    """Run Lightning's trainer, and what parts of the objective do before and after it."""
    sampler: Any = loader.dataset
    with torch.random.fork_rng(devices=[]), _quiet_lightning():
        module = build_module(clipping={name: options.pop(name, None) for name in CLIPPING})
        model = module.model.train()
        torch.manual_seed(module.seed)
        for part in parts(module.objective, "bind"):
            part.bind(model, len(sampler.table))
        engine = lightning.Trainer(**options | ({} if module.critics else module.clipping))
        epochs, module.total_steps = _length(engine, sampler, *length)
        engine.fit_loop.max_epochs = epochs
        engine.fit_loop.epoch_loop.max_steps = module.total_steps * module.optimizers_a_step
        engine.log_every_n_steps = options.get("log_every_n_steps", min(CHECK_EVERY, _per_epoch(engine, sampler)))  # pyright: ignore
        engine.fit(module, loader, held_out, ckpt_path=None if last is None else str(last))
        for part in parts(module.objective, "finish"):
            part.finish(_some_sets(sampler, model))
    model.eval()
    module.record.output = folder
    if folder is not None and engine.is_global_zero:
        _write(model, module.record, module.total_steps, folder)
    return module.record


def default_objective(model: Model) -> Any:
    """The objective that a model names, built.

    >>> from coset.models import VAE
    >>> type(default_objective(VAE((4,), z_dim=2))).__name__
    'EvidenceLowerBound'
    """
    return build(model.default_objective, "coset.objectives")


def _read_length(epochs: int | None, steps: int | None, trainer: dict[str, Any]) -> tuple[int | None, int | None]:
    """Epochs and steps that are asked for, also in Lightning's words for them."""
    epochs, steps = trainer.pop("max_epochs", epochs), trainer.pop("max_steps", steps)
    if (epochs is not None and epochs < 1) or (steps is not None and steps < 1):
        raise ConfigurationError(f"epochs and steps: expected 1 or more, got epochs={epochs}, steps={steps}")
    return epochs, steps


def _last_checkpoint(folder: Path | None, resume: bool, sampler: SetSampler) -> Path | None:
    """The checkpoint to go on from, if there is one."""
    last = None if folder is None or not resume else folder / "checkpoints" / "last.ckpt"
    if last is None or not last.is_file():
        return None
    sampler.epoch = completed_epochs(last)  # workers draw ahead of the start of the epoch
    return last


def _length(engine: Any, sampler: SetSampler, epochs: int | None, steps: int | None) -> tuple[int, int]:
    """Epochs and steps in all, now that it is known how many processes share the batches of an epoch."""
    if steps is not None:  # an epoch ends, and is validated, before training does
        sampler.batches = min(sampler.batches, steps * engine.world_size)
    per_epoch = _per_epoch(engine, sampler)
    epochs = epochs or (20 if steps is None else math.ceil(steps / per_epoch))
    return epochs, min(steps or epochs * per_epoch, epochs * per_epoch)


def _per_epoch(engine: Any, sampler: SetSampler) -> int:
    return math.ceil(sampler.batches / engine.world_size)


def _trainer_options(
    folder: Path | None, validated: bool, patience: int | None, trainer: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments of `lightning.Trainer`: what coset needs, and over it what the user says."""
    monitor = "validation/bound" if validated else "train/bound"
    callbacks: list[Callback] = list(trainer.get("callbacks", []))
    if folder is not None:
        best = ModelCheckpoint(
            folder / "checkpoints",
            "best",
            monitor=monitor,
            mode="max",
            save_last=True,
            save_on_train_epoch_end=True,  # after validation, once the epoch's row stands in the record
            enable_version_counter=False,
        )
        callbacks.append(best)
    if patience is not None:
        callbacks.append(EarlyStopping(monitor, patience=patience, mode="max"))
    return {
        "logger": [CSVLogger(folder, "logs", ""), TensorBoardLogger(folder, "logs", "")] if folder else False,
        "enable_checkpointing": folder is not None,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        **trainer,
        "callbacks": callbacks,
    }


def _compile(model: Model) -> None:
    for network in model.children():  # a list of networks is never called itself
        for part in network if isinstance(network, torch.nn.ModuleList) else [network]:
            part.compile()


def _write(model: Model, record: Record, steps: int, folder: Path) -> None:
    """Save the model and the record of a run, each whole or not at all."""
    model.save_pretrained(folder / "model")
    text = json.dumps({"seconds": record.seconds, "steps": steps, "history": record.history}, indent=1)
    partial = folder / "record.json.partial"
    partial.write_text(text)
    partial.replace(folder / "record.json")


def _sampler(model: Model, data: Any, seed: int, options: Mapping[str, Any] | None) -> SetSampler:
    contexts = model.contexts
    data = as_table_or_sets(data, contexts or None)
    if tuple(data.item_shape) != model.item_shape:
        raise ConfigurationError(
            f"the model takes items of shape {list(model.item_shape)}, the data has {list(data.item_shape)}"
        )
    data = model.agree_with(data)
    if isinstance(data, SetCollection):
        return data.sets(seed=seed, **(options or {}))
    assert isinstance(data, FactorTable)
    single: dict[str, Any] = {} if contexts else {"items": 1, "batch": 128}
    return data.sets(contexts, seed=seed, **(single | dict(options or {})))


def _validation_loader(model: Model, data: Any, seed: int, sets: Mapping[str, Any] | None, workers: int) -> DataLoader:
    all_alike = {"batches": None} | ({"supervision": None} if "supervision" in (sets or {}) else {})
    held_out = _sampler(model, data, seed + 1, {**(sets or {}), **all_alike})
    held_out.batches = min(held_out.batches, 20)
    return _loader(held_out, workers)


def _some_sets(sampler: SetSampler, model: Model) -> Iterator[Programs]:
    """Some thousand training sets, or an epoch of them where that is fewer; the same for every process."""
    sampler.epoch = 0
    for index in range(max(1, min(sampler.batches, SOME_SETS // sampler.batch))):
        yield Programs(model, sampler.draw(index).to(model.device, next(model.parameters()).dtype))


def _loader(sampler: SetSampler, workers: int) -> DataLoader:
    # An iterator draws a number when it is made, which is not always when an epoch starts: not from our noise.
    private = torch.Generator()
    return DataLoader(sampler, batch_size=None, num_workers=workers, persistent_workers=workers > 0, generator=private)


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Leave out what Lightning says that does not hold here, or that no user of coset can act on."""
    messages = (
        ".*does not have many workers.*",  # batches are drawn in a fraction of a millisecond; workers would only cost
        ".*`IterableDataset` has `__len__` defined.*",  # the sampler divides itself among workers
        ".*treespec, LeafSpec.*",
        ".*is smaller than the logging interval.*",
        "Checkpoint directory .* exists and is not empty.*",
        "Experiment logs directory .* exists and is not empty.*",
        ".*no `val_dataloader`.*",
    )
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)  # which devices there are, and what else one might install
    try:
        with warnings.catch_warnings():
            for message in messages:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.setLevel(level)
