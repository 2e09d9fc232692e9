"""A data set of Hugging Face: columns by their features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coset.data.sources.folder import GREY
from coset.data.sources.source import Source, chosen, needed
from coset.errors import DataError

ARRAYS = ("Image", "List", "LargeList", "Sequence", "Array2D", "Array3D", "Array4D")
"""Features whose columns can be items."""

WHOLE = ("int", "uint", "bool")
"""Types of numbers that make a discrete factor; those of classes are such."""


def read_dataset(data: Any, items: str | None, factors: str | Sequence[str] | None) -> Source:
    """Read a data set, see `FactorTable.from_dataset`.

    Raises:
        DataError: As there.
    """
    where = str(data) if isinstance(data, str | Path) else "Dataset"
    found = _open(Path(data)) if isinstance(data, str | Path) else data
    if not hasattr(found, "features") or not hasattr(found, "column_names") or isinstance(found.column_names, dict):
        raise DataError(
            f"{where}: expected one split of a Dataset, got {type(found).__name__}; choose one, as in data['train']"
        )
    kinds = {name: type(feature).__name__ for name, feature in found.features.items()}
    could = [name for name, kind in kinds.items() if kind in ARRAYS]
    if items is None and len(could) != 1:
        raise DataError(f"{where}: columns of pictures or arrays are {could}; give items=..., the one to learn from")
    (made,) = chosen(where, items, list(kinds), could)
    discrete = [
        name
        for name, feature in found.features.items()
        if name != made
        and (kinds[name] == "ClassLabel" or getattr(feature, "dtype", "")[:3] in ("str", "int", "uin", "boo"))
    ]
    named = chosen(where, factors, list(kinds), discrete)
    return Source(_items(where, found, made), {name: _factor(found, name) for name in named})


def _open(path: Path) -> Any:
    try:
        import datasets
    except ModuleNotFoundError as reason:
        raise needed("datasets", "datasets", f"opening {path}") from reason
    return datasets.load_from_disk(str(path))


def _items(where: str, data: Any, name: str) -> np.ndarray:
    """Pictures or arrays, written row by row so that they are in memory once."""
    array: np.ndarray | None = None
    for row, value in enumerate(data[name]):
        picture = np.asarray(
            value.convert("L" if value.mode in ("1", "L") else "RGB") if hasattr(value, "convert") else value
        )
        item = picture.transpose(2, 0, 1) if hasattr(value, "convert") and picture.ndim == 3 else picture
        if array is None:
            array = np.empty((len(data), *item.shape), item.dtype)
        if item.shape != array.shape[1:]:
            raise DataError(
                f"{where}: {name!r} is {list(item.shape)} in row {row} and {list(array.shape[1:])} in row 0; bring all "
                "items to one shape first"
            )
        array[row] = item
    if array is None:
        raise DataError(f"{where}: the data set has no row")
    return array


def _picture(value: Any) -> np.ndarray:
    """Bytes of a picture, `[height, width]` or `[3, height, width]`."""
    if value.mode in GREY:
        return np.asarray(value.convert("L"))
    return np.asarray(value.convert("RGB")).transpose(2, 0, 1)


def _factor(data: Any, name: str) -> list:
    """Values of a column, of classes their names; −1 is how classes are unknown."""
    feature, values = data.features[name], list(data[name])
    if type(feature).__name__ != "ClassLabel":
        return values
    return [None if value is None or value < 0 else feature.names[value] for value in values]
