"""Taking combinations out of a table."""

import pytest
import torch

from coset.cells import cell_moments, find_cells
from coset.data import FactorTable
from coset.data.combinations import hold_out_combinations
from coset.errors import DataError

FACTORS = ["drug", "dose"]


@pytest.fixture
def table():
    """Three items in each cell of 6 × 5, and two of which the dose is unknown."""
    drug = [f"drug {cell // 5}" for cell in range(30)] * 3 + ["drug 0", "drug 1"]
    dose = [cell % 5 for cell in range(30)] * 3 + [None, None]
    return FactorTable(torch.rand(92, 4), drug=drug, dose=dose, kind=["a", "b"] * 46, size=torch.rand(92))


def named(table, factors=FACTORS):
    return {cell for cell in zip(*(table.column(name) for name in factors), strict=True) if None not in cell}


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_whole_cells_are_taken_and_enough_are_left(table, share, seed):
    seen, held_out = hold_out_combinations(table, FACTORS, share, seed)
    assert len(named(held_out)) == round(share * 30)
    assert named(seen) | named(held_out) == named(table)
    assert not named(seen) & named(held_out)
    assert len(seen) + len(held_out) == 92
    assert seen.column("dose").count(None) == 2  # they are of no cell, and stay
    for column, name in enumerate(FACTORS):
        for value in table.values[name]:
            assert sum(cell[column] == value for cell in named(seen)) >= 2


def test_seeds_choose(table):
    one, same, other = (named(hold_out_combinations(table, FACTORS, 0.2, seed)[1]) for seed in (3, 3, 4))
    assert one == same != other


def test_levels_stay_connected():
    """Two blocks of 3 × 3 with one bridge: without it nothing ties them, so it is never taken."""
    cells = [(a, b) for a in range(3) for b in range(3)] + [(a, b) for a in range(3, 6) for b in range(3, 6)]
    cells += [(0, 3)]
    table = FactorTable(torch.rand(19, 2), a=[a for a, _ in cells], b=[b for _, b in cells])
    for seed in range(20):
        assert (0, 3) in named(hold_out_combinations(table, ["a", "b"], 0.2, seed)[0], ["a", "b"])


def test_three_factors(table):
    seen, held_out = hold_out_combinations(table, ["drug", "dose", "kind"], 0.2, least=3)
    assert len(find_cells(held_out, ["drug", "dose", "kind"])) == 6
    assert not named(seen, ["drug", "dose", "kind"]) & named(held_out, ["drug", "dose", "kind"])


def test_moments_of_cells(table):
    cells = find_cells(table, FACTORS)
    mean, variance, count = cell_moments(table, cells)
    part = table.where(drug="drug 2", dose=3).x()
    row = cells.levels.tolist().index([2, 3])
    torch.testing.assert_close(mean[row], part.mean(0))
    torch.testing.assert_close(variance[row], part.var(0, correction=0))
    assert count.tolist() == [3.0] * 30


@pytest.mark.parametrize(
    ("factors", "options", "message"),
    [
        (["drug"], {}, "two factors or more"),
        (["drug", "drug"], {}, "two factors or more, each once"),
        (["drug", "does"], {}, "no discrete factor 'does'.*did you mean 'dose'"),
        (["drug", "size"], {}, "no discrete factor 'size'"),
        (FACTORS, {"share": 0.0}, "number between 0 and 1"),
        (FACTORS, {"share": 1.0}, "number between 0 and 1"),
        (FACTORS, {"share": -0.2}, "number between 0 and 1"),
        (FACTORS, {"share": 0.01}, "at least one cell"),
        (FACTORS, {"share": 0.9}, "27 should be held out, but only"),
        (FACTORS, {"least": 7}, "drug='drug 0' occurs in fewer than 7 cells"),
    ],
)
def test_what_cannot_be_done_is_refused(table, factors, options, message):
    with pytest.raises(DataError, match=message):
        hold_out_combinations(table, factors, **options)


def test_a_level_in_one_cell_is_named(table):
    lone = FactorTable(torch.rand(5, 2), a=[0, 0, 1, 1, 2], b=[0, 1, 0, 1, 0])
    with pytest.raises(DataError, match="a=2 occurs in fewer than 2 cells"):
        hold_out_combinations(lone, ["a", "b"], 0.2)
    with pytest.raises(DataError, match="no item has a known level of each of drug, dose"):
        find_cells(table[torch.tensor([90, 91])], FACTORS)
