"""Factors as numbers: what users give as numbers, strings or booleans, in the form that tables hold."""

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coset.batch import as_tensor
from coset.codes import rank
from coset.errors import DataError

SPELLINGS = frozenset({"", "nan", "na", "n/a", "<na>", "none", "null", "nat", "?"})
"""How files write that something is unknown, in small letters; as words they are values like any other."""

_KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "float", "U": "string", "O": "object"}
_UNKNOWN_TYPES = ("NAType", "NaTType")  # of pandas, which this does not import


def encode(name: str, given: Any) -> tuple[Tensor, list | None]:
    """Turn a factor as it is given into codes and distinct values if it is discrete, or numbers and None if not.

    Floating-point numbers are continuous, unless some are unknown and all others whole: so libraries of data frames
    hand over a column of whole numbers with gaps. Nor do two numbers become one: a continuous factor is kept in double
    precision where the default type is too coarse for it.

    Args:
        name: What it is called, for errors.
        given: `[n]`, an array, a tensor, a list, or a column of a data frame; with None, NaN, NA or a mask where
            unknown.

    Raises:
        DataError: It is neither discrete nor continuous, holds infinity, or has not one value per item.

    >>> encode("digit", [3, 5, 3, None])
    (tensor([ 0,  1,  0, -1]), [3, 5])
    >>> encode("angle", [0.5, None, 2])
    (tensor([0.5000,    nan, 2.0000]), None)
    >>> encode("batch", np.array([4.0, math.nan, 7.0]))
    (tensor([ 0, -1,  1]), [4, 7])
    """
    array, known = _read_column(name, given)
    kind, values = _KINDS[array.dtype.kind], array[known]
    if kind == "object":
        values = [_plain(value) for value in values]
        kinds = {_kind(value) for value in values}
        kind = kinds.pop() if len(kinds) == 1 else "float" if kinds == {"integer", "float"} else "mixed"
        if kind not in ("boolean", "integer", "float", "string") and values:
            raise DataError(
                f"FactorTable: {name!r} should be all whole numbers, all strings, all booleans (discrete) or all "
                "floating-point numbers (continuous), with None where unknown; got "
                f"{', '.join(sorted({_kind(value) for value in values}))}"
            )
    if kind == "float":
        if known.all() or not known.any() or not all(float(value).is_integer() for value in values):
            return _continuous(name, values, known), None
        values = [int(value) for value in values]
    return _discrete(name, values, known)


def _read_column(name: str, given: Any) -> tuple[np.ndarray, np.ndarray]:
    """A factor as an array `[n]`, and where it is known."""
    if isinstance(given, Tensor):
        given = as_tensor(given, f"FactorTable: {name!r}").cpu()
        given = (given.double() if given.is_floating_point() else given).numpy()  # NumPy has no bfloat16
    if isinstance(given, list | tuple):
        array = np.empty(len(given), dtype=object)
        array[:] = [_plain(value) if np.ndim(value) == 0 else value for value in given]
        known = np.ones(len(array), dtype=bool)
        inside = next((np.shape(value) for value in given if np.ndim(value)), ())
        shape = (len(given), *inside)
    else:
        array = np.asarray(given)
        shape = array.shape
        known = ~np.ma.getmaskarray(given) if isinstance(given, np.ma.MaskedArray) else np.ones(shape, dtype=bool)
    if len(shape) != 1:
        raise DataError(
            f"FactorTable: {name!r} should have one value per item, [n], got {list(shape)}; give each column a "
            "name of its own"
        )
    if array.dtype.kind == "T":  # NumPy's strings of any length
        array = array.astype(object)
    if array.dtype.kind not in _KINDS:
        raise DataError(f"FactorTable: {name!r} has values of type {array.dtype}; give numbers, strings or booleans")
    if array.dtype.kind == "O":
        known &= np.array([not _is_unknown(value) for value in array], dtype=bool)
    elif array.dtype.kind == "f":
        known &= ~np.isnan(array)
    return array, known


def _continuous(name: str, values: Any, known: np.ndarray) -> Tensor:
    numbers = np.full(len(known), math.nan)
    numbers[known] = np.asarray(values, dtype=np.float64)
    if np.isinf(numbers).any():
        row = int(np.isinf(numbers).argmax())
        raise DataError(f"FactorTable: {name!r} is {numbers[row]} at item {row}; give None where it is unknown")
    exact = torch.from_numpy(numbers)
    usual = exact.to(torch.get_default_dtype())
    return exact if len(usual[torch.from_numpy(known)].unique()) < len(np.unique(numbers[known])) else usual


def _discrete(name: str, values: Any, known: np.ndarray) -> tuple[Tensor, list]:
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.dtype != np.uint64:
        numbers, positions = rank(torch.from_numpy(values.astype(np.int64, copy=False)))
        distinct = numbers.tolist()
    elif isinstance(values, np.ndarray):
        distinct, positions = np.unique(values, return_inverse=True)
        distinct = distinct.tolist()
    else:  # whole numbers of any size, which an array would round
        distinct = sorted(set(values))
        place = {value: code for code, value in enumerate(distinct)}
        positions = [place[value] for value in values]
    _ask_about(name, distinct)
    codes = np.full(len(known), -1, dtype=np.int64)
    codes[known] = positions
    return torch.from_numpy(codes), distinct


def suspects(values: list) -> list:
    """Those of sorted values that look like ways of writing that there is none.

    >>> suspects([-1, 0, 1]), suspects(["NA", "north"]), suspects([-2, -1, 0])
    ([-1], ['NA'], [])
    """
    numbers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    words = [value for value in values if isinstance(value, str) and value.strip().lower() in SPELLINGS]
    return ([-1] if numbers[:1] == [-1] else []) + words


def _ask_about(name: str, values: list) -> None:
    """Say so where a value looks like a way of writing that there is none."""
    if found := suspects(values):
        warnings.warn(
            f"FactorTable: {name!r} has {found[0]!r} among its {len(values)} values, and learns it like any other; "
            "give None where a factor is unknown, or another word if it is meant",
            stacklevel=5,
        )


def _plain(value: Any) -> Any:
    """A number or word of NumPy or torch as Python's own; a date would become a number, and stays."""
    if isinstance(value, Tensor):
        return value.item()
    return value.item() if isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "biufU" else value


def _is_unknown(value: Any) -> bool:
    if value is None or type(value).__name__ in _UNKNOWN_TYPES:
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)


def _kind(value: Any) -> str:
    if isinstance(value, bool):  # asked first, for Python counts them among the whole numbers
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "float"
    return "string" if isinstance(value, str) else type(value).__name__
