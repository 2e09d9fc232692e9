"""What codes tell of factors: sorting codes into bins, and mutual information."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from coset.errors import ConfigurationError
from coset.metrics.scoring import CodeScore, make_score, read_arrays

Binning = Literal["width", "quantile"]
"""Bins of equal width between the least and the largest code, as `disentanglement_lib` has them and one outlier changes
them; or of equally many codes."""


def discretise(values: np.ndarray, bins: int = 20, binning: Binning = "width") -> np.ndarray:
    """Sort each column of numbers `[n, d]` into bins, from 0 up.

    Raises:
        ConfigurationError: Fewer than two bins, or another way to make them.

    >>> discretise(np.array([[0.0], [0.4], [1.0]]), bins=2).tolist()
    [[0], [0], [1]]
    """
    if bins < 2 or binning not in get_args(Binning):
        raise ConfigurationError(f"bins: expected 2 or more of binning {get_args(Binning)}, got {bins}, {binning!r}")
    found = np.empty(values.shape, dtype=int)
    for index, column in enumerate(values.T):
        if binning == "width":
            edges = np.histogram(column, bins)[1][1:-1]
        else:
            edges = np.unique(np.quantile(column, np.arange(1, bins) / bins))
        found[:, index] = np.digitize(column, edges)
    return found


def levels_of(factors: np.ndarray, bins: int, binning: Binning = "width") -> np.ndarray:
    """Levels `[n, f]` of factors, those with real numbers sorted into bins."""
    continuous = (factors != np.round(factors)).any(0)
    levels = factors.astype(int)
    if continuous.any():
        levels[:, continuous] = discretise(factors[:, continuous], bins, binning)
    return levels


def mutual_informations(codes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Mutual information of every column of codes and every factor, both discrete, in nats: `[d, f]`.

    >>> levels = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> mutual_informations(levels[:, :1], levels).round(3).tolist()
    [[0.693, 0.0]]
    """
    return np.array([[_mutual_information(code, level) for level in levels.T] for code in codes.T])


def entropies(levels: np.ndarray) -> np.ndarray:
    """Entropy of each column, in nats: `[f]`."""
    return np.array([_mutual_information(level, level) for level in levels.T])


def _mutual_information(one: np.ndarray, two: np.ndarray) -> float:
    size = int(two.max()) + 1
    joint = np.bincount(one * size + two, minlength=(int(one.max()) + 1) * size).reshape(-1, size) / len(one)
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    return float((joint[joint > 0] * np.log(joint[joint > 0] / apart[joint > 0])).sum())


def score_information(
    name: str,
    formula: Callable[[np.ndarray, np.ndarray], np.ndarray],
    codes: Any,
    factors: Any,
    bins: int,
    binning: Binning,
    resamples: int,
    seed: int,
) -> CodeScore:
    """A score that is a mean over factors, or over codes, of what their mutual information says.

    Args:
        name: of the score.
        formula: maps mutual information `[d, f]` and the entropies of factors `[f]` to a number for each.
        codes: numbers, `[n, d]`.
        factors: `[n, f]`, or a mapping of names to columns.
        bins: into which codes are sorted, and factors with real numbers.
        binning: of equal width, or of equally many.
        resamples: of rows, for the interval; 0 for none.
        seed: of these.

    Raises:
        DataError: No codes and factors, see `read_arrays`.
        ConfigurationError: Bins that are none.
    """
    x, v = read_arrays(codes, factors)
    sorted_codes, levels = discretise(x, bins, binning), levels_of(v, bins, binning)

    def measure(rows: np.ndarray) -> tuple[float, dict[str, Any]]:
        told = mutual_informations(sorted_codes[rows], levels[rows])
        each = formula(told, entropies(levels[rows]))
        return float(each.mean()), {"each": each.tolist(), "information": told.tolist()}

    settings = {"bins": bins, "binning": binning, "rows": len(x)}
    return make_score(name, measure, [np.arange(len(x))], settings, resamples, seed)
