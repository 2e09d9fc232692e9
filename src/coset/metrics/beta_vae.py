"""The score of the β-VAE's paper."""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from coset.errors import ConfigurationError
from coset.metrics.held_factor import HeldFactor
from coset.metrics.information import levels_of
from coset.metrics.scoring import CodeScore, read_arrays


def beta_vae_score(
    codes: Any,
    factors: Any,
    pairs: int = 64,
    points: tuple[int, int] = (10_000, 5_000),
    bins: int = 20,
    seed: int = 0,
) -> CodeScore:
    """How well a linear classifier tells which factor pairs of rows have in common (Higgins et al. 2017, section 3).

    A point is the mean, over pairs of rows with equal levels of one factor, of the absolute differences of their codes;
    a logistic regression reads from it which factor that was. The value is the share of points read right of those that
    it was not learned from. The defaults are those of `disentanglement_lib`; rows are drawn from the arrays, with
    replacement. A code that is rotated scores as well as one that is not, where the classifier can undo it.

    Args:
        codes: numbers, `[n, d]`.
        factors: `[n, f]`, two of them or more, or a mapping of names to columns.
        pairs: in a point.
        points: those that the classifier learns from, and those that it is judged by.
        bins: of equal width, into which factors with real numbers are sorted.
        seed: of the pairs.

    Raises:
        DataError: No codes and factors, see `coset.metrics.scoring.read_arrays`.
        ConfigurationError: A single factor, a count below 1, or bins that are none.

    >>> factors = np.random.default_rng(0).integers(0, 4, (500, 2))
    >>> beta_vae_score(factors, factors, points=(200, 100)).value > 0.95
    True
    """
    x, v = read_arrays(codes, factors)
    if v.shape[1] < 2 or min(pairs, *points) < 1:
        raise ConfigurationError(
            f"beta_vae_score: expected two factors or more and counts from 1, got {v.shape[1]} and {pairs}, {points}"
        )
    held = HeldFactor(levels_of(v, bins), np.random.default_rng(seed))
    asked = held.random.integers(0, held.factors, sum(points))
    found = np.empty((len(asked), x.shape[1]))
    for point, factor in enumerate(asked):
        rows = held.random.integers(0, len(x), pairs)
        found[point] = np.abs(x[rows] - x[held.partners(factor, rows)]).mean(0)
    learn, judge = np.split(np.arange(len(asked)), points[:1])
    model = LogisticRegression(max_iter=1000).fit(found[learn], asked[learn])
    value = float(model.score(found[judge], asked[judge]))
    settings = {"classifier": "logistic regression", "pairs": pairs, "points": points, "seed": seed, "rows": len(x)}
    return CodeScore("β-VAE score", value, _binomial(value, len(judge)), {"chance": 1 / held.factors}, settings)


def _binomial(share: float, count: int) -> tuple[float, float]:
    """Where 95 % of the shares lie of as many points."""
    half = 1.96 * float(np.sqrt(share * (1 - share) / count))
    return max(0.0, share - half), min(1.0, share + half)
