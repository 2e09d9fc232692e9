"""Items as a table holds them: which types of numbers, and memory maps as they are."""

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
        read = MappedRows(items) if isinstance(items, np.memmap) else as_tensor(items, "FactorTable: items")
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
