"""Training: one Lightning module for every model, and `fit`."""

import contextlib
import json
import logging
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader

from coset.data import FactorTable, SetBatch, SetCollection, SetSampler, as_table_or_sets
from coset.errors import CheckpointError, ConfigurationError, NonFiniteError
from coset.models.base import FORMAT, Model, Programs
from coset.objectives.elbo import Bound, EvidenceLowerBound, Objective
from coset.objectives.schedules import Fixed, Progress, Schedule, Warmup
from coset.trace import Trace

ELBO = EvidenceLowerBound()

SHOW_EVERY = 10
"""Steps between updates of the progress bar."""

CHECK_EVERY = 50
"""Steps between looks for terms that are not finite: a look makes the host wait for the device."""


@dataclass
class Record:
    """What `fit` returns.

    Attributes:
        history: one row an epoch: `epoch`, `step`, `bound` (nats per set), every term by its site's name, and
            `validation` where there is one.
        seconds: wall time, including that of the runs which this one resumed.
        output: folder of the run, or None.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    output: Path | None = None


def set_terms(model: Model, batch: SetBatch, objective: Objective = ELBO) -> tuple[Bound, Bound]:
    """The bound on a batch, and the same with the penalties that training subtracts from it."""
    programs = _Recorded(model, batch)
    bound = objective(programs)
    return bound, Bound(bound.terms | model.penalties(programs.traces[0], programs.traces[1]), bound.gains)


class _Recorded(Programs):
    """Programs that keep what they ran, so that penalties need not run them again."""

    @cached_property
    def traces(self) -> list[Trace]:
        return []

    def infer(self, *args: Any, **kwargs: Any) -> Trace:
        self.traces.append(super().infer(*args, **kwargs))
        return self.traces[-1]

    def generate(self, *args: Any, **kwargs: Any) -> Trace:
        self.traces.append(super().generate(*args, **kwargs))
        return self.traces[-1]


class SetTraining(lightning.LightningModule):
    """Maximises a weighted bound of a model, averaged over sets.

    Args:
        model: what to train.
        schedule: progress → site name → weight.
        total_steps: of all epochs; what the schedules' fraction and the learning rate refer to.
        objective: the bound.
        learning_rate: of Adam; its peak for `one-cycle`.
        learning_rate_schedule: `constant`, or `one-cycle`: up over a tenth of training, then down to nothing.
        seed: each epoch's randomness is a function of this and the epoch, so that resuming repeats it.
    """

    def __init__(
        self,
        model: Model,
        schedule: Schedule,
        total_steps: int,
        objective: Objective = ELBO,
        learning_rate: float = 2e-3,
        learning_rate_schedule: Literal["constant", "one-cycle"] = "one-cycle",
        seed: int = 0,
    ):
        super().__init__()
        if learning_rate_schedule not in ("constant", "one-cycle"):
            raise ConfigurationError(
                f"unknown learning rate schedule {learning_rate_schedule!r}: constant or one-cycle"
            )
        self.model, self.objective, self.schedule = model, objective, schedule
        self.total_steps, self.seed = total_steps, seed
        self.learning_rate, self.learning_rate_schedule = learning_rate, learning_rate_schedule
        self.record = Record()
        self._started = time.monotonic()
        self._recent: list[tuple[int, dict[str, Tensor]]] = []  # terms since the last look
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._validation: list[Tensor] = []

    def configure_optimizers(self) -> Any:
        """Adam, as in both papers."""
        # Lightning does not clip gradients for a fused optimiser in mixed precision.
        fused = not isinstance(self.trainer.precision_plugin, MixedPrecision)
        optimizer = torch.optim.Adam(self.parameters(), self.learning_rate, fused=fused)
        if self.learning_rate_schedule == "constant":
            return optimizer
        total = self.total_steps + 1
        rise = max(0.1, 2 / total)  # a rise of no step at all divides by zero
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=total, pct_start=rise)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def on_fit_start(self) -> None:
        """Start the clock."""
        self._started = time.monotonic() - self.record.seconds

    def on_train_epoch_start(self) -> None:
        """Make the epoch's batches and noise a function of the seed, the epoch and the rank."""
        loader = self.trainer.train_dataloader
        if isinstance(loader, DataLoader) and isinstance(loader.dataset, SetSampler):
            loader.dataset.epoch = self.current_epoch
        torch.manual_seed(hash((self.seed, self.current_epoch, self.global_rank)) & 0x7FFFFFFF)
        self.model.anneal(min(1.0, self.global_step / self.total_steps))

    def on_after_batch_transfer(self, batch: SetBatch, index: int) -> SetBatch:
        """Read the data in the precision of the parameters: NumPy's float64 trains a model in float32."""
        return batch.to(dtype=next(self.model.parameters()).dtype)

    def training_step(self, batch: SetBatch, index: int) -> Tensor:
        """Minus the weighted bound, averaged over sets."""
        bound, penalised = set_terms(self.model, batch, self.objective)
        progress = Progress(self.current_epoch, self.global_step / self.total_steps)
        loss = -penalised.weighted(self.schedule(progress)).mean()
        terms = {name: term.detach().mean() for name, term in penalised.terms.items()}
        terms["bound"] = bound.value.detach().mean()
        self._recent.append((self.global_step, terms))
        self._count += 1
        for name, term in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + term
        if self._shows(index):
            self.log_dict({f"train/{name}": term for name, term in terms.items()}, prog_bar=True, batch_size=len(batch))
        if len(self._recent) >= CHECK_EVERY:
            self.check_finite()
        return loss

    def _shows(self, index: int) -> bool:
        """Whether this step is logged: to hand a term to Lightning costs a millisecond, a small model's step ten."""
        step = self.global_step + 1
        last = index + 1 == self.trainer.num_training_batches
        logged = max(1, getattr(self.trainer, "log_every_n_steps", 1))
        shown = self.trainer.progress_bar_callback is not None and step % SHOW_EVERY == 0
        return step == 1 or last or shown or step % logged == 0

    def validation_step(self, batch: SetBatch, index: int) -> None:
        """The bound on held-out sets."""
        bound = self.objective(Programs(self.model, batch)).value.mean()
        self._validation.append(bound)
        self.log("validation/bound", bound, prog_bar=True, on_epoch=True, batch_size=len(batch), sync_dist=True)

    def on_train_epoch_end(self) -> None:
        """Look for terms that are not finite, before anything is saved, and record the epoch's means."""
        self.check_finite()
        row: dict[str, float] = {"epoch": self.current_epoch, "step": self.global_step}
        row |= {name: float(total) / max(1, self._count) for name, total in self._sums.items()}
        if self._validation:
            row["validation"] = float(torch.stack(self._validation).mean())
        self.record.history.append(row)
        self.record.seconds = time.monotonic() - self._started
        self._sums, self._count, self._validation = {}, 0, []

    def on_sanity_check_end(self) -> None:
        """Forget what the sanity check saw."""
        self._validation = []

    def check_finite(self) -> None:
        """Raise a `NonFiniteError` with the site, the step and the last good checkpoint."""
        recent, self._recent = self._recent, []
        if not recent or bool(torch.stack([term for _, terms in recent for term in terms.values()]).isfinite().all()):
            return
        for step, terms in recent:
            for name, term in terms.items():
                if not bool(term.isfinite()):
                    saved = getattr(self.trainer.checkpoint_callback, "last_model_path", "") or "none yet"
                    raise NonFiniteError(
                        f"the term of site {name!r} is {float(term)} at step {step}; last good checkpoint: {saved}; "
                        "lower the learning rate, clip gradients (gradient_clip_val), or look at the data's range"
                    )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the record and the format beside the weights."""
        self.check_finite()
        checkpoint["coset"] = {
            "format": FORMAT,
            "history": self.record.history,
            "seconds": time.monotonic() - self._started,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the record up again, at the beginning of the next epoch."""
        _begin_next_epoch(checkpoint["loops"]["fit_loop"])
        self.record.history = list(checkpoint["coset"]["history"])
        self.record.seconds = checkpoint["coset"]["seconds"]


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
    objective: Objective = ELBO,
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
        validation: the same, held out; its bound is logged, decides which checkpoint is best and when to stop early.
        epochs: passes; 20 where neither these nor `steps` are given.
        steps: batches in all, for each process.
        seed: of the sets that are drawn and of all sampling during training.
        output: folder for checkpoints, logs (CSV and TensorBoard) and the final model; nothing is written where None.
        resume: go on from the last checkpoint in `output`; the result equals that of training uninterrupted.
        sets: options of `FactorTable.sets` or `SetCollection.sets`: `patterns`, `items`, `batch`, `batches`, ...; for
            a model without contexts sets are single items, 128 a batch, where they say nothing else.
        objective: the bound to maximise: `EvidenceLowerBound()`, `ImportanceWeighted(particles=5)`, ...
        schedule: weights of the terms; the model's suggestion where None.
        learning_rate: of Adam.
        learning_rate_schedule: `constant` or `one-cycle`.
        patience: stop after so many epochs without a better bound; never where None.
        compile: compile the networks with `torch.compile`.
        workers: processes that draw batches; 0 draws in this one, which is fastest when items lie in memory.
        trainer: options of `lightning.Trainer`: `precision`, `strategy`, `devices`, `gradient_clip_val`, ...

    Raises:
        DataError, ConfigurationError: before anything expensive, if data, model and options do not fit together.
        NonFiniteError: a term became NaN or infinite.
    """
    sampler = _sampler(model, data, seed, sets)
    epochs, steps = trainer.pop("max_epochs", epochs), trainer.pop("max_steps", steps)  # Lightning's words for them
    if (epochs is not None and epochs < 1) or (steps is not None and steps < 1):
        raise ConfigurationError(f"epochs and steps: expected 1 or more, got epochs={epochs}, steps={steps}")
    folder = None if output is None else _open_run(Path(output), resume)
    if schedule is None:
        suggested = model.suggested_weights()
        schedule = Warmup(suggested["first"], suggested["last"]) if suggested else Fixed()
    monitor = "train/bound" if validation is None else "validation/bound"
    callbacks: list[Callback] = list(trainer.pop("callbacks", []))
    if folder is not None:
        best = ModelCheckpoint(
            folder / "checkpoints", "best", monitor=monitor, mode="max", save_last=True, enable_version_counter=False
        )
        callbacks.append(best)
    if patience is not None:
        callbacks.append(EarlyStopping(monitor, patience=patience, mode="max"))
    options: dict[str, Any] = {
        "callbacks": callbacks,
        "logger": [CSVLogger(folder, "logs", ""), TensorBoardLogger(folder, "logs", "")] if folder else False,
        "enable_checkpointing": folder is not None,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    if compile:
        for network in model.children():  # a list of networks is never called itself
            for part in network if isinstance(network, torch.nn.ModuleList) else [network]:
                part.compile()
    held_out_loader = None
    if validation is not None:
        all_alike = {"batches": None} | ({"supervision": None} if "supervision" in (sets or {}) else {})
        held_out = _sampler(model, validation, seed + 1, {**(sets or {}), **all_alike})
        held_out.batches = min(held_out.batches, 20)
        held_out_loader = _loader(held_out, workers)
    last = None if folder is None or not resume else folder / "checkpoints" / "last.ckpt"
    if last is not None and last.is_file():
        sampler.epoch = _completed_epochs(last)  # workers draw ahead of the start of the epoch
    else:
        last = None
    model.train()
    with torch.random.fork_rng(devices=[]), _quiet_lightning():
        engine = lightning.Trainer(**(options | trainer))
        # Only now is it known how many processes share the batches of an epoch.
        if steps is not None:  # an epoch ends, and is validated, before training does
            sampler.batches = min(sampler.batches, steps * engine.world_size)
        per_epoch = math.ceil(sampler.batches / engine.world_size)
        epochs = epochs or (20 if steps is None else math.ceil(steps / per_epoch))
        total = min(steps or epochs * per_epoch, epochs * per_epoch)
        engine.fit_loop.max_epochs, engine.fit_loop.epoch_loop.max_steps = epochs, total
        engine.log_every_n_steps = trainer.get("log_every_n_steps", min(CHECK_EVERY, per_epoch))  # pyright: ignore
        module = SetTraining(model, schedule, total, objective, learning_rate, learning_rate_schedule, seed)
        model.settle(())  # what was estimated after earlier training no longer holds
        engine.fit(module, _loader(sampler, workers), held_out_loader, ckpt_path=None if last is None else str(last))
        model.settle(_settling(sampler, model))
    model.eval()
    module.record.output = folder
    if folder is not None and engine.is_global_zero:
        model.save_pretrained(folder / "model")
        text = json.dumps(
            {"seconds": module.record.seconds, "steps": total, "history": module.record.history}, indent=1
        )
        partial = folder / "record.json.partial"
        partial.write_text(text)
        partial.replace(folder / "record.json")
    return module.record


def _sampler(model: Model, data: Any, seed: int, options: Mapping[str, Any] | None) -> SetSampler:
    contexts = model.contexts
    data = as_table_or_sets(data, contexts or None)
    if tuple(data.item_shape) != model.item_shape:
        raise ConfigurationError(
            f"the model takes items of shape {list(model.item_shape)}, the data has {list(data.item_shape)}"
        )
    model.check_range(*data.range(), what="data")
    if isinstance(data, SetCollection):
        return data.sets(seed=seed, **(options or {}))
    assert isinstance(data, FactorTable)
    single: dict[str, Any] = {} if contexts else {"items": 1, "batch": 128}
    return data.sets(contexts, seed=seed, **(single | dict(options or {})))


def _settling(sampler: SetSampler, model: Model) -> Iterator[SetBatch]:
    """Some thousand training sets, or an epoch of them where that is fewer; the same for every process."""
    sampler.epoch = 0
    for index in range(max(1, min(sampler.batches, 1024 // sampler.batch))):
        yield sampler.draw(index).to(model.device, next(model.parameters()).dtype)


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


def _open_run(folder: Path, resume: bool) -> Path:
    """Refuse a folder that holds a run, unless it is to be resumed."""
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


def _begin_next_epoch(loop: dict[str, Any]) -> None:
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


def _completed_epochs(path: Path) -> int:
    """Epochs that lie behind a checkpoint; a `CheckpointError` if it is unreadable or of another format."""
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
