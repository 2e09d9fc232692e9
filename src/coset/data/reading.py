"""What a table is given, read: items of which types of numbers, and rows."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coset.batch import as_tensor
from coset.data.memory_map import MappedRows
from coset.errors import DataError

ITEM_TYPES = {
    torch.bool,
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.bfloat16, torch.float16, torch.float32, torch.float64),
}


def read_items(items: Any) -> Tensor | MappedRows:
    """Read the items of a table `[n, ...]`.

    Raises:
        DataError: These are no numbers of a type that items have, or there is none.
    """
    try:
        if isinstance(items, np.memmap):
            items = MappedRows(items)
        read = items if isinstance(items, MappedRows) else as_tensor(items, "FactorTable: items")
        usable = read.dtype in ITEM_TYPES
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError) and "sparse" in str(error):
            raise
        raise DataError(
            f"FactorTable: items don't make one array of numbers ({error}); for sets of differing length use "
            "SetCollection"
        ) from error
    if not usable:
        raise DataError(
            f"FactorTable: items are of type {read.dtype}; give uint8 intensities, signed integers or floats"
        )
    if not len(read.shape) or not math.prod(read.shape):
        raise DataError(f"FactorTable: items should be [n, ...] with n of at least 1, got {list(read.shape)}")
    return read


def read_rows(rows: Any, count: int) -> Tensor:
    """Read rows of a table: a slice, indices, or a mask `[count]` of booleans, as indices `[m]`.

    Raises:
        DataError: They are neither, there is none, or one is beyond the table.
    """
    if isinstance(rows, slice):
        rows = list(range(*rows.indices(count)))
    index = as_tensor(rows, "FactorTable: rows")
    if index.dtype == torch.bool:
        if index.shape != (count,):
            raise DataError(f"FactorTable: a mask over {count} items is needed, got {list(index.shape)}")
        index = index.nonzero()  # [m, 1]
    if not index.numel():
        raise DataError("FactorTable: no row was chosen; a table needs at least one")
    if index.is_floating_point() or index.dtype == torch.uint8:
        raise DataError(f"FactorTable: rows should be whole numbers, or a mask of booleans, got {index.dtype}")
    index = index.reshape(-1).long()  # [m]
    low, high = (int(bound) for bound in index.aminmax())
    if low < -count or high >= count:
        raise DataError(f"FactorTable: of {count} rows there is none at {high if high >= count else low}")
    return index
