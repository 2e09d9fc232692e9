"""Models that other papers need: each is one file in `coset.models`, found by the contract tests and by `load`."""

import pytest
import torch

import coset
from coset.data import FactorTable, SetBatch
from coset.discovery import classes, find_class
from coset.distributions import MixtureNormal
from coset.errors import DataError
from coset.metrics import log_likelihood
from coset.models import Model, load
from coset.objectives import ImportanceWeighted, elbo
from coset.programs import Programs

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}

VIEWS = """
from torch import nn
from coset.distributions import standard_normal
from coset.models.base import Model
from coset.networks.heads import GaussianHead
from coset.networks.likelihoods.base import build_likelihood
from coset.queries import ItemQueries
from coset.shapes import join


class TwoViews(ItemQueries, Model):
    # z ~ N(0, I), x ~ p(x | z), sound ~ p(sound | z): two views of an item, both observed.

    observed = ("x", "sound")

    def __init__(self, item_shape, likelihood="gaussian", z_dim=2, sound=3):
        super().__init__()
        self.item_shape, self.z_dim = tuple(item_shape), z_dim
        self.z_posterior = GaussianHead(item_shape[0] + sound, 8, z_dim, norm="none")
        self.decoder, self.sounds = nn.Linear(z_dim, item_shape[0]), nn.Linear(z_dim, sound)
        self.likelihood = build_likelihood(likelihood, self.item_shape)
        self.sound = build_likelihood("gaussian", (sound,))

    def infer(self, q, batch):
        silence = batch.x.new_zeros(*batch.shape, self.sounds.out_features)
        q.sample("z", self.z_posterior(join(batch.x, batch.views.get("sound", silence))))

    def generate(self, p, shape):
        z = p.sample("z", standard_normal(self.decoder.weight.new_zeros(*shape, self.z_dim)))
        p.sample("sound", self.sound(self.sounds(z)))
        return p.sample("x", self.likelihood(self.decoder(z)))
"""


def test_a_model_observes_two_views(drop):
    drop("coset.models", "two_views.py", VIEWS)
    made = find_class("TwoViews", "coset.models")
    z = torch.randn(300, 2)
    table = FactorTable(z @ torch.randn(2, 4)).with_view("sound", z @ torch.randn(2, 3))
    model = made.for_data(table)
    record = coset.fit(model, table, steps=150, sets={"batch": 50}, learning_rate=2e-2, **QUIET)
    assert record.history[-1]["sound"] > record.history[0]["sound"]
    batch = table.sets((), items=1, batch=20).draw(0)
    bound = elbo(*model.trace(batch))
    assert bound.gains == {"x", "sound"} and bound.value.shape == (20,)
    heard = Programs(model, batch).infer(temperature=0.0)["z"].value
    deaf = Programs(model, SetBatch(batch.x)).infer(temperature=0.0)["z"].value
    assert not torch.allclose(heard, deaf)
    with pytest.raises(DataError, match="TwoViews observes 'sound', which the batch lacks"):
        model.trace(SetBatch(batch.x))
    assert model.sample(n=3).shape == (3, 4) and model.embed(table.x()[:5]).shape == (5, 2)


HEADS = """
from torch import nn
from coset.models.base import Model
from coset.networks.heads import FlowHead, MixtureHead
from coset.networks.likelihoods.base import build_likelihood
from coset.queries import ItemQueries


class FlowPrior(ItemQueries, Model):
    # z ~ a normalizing flow, x ~ p(x | z); q(z | x) is a mixture of Gaussians.

    def __init__(self, item_shape, likelihood="gaussian", z_dim=2, components=3):
        super().__init__()
        self.item_shape, self.z_dim = tuple(item_shape), z_dim
        self.z_posterior = MixtureHead(item_shape[0], 8, z_dim, components, norm="none")
        self.z_prior = FlowHead(1, 8, z_dim)
        self.decoder = nn.Sequential(nn.Linear(z_dim, 16), nn.ReLU(), nn.Linear(16, item_shape[0]))
        self.likelihood = build_likelihood(likelihood, self.item_shape)

    def infer(self, q, batch):
        q.sample("z", self.z_posterior(batch.x))

    def generate(self, p, shape):
        z = p.sample("z", self.z_prior(self.decoder[0].weight.new_zeros(*shape, 1)))
        return p.sample("x", self.likelihood(self.decoder(z)))
"""


def test_a_prior_may_be_a_flow_and_a_posterior_a_mixture(drop, tmp_path):
    drop("coset.models", "flow_prior.py", HEADS)
    made = find_class("FlowPrior", "coset.models")
    assert made in classes("coset.models", Model).values()
    table = FactorTable(torch.randn(200, 4) @ torch.randn(4, 4))
    model = made.for_data(table)
    record = coset.fit(model, table, steps=60, sets={"batch": 50}, learning_rate=1e-2, **QUIET)
    assert record.history[-1]["bound"] > record.history[0]["bound"]
    bound = elbo(*model.train().trace(SetBatch(table.x()[:20].unsqueeze(1))))
    gradients = torch.autograd.grad(bound.value.sum(), list(model.z_posterior.parameters()))
    assert all(part.isfinite().all() and part.any() for part in gradients)
    x = table.x()[:5]
    assert model.eval().embed(x).shape == (5, 2) and torch.equal(model.embed(x), model.embed(x))
    assert model.sample(n=3).shape == (3, 4) and model.reconstruct(x).shape == (5, 4)
    coset.fit(model, table, steps=2, sets={"batch": 20}, objective=ImportanceWeighted(3), **QUIET)
    assert log_likelihood(model, x, particles=20).isfinite().all()
    model.float().save_pretrained(tmp_path)
    again = load(tmp_path).float()
    assert type(again) is made
    torch.testing.assert_close(again.embed(x), model.embed(x))


def test_draws_of_a_mixture_have_the_gradient_of_its_moments():
    """For all parameters, against closed forms; the product depends on the order of the dimensions."""
    logits = torch.tensor([0.3, -0.5, 0.1], requires_grad=True)
    location = torch.tensor([[-1.0, 0.5], [0.4, 2.0], [1.5, -0.7]], requires_grad=True)
    raw = torch.tensor([[0.2, -0.1], [0.0, 0.4], [-0.3, 0.1]], requires_grad=True)
    draws = MixtureNormal(logits, location, raw.exp()).rsample(torch.Size([200_000]))
    weight = logits.softmax(0)
    square = location.square() + (2 * raw).exp()
    for found, exact in (
        (draws.mean(0).sum(), (weight[:, None] * location).sum()),
        (draws.square().mean(0).sum(), (weight[:, None] * square).sum()),
        ((draws[:, 0] * draws[:, 1]).mean(), (weight * location[:, 0] * location[:, 1]).sum()),
    ):
        left = torch.autograd.grad(found, (logits, location, raw), retain_graph=True)
        right = torch.autograd.grad(exact, (logits, location, raw), retain_graph=True, allow_unused=True)
        for one, other in zip(left, right, strict=True):
            torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other, atol=0.03, rtol=0.03)
