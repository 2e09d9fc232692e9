"""A data frame: columns that make items, and columns that are factors."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from coset.data.sources.source import Source, chosen, needed
from coset.errors import DataError

LIBRARIES = ("polars", "pandas", "pyarrow")
"""What reads a file, the first that is installed."""


def read_frame(
    frame: Any,
    items: str | Sequence[str] | None = None,
    factors: str | Sequence[str] | None = None,
    pivot: str | Sequence[str] | None = None,
) -> Source:
    """Read a data frame, see `FactorTable.from_frame`.

    Raises:
        DataError: As there.
    """
    where, found = open_frame(frame)
    columns = list(found.columns)
    if not len(found):
        raise DataError(f"{where}: the table has no row")
    spread = chosen(where, pivot, columns, ())
    named = chosen(where, factors, columns, ())
    floats = [name for name in columns if found[name].dtype.is_float() and name not in [*named, *spread]]
    made = chosen(where, items, columns, floats)
    if not made:
        raise DataError(
            f"{where}: no column of floating-point numbers to make items of; give items=[...], the columns that do"
        )
    named = named if factors is not None else [name for name in columns if name not in [*made, *spread]]
    if both := set(made) & set(named) or set(spread) & {*made, *named}:
        raise DataError(f"{where}: {min(both)!r} is part of the items and a factor as well; choose one")
    if spread:
        return _pivoted(where, found, made, named, spread)
    array = _arrays(where, found, made[0]) if isinstance(items, str) else _numbers(where, found, made)
    names = made if array.ndim == 2 and array.shape[1] == len(made) else ()
    return Source(array, {name: found[name].to_list() for name in named}, names)


def open_frame(frame: Any) -> tuple[str, Any]:
    """A frame behind the one interface of narwhals, read from its file where it is a path, and its name for errors.

    Raises:
        DataError: A file that is not there or cannot be read, or no frame.
        ConfigurationError: A library that is missing.
    """
    try:
        import narwhals
    except ModuleNotFoundError as reason:
        raise needed("narwhals", "frames", "a data frame") from reason
    if not isinstance(frame, str | Path):
        try:
            return type(frame).__name__, narwhals.from_native(frame, eager_only=True)
        except TypeError as reason:
            raise DataError(f"from_frame: expected a data frame or its file, got {type(frame).__name__}") from reason
    path = Path(frame)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    library: Any = next((name for name in LIBRARIES if find_spec(name)), None)
    if library is None:
        raise needed(" or ".join(LIBRARIES), "frames", f"reading {path.suffix}")
    options: dict[str, Any] = {"separator": "\t"} if path.suffix == ".tsv" else {}
    read = narwhals.read_parquet if path.suffix == ".parquet" else narwhals.read_csv
    try:
        return str(path), read(str(path), backend=library, **options)
    except Exception as reason:  # each library has errors of its own
        raise DataError(f"{path}: cannot be read as a table ({' '.join(str(reason).split())[:200]})") from reason


def _pivoted(where: str, frame: Any, made: list[str], named: list[str], spread: list[str]) -> Source:
    """The items of a long frame: an item for each combination of factors, a number for each of the columns spread."""
    if len(made) != 1:
        raise DataError(f"{where}: pivot spreads the numbers of one column, got {made}; give items='...', the one")
    if not named:
        raise DataError(f"{where}: no column is left that tells items apart; spread fewer by pivot")
    keys = list(zip(*(frame[name].to_list() for name in named), strict=True))
    places = list(zip(*(frame[name].to_list() for name in spread), strict=True))
    row_of, column_of = ({value: index for index, value in enumerate(dict.fromkeys(all))} for all in (keys, places))
    array = np.full((len(row_of), len(column_of)), np.nan)
    for row, (key, place, number) in enumerate(zip(keys, places, _numbers(where, frame, made)[:, 0], strict=True)):
        at = row_of[key], column_of[place]
        if not np.isnan(array[at]):
            raise DataError(f"{where}: row {row} is another of {_words(named, key)} at {_words(spread, place)}")
        array[at] = number
    if len(gaps := np.argwhere(np.isnan(array))):
        key, place = list(row_of)[gaps[0][0]], list(column_of)[gaps[0][1]]
        raise DataError(
            f"{where}: {_words(named, key)} has no row at {_words(spread, place)}; add it, or leave these items out"
        )
    factors = dict(zip(named, map(list, zip(*row_of, strict=True)), strict=True))
    return Source(array, factors, [_words(spread, place) for place in column_of])


def _words(names: Sequence[str], values: Sequence[Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))


def _numbers(where: str, frame: Any, names: Sequence[str]) -> np.ndarray:
    """Numbers of several columns, `[n, D]`."""
    parts = []
    for name in names:
        if not (frame[name].dtype.is_numeric() or str(frame[name].dtype) == "Boolean"):
            raise DataError(f"{where}: column {name!r} holds {frame[name].dtype}, not numbers; make it a factor")
        numbers = np.asarray(frame[name].to_numpy())
        numbers = numbers if numbers.dtype.kind in "biuf" else numbers.astype(float)  # gaps make objects of numbers
        if np.isnan(numbers).any():
            row = int(np.isnan(numbers).argmax())
            raise DataError(f"{where}: column {name!r} has no number in row {row}; fill it in, or leave the row out")
        parts.append(numbers)
    return np.stack(parts, 1)


def _arrays(where: str, frame: Any, name: str) -> np.ndarray:
    """Arrays in one column, `[n, ...]`, or its numbers `[n, 1]`."""
    if frame[name].dtype.is_numeric():
        return _numbers(where, frame, [name])
    parts = [np.asarray(value) for value in frame[name].to_list()]
    odd = next(
        (row for row, part in enumerate(parts) if part.shape != parts[0].shape or part.dtype.kind not in "biuf"), None
    )
    if odd is not None:
        raise DataError(
            f"{where}: column {name!r} holds {parts[odd].dtype} of shape {list(parts[odd].shape)} in row {odd}; "
            f"expected numbers of shape {list(parts[0].shape)} in every row"
        )
    return np.stack(parts)
