"""Main effects plus interaction over means of cells, on the scale and shrunk as cells left out inside ask for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coset.distributions.interaction import InteractionProcess
from coset.errors import DataError

FOLDS = 5
"""Parts of the seen cells, each left out once, by which the scale of the effects and their shrinkage are chosen."""

FEW = 500
"""Seen cells up to which every part is left out once; of more, the first alone."""

SLIGHTLY = 0.995
"""Share of an effect that is as good as all of it."""

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
    """Main effects plus interaction, on the scale and with the shrinkage that cells left out inside ask for.

    The effects add up on the scale of the means, or in the logarithm where these are not negative, whichever predicts
    left-out cells better. What is predicted is shrunk towards the mean of all cells by the slope of left-out cells on
    their predictions, so that where levels tell nothing the mean is said; and the spread is widened, or narrowed, until
    nine of ten left-out numbers lie within 1.64 of it.

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
    shift = means.mean().clamp_min(1e-12) / 100
    scales = {"adding up": _Scale()}
    if bool((means >= 0).all()):
        scales["adding up in the logarithm"] = _Scale(shift)
    part = torch.randperm(len(levels), generator=torch.Generator().manual_seed(seed)) % FOLDS
    folds = [part == fold for fold in range(FOLDS if len(levels) <= FEW else 1)]
    left = torch.stack(folds).any(0)
    inside = {}
    for name, scale in scales.items():
        mean, spread = torch.zeros_like(means), torch.ones_like(means)
        for out in folds:
            mean[out], spread[out], _ = _predict(
                levels[~out], means[~out], counts[~out], levels[out], sizes, scale, seed
            )
        inside[name] = (mean[left], spread[left])
    errors = {name: float((mean - means[left]).square().mean()) for name, (mean, _) in inside.items()}
    name = min(errors, key=errors.__getitem__)
    centre, (mean, spread) = means.mean(0), inside[name]
    slope = _slope(mean - centre, means[left] - centre)
    missed = (centre + slope * (mean - centre) - means[left]).abs() / spread.clamp_min(1e-300)
    widening = float(missed.flatten().kthvalue(max(1, round(0.9 * missed.numel()))).values) / NINETY
    mean, spread, shares = _predict(levels, means, counts, wanted, sizes, scales[name], seed)
    action = f"main effects {shares['main']:.0%} and interaction {shares['interaction']:.0%} of the variance, {name}"
    if slope < SLIGHTLY:
        action += f", shrunk to {slope:.2f} of it"
    return Prediction(centre + slope * (mean - centre), spread * widening, action)


@dataclass(frozen=True)
class _Scale:
    """On which effects add up: that of the data, or the logarithm, once `shift` has been added to everything."""

    shift: Tensor | None = None

    def __call__(self, means: Tensor) -> Tensor:
        return means if self.shift is None else (means + self.shift).log()

    def back(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """A mean on the scale of the data, and how it changes with the mean on this scale."""
        if self.shift is None:
            return mean, torch.ones_like(mean)
        raised = mean.clamp_max(math.log(1e300)).exp()
        return raised - self.shift, raised


def _predict(
    levels: Tensor, means: Tensor, counts: Tensor, wanted: Tensor, sizes: Sequence[int], scale: _Scale, seed: int
) -> tuple[Tensor, Tensor, dict[str, float]]:
    process = InteractionProcess(levels, scale(means), counts, sizes, seed)
    mean, variance = process.predict(wanted)
    mean, slope = scale.back(mean)
    return mean, variance.sqrt() * slope, process.shares


def _slope(predicted: Tensor, true: Tensor) -> float:
    """How much of a predicted deviation is there: the slope through 0, from 0 to 1."""
    square = float(predicted.square().sum())
    return min(1.0, max(0.0, float((predicted * true).sum()) / square)) if square > 0 else 1.0
