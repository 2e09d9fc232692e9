"""What Lightning is given to train: a model, an objective, and a second optimiser if the objective has a critic."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor
from torch.utils.data import DataLoader

from coset.batch import SetBatch
from coset.data import SetSampler
from coset.errors import ConfigurationError, NonFiniteError
from coset.models.base import Model
from coset.models.saving import FORMAT
from coset.objectives.base import Bound, parts
from coset.objectives.schedules import Progress, Schedule
from coset.programs import Programs
from coset.training.resuming import begin_next_epoch

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
        chosen: what combinations that were kept out chose, and why; empty where none were.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    output: Path | None = None
    chosen: str = ""


class SetTraining(lightning.LightningModule):
    """Maximises a weighted objective of a model, averaged over sets.

    Where parts of the objective have a critic, each step of the model is followed by one of the critics, with an
    optimiser of their own.

    Args:
        model: what to train.
        objective: the bound and its penalties, bound to the model.
        schedule: progress → site name → weight.
        learning_rate: of Adam; its peak for `one-cycle`.
        learning_rate_schedule: `constant`, or `one-cycle`: up over a tenth of training, then down to nothing.
        seed: each epoch's randomness is a function of this and the epoch, so that resuming repeats it.
        clipping: options of `clip_gradients`, for an objective with a critic; Lightning clips by itself otherwise.
        total_steps: of all epochs; what the schedules' fraction and the learning rate refer to.
        about: the fingerprint of the training, kept in its checkpoints.

    Raises:
        ConfigurationError: An unknown learning rate schedule.
    """

    def __init__(
        self,
        model: Model,
        objective: Callable[[Programs], Bound],
        schedule: Schedule,
        learning_rate: float = 2e-3,
        learning_rate_schedule: Literal["constant", "one-cycle"] = "one-cycle",
        seed: int = 0,
        clipping: dict[str, Any] | None = None,
        total_steps: int = 1,
        about: dict[str, Any] | None = None,
    ):
        super().__init__()
        if learning_rate_schedule not in ("constant", "one-cycle"):
            raise ConfigurationError(
                f"unknown learning rate schedule {learning_rate_schedule!r}: constant or one-cycle"
            )
        self.model, self.objective, self.schedule = model, objective, schedule
        self.total_steps, self.seed = total_steps, seed
        self.learning_rate, self.learning_rate_schedule = learning_rate, learning_rate_schedule
        self.clipping = {name: value for name, value in (clipping or {}).items() if value is not None}
        self.critics = parts(objective, "critic_loss")
        self.automatic_optimization = not self.critics
        self.record = Record()
        self.about = about or {}
        self.handover: Path | None = None
        self.cut_short = False
        self._started = time.monotonic()
        self._recent: list[tuple[int, dict[str, Tensor]]] = []  # terms since the last look
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._validation: list[Tensor] = []

    @property
    def steps_done(self) -> int:
        """Steps of the model so far; Lightning counts those of the critics too."""
        return self.global_step // self.optimizers_a_step

    @property
    def optimizers_a_step(self) -> int:
        """Optimisers that make a step of training, the model's, and that of the critics if there are any."""
        return 2 if self.critics else 1

    def configure_optimizers(self) -> Any:
        """Adam, as in both papers; a second one, at a constant rate, for the critics."""
        # Lightning does not clip gradients for a fused optimiser in mixed precision.
        fused = not isinstance(self.trainer.precision_plugin, MixedPrecision)
        of_critics = [parameter for part in self.critics for parameter in part.critic.parameters()]
        apart = {id(parameter) for parameter in of_critics}
        optimizer = torch.optim.Adam(
            [parameter for parameter in self.parameters() if id(parameter) not in apart],
            self.learning_rate,
            fused=fused,
        )
        schedulers = []
        if self.learning_rate_schedule == "one-cycle":
            total = self.total_steps + 1
            rise = max(0.1, 2 / total)  # a rise of no step at all divides by zero
            cycle = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, self.learning_rate, total_steps=total, pct_start=rise
            )
            schedulers.append({"scheduler": cycle, "interval": "step"})
        if not of_critics:
            return [optimizer], schedulers
        return [optimizer, torch.optim.Adam(of_critics, self.learning_rate, fused=fused)], schedulers

    def on_fit_start(self) -> None:
        """Start the clock."""
        self._started = time.monotonic() - self.record.seconds

    def on_train_epoch_start(self) -> None:
        """Make the epoch's batches and noise a function of the seed, the epoch and the rank."""
        # A resumed epoch begins at its beginning; some versions of Lightning would validate first, and draw noise.
        self.trainer.fit_loop.epoch_loop.restarting = False
        loader = self.trainer.train_dataloader
        if isinstance(loader, DataLoader) and isinstance(loader.dataset, SetSampler):
            loader.dataset.epoch = self.current_epoch
        torch.manual_seed(hash((self.seed, self.current_epoch, self.global_rank)) & 0x7FFFFFFF)

    def on_after_batch_transfer(self, batch: SetBatch, index: int) -> SetBatch:
        """Read the data in the precision of the parameters: NumPy's float64 trains a model in float32."""
        return batch.to(dtype=next(self.model.parameters()).dtype)

    def training_step(self, batch: SetBatch, index: int) -> Tensor | None:
        """Minus the weighted objective, averaged over sets; with critics, the step itself and theirs."""
        fraction = self.steps_done / self.total_steps
        programs = Programs(self.model, batch, progress=min(1.0, fraction))
        try:
            bound = self.objective(programs)
        except (ValueError, RuntimeError) as reason:  # torch may stumble over what is not finite before we look
            self.check_finite()
            self.check_parameters(reason)
            raise
        loss = -bound.weighted(self.schedule(Progress(self.current_epoch, fraction))).mean()
        self._record(bound, len(batch), index)
        if not self.critics:
            return loss
        self._alternate(programs, loss)
        return None

    def _alternate(self, programs: Programs, loss: Tensor) -> None:
        """One step of the model, and one of the critics."""
        optimizers: Any = self.optimizers()
        losses = (lambda: loss, lambda: torch.stack([part.critic_loss(programs) for part in self.critics]).sum())
        for optimizer, compute in zip(optimizers, losses, strict=True):
            value = compute()
            optimizer.zero_grad()
            self.manual_backward(value)
            if self.clipping:
                self.clip_gradients(optimizer, **self.clipping)
            optimizer.step()
        scheduler: Any = self.lr_schedulers()
        if scheduler is not None:
            scheduler.step()

    def _record(self, bound: Bound, sets: int, index: int) -> None:
        """Keep the terms of a step, show them now and then, and look whether they are finite."""
        terms = {name: term.detach().mean() for name, term in bound.terms.items()}
        terms["bound"] = bound.value.detach().mean()
        self._recent.append((self.steps_done, terms))
        self._count += 1
        for name, term in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + term
        if self._shows(index):
            self.log_dict({f"train/{name}": term for name, term in terms.items()}, prog_bar=True, batch_size=sets)
        if len(self._recent) >= CHECK_EVERY:
            self.check_finite()

    def _shows(self, index: int) -> bool:
        """Whether this step is logged: to hand a term to Lightning costs a millisecond, a small model's step ten."""
        step = self.steps_done + 1
        last = index + 1 == self.trainer.num_training_batches
        logged = max(1, getattr(self.trainer, "log_every_n_steps", 1))
        shown = self.trainer.progress_bar_callback is not None and step % SHOW_EVERY == 0
        return step == 1 or last or shown or step % logged == 0

    def validation_step(self, batch: SetBatch, index: int) -> None:
        """The bound on held-out sets."""
        bound = self.objective(Programs(self.model, batch)).value.mean()  # no penalties: the objective is evaluating
        self._validation.append(bound)
        self.log("validation/bound", bound, prog_bar=True, on_epoch=True, batch_size=len(batch), sync_dist=True)

    def on_train_epoch_end(self) -> None:
        """Look for terms that are not finite, before anything is saved, and record the epoch's means."""
        self.check_finite()
        self.cut_short = self._count < self.trainer.num_training_batches and self.steps_done < self.total_steps
        means = {name: total / max(1, self._count) for name, total in self._sums.items()}
        if self._validation:
            means["validation"] = torch.stack(self._validation).mean()
        reduced = self._over_processes(means)
        self.record.history.append({"epoch": self.current_epoch, "step": self.steps_done, **reduced})
        self.record.seconds = time.monotonic() - self._started
        self._sums, self._count, self._validation = {}, 0, []

    def _over_processes(self, means: dict[str, Tensor]) -> dict[str, float]:
        """The mean of each number over all processes."""
        if not means:
            return {}
        stacked = torch.stack([value.to(self.device) for value in means.values()])
        if self.trainer.world_size > 1:
            stacked = torch.as_tensor(self.trainer.strategy.reduce(stacked, reduce_op="mean"))
        return dict(zip(means, stacked.tolist(), strict=True))

    def on_train_end(self) -> None:
        """Leave the record to the process that launched this one, if it was launched."""
        if self.handover is not None and self.trainer.is_global_zero:
            kept = {"history": self.record.history, "seconds": self.record.seconds}
            self.handover.write_text(json.dumps(kept))

    def on_sanity_check_end(self) -> None:
        """Forget what the sanity check saw."""
        self._validation = []

    def check_finite(self) -> None:
        """Look whether all recent terms are finite.

        Raises:
            NonFiniteError: One is not; names the site, the step and the last good checkpoint.
        """
        recent, self._recent = self._recent, []
        if not recent or bool(torch.stack([term for _, terms in recent for term in terms.values()]).isfinite().all()):
            return
        for step, terms in recent:
            for name, term in terms.items():
                if not bool(term.isfinite()):
                    raise NonFiniteError(
                        f"the term of site {name!r} is {float(term)} at step {step}; last good checkpoint: "
                        f"{self._last_good()}; lower the learning rate, clip gradients (gradient_clip_val), or look at "
                        "the data's range"
                    )

    def check_parameters(self, reason: Exception) -> None:
        """Look whether all parameters are finite, after a step has failed.

        Raises:
            NonFiniteError: One is not; names it, the step and the last good checkpoint.
        """
        for name, parameter in self.model.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise NonFiniteError(
                    f"the parameter {name!r} is not finite at step {self.steps_done} ({str(reason).splitlines()[0]}); "
                    f"last good checkpoint: {self._last_good()}; lower the learning rate, or clip gradients "
                    "(gradient_clip_val)"
                ) from reason

    def _last_good(self) -> str:
        return getattr(self.trainer.checkpoint_callback, "last_model_path", "") or "none yet"

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the record and the format beside the weights."""
        self.check_finite()
        checkpoint["coset"] = {
            "format": FORMAT,
            "fingerprint": self.about,
            "history": self.record.history,
            "seconds": time.monotonic() - self._started,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the record up again, at the beginning of the next epoch."""
        begin_next_epoch(checkpoint["loops"]["fit_loop"])
        self.record.history = list(checkpoint["coset"]["history"])
        self.record.seconds = checkpoint["coset"]["seconds"]
