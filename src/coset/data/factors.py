"""Factors as numbers: what users give as numbers, strings or booleans, in the form that tables hold."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coset.errors import DataError


def encode(name: str, given: Any) -> tuple[Tensor, list | None]:
    """Turn a factor as it is given into codes and distinct values if it is discrete, or numbers and None if not.

    Args:
        name: What it is called, for errors.
        given: `[n]`, an array, a tensor or a list, with None or NaN where unknown.

    Raises:
        DataError: If it is neither discrete nor continuous, or has not one value per item.

    >>> encode("digit", [3, 5, 3, None])
    (tensor([ 0,  1,  0, -1]), [3, 5])
    >>> encode("angle", [0.5, None, 2])
    (tensor([0.5000,    nan, 2.0000]), None)
    """
    if isinstance(given, Tensor):
        given = given.detach().cpu()
        given = (given.double() if given.is_floating_point() else given).numpy()  # NumPy has no bfloat16
    array = np.array(given, dtype=object) if isinstance(given, list | tuple) else np.asarray(given)
    if array.ndim != 1:
        raise DataError(
            f"FactorTable: {name!r} should have one value per item, [n], got {list(array.shape)}; give each column a "
            "name of its own"
        )
    if array.dtype.kind == "f":
        return torch.as_tensor(array.astype(np.float64), dtype=torch.get_default_dtype()), None
    known = np.ones(len(array), dtype=bool)
    if array.dtype.kind == "O":
        kind_of = [_kind(value) for value in array]
        known = np.array([kind != "unknown" for kind in kind_of], dtype=bool)
        kinds = set(kind_of) - {"unknown"}
        if "float" in kinds and kinds <= {"integer", "float"}:
            filled = np.where(known, array, math.nan).astype(np.float64)
            return torch.as_tensor(filled, dtype=torch.get_default_dtype()), None
        if len(kinds) > 1 or not kinds <= {"integer", "boolean", "string"}:
            raise DataError(
                f"FactorTable: {name!r} should be all whole numbers, all strings, all booleans (discrete) or all "
                f"floating-point numbers (continuous), with None where unknown; got {', '.join(sorted(kinds))}"
            )
    elif array.dtype.kind not in "biuU":
        raise DataError(f"FactorTable: {name!r} has values of type {array.dtype}; give numbers, strings or booleans")
    values, positions = np.unique(np.array(array[known].tolist()), return_inverse=True)
    codes = np.full(len(array), -1, dtype=np.int64)
    codes[known] = positions
    return torch.from_numpy(codes), values.tolist()


def _kind(value: Any) -> str:
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return "unknown"
    if isinstance(value, bool | np.bool_):  # asked first, for Python counts them among the whole numbers
        return "boolean"
    if isinstance(value, int | np.integer):
        return "integer"
    if isinstance(value, float | np.floating):
        return "float"
    return "string" if isinstance(value, str) else type(value).__name__
