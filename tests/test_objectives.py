import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, TransformedDistribution, kl_divergence
from torch.distributions.transforms import AffineTransform

from coset.errors import ConfigurationError, TraceError
from coset.objectives import Annealed, Bound, Fixed, Progress, Warmup, elbo
from coset.trace import Trace

NOISE = 0.7
WEIGHT = torch.tensor([0.5, -1.5, 2.0], dtype=torch.float64)
LATENTS = ("z", "context.varying", "context.constant")


def generate(p, sets, items):
    """A set's c ~ N(0, 1), and its items x = w c + noise: everything about it is known in closed form."""
    c = p.sample("c", Independent(Normal(torch.zeros(sets, 1), 1.0), 1), axes="B")
    mean = c.unsqueeze(-2) * WEIGHT  # [B, 1, 3]
    p.sample("x", Independent(Normal(mean.expand(*c.shape[:-1], items, 3), NOISE), 1))


def posterior(x):
    """The exact p(c | D), mean and standard deviation `[B, 1]`."""
    precision = 1 + x.shape[1] * WEIGHT.square().sum() / NOISE**2
    return (x @ WEIGHT).sum(1, keepdim=True) / NOISE**2 / precision, precision.rsqrt().expand(len(x), 1)


def evidence(x):
    """The exact log p(D) `[B]`: jointly Gaussian items."""
    loading = WEIGHT.repeat(x.shape[1])
    covariance = loading.outer(loading) + NOISE**2 * torch.eye(len(loading))
    return MultivariateNormal(torch.zeros(len(loading)), covariance).log_prob(x.flatten(1))


def exact_bound(x, mean, width):
    """The bound with its expectation in closed form: log p(x | c) is quadratic, so c = mean ± width average to it."""
    q = Trace(replay={"c": torch.stack([mean - width, mean + width])}, particles=2)
    q.sample("c", Independent(Normal(mean, width), 1), axes="B")
    p = Trace(observed={"x": x}, replay=q, particles=2)
    generate(p, *x.shape[:2])
    return elbo(q, p).value.mean(0)


def test_bound_is_the_evidence_for_the_exact_posterior():
    x = torch.randn(4, 5, 3)
    torch.testing.assert_close(exact_bound(x, *posterior(x)), evidence(x), atol=1e-10, rtol=0)


def test_bound_falls_short_of_the_evidence_by_the_divergence_from_the_posterior():
    x = torch.randn(4, 5, 3)
    mean, width = posterior(x)
    for shift, factor in ((0.3, 1.0), (0.0, 2.0), (-0.2, 0.4)):
        bound = exact_bound(x, mean + shift, width * factor)
        gap = kl_divergence(Normal(mean + shift, width * factor), Normal(mean, width)).sum(-1)
        assert (bound < evidence(x)).all()
        torch.testing.assert_close(bound, evidence(x) - gap, atol=1e-10, rtol=0)


def test_every_single_draw_gives_the_evidence_for_the_exact_posterior():
    x = torch.randn(4, 5, 3)
    mean, width = posterior(x)
    q = Trace(particles=7)
    standard = Independent(Normal(torch.zeros(4, 1), 1.0), 1)
    # without a closed form, the draw that scores x also scores both programs: the bound is constant in it
    q.sample("c", TransformedDistribution(standard, [AffineTransform(mean, width, event_dim=1)]), axes="B")
    p = Trace(observed={"x": x}, replay=q, particles=7)
    generate(p, 4, 5)
    torch.testing.assert_close(elbo(q, p).value, evidence(x).expand(7, 4), atol=1e-10, rtol=0)


# --- what is refused ----------------------------------------------------------------------------------------


def inferred(sets=2, name="c", **options):
    q = Trace(**options)
    q.sample(name, Independent(Normal(torch.zeros(sets, 1), 1.0), 1), axes="B")
    return q


@pytest.mark.parametrize("misspelt", ["observed", "replay"])
def test_misspelt_sites_are_named(misspelt):
    q = inferred()
    options = {"observed": {"x": torch.zeros(2, 3, 3)}, "replay": q.values()}
    options[misspelt] = {**options[misspelt], "cc": torch.zeros(2, 1)}
    p = Trace(**options)
    generate(p, 2, 3)
    with pytest.raises(TraceError, match=r"'cc'.*'c', 'x'"):
        elbo(q, p)


def test_a_latent_of_the_inference_program_alone_is_named():
    q = inferred()
    q.sample("context", Independent(Normal(torch.zeros(2, 1), 1.0), 1), axes="B")
    p = Trace(observed={"x": torch.zeros(2, 3, 3)}, replay=q.values("c"))
    generate(p, 2, 3)
    with pytest.raises(TraceError, match="'context' that the generative one lacks"):
        elbo(q, p)


def test_a_latent_of_the_generative_program_alone_is_named():
    p = Trace(observed={"x": torch.zeros(2, 3, 3)})
    generate(p, 2, 3)
    with pytest.raises(TraceError, match=r"drew 'c' afresh.*'code'"):
        elbo(inferred(name="code"), p)


def test_replay_is_not_forgotten():
    p = Trace(observed={"x": torch.zeros(2, 3, 3)})
    generate(p, 2, 3)
    with pytest.raises(TraceError, match="replay=q"):
        elbo(inferred(), p)


# --- bounds -------------------------------------------------------------------------------------------------


def test_a_known_latent_costs_nothing_and_a_factor_is_a_penalty():
    q = inferred(observed={"c": torch.ones(2, 1)})
    p = Trace(observed={"x": torch.zeros(2, 3, 3)}, replay=q)
    generate(p, 2, 3)
    p.factor("constraint", torch.tensor([-1.0, -2.0]))
    bound = elbo(q, p)
    assert bound.terms["c"].tolist() == [0.0, 0.0] and bound.terms["constraint"].tolist() == [1.0, 2.0]
    assert bound.gains == {"x"}
    torch.testing.assert_close(bound.value, p["x"].log_prob - torch.tensor([1.0, 2.0]))


def test_weights_multiply_their_terms():
    bound = Bound({"x": torch.tensor([5.0, 7.0]), "z": torch.tensor([1.0, 2.0])}, frozenset({"x"}))
    assert bound.value.tolist() == [4.0, 5.0]
    assert bound.weighted({"z": 3.0}).tolist() == [2.0, 1.0]
    assert bound.weighted({"x": 0.0, "z": 1.0}).tolist() == [-1.0, -2.0]


def test_terms_with_and_without_particles_are_summed():
    bound = Bound({"x": torch.ones(3, 2), "z": torch.ones(1, 2), "w": torch.ones(2)}, frozenset({"x"}))
    assert torch.equal(bound.value, -torch.ones(3, 2))


def test_a_weight_for_no_site_names_the_nearest():
    bound = Bound({"x": torch.ones(1), "context.varying": torch.ones(1)}, frozenset({"x"}))
    with pytest.raises(ConfigurationError, match=r"'context\.varyng'.*did you mean 'context\.varying'"):
        bound.weighted({"context.varyng": 1.0})


# --- schedules ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [0, 1, 3, 40])
def test_annealed_weights_are_those_of_the_equations(epoch):
    omega = 1 + 0.5**epoch
    now = Progress(epoch, 0.0)
    thesis = Annealed("thesis")(now)  # 6.13: ω R − ω^−2 (L + C_v + C_c)
    assert thesis == pytest.approx({"x": omega, **{name: 1 / omega**2 for name in LATENTS}})
    paper = Annealed("paper")(now)  # (15), with its words: R − ω^−1 (L + C_v) − ω^−2 C_c
    assert paper == pytest.approx({"z": 1 / omega, "context.varying": 1 / omega, "context.constant": 1 / omega**2})
    statistician = Annealed("statistician")(now)  # 5.14: ω R − ω^−1 (L + C)
    assert statistician == pytest.approx({"x": omega, "z": 1 / omega, "context": 1 / omega})
    slow = 1 + 100 * 0.9**epoch
    unsupervised = Annealed("inferred", start=100.0, factor=0.9)(now)  # 6.14: R − ω (L + C_v + C_c) − ω^−1 A
    assert unsupervised == pytest.approx({**dict.fromkeys(LATENTS, slow), "a": 1 / slow})


def test_annealed_weights_approach_the_bound():
    for kind in ("thesis", "paper", "statistician", "inferred"):
        assert Annealed(kind)(Progress(60, 1.0)) == pytest.approx(dict.fromkeys(Annealed(kind)(Progress(0, 0.0)), 1.0))
    with pytest.raises(ConfigurationError, match="unknown weighting"):
        Annealed("thesys")


def test_warmup_is_a_straight_line_that_ends():
    schedule = Warmup({"z": 6.0, "r": 0.0}, {"z": 2.0}, until=0.2)
    assert schedule(Progress(0, 0.0)) == {"z": 6.0, "r": 0.0}
    assert schedule(Progress(3, 0.05)) == pytest.approx({"z": 5.0, "r": 0.25})
    assert schedule(Progress(3, 0.2)) == schedule(Progress(9, 1.0)) == {"z": 2.0, "r": 1.0}
    assert Warmup({"z": 6.0}, {"z": 2.0}, until=0.0)(Progress(0, 0.0)) == {"z": 2.0}


def test_fixed_weights_are_a_copy():
    schedule = Fixed({"z": 2.0})
    schedule(Progress(0, 0.0))["z"] = 9.0
    assert schedule(Progress(5, 0.5)) == {"z": 2.0}
