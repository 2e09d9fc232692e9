"""Combinations kept out of training: what is stopped and chosen by them."""

import json

import pytest
import torch

import coset
from coset.cells import find_cells
from coset.data import FactorTable
from coset.errors import ConfigurationError, DataError
from coset.models import VAE, ContextAwareLearner
from coset.training import choose_by_combinations, fit

pytestmark = pytest.mark.usefixtures("single")

FACTORS = ["person", "light"]
OPTIONS = {"steps": 2, "sets": {"items": 3, "batch": 4, "batches": 2}}


def vectors():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(7, 1, 5, generator=g), torch.randn(1, 6, 5, generator=g)
    cell = torch.arange(84) // 2
    return FactorTable((a + b).flatten(0, 1).repeat_interleave(2, 0), person=cell // 6, light=cell % 6)


def build(table, **options):
    torch.manual_seed(0)
    return ContextAwareLearner.for_data(table, FACTORS, features=8, hidden=8, context_dim=3, z_dim=2, **options)


def test_what_is_kept_out_chooses_how_tables_are_completed(tmp_path):
    table = vectors()
    model = build(table, completion="composition")
    record = fit(model, table, validation="combinations", output=tmp_path, **OPTIONS)
    assert model.completion == "interaction"  # the table is additive, and two steps teach nothing
    assert record.chosen.startswith("completion='interaction': mean squared errors of 4 combinations kept out: compo")
    assert "validation" in record.history[-1]
    assert json.loads((tmp_path / "record.json").read_text())["chosen"] == record.chosen
    assert coset.load(tmp_path / "model").completion == "interaction"


def test_training_never_sees_what_is_kept_out(monkeypatch):
    import coset.training.fitting as home

    shown = []
    original = home._sampler

    def sampler(model, data, *rest):
        shown.append(data)
        return original(model, data, *rest)

    monkeypatch.setattr(home, "_sampler", sampler)
    table = vectors()
    fit(build(table), table, validation="combinations", **OPTIONS)
    cells = [{tuple(cell) for cell in find_cells(part, FACTORS).levels.tolist()} for part in shown]
    assert [len(part) for part in cells] == [38, 4] and not cells[0] & cells[1]


def test_only_tables_of_two_contexts_have_combinations():
    table = vectors()
    with pytest.raises(ConfigurationError, match="takes a FactorTable and a model of two contexts"):
        fit(VAE.for_data(table), table, validation="combinations")
    with pytest.raises(ConfigurationError, match="takes a FactorTable"):
        fit(build(table), [table.x()[:4], table.x()[4:9]], validation="combinations")
    with pytest.raises(ConfigurationError, match="expected held-out data or 'combinations'"):
        fit(build(table), table, validation="combination")
    with pytest.raises(DataError, match="at least one cell"):
        small = FactorTable(torch.rand(4, 5), person=[0, 0, 1, 1], light=[0, 1, 0, 1])
        fit(build(small), small, validation="combinations")


def test_candidates_are_held_against_the_same_combinations():
    table = vectors()
    candidates = {"small": build, "smaller": lambda table: build(table, norm="none")}
    choice = choose_by_combinations(candidates, table, samples=20, **OPTIONS)
    assert choice.best in candidates and set(choice.distances) == set(candidates)
    assert choice.distances[choice.best] == min(choice.distances.values())
    assert len(choice.cells) == 4 and set(choice.cells[0]) == set(FACTORS)
    assert str(choice).startswith(f"{choice.best!r} composes 4 combinations best")
    again = choose_by_combinations(candidates, table, samples=20, **OPTIONS)
    assert again == choice


def test_a_choice_takes_two_models_of_the_same_contexts():
    table = vectors()
    with pytest.raises(ConfigurationError, match="two candidates or more"):
        choose_by_combinations({"one": build}, table)
    other = lambda table: ContextAwareLearner.for_data(table, ["light"], features=8, hidden=8)  # noqa: E731
    with pytest.raises(ConfigurationError, match=r"'other' has the contexts \['light'\]"):
        choose_by_combinations({"one": build, "other": other}, table)
