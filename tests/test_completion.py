"""Empty cells of a table, completed by a model: by main effects plus interaction, or by composing."""

import pytest
import torch

from coset.data import FactorTable, hold_out_combinations
from coset.errors import ConfigurationError, DataError
from coset.metrics import unseen_combinations
from coset.models import ContextAwareLearner, NeuralStatistician

FACTORS = ["person", "light"]


def table(items=3, scale=1.0, shift=0.0):
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(8, 1, 5, generator=g), torch.randn(1, 6, 5, generator=g)
    x = (a + b + a * b).flatten(0, 1).repeat_interleave(items, 0)
    x = scale * (x + 0.05 * torch.randn(x.shape, generator=g)) + shift
    cell = torch.arange(48).repeat_interleave(items)
    people = [f"p{index}" for index in (cell // 6).tolist()]
    return FactorTable(x, person=people, light=(cell % 6).tolist())


def split(share=0.15, **options):
    return hold_out_combinations(table(**options), FACTORS, share)


def build(seen, **options):
    torch.manual_seed(0)
    return ContextAwareLearner.for_data(seen, FACTORS, features=8, hidden=8, context_dim=3, z_dim=2, **options)


def test_vectors_are_completed_by_main_effects_plus_interaction():
    seen, held_out = split()
    model = build(seen)
    assert model.completion == "interaction"
    found = model.complete(seen)
    assert len(found.cells) == 7
    truth = torch.stack([held_out.where(**cell).x().double().mean(0) for cell in found.cells])
    assert found.mean.shape == found.spread.shape == truth.shape == (7, 5)
    left = (found.mean - truth).square().mean() / (truth - seen.x().double().mean(0)).square().mean()
    assert float(left) < 0.1
    assert found.action.startswith("main effects")
    assert found.table().splitlines()[0].startswith("7 empty cells of person × light: main effects")
    result = unseen_combinations(model, seen, held_out, FACTORS)
    assert result.scores["ours"]["r2"] > max(0.9, result.scores["additive"]["r2"])
    assert {"energy", "r2_variance"} <= result.scores["ours"].keys()


def test_items_in_other_units_are_completed_alike(monkeypatch):
    monkeypatch.setattr("coset.distributions.interaction.STEPS", 40)
    one, other = (split(scale=scale, shift=shift)[0] for scale, shift in ((1.0, 0.0), (100.0, 7.0)))
    found, again = build(one).complete(one), build(other).complete(other)
    torch.testing.assert_close(again.mean, 100 * found.mean + 7, rtol=1e-3, atol=1.0)
    torch.testing.assert_close(again.spread, 100 * found.spread, rtol=0.05, atol=0.5)


def test_pictures_are_composed():
    g = torch.Generator().manual_seed(0)
    cell = torch.arange(48) % 12
    pictures = FactorTable(torch.rand(48, 8, 8, generator=g), person=cell // 4, light=cell % 4)
    seen, _ = hold_out_combinations(pictures, FACTORS, 0.2)
    model = build(seen, architecture="dense")
    found = model.complete(seen, samples=8, set_size=4)
    assert found.mean.shape == (2, 8, 8) and bool((found.spread >= 0).all())
    assert found.action == "composed of sets of their levels"
    again = model.complete(seen, samples=8, set_size=4)
    torch.testing.assert_close(found.mean, again.mean)


def test_support_is_counted_and_thin_support_is_said():
    x, cells = [], [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 3)]
    x = torch.randn(len(cells), 4)
    seen = FactorTable(x, person=[a for a, _ in cells], light=[b for _, b in cells])
    found = build(seen).complete(seen)
    assert found.cells == [{"person": 1, "light": 3}, {"person": 2, "light": 2}]
    assert found.support.tolist() == [[3, 2], [3, 2]]
    assert found.warnings == ["light=3 is seen in 2 cells only", "light=2 is seen in 2 cells only"]
    assert "light=3 is seen in 2 cells only" in found.table()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([{"person": "p0"}], "a level of each of"),
        ([{"person": "p0", "light": 9}], "light has no level 9"),
        ([{"person": "p9", "light": 0}], "no level 'p9'.*did you mean"),
    ],
)
def test_cells_that_are_none_are_refused(cells, message):
    seen, _ = split()
    with pytest.raises(DataError, match=message):
        build(seen).complete(seen, cells)


def test_what_cannot_be_completed_is_refused():
    seen, _ = split()
    model = build(seen)
    first = {name: seen.column(name)[0] for name in FACTORS}
    with pytest.raises(DataError, match="is not empty"):
        model.complete(seen, [first])
    with pytest.raises(DataError, match="no discrete factor 'light'"):
        model.complete(FactorTable(torch.rand(4, 5), person=[0, 1, 0, 1]))
    with pytest.raises(DataError, match="no empty cell"):
        model.complete(table())
    with pytest.raises(DataError, match="is in no seen cell"):
        model.complete(seen[seen.factors["person"] != 2], [{"person": "p2", "light": 0}])
    with pytest.raises(ConfigurationError, match="two contexts or more"):
        NeuralStatistician((5,), context_dim=2, z_dim=2).complete(seen)
