"""Predictions of combinations that were not seen, and the rules they are held against."""

import math

import pytest
import torch

from coset.cells import find_cells
from coset.data import FactorTable
from coset.data.combinations import hold_out_combinations
from coset.errors import ConfigurationError, DataError
from coset.metrics import predict_by_rules, unseen_combinations
from coset.metrics.simple_rules import choose, low_rank, mean_of

ROWS, COLUMNS, SIZE = 10, 8, 6


def make(kind, noise=0.0, items=4):
    """A table of 10 × 8 cells of six numbers, made by a formula."""
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(ROWS, SIZE, generator=generator), torch.randn(COLUMNS, SIZE, generator=generator)
    u, v = torch.randn(ROWS, SIZE, 2, generator=generator), torch.randn(COLUMNS, 2, generator=generator)
    means = {
        "additive": a[:, None] + b,
        "multiplicative": (a[:, None] / 2).exp() * (b / 2).exp(),
        "rank 2": torch.einsum("adr,br->abd", u, v),
    }[kind]
    x = means.flatten(0, 1).repeat_interleave(items, 0)
    x = x + noise * torch.randn(x.shape, generator=generator)
    cell = torch.arange(ROWS * COLUMNS).repeat_interleave(items)
    return FactorTable(x, row=cell // COLUMNS, column=cell % COLUMNS)


@pytest.mark.parametrize(
    ("kind", "rule"), [("additive", "additive"), ("multiplicative", "additive in log"), ("rank 2", "low_rank")]
)
def test_each_table_has_the_rule_that_it_was_made_by(kind, rule):
    seen, held_out = hold_out_combinations(make(kind), ["row", "column"], 0.3)
    result = unseen_combinations(None, seen, held_out, ["row", "column"])
    assert result.scores[rule]["r2"] > 0.99
    assert result.scores["mean of row"]["r2"] < 0.9
    assert result.scores["additive"]["r2_deviation"] == pytest.approx(0, abs=1e-9)
    assert result.scores[rule]["r2_interval"][0] <= result.scores[rule]["r2"] <= result.scores[rule]["r2_interval"][1]


def test_rules_are_what_they_say():
    levels = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0]])
    means = torch.tensor([[0.0], [1.0], [10.0], [11.0], [20.5]])
    wanted = torch.tensor([[2, 1]])
    found = predict_by_rules(levels, means, wanted, ["a", "b"])
    assert float(found["mean of a"]) == 20.5
    assert float(found["mean of b"]) == 6
    assert float(found["additive"]) == pytest.approx(21.5)
    assert float(found["nearest"]) == 20.5  # the column apart by 1, not the row apart by 10
    assert all(bool(prediction.isfinite().all()) for prediction in found.values())


def test_a_rule_is_chosen_by_seen_cells_alone():
    table = make("rank 2")
    cells = find_cells(table, ["row", "column"])
    means = table.x()[::4]
    inside = torch.arange(len(cells)) % 5 == 0
    family = [low_rank(1, 1, 0.01), low_rank(1, 2, 0.01), mean_of(0)]
    assert choose(family, cells.levels, means, inside) is family[1]
    assert choose(family, cells.levels[:1], means[:1], inside[:1]) is family[0]  # nothing to tell them by


class Recorder:
    """Composes the true mean of a cell with some noise, and looks at the sets it is shown."""

    def __init__(self, table, seen):
        self.table, self.seen, self.shown = table, seen, 0

    def compose(self, given, n, temperature):
        picked = {}
        for name, sets in given.items():
            rows = (sets.flatten(0, 1)[:, None] == self.seen.x()[None]).all(-1)  # [items, rows]
            assert bool(rows.any(1).all()), "an item that is not in the seen table"
            levels = {self.seen.column(name)[int(row)] for row in rows.int().argmax(1)}
            assert len(levels) == 1, "a set that does not hold its factor constant"
            picked[name] = levels.pop()
        self.shown += 1
        mean = self.table.where(**picked).x().mean(0)
        return mean + 0.1 * temperature * torch.randn(len(sets), n, SIZE)


def test_a_model_is_shown_seen_cells_and_scored_on_the_others():
    table = make("rank 2", noise=0.1, items=30)
    seen, held_out = hold_out_combinations(table, ["row", "column"], 0.2)
    model = Recorder(table, seen)
    readers = {"row": lambda items: torch.cdist(items, table.x()).argmin(1) // (COLUMNS * 30)}
    result = unseen_combinations(model, seen, held_out, ["row", "column"], readers=readers, samples=40, set_size=8)
    assert model.shown == len(result.cells) == 16
    ours = result.scores["ours"]
    assert ours["r2"] > 0.98
    assert ours["r2_deviation"] > 0.98
    assert abs(ours["energy"]) < 0.05
    assert ours["accuracy"] > 90
    assert ours["worst_accuracy"] <= ours["accuracy"]
    assert result.means["ours"].shape == result.means["truth"].shape == (16, SIZE)
    assert result.table().splitlines()[2].startswith(("ours", "low_rank"))
    again = unseen_combinations(model, seen, held_out, ["row", "column"], readers=readers, samples=40, set_size=8)
    assert again.as_dict() == result.as_dict()


def test_predictions_of_another_tool_are_scored_as_arrays():
    seen, held_out = hold_out_combinations(make("additive"), ["row", "column"], 0.2)
    truth = unseen_combinations(None, seen, held_out, ["row", "column"]).means["truth"]
    result = unseen_combinations(truth.numpy(), seen, held_out, ["row", "column"])
    assert result.scores["ours"]["r2"] == 1
    assert math.isinf(result.scores["ours"]["psnr"]) or result.scores["ours"]["psnr"] > 200
    with pytest.raises(DataError, match="expected means of 16 cells"):
        unseen_combinations(truth[:3], seen, held_out, ["row", "column"])


def test_codes_of_the_held_out_table_are_read_by_value():
    seen, held_out = hold_out_combinations(make("additive"), ["row", "column"], 0.2)
    here = unseen_combinations(None, seen, held_out, ["row", "column"])
    there = unseen_combinations(None, seen, held_out.recode(), ["row", "column"])
    assert here.scores == there.scores
    assert here.cells == there.cells


def test_what_is_not_unseen_is_refused():
    table = make("additive")
    seen, held_out = hold_out_combinations(table, ["row", "column"], 0.2)
    factors = ["row", "column"]
    with pytest.raises(DataError, match="is in both tables"):
        unseen_combinations(None, table, held_out, factors)
    with pytest.raises(DataError, match="in no seen cell"):
        unseen_combinations(None, seen[seen.factors["row"] != 0], held_out, factors)
    with pytest.raises(DataError, match="the value 10 is not among"):
        other = FactorTable(torch.rand(2, SIZE), row=[10, 10], column=[0, 1])
        unseen_combinations(None, seen, other, factors)
    with pytest.raises(DataError, match=r"seen items are \[6\], held-out ones \[5\]"):
        unseen_combinations(None, seen, FactorTable(torch.rand(1, 5), row=[0], column=[0]), factors)
    with pytest.raises(ConfigurationError, match="a reader of 'colour'"):
        unseen_combinations(None, seen, held_out, factors, readers={"colour": lambda items: items})
    with pytest.raises(ConfigurationError, match="needs 2 samples"):
        unseen_combinations(None, seen, held_out, factors, samples=1)
