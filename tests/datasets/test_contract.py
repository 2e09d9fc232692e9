"""What every published data set promises, held against every class that a file of `coset.datasets` defines."""

import inspect

import pytest

from coset.data import FactorTable
from coset.data.files import DataFile
from coset.datasets.base import DataSet, known_data_sets, required_arguments
from coset.discovery import classes

pytestmark = pytest.mark.usefixtures("single")

MADE = classes("coset.datasets", DataSet)
SMALL = {"sets": 20, "items": 5, "validation": 5, "test": 5, "train": 40, "points": 5}
"""Sizes for those that have them, so that loading takes no time."""


def small(made):
    """A data set that needs no file, or None."""
    parameters = inspect.signature(made).parameters
    if required_arguments(made):
        return None
    options = {"base": "digits"} if "base" in parameters else {}
    found = made(**options)
    if found.files:
        return None
    sizes = {name: size for name, size in SMALL.items() if name in parameters}
    return made(**options, **({} if "held_out" in parameters else sizes))


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_it_says_where_it_comes_from(made):
    assert inspect.getdoc(made) and "actor" in inspect.getdoc(made)  # its factors
    if required_arguments(made):
        return
    for variant in made.variants:
        found = made(**variant)
        assert found.name in known_data_sets() and len(found.source) > 10
        assert isinstance(found.files, tuple) and all(isinstance(file, DataFile) for file in found.files)


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_its_splits_are_of_one_kind(made):
    data = small(made)
    if data is None:
        assert required_arguments(made) or made().files  # its files are parsed in tests of their own
        return
    splits = data.load_splits()
    assert list(splits) == ["train", "validation", "test"]
    train = splits["train"]
    for table in splits.values():
        assert isinstance(table, FactorTable) and table.item_shape == train.item_shape
        assert list(table.factors) == list(train.factors)
    again = small(made).load_splits()["test"]
    assert all(again.column(name) == splits["test"].column(name) for name in again.values)  # loading repeats


def test_there_are_data_sets_and_they_are_final():
    assert len(MADE) > 5 and all(made.__subclasses__() == [] for made in MADE.values())
