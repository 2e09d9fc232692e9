"""Factors as users and their libraries hand them over."""

import math
import warnings

import numpy as np
import pytest
import torch

from coset.data.factors import encode
from coset.errors import DataError


class NAType:
    """What pandas writes for an unknown value; nothing can be asked of it."""

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")

    def __eq__(self, other):
        return self


class Column:
    """A column of a data frame: an array behind `__array__`, and a type that NumPy does not know."""

    dtype = "Int64"

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=object)


GAPS = {
    "floats with NaN": np.array([1.0, math.nan, 3.0]),
    "single precision": np.array([1.0, math.nan, 3.0], np.float32),
    "a tensor": torch.tensor([1.0, math.nan, 3.0], dtype=torch.bfloat16),
    "a list with None": [1, None, 3],
    "a list of floats": [1.0, None, 3.0],
    "a list of both": [1, math.nan, 3.0],
    "scalars of torch": [torch.tensor(1), None, torch.tensor(3)],
    "a column with NA": Column([1, NAType(), 3]),
    "a mask": np.ma.masked_array([1, 2, 3], [False, True, False]),
    "a mask over floats": np.ma.masked_array([1.0, math.inf, 3.0], [False, True, False]),
    "another byte order": np.array([1.0, math.nan, 3.0], ">f8"),
}


@pytest.mark.parametrize("given", GAPS.values(), ids=GAPS.keys())
def test_whole_numbers_with_gaps_are_discrete(given):
    codes, values = encode("batch", given)
    assert (codes.tolist(), values) == ([0, -1, 1], [1, 3])
    assert all(type(value) is int for value in values)


@pytest.mark.parametrize(
    "given",
    [
        np.array([0.0, 90.0]),  # whole, but of none is it unknown
        np.array([0.5, math.nan]),
        [0.5, None],
        np.full(3, math.nan),  # of none is it known
    ],
)
def test_other_floats_are_continuous(given):
    codes, values = encode("angle", given)
    assert values is None
    assert codes.is_floating_point()


@pytest.mark.parametrize(
    "given, values",
    [
        (["a", None, "b"], ["a", "b"]),
        (Column(["a", NAType(), "b"]), ["a", "b"]),
        ([False, None, True], [False, True]),
        (np.array([False, True]), [False, True]),
        ([10**17 + 2, None, 10**17 + 1, 3.0], [3, 10**17 + 1, 10**17 + 2]),
        (np.array([2**63 + 1, 5], np.uint64), [5, 2**63 + 1]),
        (np.array([100000001.0, math.nan, 100000002.0]), [100000001, 100000002]),
        ([1e300, None], [int(1e300)]),
    ],
)
def test_values_come_back_as_they_were(given, values):
    assert encode("who", given)[1] == values


def test_two_numbers_do_not_become_one():
    torch.set_default_dtype(torch.float32)
    near, far = np.array([1e8, 1e8 + 1, 0.5]), np.array([0.25, 0.5])
    assert len(encode("time", near)[0].unique()) == 3
    assert encode("time", near)[0].dtype == torch.float64
    assert encode("time", far)[0].dtype == torch.float32


@pytest.mark.parametrize(
    "given", [[0, 1, -1], np.array([0.0, -1.0, math.nan]), ["a", "nan"], np.array(["a", math.nan]), ["", "b"]]
)
def test_a_spelling_of_unknown_is_asked_about(given):
    with pytest.warns(UserWarning, match="'who' has .* give None where a factor is unknown"):
        encode("who", given)


@pytest.mark.parametrize("given", [[-1.5, 0.5], [-2, -1, 0], ["a", "b"], [True, False]])
def test_other_values_are_not_asked_about(given):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode("who", given)


@pytest.mark.parametrize(
    "given, message",
    [
        (np.array([0.5, math.inf]), "is inf at item 1"),
        (np.array([1.0, -math.inf, math.nan]), "is -inf at item 1"),
        (np.array(["2026-01-01"], "datetime64[ns]"), "values of type datetime64"),
        ([np.datetime64("2026-01-01", "ns")], "got datetime64"),
        (np.array([1j]), "values of type complex128"),
        (np.array([b"a"]), "values of type |S1"),
        ([1, "a"], "got integer, string"),
        ([True, 2], "got boolean, integer"),
        ([[1], [1, 2]], r"one value per item, \[n\], got"),
        ([[1], [2]], r"one value per item, \[n\], got \[2, 1\]"),
        ("abc", r"one value per item, \[n\], got \[\]"),
        (None, r"one value per item, \[n\], got \[\]"),
        ({1, 2}, r"one value per item, \[n\], got \[\]"),
        (torch.eye(3).to_sparse(), "'who': a sparse tensor"),
    ],
)
def test_what_is_no_factor_is_refused(given, message):
    with pytest.raises(DataError, match=message):
        encode("who", given)
