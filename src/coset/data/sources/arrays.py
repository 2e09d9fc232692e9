"""Arrays in files of NumPy, with their factors beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coset.data.sources.frame import open_frame
from coset.data.sources.source import Source, chosen
from coset.errors import DataError


def read_arrays(path: str | Path, items: str | None, factors: str | Path | Sequence[str] | None) -> Source:
    """Read arrays, see `FactorTable.from_arrays`.

    Raises:
        DataError: As there.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    found = _load(path)
    if isinstance(found, dict):
        return _of_several(path, found, items, factors)
    if items is not None:
        raise DataError(f"{path}: holds one array, which has no name; leave items={items!r} out")
    if factors is not None and not isinstance(factors, str | Path):
        raise DataError(f"{path}: factors stand in a file beside it; give its path, got {factors!r}")
    beside = path.with_suffix(".csv") if factors is None else Path(factors)
    where, table = open_frame(beside)
    if len(table) != len(found):
        raise DataError(f"{where}: {len(table)} lines for {len(found)} items of {path}; there should be as many")
    return Source(found, {name: table[name].to_list() for name in table.columns})


def _load(path: Path) -> Any:
    try:
        found = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError) as reason:
        raise DataError(f"{path}: cannot be read as arrays ({reason})") from reason


def _of_several(path: Path, arrays: dict[str, np.ndarray], items: str | None, factors: Any) -> Source:
    could = [name for name, array in arrays.items() if array.ndim > 1]
    if items is None and len(could) != 1:
        raise DataError(f"{path}: arrays of two axes or more are {could}; give items=..., the one to learn from")
    (made,) = chosen(str(path), items, list(arrays), could)
    each = [name for name, array in arrays.items() if array.ndim == 1 and len(array) == len(arrays[made])]
    named = chosen(str(path), factors, list(arrays), each)
    return Source(arrays[made], {name: arrays[name] for name in named})
