"""What every model promises, held against every class that a file of `coset.models` defines."""

import pytest
import torch

from coset.data import FactorTable, SetBatch
from coset.models import Model, load
from coset.models.base import model_classes
from coset.objectives import elbo
from coset.trace import Trace

ITEMS = {"MultiDigit": (16, 16)}
"""Items of models that do not take vectors."""


@pytest.fixture(params=model_classes(), ids=lambda model: model.__name__)
def model(request):
    items = torch.rand(40, *ITEMS.get(request.param.__name__, (6,)))
    table = FactorTable(items, digit=torch.arange(40) % 2, rotation=torch.arange(40) // 2 % 2)
    return request.param.for_data(table).eval()


@pytest.fixture
def batch(model):
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    return SetBatch(torch.rand(4, 3, *model.item_shape), a, mask)


def test_there_is_a_model_and_it_is_final():
    assert model_classes() and all(model.__subclasses__() == [] for model in model_classes())


def test_bound_is_finite_and_one_number_a_set(model, batch):
    q, p = model.trace(batch)
    bound = elbo(q, p)
    assert bound.value.shape == (4,) and bound.value.isfinite().all()
    assert bound.gains == {"x"} and p["x"].provenance == "observed"
    for name, term in bound.terms.items():
        assert term.shape == (4,), name
    for name, penalty in model.penalties(q, p).items():
        assert penalty.shape == (4,) and (penalty >= 0).all(), name
    for stage in model.suggested_weights().values():
        assert set(stage) <= set(bound.terms) | set(model.penalties(q, p))


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


def test_saved_model_scores_the_same(model, batch, tmp_path):
    model.save_pretrained(tmp_path)
    again = load(tmp_path).eval()
    assert type(again) is type(model) and isinstance(again, Model)
    q, p = model.trace(batch)
    replayed = Trace(observed={"x": batch.x}, replay=q, mask=batch.mask)
    again.generate(replayed, batch.shape)
    for site in p:
        assert torch.equal(replayed[site.name].log_prob, site.log_prob), site.name
    torch.manual_seed(1)
    first = elbo(*model.trace(batch)).value
    torch.manual_seed(1)
    assert torch.equal(elbo(*again.trace(batch)).value, first)
