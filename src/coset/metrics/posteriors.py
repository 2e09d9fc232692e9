"""How much each dimension of a code tells of items and of factors, and how far dimensions depend on each other."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from coset.errors import DataError
from coset.metrics.information import levels_of
from coset.metrics.scoring import read_arrays, read_codes

BLOCK = 1 << 24
"""Numbers of pairs of rows held at a time."""


@dataclass(frozen=True)
class InformationResult:
    """Information in a code whose posteriors are normal, in nats.

    Attributes:
        items: I(x; z_d) of each dimension, `[d]`; at most the logarithm of the number of rows.
        factors: I(v; z_d) of each dimension and factor, `[d][f]`; none where no factors were given.
        names: of the factors.
        total: I(x; z) of all dimensions together.
        total_correlation: Σ_d H(z_d) − H(z) of draws from the aggregate posterior, as they are.
        gaussian_total_correlation: of the normal distribution with the covariance of such draws.
        gaussian_total_correlation_of_means: the same of the means; the two may move in opposite directions.
        rows: of which all posteriors make the aggregate.
        draws: of each posterior.
    """

    items: list[float]
    factors: list[list[float]]
    names: list[str]
    total: float
    total_correlation: float
    gaussian_total_correlation: float
    gaussian_total_correlation_of_means: float
    rows: int
    draws: int

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)

    def table(self) -> str:
        """The table as text, the dimension that tells most of items first."""
        width = max(6, *(len(name) + 2 for name in self.names)) if self.names else 6
        lines = ["dimension  I(x;z)" + "".join(name.rjust(width) for name in self.names)]
        for index in np.argsort(self.items)[::-1]:
            told = self.factors[index] if self.factors else []
            lines.append(f"{index:>9}  {self.items[index]:>6.3f}" + "".join(f"{value:>{width}.3f}" for value in told))
        return "\n".join(lines) + (
            f"\nnats; I(x;z) {self.total:.3f}; total correlation {self.total_correlation:.3f}, of normal draws "
            f"{self.gaussian_total_correlation:.3f}, of normal means {self.gaussian_total_correlation_of_means:.3f}; "
            f"{self.rows} rows, {self.draws} draws each"
        )


def posterior_information(
    means: Any, deviations: Any, factors: Any = None, draws: int = 1, bins: int = 20, seed: int = 0
) -> InformationResult:
    """What a code with normal posteriors tells, dimension by dimension, and how its dimensions depend on each other.

    With z drawn from the posteriors of all n rows, whose mean is the aggregate q(z) = 1/n Σ_m q(z | x_m), nothing left
    out, so that no estimate of it is biased by a batch (Chen et al. 2018, equation 2; slides, terms ② and Ⓐ)::

        I(x; z_d)         = E log q(z_d | x) − log q(z_d)
        I(v; z_d)         = E log q(z_d | v) − log q(z_d),    q(z_d | v) the mean over rows with this level
        total correlation = E log q(z) − Σ_d log q(z_d)

    The aggregate is that of these rows: with few of them, narrow posteriors and many dimensions, I(x; z) comes close to
    log n and the total correlation with it, whatever the population is like. That of a normal distribution with the
    same covariance has no such limit, exceeds the truth by about d (d − 1) / (4 n), and is what Locatello et al. (2019)
    compare for draws and for means.

    Args:
        means: of the posteriors, `[n, d]`; such as `model.posteriors(items)` gives.
        deviations: standard deviations, likewise.
        factors: `[n, f]`, or a mapping of names to columns.
        draws: of each posterior.
        bins: of equal width, into which factors with real numbers are sorted.
        seed: of the draws.

    Raises:
        DataError: No means or factors, see `coset.metrics.scoring.read_arrays`, or deviations that are not above 0.
        ConfigurationError: Fewer than two bins.

    >>> means = np.random.default_rng(1).normal(size=(500, 2))
    >>> found = posterior_information(means, np.tile([1.0, 0.1], (500, 1)))
    >>> [round(value, 1) for value in found.items]
    [0.4, 2.3]
    """
    x = read_codes(means)
    scale = np.asarray(deviations, dtype=float)
    if scale.shape != x.shape or not (np.isfinite(scale).all() and (scale > 0).all()):
        raise DataError(f"deviations: expected numbers above 0 of shape {list(x.shape)}, got {list(scale.shape)}")
    levels = np.empty((len(x), 0), int) if factors is None else levels_of(read_arrays(x, factors)[1], bins)
    rows = np.tile(np.arange(len(x)), draws)
    z = np.random.default_rng(seed).normal(x[rows], scale[rows])
    own = _log_normal(z, x[rows], scale[rows])
    blocks = [_log_aggregates(z[some], x, scale, levels, levels[rows[some]]) for some in _blocks(z, len(x))]
    whole, single, given = (np.concatenate(part) for part in zip(*blocks, strict=True))
    named = list(factors) if isinstance(factors, Mapping) else range(levels.shape[1])
    return InformationResult(
        items=(own - single).mean(0).tolist(),
        factors=(given - single[..., None]).mean(0).tolist() if levels.size else [],
        names=[str(name) for name in named],
        total=float((own.sum(1) - whole).mean()),
        total_correlation=float((whole - single.sum(1)).mean()),
        gaussian_total_correlation=gaussian_total_correlation(z),
        gaussian_total_correlation_of_means=gaussian_total_correlation(x),
        rows=len(x),
        draws=draws,
    )


def _blocks(z: np.ndarray, rows: int) -> list[np.ndarray]:
    return np.array_split(np.arange(len(z)), 1 + rows * z.size // BLOCK)


def _log_aggregates(
    z: np.ndarray, means: np.ndarray, deviations: np.ndarray, levels: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log q(z) `[b]`, log q(z_d) `[b, d]`, and log q(z_d | own level of v_f) `[b, d, f]` of draws `[b, d]`."""
    pairs = _log_normal(z[:, None], means, deviations)  # [b, n, d]
    given = np.empty((*z.shape, levels.shape[1]))
    for factor, level in enumerate(levels.T):
        same = own[:, factor, None] == level  # [b, n]
        inside = logsumexp(np.where(same[..., None], pairs, -np.inf), 1)
        given[..., factor] = inside - np.log(same.sum(1))[:, None]
    size = np.log(len(means))
    return logsumexp(pairs.sum(2), 1) - size, logsumexp(pairs, 1) - size, given


def gaussian_total_correlation(codes: np.ndarray) -> float:
    """Total correlation of a normal distribution with the covariance of codes `[n, d]`, in nats.

    Dimensions that never change do not count.

    >>> gaussian_total_correlation(np.array([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0]]))
    0.0
    """
    covariance = np.atleast_2d(np.cov(codes[:, np.ptp(codes, 0) > 0].T))
    if len(covariance) < 2:
        return 0.0
    return float(0.5 * (np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1]))


def _log_normal(z: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    return -0.5 * ((z - mean) / deviation) ** 2 - np.log(deviation) - 0.5 * np.log(2 * np.pi)
