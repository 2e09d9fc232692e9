"""`fit`: everything between a model with its data, and a trained model with its record."""

import contextlib
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from coset.arguments import check_names, checked
from coset.data import FactorTable, SetCollection, SetSampler, as_table_or_sets
from coset.discovery import build
from coset.errors import ConfigurationError, DataError
from coset.models.base import Model
from coset.objectives.base import Bound, Objective, parts
from coset.objectives.schedules import Schedule
from coset.programs import Programs
from coset.training.checkpoints import Checkpoints
from coset.training.fingerprint import fingerprint
from coset.training.keeping_out import choose_completion, keep_out
from coset.training.launching import run
from coset.training.module import CHECK_EVERY, Record, SetTraining
from coset.training.options import build_trainer, check_callable, check_classes, check_numbers, read_length, set_length
from coset.training.reporting import EpochLines, WholeBar
from coset.training.resuming import Kept, check_folder, newest_checkpoint, open_folder
from coset.writing import whole

CLIPPING = ("gradient_clip_val", "gradient_clip_algorithm")
"""Options of Lightning's trainer, which does not clip gradients where there are two optimisers."""

SOME_SETS = 1024
"""Training sets that `finish` is shown after training."""


@checked
@torch.inference_mode(False)  # in which nothing could be trained that is made here
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
        validation: the same, held out; its bound is logged, chooses the best checkpoint and when to stop early. With
            `combinations` a tenth of them is kept out instead, and chooses how tables are completed (`Record.chosen`).
        epochs: passes; 20 where neither these nor `steps` are given.
        steps: steps of the optimiser in all; one for each batch of each process, unless gradients are accumulated.
        seed: of the sets that are drawn and of all sampling during training.
        output: folder for checkpoints, logs (CSV, TensorBoard) and the final model; nothing is written where None.
        resume: go on from the last checkpoint in `output`; the result equals that of training uninterrupted.
        sets: options of `FactorTable.sets` or `SetCollection.sets`; a model without contexts takes single items.
        objective: what to maximise; the model's `default_objective` where None.
        schedule: weights of the terms; those of the objective where None.
        learning_rate: of Adam.
        learning_rate_schedule: `constant` or `one-cycle`.
        patience: epochs without a better bound, of validation or else of training, after which training stops.
        compile: compile the networks with `torch.compile`.
        workers: processes that draw batches; 0 is fastest in memory.
        trainer: options of `lightning.Trainer`: `precision`, `strategy`, `devices`, `gradient_clip_val`, ...

    Raises:
        DataError, ConfigurationError: Data, model and options do not fit together; before anything is written.
        CheckpointError: The run to be resumed has no readable checkpoint, or is another one.
        NonFiniteError: A term became NaN or infinite.
    """
    asked = read_length(epochs, steps, trainer)
    check_numbers(seed, learning_rate, patience, workers)
    data, validation, settle = _combinations(model, data, validation, seed)
    samplers = _sampler(model, data, seed, sets), _validation_sampler(model, validation, seed, sets)
    folder = check_folder(output, resume)
    settings = _settings(model, objective, schedule, learning_rate, learning_rate_schedule, seed)
    engine, clipping = _engine(folder, validation is not None, patience, trainer, settings["objective"])
    length = set_length(engine, samplers[0], *asked)
    about = fingerprint(model, *samplers, engine, length, **settings)
    last = newest_checkpoint(folder, about, resume)
    _compile(model, compile)
    build = partial(SetTraining, model, **settings, clipping=clipping, total_steps=length[1], about=about)
    return _train(engine, build, [_loader(one, workers) for one in samplers if one], length[0], folder, last, settle)


def _settings(
    model: Model, objective: Any, schedule: Any, learning_rate: float, learning_rate_schedule: str, seed: int
) -> dict[str, Any]:
    """What the training of a model depends on besides data and length, by its name in `SetTraining`."""
    chosen, weights = _objective(model, objective, schedule)
    settings = {"objective": chosen, "schedule": weights, "learning_rate": float(learning_rate), "seed": seed}
    return settings | {"learning_rate_schedule": learning_rate_schedule}


def _combinations(model: Model, data: Any, validation: Any, seed: int) -> tuple[Any, Any, Callable[[], str] | None]:
    """The data, what is held out of them, and what is to be chosen after training; by combinations, if so asked."""
    if not isinstance(validation, str):
        return data, validation, None
    if validation != "combinations":
        raise ConfigurationError(f"validation: expected held-out data or 'combinations', got {validation!r}")
    seen, held_out = keep_out(model, data, seed)
    return seen, held_out, partial(choose_completion, model, seen, held_out, seed)


def _train(
    engine: lightning.Trainer,
    build_module: Callable[..., SetTraining],
    loaders: Sequence[DataLoader],
    epochs: int,
    folder: Path | None,
    last: Kept | None,
    settle: Callable[[], str] | None,
) -> Record:
    """Run Lightning's trainer, and what parts of the objective do before and after it."""
    sampler: Any = loaders[0].dataset
    sampler.epoch = 0 if last is None else last.epochs  # workers draw ahead of the start of the epoch
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), _quiet_lightning():
        module = build_module()
        check_classes(module.model, len(sampler.table))
        model = module.model.train()
        if any(parameter.is_inference() for parameter in model.parameters()):
            raise ConfigurationError("model: it was built in inference mode, and cannot be trained; build it outside")
        torch.manual_seed(module.seed)
        for part in parts(module.objective, "bind"):
            part.bind(model, len(sampler.table))
        engine.fit_loop.max_epochs = epochs
        engine.fit_loop.epoch_loop.max_steps = module.total_steps * module.optimizers_a_step
        if folder is not None:
            open_folder(folder)
        module.record.output = folder
        run(engine, module, loaders, None if last is None else last.path)
        for part in parts(module.objective, "finish"):
            part.finish(_some_sets(sampler, model))
    model.eval()
    module.record.chosen = settle() if settle else ""
    model.trained = _told(module, sampler)
    if folder is not None and engine.is_global_zero:
        _write(model, module.record, module.total_steps, folder)
    return module.record


def _told(module: SetTraining, sampler: Any) -> dict[str, Any]:
    """What a model may say of its training: as much as somebody who is given it would ask."""
    last = module.record.history[-1] if module.record.history else {}
    bounds = {"bound": last.get("bound"), "bound on held-out sets": last.get("validation")}
    told = {
        "items": len(sampler.table),
        "factors": ", ".join(sampler.table.factors),
        "steps": module.total_steps,
        "seed": module.seed,
        "chosen": module.record.chosen,
    } | {f"{name}, nats a set": round(value, 3) for name, value in bounds.items() if value is not None}
    return {name: value for name, value in told.items() if value != ""}


def default_objective(model: Model) -> Any:
    """The objective that a model names, built.

    >>> from coset.models import VAE
    >>> type(default_objective(VAE((4,), z_dim=2))).__name__
    'EvidenceLowerBound'
    """
    return build(model.default_objective, "coset.objectives")


def _objective(model: Model, objective: Any, schedule: Any) -> tuple[Any, Any]:
    """What is maximised, and its schedule; the model's own where none is given."""
    check_callable(objective=objective, schedule=schedule)
    chosen = default_objective(model) if objective is None else objective
    return chosen, schedule or getattr(chosen, "schedule", Objective.schedule)


def _engine(
    folder: Path | None, validated: bool, patience: int | None, trainer: dict[str, Any], objective: Any
) -> tuple[lightning.Trainer, dict[str, Any]]:
    """Lightning's trainer with what coset needs, and over it what the user says; and how gradients are clipped.

    Raises:
        ConfigurationError: Options that do not go together.
    """
    critics = parts(objective, "critic_loss")
    clipping = {name: trainer.pop(name) for name in CLIPPING if trainer.get(name) is not None}
    if critics and trainer.get("accumulate_grad_batches", 1) != 1:
        raise ConfigurationError("accumulate_grad_batches: an objective with a critic makes a step of every batch")
    bar = trainer.get("enable_progress_bar", sys.stdout.isatty())
    if bar:
        own = any(isinstance(each, ProgressBar) for each in trainer.get("callbacks") or [])
        reports = [] if own else [WholeBar()]
    else:
        reports = [] if "enable_progress_bar" in trainer else [EpochLines()]
    checkpoints = Checkpoints(None if folder is None else folder / "checkpoints", validated, patience)
    options = {
        "logger": [CSVLogger(folder, "logs", ""), TensorBoardLogger(folder, "logs", "")] if folder else False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": CHECK_EVERY,
        "enable_progress_bar": bar,
        **trainer,
        **({} if critics else clipping),
        "callbacks": [*(trainer.get("callbacks") or []), *reports, checkpoints],
    }
    with _quiet_lightning():
        return build_trainer(options), clipping


def _compile(model: Model, compile: bool) -> None:
    for network in model.children() if compile else ():  # a list of networks is never called itself
        for part in network if isinstance(network, torch.nn.ModuleList) else [network]:
            part.compile()


def _write(model: Model, record: Record, steps: int, folder: Path) -> None:
    """Save the model and the record of a run, each whole or not at all."""
    model.save_pretrained(folder / "model")
    told = {"chosen": record.chosen} if record.chosen else {}
    text = json.dumps({"seconds": record.seconds, "steps": steps, **told, "history": record.history}, indent=1)
    with whole(folder / "record.json") as partial:
        partial.write_text(text)


def _sampler(model: Model, data: Any, seed: int, options: Mapping[str, Any] | None) -> SetSampler:
    options = dict(options or {})
    contexts = list(model.contexts)
    if not contexts:  # such a model may still be shown items that have something in common
        contexts = list(options.pop("contexts", ()))
    data = as_table_or_sets(data, contexts or None)
    if tuple(data.item_shape) != model.item_shape:
        raise ConfigurationError(
            f"the model takes items of shape {list(model.item_shape)}, the data has {list(data.item_shape)}"
        )
    data = model.agree_with(data)
    for name in options:
        if name in ("contexts", "seed"):
            raise ConfigurationError(f"sets: {name} is not for them to say; it is what the model has, or fit is given")
    check_names("sets", data.sets, list(options))
    if isinstance(data, SetCollection):
        return data.sets(seed=seed, **options)
    assert isinstance(data, FactorTable)
    single: dict[str, Any] = {} if contexts else {"items": 1, "batch": 128}
    return data.sets(contexts, seed=seed, **(single | options))


def _validation_sampler(model: Model, data: Any, seed: int, sets: Mapping[str, Any] | None) -> SetSampler | None:
    if data is None:
        return None
    all_alike = {"batches": None}
    if "supervision" in (sets or {}) and not getattr(model, "contexts", ()):  # contexts found bear no names
        all_alike |= {"supervision": None}
    try:
        held_out = _sampler(model, data, seed + 1, {**(sets or {}), **all_alike})
    except DataError as reason:
        raise DataError(
            f"validation, {len(data)} items: {reason}; or validate on more (of your own data --data.validation 0.3, "
            "or 0 for training items), or not at all (fit's validation=None)"
        ) from reason
    held_out.batches = min(held_out.batches, 20)
    return held_out


def _some_sets(sampler: SetSampler, model: Model) -> Iterator[Programs]:
    """Some thousand training sets, or an epoch of them where that is fewer; the same for every process."""
    sampler.epoch = 0
    for index in range(max(1, min(sampler.batches, SOME_SETS // sampler.batch))):
        yield Programs(model, sampler.draw(index).to(model.device, next(model.parameters()).dtype))


class _Private(torch.Generator):
    """A generator that another process may begin anew."""

    def __reduce__(self) -> Any:
        return _Private, ()


def _loader(sampler: SetSampler, workers: int) -> DataLoader:
    # An iterator draws a number when it is made, which is not always when an epoch starts: not from our noise.
    private = _Private()
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
