"""What codes tell of factors, from plain arrays: reading them, sorting codes into bins, and mutual information."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from coset.errors import ConfigurationError, DataError

Binning = Literal["width", "quantile"]
"""Bins of equal width between the least and the largest code, as `disentanglement_lib` has them and one outlier changes
them; or of equally many codes."""


@dataclass(frozen=True)
class CodeScore:
    """A score of codes, with all that it hangs on.

    Attributes:
        name: of the score.
        value: of all rows, from 0 to 1.
        interval: where 95 % of the values lie of rows drawn anew, with replacement; None where it was not asked for.
        parts: what it is made of: other numbers, or one for each factor or code.
        settings: bins, regressors, splits and seeds, without which it means nothing.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    parts: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        within = "" if self.interval is None else f" ({self.interval[0]:.3f} to {self.interval[1]:.3f})"
        return f"{self.name} {self.value:.3f}{within}; " + ", ".join(f"{k} {v}" for k, v in self.settings.items())


def read_arrays(codes: Any, factors: Any) -> tuple[np.ndarray, np.ndarray]:
    """Codes `[n, d]` and factors `[n, f]` as arrays of numbers; discrete factors by their levels, from 0 up.

    Args:
        codes: numbers, `[n, d]`.
        factors: `[n, f]`, or a mapping of names to columns; words, whole numbers or real numbers.

    Raises:
        DataError: Other shapes, a number that is none, fewer than two rows, or a factor that never changes.
    """
    x = np.asarray(codes, dtype=float)
    columns = list(factors.values()) if isinstance(factors, Mapping) else list(np.asarray(factors).T)
    names = list(factors) if isinstance(factors, Mapping) else [f"column {index}" for index in range(len(columns))]
    if x.ndim != 2 or len(x) < 2 or not columns or any(np.shape(column) != (len(x),) for column in columns):
        shapes = ", ".join(str(list(np.shape(column))) for column in columns) or "none"
        raise DataError(f"codes: expected [n, d] and factors of n rows each, got {list(x.shape)} and {shapes}")
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise DataError(f"codes: row {row}, column {column} holds {x[row, column]}; leave such rows out")
    made = []
    for name, column in zip(names, columns, strict=True):
        values = np.asarray(column)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(f"factors: {name} holds {values[~np.isfinite(values)][0]}; leave such rows out")
        levels, positions = np.unique(values, return_inverse=True)
        if len(levels) < 2:
            raise DataError(f"factors: {name} is {levels[0]} in every row; leave it out, there is nothing to tell")
        made.append(values.astype(float) if _continuous(values) else positions.astype(float))
    return x, np.stack(made, 1)


def _continuous(values: np.ndarray) -> bool:
    return values.dtype.kind == "f" and bool((values != np.round(values)).any())


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


def levels_of(factors: np.ndarray, bins: int, binning: Binning) -> np.ndarray:
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


def bootstrap(score: Callable[[np.ndarray], float], rows: int, resamples: int, seed: int) -> tuple[float, float] | None:
    """Where 95 % of a score of rows lie that are drawn anew; None where no resample is asked for."""
    if not resamples:
        return None
    random = np.random.default_rng(seed)
    found = [score(random.integers(0, rows, rows)) for _ in range(resamples)]
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


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

    def each(rows: np.ndarray) -> np.ndarray:
        return formula(mutual_informations(sorted_codes[rows], levels[rows]), entropies(levels[rows]))

    of_all = each(np.arange(len(x)))
    parts = {"each": of_all.tolist(), "information": mutual_informations(sorted_codes, levels).tolist()}
    interval = bootstrap(lambda rows: float(each(rows).mean()), len(x), resamples, seed)
    return CodeScore(name, float(of_all.mean()), interval, parts, {"bins": bins, "binning": binning, "rows": len(x)})
