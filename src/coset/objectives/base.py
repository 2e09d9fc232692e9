"""What every objective is made of: a bound in its terms, penalties, and the schedule that weighs both."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from coset.errors import ConfigurationError, nearest
from coset.objectives.schedules import Fixed, Schedule
from coset.programs import Programs
from coset.sites import group
from coset.trace import Trace


@dataclass(frozen=True)
class Bound:
    """A lower bound on the log evidence of each set, kept in its terms.

        value = Σ_gains term − Σ_others term

    Attributes:
        terms: site name → `[B]` (or `[S, B]`), in nats. A likelihood's term is the expected log-probability (R_D); a
            latent's its divergence (L_D, C_vD, C_cD, A_D of thesis 6.6-6.10); a penalty's its size. In the
            bound the former count for it, the latter two against.
        gains: names of the terms that count for the bound.
        penalties: names of the terms that training subtracts besides, and that are no part of the bound.
        q: the inference trace that it was made from, for penalties that build on it.
        p: the generative trace.
    """

    terms: dict[str, Tensor]
    gains: frozenset[str]
    penalties: frozenset[str] = frozenset()
    q: Trace | None = field(default=None, repr=False)
    p: Trace | None = field(default=None, repr=False)

    @property
    def value(self) -> Tensor:
        """The bound of each set, in nats, without penalties, `[B]` or `[S, B]`."""
        return self._sum({name: 1.0 for name in self.terms if name not in self.penalties})

    def weighted(self, weights: Mapping[str, float]) -> Tensor:
        """All terms, penalties included, with a weight for each, 1 where none is given: what training maximises.

        It is no longer a bound unless divergences and penalties only gain weight. A weight for `z` also counts for the
        sites `z.1`, `z.2` of its group that have none of their own.

        Raises:
            ConfigurationError: A weight for a site that the model does not have.
        """
        known = {*self.terms, *(group(name) for name in self.terms)}
        for name in weights:
            if name not in known:
                raise ConfigurationError(f"weight for a site {name!r} that is not there; {nearest(name, self.terms)}")
        return self._sum({name: weights.get(name, weights.get(group(name), 1.0)) for name in self.terms})

    def _sum(self, weights: Mapping[str, float]) -> Tensor:
        signed = [(weight if name in self.gains else -weight) * self.terms[name] for name, weight in weights.items()]
        return torch.stack(torch.broadcast_tensors(*signed)).sum(0)


class Objective(nn.Module, ABC):
    """What training maximises: it runs a model's programs as it needs them, and returns a bound for each set.

    Training treats an objective, and each of its parts, by what it has besides `forward`:

    - `bind(model, data_size)` is called once before training, with the number of items in the data. Here a part builds
      what depends on the model: a critic, a baseline, a running mean.
    - `critic`, a module, and `critic_loss(programs)`, a number, make a second optimiser that alternates with the first
      one: a step of the model by `forward`, a step of the critic by `critic_loss`.
    - `finish(programs)` is called once after training, with the programs on some thousand sets of training data.

    Any function from programs to a `Bound` is an objective too.

    Attributes:
        schedule: weights of all terms over training, see `coset.objectives.schedules`.
    """

    schedule: Schedule = Fixed()

    @abstractmethod
    def forward(self, programs: Programs) -> Bound:
        """Run the programs and return the bound of each set."""


class Penalty(nn.Module, ABC):
    """A term that training subtracts from a bound, and that is built from runs of the programs."""

    @abstractmethod
    def forward(self, programs: Programs, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Return non-negative terms by name, in nats per set `[B]`.

        Args:
            programs: the model's programs on the batch.
            q: the inference trace of the bound.
            p: the generative trace that replays it.
        """


class Penalised(Objective):
    """A bound from which training subtracts penalties; without training it is the bound alone.

    For non-negative penalties M with weights λ ≥ 0, bound − λ M ≤ bound: what is maximised is still a bound.

    Args:
        bound: the objective whose traces the penalties are given.
        penalties: in the order in which they are computed.
        schedule: weights of all terms; each counts once where None.

    >>> from coset.objectives import ContrastiveSetIdentification, EvidenceLowerBound
    >>> _ = Penalised(EvidenceLowerBound(), [ContrastiveSetIdentification()], Fixed({"contrastive": 5.0}))
    """

    def __init__(self, bound: Objective, penalties: Sequence[Penalty], schedule: Schedule | None = None):
        super().__init__()
        self.bound, self.penalties = bound, nn.ModuleList(penalties)
        if schedule is not None:
            self.schedule = schedule

    def forward(self, programs: Programs) -> Bound:
        """Run the bound and then each penalty.

        Raises:
            ConfigurationError: The bound does not say which traces it was made from, or two terms have one name.
        """
        bound = self.bound(programs)
        if not self.training:
            return bound
        if bound.q is None or bound.p is None:
            raise ConfigurationError(
                f"{type(self.bound).__name__} returns a Bound without its traces q and p, which penalties build on"
            )
        terms: dict[str, Tensor] = {}
        for penalty in self.penalties:
            found = penalty(programs, bound.q, bound.p)
            if twice := found.keys() & (bound.terms.keys() | terms.keys()):
                raise ConfigurationError(f"two terms are called {min(twice)!r}; leave one of the penalties out")
            terms |= found
        return replace(bound, terms=bound.terms | terms, penalties=bound.penalties | terms.keys())


def parts(objective: Callable[[Programs], Bound], method: str) -> list[Any]:
    """The objective and those of its parts that have a method: `bind`, `critic_loss` or `finish`."""
    modules = objective.modules() if isinstance(objective, nn.Module) else [objective]
    return [part for part in modules if callable(getattr(part, method, None))]


Relaxation = float | Sequence[float] | Mapping[str, float | Sequence[float]]
"""What `relaxed_to` reads."""


def relaxed_to(relaxation: Relaxation, progress: float) -> float | dict[str, float]:
    """Temperature of tempered, relaxed and straight-through draws, of all sites or by their names or groups.

    Args:
        relaxation: a number that stays, or one that moves, see `straight_line`; or such a one by the names of sites.
        progress: the share of training that is over.

    >>> relaxed_to({"class": (20.0, 1.0, 0.5), "count": 0.5}, 0.5)
    {'class': 1.0, 'count': 0.5}
    """
    if isinstance(relaxation, Mapping):
        return {name: straight_line(ends, progress) for name, ends in relaxation.items()}
    return straight_line(relaxation, progress)


def straight_line(ends: float | Sequence[float], progress: float) -> float:
    """A number that stays, or one that moves in a straight line from the first to the second over training.

    A third says after which share of training it stays.

    >>> straight_line(0.5, 0.2), straight_line((1.0, 0.5), 0.2), straight_line((1.0, 0.5, 0.4), 0.2)
    (0.5, 0.9, 0.75)
    """
    first, last, until = (*ends, 1.0)[:3] if isinstance(ends, Sequence) else (ends, ends, 1.0)
    return first + (last - first) * min(1.0, progress / until)
