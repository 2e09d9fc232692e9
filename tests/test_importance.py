import math

import pytest
import torch
from torch.distributions import Independent, Normal

from coset.data import SetBatch
from coset.errors import ConfigurationError, DataError, TraceError
from coset.metrics import log_likelihood
from coset.models import VAE, ContextAwareLearner, NeuralStatistician
from coset.objectives import DoublyReparametrized, EvidenceLowerBound, ImportanceWeighted, elbo, importance_weighted
from coset.objectives.importance import log_ratios
from coset.programs import Programs
from coset.trace import Trace

WIDTH, SPREAD, SLOPE, NOISE = 1.3, 0.6, 1.7, 0.8  # z = WIDTH c + SPREAD η,  x = SLOPE z + NOISE ε


class Given(torch.nn.Module):
    """A network that returns location and raw scale, here given by a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, mask=None):
        return self.function(x)


def raw(scale):
    """What `diagonal_normal` turns into this standard deviation."""
    return math.log(math.expm1(scale - 1e-3)) - math.log(math.expm1(1 - 1e-3))


def linear_gaussian(shift=0.0):
    """A neural statistician that is linear and Gaussian, with its exact posteriors; `shift` makes them wrong."""
    model = NeuralStatistician(
        (1,), likelihood="gaussian", context_dim=1, z_dim=1, skips=False, architecture="none", norm="none"
    )
    total = SLOPE**2 * SPREAD**2 + NOISE**2  # variance of x given c
    precision = (SLOPE * WIDTH) ** 2 / total

    def natural(x):
        linear = SLOPE * WIDTH * x / total
        return (linear + shift).unsqueeze(-2), torch.full_like(linear, precision).unsqueeze(-2)

    def prior(c):
        return torch.cat([WIDTH * c, torch.full_like(c, raw(SPREAD))], -1)

    def posterior(known):
        x, c = known.chunk(2, -1)
        variance = 1 / (1 / SPREAD**2 + SLOPE**2 / NOISE**2)
        mean = variance * (WIDTH * c / SPREAD**2 + SLOPE * x / NOISE**2)
        return torch.cat([mean + shift, torch.full_like(c, raw(math.sqrt(variance)))], -1)

    model.context_posterior.natural = Given(natural)
    model.z_priors[0].network, model.z_posteriors[0].network = Given(prior), Given(posterior)
    model.decoder = Given(lambda z: SLOPE * z)
    torch.nn.init.constant_(model.likelihood.raw_scale, raw(NOISE))
    return model.double().eval()


def exact_evidence(x):
    """Log p(D) `[B]`: items are jointly Gaussian once c and z are integrated out."""
    items = x.shape[1]
    covariance = (SLOPE * WIDTH) ** 2 * torch.ones(items, items) + (SLOPE**2 * SPREAD**2 + NOISE**2) * torch.eye(items)
    return torch.distributions.MultivariateNormal(torch.zeros(items), covariance).log_prob(x[..., 0])


@pytest.mark.parametrize("items", [1, 2, 7])
def test_linear_gaussian_statistician_reaches_the_evidence_exactly(items):
    x = 2 * torch.randn(5, items, 1)
    model = linear_gaussian()
    # With exact posteriors log p − log q is the evidence at every draw, so every bound is, without an expectation.
    for particles in (1, 3):
        bound = importance_weighted(*model.trace(SetBatch(x), particles))
        torch.testing.assert_close(bound.value, exact_evidence(x), atol=1e-8, rtol=0)
    found = log_likelihood(model, x, particles=4)
    torch.testing.assert_close(found, exact_evidence(x), atol=1e-8, rtol=0)


def test_evidence_lower_bound_is_below_the_evidence_and_reaches_it():
    x = 2 * torch.randn(3, 4, 1)
    averages = []
    for shift in (0.0, 0.4):
        wide = SetBatch(x.repeat(20_000, 1, 1))  # each set many times: an average over draws
        bound = elbo(*linear_gaussian(shift).trace(wide)).value.view(-1, 3)
        averages.append((bound.mean(0), bound.std(0) / math.sqrt(len(bound))))
    (exact, error), (wrong, wrong_error) = averages
    assert ((exact - exact_evidence(x)).abs() < 5 * error).all()
    assert (wrong + 5 * wrong_error < exact_evidence(x)).all()


def test_bound_rises_with_particles_towards_the_evidence():
    x = torch.randn(400, 3, 1)
    model = linear_gaussian(shift=0.5)
    bounds = [float(log_likelihood(model, x, particles=count).mean()) for count in (1, 5, 50, 2000)]
    assert bounds == sorted(bounds) and bounds[-1] <= float(exact_evidence(x).mean()) + 0.01
    assert float(exact_evidence(x).mean()) - bounds[-1] < 0.05 < bounds[-1] - bounds[0]


def test_terms_are_the_bound():
    q, p = linear_gaussian(0.3).trace(SetBatch(torch.randn(4, 3, 1)), particles=6)
    bound = importance_weighted(q, p)
    weights = torch.stack(list(log_ratios(q, p).values())).sum(0)
    torch.testing.assert_close(bound.value, weights.logsumexp(0) - math.log(6))
    assert set(bound.terms) == {"context", "z.1", "x", "particles"} and bound.gains == {"x"}
    assert (bound.terms["particles"] >= 0).all() and (bound.terms["particles"] <= math.log(6)).all()


def test_log_likelihood_does_not_depend_on_how_it_is_cut_up():
    model = VAE((4,), z_dim=2, features=8).double().eval()
    x = torch.rand(10, 4).round()
    state = torch.random.get_rng_state()
    whole, parts = (log_likelihood(model, x, particles=2000, at_once=size) for size in (10**5, 700))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.testing.assert_close(whole, parts, atol=0.2, rtol=0)
    sets = log_likelihood(
        ContextAwareLearner((4,), ["k"], context_dim=2, z_dim=2, features=8, hidden=8).double(),
        torch.rand(3, 5, 4),
        particles=7,
        constant=torch.ones(1),
    )
    assert sets.shape == (3,) and sets.isfinite().all()


def test_padding_does_not_count():
    """With exact posteriors every draw gives the evidence, here of the items that are present."""
    x, mask = torch.randn(2, 5, 1), torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 0, 0]])
    padded = log_likelihood(linear_gaussian(), x, particles=3, mask=mask)
    torch.testing.assert_close(padded, exact_evidence(x[:, :3]), atol=1e-8, rtol=0)


def build_deep():
    torch.manual_seed(3)
    model = NeuralStatistician(
        (2,), likelihood="gaussian", context_dim=2, z_dim=2, layers=2, features=4, hidden=4, norm="none", pooling="size"
    )
    return model.double()


def gradients(model, objective, x, repeats):
    """Gradients `[repeats, parameters]` of the bound on the same sets, one draw after another."""
    found = []
    for _ in range(repeats):
        bound = objective(Programs(model, SetBatch(x)))
        parameters = list(model.parameters())
        parts = torch.autograd.grad(bound.value.mean(), parameters, allow_unused=True)
        found.append(
            torch.cat(
                [
                    torch.zeros_like(p).flatten() if g is None else g.flatten()
                    for p, g in zip(parameters, parts, strict=True)
                ]
            )
        )
    return torch.stack(found)


@pytest.mark.parametrize(
    "build", [build_deep, lambda: VAE((2,), "gaussian", z_dim=2, features=4, norm="none").double()]
)
def test_both_gradients_have_the_same_mean(build):
    model = build()
    x = torch.randn(1, 3, 2).repeat(100, 1, 1)
    usual, doubly = (gradients(model, kind(4), x, 40) for kind in (ImportanceWeighted, DoublyReparametrized))
    error = ((usual.var(0) + doubly.var(0)) / 40).sqrt() + 1e-9
    distance = (usual.mean(0) - doubly.mean(0)) / error
    assert distance.abs().max() < 5 and distance.square().mean() < 1.6  # would be 1 for equal means


def test_one_particle_of_the_doubly_reparametrised_has_no_score():
    """With the exact posterior, weights are constant and so the inference network's gradient vanishes."""
    model = linear_gaussian()
    scale = torch.nn.Parameter(torch.tensor(1.0))
    natural = model.context_posterior.natural.function

    def scaled(x):
        linear, precision = natural(x)
        return linear * scale, precision

    model.context_posterior.natural = Given(scaled)
    model.context_posterior.natural.scale = scale
    x = torch.randn(3, 2, 1)
    doubly = torch.autograd.grad(DoublyReparametrized(3)(Programs(model, SetBatch(x))).value.sum(), scale)[0]
    usual = torch.autograd.grad(ImportanceWeighted(3)(Programs(model, SetBatch(x))).value.sum(), scale)[0]
    assert abs(float(doubly)) < 1e-10 < 1e-2 < abs(float(usual))


def test_value_of_the_doubly_reparametrised_is_the_bound():
    model, x = build_deep(), torch.randn(5, 3, 2)
    torch.manual_seed(1)
    usual = ImportanceWeighted(4)(Programs(model, SetBatch(x)))
    torch.manual_seed(1)
    doubly = DoublyReparametrized(4)(Programs(model, SetBatch(x)))
    for name, term in usual.terms.items():
        torch.testing.assert_close(doubly.terms[name], term)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_one_particle_is_the_evidence_lower_bound():
    model, x = build_deep(), torch.randn(2000, 3, 2)
    one = ImportanceWeighted(1)(Programs(model, SetBatch(x))).value
    bound = EvidenceLowerBound()(Programs(model, SetBatch(x))).value
    gap = (one - bound).detach()
    assert abs(float(gap.mean())) < 4 * float(gap.std()) / math.sqrt(2000)


def test_bad_input_is_refused():
    model = VAE((4,), z_dim=2, features=8)
    for kind in (ImportanceWeighted, DoublyReparametrized):
        with pytest.raises(ConfigurationError, match="particles: expected a whole number from 1 up, got 0"):
            kind(0)
    with pytest.raises(ConfigurationError, match="particles"):
        log_likelihood(model, torch.rand(3, 4), particles=0)
    with pytest.raises(DataError, match=r"values in \[0, 1\]"):
        log_likelihood(model, torch.rand(3, 4) + 1, particles=5)
    with pytest.raises(TraceError, match="need particles"):
        importance_weighted(*model.trace(SetBatch(torch.rand(3, 1, 4))))

    class Discrete:
        def infer(self, particles=None, replay=None, fixed_parameters=False):
            q = Trace(replay=replay, particles=particles)
            q.sample("b", Independent(torch.distributions.Bernoulli(torch.full((2, 1), 0.5)), 1), axes="B")
            return q

        def generate(self, q, replay=None, fixed_parameters=False):
            p = Trace({"x": torch.zeros(2, 1, 1)}, q if replay is None else replay, particles=q.particles)
            b = p.sample("b", Independent(torch.distributions.Bernoulli(torch.full((2, 1), 0.5)), 1), axes="B")
            p.sample("x", Independent(Normal(b.unsqueeze(-2), 1.0), 1))
            return p

    assert ImportanceWeighted(3)(Discrete()).value.shape == (2,)
    with pytest.raises(TraceError, match="'b' is not reparametrised"):
        DoublyReparametrized(3)(Discrete())
