"""The score of FactorVAE's paper."""

from typing import Any

import numpy as np

from coset.errors import ConfigurationError
from coset.metrics.held_factor import HeldFactor
from coset.metrics.information import levels_of
from coset.metrics.scoring import CodeScore, make_score, read_arrays


def factor_vae_score(
    codes: Any,
    factors: Any,
    group: int = 64,
    votes: tuple[int, int] = (10_000, 5_000),
    active: float = 0.05,
    bins: int = 20,
    resamples: int = 200,
    seed: int = 0,
) -> CodeScore:
    """How well the dimension that varies least tells which factor rows have in common (Kim & Mnih 2018, section 4).

    Among rows with equal levels of one factor, the dimension of the least variance, relative to that over all rows, has
    a vote; a dimension stands for the factor that it voted for most often, and the value is the share of other votes
    that are right. Dimensions whose deviation over all rows is below `active` have none. The defaults are those of
    `disentanglement_lib`'s study, whose count of active dimensions is always that of all.

    Args:
        codes: numbers, `[n, d]`.
        factors: `[n, f]`, or a mapping of names to columns.
        group: rows with equal levels.
        votes: those that say what dimensions stand for, and those that are judged.
        active: standard deviation, in units of the codes, from which a dimension counts.
        bins: of equal width, into which factors with real numbers are sorted.
        resamples: of votes, for the interval; 0 for none.
        seed: of the groups and the resamples.

    Raises:
        DataError: No codes and factors, see `coset.metrics.scoring.read_arrays`.
        ConfigurationError: A group of one, a count below 1, or bins that are none.

    >>> factors = np.random.default_rng(0).integers(0, 4, (500, 2))
    >>> factor_vae_score(factors, factors, votes=(200, 100)).value
    1.0
    """
    if group < 2 or min(votes) < 1:
        raise ConfigurationError(f"factor_vae_score: expected groups of 2 and counts from 1 up, got {group}, {votes}")
    x, v = read_arrays(codes, factors)
    held = HeldFactor(levels_of(v, bins), np.random.default_rng(seed))
    scale = x.std(0, ddof=1)
    some = x[:, scale >= active] / scale[scale >= active]
    settings = {"group": group, "votes": votes, "active": active, "seed": seed, "rows": len(x)}
    if not some.shape[1]:
        return CodeScore("FactorVAE score", 0.0, None, {"active": 0}, settings)
    asked = held.random.integers(0, held.factors, sum(votes))
    chosen = np.array([some[held.alike(factor, group)].var(0).argmin() for factor in asked])

    def measure(learn: np.ndarray, judge: np.ndarray) -> tuple[float, dict[str, Any]]:
        counts = np.zeros((some.shape[1], held.factors), dtype=int)
        np.add.at(counts, (chosen[learn], asked[learn]), 1)
        stands_for = counts.argmax(1)
        right = float((stands_for[chosen[judge]] == asked[judge]).mean())
        return right, {"active": some.shape[1], "votes": counts.tolist(), "chance": 1 / held.factors}

    parts = np.split(np.arange(sum(votes)), votes[:1])
    return make_score("FactorVAE score", measure, parts, settings, resamples, seed)
