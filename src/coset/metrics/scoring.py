"""Scores of codes against factors, from plain arrays: what they are, how arrays are read, and their intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from coset.errors import ConfigurationError, DataError

Measure = Callable[..., tuple[float, Mapping[str, Any]]]
"""Rows, or rows to learn from and others to be judged by, to a value and what it is made of."""


@dataclass(frozen=True)
class CodeScore:
    """A score of codes, with all that it hangs on.

    Attributes:
        name: of the score.
        value: of all rows, from 0 to 1.
        interval: of 95 %, from the spread of values of rows drawn anew, with replacement; None where not asked for.
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


def read_codes(codes: Any) -> np.ndarray:
    """Codes as numbers, `[n, d]`.

    Raises:
        DataError: Another shape, fewer than two rows, or a number that is none.
    """
    x = np.asarray(codes, dtype=float)
    if x.ndim != 2 or len(x) < 2 or not x.shape[1]:
        raise DataError(f"codes: expected [n, d] with two rows or more, got {list(x.shape)}")
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise DataError(f"codes: row {row}, column {column} holds {x[row, column]}; leave such rows out")
    return x


def read_arrays(codes: Any, factors: Any) -> tuple[np.ndarray, np.ndarray]:
    """Codes `[n, d]` and factors `[n, f]` as arrays of numbers; discrete factors by their levels, from 0 up.

    Args:
        codes: numbers, `[n, d]`.
        factors: `[n, f]`, or a mapping of names to columns; words, whole numbers or real numbers.

    Raises:
        DataError: Other shapes, a number that is none, fewer than two rows, or a factor that never changes.
    """
    x = read_codes(codes)
    if isinstance(factors, Mapping):
        named = {str(name): np.asarray(column) for name, column in factors.items()}
    else:
        columns = np.asarray(factors)
        named = {f"column {index}": column for index, column in enumerate(columns.T)} if columns.ndim == 2 else {}
    if not named or any(column.shape != (len(x),) for column in named.values()):
        found = [list(column.shape) for column in named.values()] if isinstance(factors, Mapping) else np.shape(factors)
        raise DataError(f"factors: expected [{len(x)}, f], or names of columns [{len(x)}], got {list(found)}")
    made = []
    for name, values in named.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(f"factors: {name} holds {values[~np.isfinite(values)][0]}; leave such rows out")
        levels, positions = np.unique(values, return_inverse=True)
        if len(levels) < 2:
            raise DataError(f"factors: {name} is {levels[0]} in every row; leave it out, there is nothing to tell")
        made.append(values.astype(float) if _continuous(values) else positions.astype(float))
    return x, np.stack(made, 1)


def _continuous(values: np.ndarray) -> bool:
    return values.dtype.kind == "f" and bool((values != np.round(values)).any())


def split_rows(rows: int, held_out: float, seed: int) -> list[np.ndarray]:
    """Rows to learn from and, `held_out` of all, rows to be judged by, drawn at random.

    Raises:
        ConfigurationError: A share that leaves one of them without rows.
    """
    order, count = np.random.default_rng(seed).permutation(rows), round(held_out * rows)
    if not 0 < count < rows:
        raise ConfigurationError(f"held_out: expected a share that leaves rows on both sides of {rows}, got {held_out}")
    return [order[count:], order[:count]]


def make_score(
    name: str,
    measure: Measure,
    rows: Sequence[np.ndarray],
    settings: Mapping[str, Any],
    resamples: int = 0,
    seed: int = 0,
) -> CodeScore:
    """Measure, and once more for each resample, with rows drawn anew among those to learn from, and those to judge by.

    Args:
        name: of the score.
        measure: of rows.
        rows: all of them, or two parts, see `split_rows`.
        settings: all that the value hangs on.
        resamples: for the interval; 0 for none.
        seed: of these.
    """
    value, parts = measure(*rows)
    interval, random = None, np.random.default_rng(seed)
    if resamples:
        found = [measure(*(random.choice(part, len(part)) for part in rows))[0] for _ in range(resamples)]
        # Rows drawn twice agree with themselves, so that all resamples are off to one side: their mean is taken out.
        low, high = (float(value + np.quantile(found, at) - np.mean(found)) for at in (0.025, 0.975))
        interval = low, high
    return CodeScore(name, float(value), interval, parts, settings)
