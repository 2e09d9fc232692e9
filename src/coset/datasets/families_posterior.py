"""The exact posterior of the one-dimensional families: a ceiling for whatever reads their sets (thesis 5.3.1)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def exact_posterior(x: Tensor, cells: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """What can be known at best of the distributions that sets were drawn from: Bayes' rule, on a grid.

    The prior is that of `draw_families`. No estimate from the set alone has a smaller mean square
    error than the posterior's mean, and no guess of the family is right more often than the one of the greatest log
    evidence.

    Args:
        x: Sets `[sets, items, 1]` as from `draw_families`; one set `[items, 1]` counts as one of many.
        cells: Places of the grid along the mean, and along the variance. The mean of the exponential families is
            integrated exactly: their density ends abruptly, between the places of a grid.

    Returns:
        Log evidence of each family, and the mean and the variance to be expected of it, each `[sets, families]`;
        −∞ and NaN for a family that cannot have a set's numbers.

    >>> from coset.datasets.families import draw_families
    >>> x, family, mean, variance = draw_families(sets=3, items=2000)
    >>> evidence, means, variances = exact_posterior(x)
    >>> torch.equal(evidence.argmax(1), family)
    True
    >>> bool((means.gather(1, family[:, None])[:, 0] - mean).abs().max() < 0.1)
    True
    """
    numbers = x.reshape(-1, *x.shape[-2:]).squeeze(-1)  # [sets, items]
    mean, variance = torch.linspace(-1, 1, cells), torch.linspace(0.5, 2, cells)
    mean, variance = mean.to(numbers), variance.to(numbers)
    rows = [
        [
            *_on_grid(_mixture, block, mean, variance),
            *_on_grid(_laplace, block, mean, variance),
            *_exponential(block, variance),
            *_exponential(-block, variance),
        ]
        for block in numbers.split(max(1, 2**18 // (numbers.shape[1] * cells)))  # what a core's cache holds
    ]
    columns = [torch.cat(column) for column in zip(*rows, strict=True)]
    evidence, means, variances = (torch.stack(columns[part::3], 1) for part in range(3))
    means[:, 3] *= -1  # reversed: the exponential family of -x
    return evidence, means, variances


_Likelihood = Callable[[Tensor, Tensor, Tensor], Tensor]


def _on_grid(likelihood: _Likelihood, x: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log evidence, and expected mean and variance, of sets `[b, items]`: each `[b]`."""
    scores = torch.stack([likelihood(x, mean, each) for each in variance], 2)  # [b, mean, variance]
    evidence = scores.logsumexp((1, 2))
    weight = (scores - evidence[:, None, None]).exp()
    return evidence - math.log(scores[0].numel()), weight.sum(2) @ mean, weight.sum(1) @ variance


def _mixture(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Log density of sets `[b, items]` at means `[m]`: `[b, m]`. Two Gaussians are one, times a hyperbolic cosine."""
    apart, width = (0.75 * variance).sqrt(), variance / 4  # d, w²
    rest = x[:, :, None] - mean  # [b, items, m]
    fold = (rest * (apart / width)).abs()
    log_cosh = fold + torch.log1p((-2 * fold).exp()) - math.log(2)
    return (log_cosh - (rest.square() + apart**2) / (2 * width) - 0.5 * (2 * math.pi * width).log()).sum(1)


def _laplace(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    scale = (variance / 2).sqrt()
    return -(x[:, :, None] - mean).abs().sum(1) / scale - x.shape[1] * (2 * scale).log()


def _exponential(x: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `_on_grid`, for m + √v (E − 1): the density of the set grows as exp(n m / √v) up to m = min x + √v."""
    x, items, scale = x.double(), x.shape[1], variance.double().sqrt()  # [v]
    end = (x.amin(1)[:, None] + scale).clamp(max=1.0)  # [b, v]
    length = (end + 1).clamp(min=0.0) * items / scale  # of the means that are possible, in decays of the density
    score = -items * (scale.log() + 1) - x.sum(1)[:, None] / scale + items * end / scale
    score = score + torch.log(-torch.expm1(-length)) + (scale / items).log() - math.log(2)
    evidence = score.logsumexp(1)
    weight = (score - evidence[:, None]).exp()
    # An exponential that is cut off: its mean lies one decay below the end, less what was cut.
    cut = torch.where(length > 0, length / torch.expm1(length).clamp(min=1e-300), 0.0)
    mean = end - (1 - cut) * scale / items
    found = (evidence - math.log(len(scale)), (weight * mean).sum(1), weight @ variance.double())
    return found[0].to(variance), found[1].to(variance), found[2].to(variance)
