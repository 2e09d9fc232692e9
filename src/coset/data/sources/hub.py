"""A data set of Hugging Face: columns by their features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coset.data.sources.folder import GREY, as_item
from coset.data.sources.source import Source, chosen, needed
from coset.errors import DataError

ARRAYS = ("Image", "List", "LargeList", "Sequence", "Array2D", "Array3D", "Array4D")
"""Features whose columns can be items."""

DISCRETE = ("string", "large_string", "int", "uint", "bool")
"""How the types of columns begin that make discrete factors; classes are whole numbers."""


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
    types = {name: str(getattr(feature, "dtype", "")) for name, feature in found.features.items()}
    discrete = [name for name in kinds if name != made and types[name].startswith(DISCRETE)]
    named = chosen(where, factors, list(kinds), discrete)
    return Source(_items(where, found, made), {name: _factor(found, name) for name in named})


def _open(path: Path) -> Any:
    try:
        import datasets
    except ModuleNotFoundError as reason:
        raise needed("datasets", "datasets", f"opening {path}") from reason
    try:
        return datasets.load_from_disk(str(path))
    except Exception as reason:  # pyarrow has errors of its own
        raise DataError(f"{path}: cannot be opened as a data set ({' '.join(str(reason).split())[:200]})") from reason


def _items(where: str, data: Any, name: str) -> np.ndarray:
    """Pictures or arrays, written row by row so that they are in memory once."""
    array, kind = None, type(data.features[name]).__name__
    for row, value in enumerate(data[name]):
        item = as_item(f"{where}, row {row}", value, value.mode not in GREY) if kind == "Image" else np.asarray(value)
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


def _factor(data: Any, name: str) -> list:
    """Values of a column, of classes their names; −1 is how classes are unknown."""
    feature, values = data.features[name], list(data[name])
    if type(feature).__name__ != "ClassLabel":
        return values
    return [None if value is None or value < 0 else feature.names[value] for value in values]
