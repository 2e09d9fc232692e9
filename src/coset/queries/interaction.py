"""Main effects plus interaction over means of cells, on the scale that cells left out inside ask for."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from coset.distributions.interaction import InteractionProcess
from coset.errors import DataError

FOLDS = 5
"""Parts of the seen cells, each left out once, by which is chosen on what scale effects add up, if there are any."""

FEW = 500
"""Seen cells up to which every part is left out once; of more, the first alone."""

NINETY = 1.6449
"""Standard deviations to either side that hold 90 % of a normal distribution."""


@dataclass(frozen=True)
class Prediction:
    """Means of wanted cells `[m, D]`, the standard deviation of what is not known of them, and how factors act."""

    mean: Tensor
    spread: Tensor
    action: str


def predict_by_interaction(
    levels: Tensor, means: Tensor, counts: Tensor, wanted: Tensor, sizes: Sequence[int], seed: int = 0
) -> Prediction:
    """Main effects plus interaction, on the scale that cells left out inside ask for.

    The effects add up on the scale of the means, or in the logarithm where these are not negative, or are none, so that
    where levels tell nothing the mean of all cells is said: whichever predicts left-out cells best. The spread is
    widened, or narrowed, until nine of ten left-out numbers lie within 1.64 of it.

    Args:
        levels: of the seen cells, `[cells, K]`.
        means: of the items in them, `[cells, D]`.
        counts: how many these are, `[cells]`.
        wanted: levels of the cells to predict, `[m, K]`.
        sizes: how many levels each factor has.
        seed: of the parts that are left out.

    Raises:
        DataError: Fewer than three seen cells.
    """
    if len(levels) < 3:
        raise DataError(f"interaction: takes three seen cells or more, got {len(levels)}")
    part = torch.randperm(len(levels), generator=torch.Generator().manual_seed(seed)) % FOLDS
    folds = [part == fold for fold in range(FOLDS if len(levels) <= FEW else 1)]
    left = torch.stack(folds).any(0)
    inside: dict[str, Prediction] = {}
    ways = _ways(means, sizes, seed)
    for name, way in ways.items():
        mean, spread = torch.zeros_like(means), torch.ones_like(means)
        for out in folds:
            found = way(levels[~out], means[~out], counts[~out], levels[out])
            mean[out], spread[out] = found.mean, found.spread
        inside[name] = Prediction(mean[left], spread[left], name)
    best = min(inside.values(), key=lambda found: float((found.mean - means[left]).square().mean()))
    missed = (best.mean - means[left]).abs() / best.spread.clamp_min(1e-300)
    widening = float(missed.flatten().kthvalue(max(1, round(0.9 * missed.numel()))).values) / NINETY
    found = ways[best.action](levels, means, counts, wanted)
    return Prediction(found.mean, found.spread * widening, found.action)


Predictor = Callable[[Tensor, Tensor, Tensor, Tensor], Prediction]
"""Predicts wanted cells from the levels, the means and the counts of seen ones."""


def _ways(means: Tensor, sizes: Sequence[int], seed: int) -> dict[str, Predictor]:
    """What cells left out choose among: effects that add up, or do so in the logarithm, or none at all."""
    ways: dict[str, Predictor] = {
        "adding up": partial(_predict_effects, sizes=sizes, scale=_Scale(), seed=seed),
        "nothing": _predict_nothing,
    }
    if bool((means >= 0).all()):
        shift = means.mean().clamp_min(1e-12) / 100
        ways["in the logarithm"] = partial(_predict_effects, sizes=sizes, scale=_Scale(shift), seed=seed)
    return ways


@dataclass(frozen=True)
class _Scale:
    """On which effects add up: that of the data, or the logarithm, once `shift` has been added to everything."""

    shift: Tensor | None = None

    def __str__(self) -> str:
        return "adding up" if self.shift is None else "adding up in the logarithm"

    def __call__(self, means: Tensor) -> Tensor:
        return means if self.shift is None else (means + self.shift).log()

    def back(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """A mean on the scale of the data, and how it changes with the mean on this scale."""
        if self.shift is None:
            return mean, torch.ones_like(mean)
        raised = mean.clamp_max(math.log(1e300)).exp()
        return raised - self.shift, raised


def _predict_effects(
    levels: Tensor,
    means: Tensor,
    counts: Tensor,
    wanted: Tensor,
    *,
    sizes: Sequence[int],
    scale: _Scale,
    seed: int,
) -> Prediction:
    process = InteractionProcess(levels, scale(means), counts, sizes, seed)
    mean, variance = process.predict(wanted)
    mean, slope = scale.back(mean)
    shares = process.shares
    action = f"main effects {shares['main']:.0%} and interaction {shares['interaction']:.0%} of the variance, {scale}"
    return Prediction(mean, variance.sqrt() * slope, action)


def _predict_nothing(levels: Tensor, means: Tensor, counts: Tensor, wanted: Tensor) -> Prediction:
    """The mean of all cells, whatever their levels."""
    mean, spread = (part.expand(len(wanted), -1) for part in (means.mean(0), means.std(0)))
    return Prediction(mean, spread, "levels tell nothing: the mean of all cells")
