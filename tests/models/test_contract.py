"""What every model promises, held against every class that a file of `coset.models` defines."""

import inspect

import pytest
import torch

from coset.data import FactorTable, SetBatch
from coset.discovery import classes
from coset.errors import DataError, ShapeError
from coset.models import Model, load
from coset.objectives import elbo
from coset.programs import Programs
from coset.trace import Trace
from coset.training import default_objective

ITEMS = {"MultiDigit": (16, 16), "AuxiliaryTaskVAE": (3, 8, 8)}
"""Items of models that do not take vectors."""
OPTIONS = {"AuxiliaryTaskVAE": {"clusters": 3}}
"""What is left out by default, and promises something too."""
COUNTS = ("TopicModel",)
"""Models whose items are counts."""
MODELS = classes("coset.models", Model)


def draw(name, *lead):
    x = torch.rand(*lead, *ITEMS.get(name, (6,)))
    return (5 * x).round() if name in COUNTS else x


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request):
    items = draw(request.param.__name__, 40)
    table = FactorTable(items, digit=torch.arange(40) % 2, rotation=torch.arange(40) // 2 % 2)
    return request.param.for_data(table, **OPTIONS.get(request.param.__name__, {})).eval()


@pytest.fixture
def batch(model):
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    return SetBatch(draw(type(model).__name__, 4, 3), a, mask)


def test_there_is_a_model_and_it_is_final():
    assert MODELS and not [made for made in MODELS.values() if set(made.__subclasses__()) & set(MODELS.values())]


def test_bound_is_finite_and_one_number_a_set(model, batch):
    q, p = model.trace(batch)
    bound = elbo(q, p)
    assert bound.value.shape == (4,) and bound.value.isfinite().all()
    assert bound.gains == set(model.observed) and p["x"].provenance == "observed"
    for name, term in bound.terms.items():
        assert term.shape == (4,), name


def test_its_default_objective_is_a_bound_less_penalties(model, batch):
    objective = default_objective(model)
    programs = Programs(model, batch)
    bound = objective(programs)
    assert {"x"} <= bound.gains and not bound.gains & bound.penalties
    for name in bound.penalties:
        assert bound.terms[name].shape == (4,) and (bound.terms[name] >= 0).all(), name
    torch.testing.assert_close(bound.weighted({}) + sum(bound.terms[name] for name in bound.penalties), bound.value)
    assert not objective.eval()(programs).penalties  # they are for training


def test_divergences_are_not_negative(model, batch):
    bound = elbo(*model.trace(batch))
    for name, term in bound.terms.items():
        assert name in bound.gains or (term >= -1e-5).all(), name


def test_gradient_flows(model, batch):
    elbo(*model.train().trace(batch)).value.sum().backward()
    assert all(part.grad.isfinite().all() for part in model.parameters() if part.grad is not None)
    assert any(part.grad is not None and part.grad.any() for part in model.parameters())


def test_sampling_from_the_prior(model):
    prior = Trace()
    x = model.generate(prior, (5, 2))
    assert x.shape == (5, 2, *model.item_shape) and all(site.provenance == "sampled" for site in prior)


def test_what_users_ask_of_it(model):
    x = draw(type(model).__name__, 7)
    embedded = model.embed(x)
    assert embedded.shape[0] == 7 and embedded.ndim == 2 and torch.equal(embedded, model.embed(x))
    assert not torch.equal(model.embed(x, sample=True), embedded)
    assert model.reconstruct(x).shape == x.shape and model.sample(n=3).shape == (3, *model.item_shape)
    assert all(part.requires_grad for part in model.parameters()) and not embedded.requires_grad
    if model.contexts:
        sets = torch.rand(2, 4, *model.item_shape)
        assert model.embed_sets(sets).shape[0] == 2
        assert model.condition(sets, n=3).shape == (2, 3, *model.item_shape)
        assert model.compose(**{name: sets for name in model.contexts}, n=3).shape == (2, 3, *model.item_shape)
        assert model.sample(n=3, sets=2).shape == (2, 3, *model.item_shape)


def questions_about_items(model):
    """Methods that need `items` alone."""
    for name, method in inspect.getmembers(type(model), inspect.isfunction):
        needed = [one for one in inspect.signature(method).parameters.values() if one.default is one.empty]
        if not name.startswith(("_", "read_", "check_")) and [one.name for one in needed] == ["self", "items"]:
            yield getattr(model, name)


def test_items_are_asked_about_in_blocks(model, monkeypatch):
    x = draw(type(model).__name__, 5)
    questions = [*questions_about_items(model)]
    assert {"embed", "posteriors"} <= {question.__name__ for question in questions}
    expected = [question(x) for question in questions]
    monkeypatch.setattr("coset.queries.base.BLOCK", 2)
    given, read_blocks = [], model.read_blocks
    model.read_blocks = lambda items: (given.append(len(block)) or block for block in read_blocks(items))
    for question, answer in zip(questions, expected, strict=True):
        torch.testing.assert_close(question(x), answer, equal_nan=True)
        assert given == [2, 2, 1], question.__name__
        given.clear()
    spoilt = torch.cat([x[:4], torch.full_like(x[4:], torch.nan)])
    for question in questions:
        with pytest.raises(DataError, match="NaN"):
            question(spoilt)
        with pytest.raises(ShapeError, match=r"expected \[n, .*a single item is items\[None\]"):
            question(x[0])
    assert not given  # all are read before the first is asked about


def test_saved_model_scores_the_same(model, batch, tmp_path):
    model.float().save_pretrained(tmp_path)
    again = load(tmp_path).float()
    assert type(again) is type(model) and isinstance(again, Model) and not again.training
    batch = batch.to(dtype=torch.float32)
    q, p = model.trace(batch)
    replayed = Trace(observed={name: p[name].value for name in model.observed}, replay=q, mask=batch.mask)
    again.generate(replayed, batch.shape)
    for site in p:
        assert torch.equal(replayed[site.name].log_prob, site.log_prob), site.name
    torch.manual_seed(1)
    first = elbo(*model.trace(batch)).value
    torch.manual_seed(1)
    assert torch.equal(elbo(*again.trace(batch)).value, first)
