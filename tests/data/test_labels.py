from itertools import pairwise

import pytest
import torch

from coset.data.labels import hide_labels
from coset.data.table import FactorTable
from coset.errors import DataError


@pytest.fixture
def table():
    """Three digits, of which 9 is rare and 4 unknown on some items."""
    digit = [4] * 40 + [7] * 30 + [9] * 10 + [None] * 20
    return FactorTable(torch.rand(100, 2), digit=digit, angle=torch.arange(100.0), side=["left", "right"] * 50)


def counts(table, factor="digit"):
    column = table.column(factor)
    return [column.count(value) for value in table.values[factor]]


@pytest.mark.parametrize("labels", [3, 4, 5, 6, 20, 30])
@pytest.mark.parametrize("seed", [0, 1])
def test_balanced_to_within_one(table, labels, seed):
    kept = counts(hide_labels(table, "digit", labels, seed))
    assert sum(kept) == labels and max(kept) - min(kept) <= 1


@pytest.mark.parametrize(("factor", "balanced"), [("digit", True), ("digit", False), ("angle", False)])
def test_what_is_kept_is_right_and_all_else_is_as_it_was(table, factor, balanced):
    before = table.column(factor)
    hidden = hide_labels(table, factor, 12, balanced=balanced)
    pairs = [(old, new) for old, new in zip(before, hidden.column(factor), strict=True) if new is not None]
    assert len(pairs) == 12 and all(old == new for old, new in pairs)
    assert table.column(factor) == before
    assert hidden.values == table.values
    assert torch.equal(hidden.x(), table.x())
    assert all(hidden.column(name) == table.column(name) for name in table.factors if name != factor)


def test_seeds_choose(table):
    kept = [hide_labels(table, "digit", 6, seed).column("digit") for seed in (0, 0, 1)]
    assert kept[0] == kept[1] != kept[2]
    chosen = {hide_labels(table, "digit", 3, seed).column("digit").index(4) for seed in range(40)}
    assert len(chosen) > 15  # not always the first ones
    favoured = {tuple(counts(hide_labels(table, "digit", 4, seed))) for seed in range(20)}
    assert favoured == {(2, 1, 1), (1, 2, 1), (1, 1, 2)}


@pytest.mark.parametrize("balanced", [True, False])
def test_more_labels_include_fewer(table, balanced):
    known = [
        {row for row, value in enumerate(hide_labels(table, "digit", n, 3, balanced).column("digit")) if value}
        for n in range(3, 30)
    ]
    assert all(less < more for less, more in pairwise(known))


def test_unbalanced_follows_the_table(table):
    kept = counts(hide_labels(table, "digit", 40, balanced=False))
    assert sum(kept) == 40 and kept[0] > 2 * kept[2]
    assert counts(hide_labels(table, "digit", 80, balanced=False)) == [40, 30, 10]
    assert counts(hide_labels(table, "digit", 0, balanced=False)) == [0, 0, 0]


def test_classes_that_a_subset_has_lost_are_not_asked_for(table):
    part = table[torch.arange(40, 80)]  # no 4
    assert counts(hide_labels(part, "digit", 7)) in ([0, 4, 3], [0, 3, 4])
    assert hide_labels(part, "digit", 7).values["digit"] == [4, 7, 9]
    with pytest.raises(DataError, match="1 labels cannot show each of the 2 values"):
        hide_labels(part, "digit", 1)


def test_hidden_items_take_no_part_in_sets(table):
    batch = hide_labels(table, "digit", 6).sets("digit", items=4, batch=8).draw(0)
    assert (batch.factors["digit"] >= 0).all()
    assert (batch.factors["digit"] == batch.factors["digit"][:, :1]).all()


@pytest.mark.parametrize(
    ("factor", "labels", "balanced", "message"),
    [
        ("digits", 6, True, "did you mean 'digit'"),
        ("digit", 2, True, "cannot show each of the 3 values"),
        ("digit", 0, True, "cannot show each of the 3 values"),
        ("digit", 36, True, "need 12 items with digit=9, but there are 10"),
        ("digit", 81, True, "known of 80 of 100 items"),
        ("digit", 81, False, "known of 80 of 100 items"),
        ("digit", -1, False, "got -1"),
        ("angle", 6, True, "continuous.*balanced=False"),
    ],
)
def test_what_cannot_be_done_is_refused(table, factor, labels, balanced, message):
    with pytest.raises(DataError, match=message):
        hide_labels(table, factor, labels, balanced=balanced)
