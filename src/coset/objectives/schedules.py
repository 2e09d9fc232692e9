"""Weights of the terms of a bound as functions of training progress."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from coset.errors import ConfigurationError


@dataclass(frozen=True)
class Progress:
    """How far training has come: whole `epoch`s, and the `fraction` of all steps, from 0 to 1."""

    epoch: int
    fraction: float


Schedule = Callable[[Progress], dict[str, float]]
"""Progress → site name → weight. A site without a weight counts once."""

_LATENTS = ("z", "context.varying", "context.constant")


@dataclass(frozen=True)
class Fixed:
    """The same weights throughout; none at all is the bound itself.

    >>> Fixed({"z": 2.0})(Progress(epoch=0, fraction=0.0))
    {'z': 2.0}
    """

    weights: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, progress: Progress) -> dict[str, float]:
        """Return the weights."""
        return dict(self.weights)


@dataclass(frozen=True)
class Annealed:
    """The papers' weightings, with α halved after each epoch so that the true bound is approached.

    With ω = 1 + α and α = `start` · 2^(−epoch):

    - `thesis` (equation 6.13): ω R_D − ω^−2 (L_D + C_vD + C_cD);
    - `paper` (equation 15 of 2018): R_D − ω^−1 (L_D + C_vD) − ω^−2 C_cD. The paper prints ω and ω², its words say that
      the divergences are weighted *inversely*, and increasingly over time; the words agree with the thesis;
    - `statistician` (thesis 5.14): ω R_D − ω^−1 (every divergence);
    - `inferred` (thesis 6.14): R_D − ω (L_D + C_vD + C_cD) − ω^−1 A_D, for an inferred a; begin with α = 100.

    Raises:
        ConfigurationError: Another kind of weighting.

    >>> Annealed("thesis")(Progress(epoch=0, fraction=0.0))["z"]
    0.25
    """

    kind: Literal["thesis", "paper", "statistician", "inferred"]
    start: float = 1.0
    factor: float = 0.5

    def __post_init__(self):
        if self.kind not in ("thesis", "paper", "statistician", "inferred"):
            raise ConfigurationError(f"unknown weighting {self.kind!r}: thesis, paper, statistician or inferred")

    def __call__(self, progress: Progress) -> dict[str, float]:
        """Return the weights of this epoch."""
        omega = 1.0 + self.start * self.factor**progress.epoch
        match self.kind:
            case "thesis":
                return {"x": omega} | dict.fromkeys(_LATENTS, omega**-2)
            case "paper":
                return {"z": 1 / omega, "context.varying": 1 / omega, "context.constant": omega**-2}
            case "statistician":
                return {"x": omega, "z": 1 / omega, "context": 1 / omega}
            case _:
                return dict.fromkeys(_LATENTS, omega) | {"a": 1 / omega}


@dataclass(frozen=True)
class Warmup:
    """Weights that move in a straight line from `first` to `last` over the first `until` of training, then stay.

    >>> Warmup({"z": 6.0}, {"z": 2.0}, until=0.1)(Progress(epoch=0, fraction=0.05))
    {'z': 4.0}
    """

    first: Mapping[str, float]
    last: Mapping[str, float]
    until: float = 0.1

    def __call__(self, progress: Progress) -> dict[str, float]:
        """Return the weights at this point."""
        share = min(1.0, progress.fraction / self.until) if self.until > 0 else 1.0
        names = {**self.first, **self.last}
        return {
            name: (1 - share) * self.first.get(name, self.last.get(name, 1.0)) + share * self.last.get(name, 1.0)
            for name in names
        }
