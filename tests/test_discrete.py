"""How discrete variables are drawn: enumerated, drawn with a score function, plugged in, relaxed."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    Normal,
    OneHotCategorical,
    TransformedDistribution,
    kl_divergence,
)
from torch.distributions.transforms import AffineTransform

from coset.errors import ConfigurationError, TraceError
from coset.objectives import elbo, importance_weighted, score_function
from coset.programs import count_combinations
from coset.trace import Trace

NOISE, SLOPE = 0.8, 1.3
MEANS = torch.tensor([[-1.0, 0.5], [0.0, 2.0], [1.5, -0.5]], dtype=torch.float64)


def choice(logits):
    return OneHotCategorical(logits=logits, validate_args=False)


def normal(location, scale=1.0):
    return Independent(Normal(location, scale), 1)


def bound_of(infer, generate, x, **options):
    """The bound of two programs on items `[B, N, ...]`."""
    q = Trace(**options)
    infer(q)
    p = Trace({"x": x}, q, particles=q.particles)
    generate(p)
    return elbo(q, p)


def one_site(x, logits, prior, means, **options):
    """One class y an item `[B, N]`, and x around the mean of its class."""
    return bound_of(
        lambda q: q.sample("y", choice(logits)),
        lambda p: p.sample("x", normal(p.sample("y", choice(prior)) @ means, NOISE)),
        x,
        **options,
    )


# --- enumeration against sums written out -------------------------------------------------------------------


@pytest.mark.parametrize("particles", [3, 6])
def test_one_enumerated_site_is_a_sum_over_its_values(particles):
    x, logits, prior = torch.randn(2, 4, 2), torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    bound = one_site(x, logits, prior, MEANS, particles=particles, discrete={"y": "enumerate"})
    q, log_prior = logits.softmax(-1), prior.log_softmax(-1)
    reconstruction, divergence = torch.zeros(2), torch.zeros(2)
    for b in range(2):
        for n in range(4):
            for y in range(3):
                reconstruction[b] += q[b, n, y] * Normal(MEANS[y], NOISE).log_prob(x[b, n]).sum()
                divergence[b] += q[b, n, y] * (q[b, n, y].log() - log_prior[b, n, y])
    torch.testing.assert_close(bound.terms["x"], reconstruction, atol=1e-12, rtol=0)
    torch.testing.assert_close(bound.terms["y"], divergence, atol=1e-12, rtol=0)


class Pair:
    """A class u `[B, N]`, and a class v of 2 values that depends on it in both programs; x given both."""

    def __init__(self, sets, items):
        self.u, self.v = torch.randn(sets, items, 3), torch.randn(3, sets, items, 2)
        self.prior_u, self.prior_v = torch.randn(3), torch.randn(3, 2)
        self.means = torch.randn(3, 2, 2)

    def infer(self, q):
        u = q.sample("u", choice(self.u))
        q.sample("v", choice(torch.einsum("...bnu,ubnv->...bnv", u, self.v)))

    def generate(self, p):
        sets, items = self.u.shape[:2]
        u = p.sample("u", choice(self.prior_u.expand(sets, items, 3)))
        v = p.sample("v", choice(u @ self.prior_v))
        p.sample("x", normal(torch.einsum("...u,...v,uvd->...d", u, v, self.means), NOISE))


@pytest.mark.parametrize("particles", [6, 18])
@pytest.mark.parametrize("order", ["u then v", "v is drawn"])
def test_two_enumerated_sites_are_a_double_sum(particles, order):
    model, x = Pair(2, 3), torch.randn(2, 3, 2)
    discrete = {"u": "enumerate", "v": "enumerate" if order == "u then v" else "plug-in"}
    bound = bound_of(model.infer, model.generate, x, particles=particles, discrete=discrete)
    expected = {name: torch.zeros(2) for name in "xuv"}
    for b in range(2):
        for n in range(3):
            q_u, p_u = model.u[b, n].softmax(-1), model.prior_u.softmax(-1)
            expected["u"][b] += (q_u * (q_u / p_u).log()).sum()
            for u in range(3):
                q_v, p_v = model.v[u, b, n].softmax(-1), model.prior_v[u].softmax(-1)
                expected["v"][b] += q_u[u] * (q_v * (q_v / p_v).log()).sum()
                if order == "u then v":
                    for v in range(2):
                        log_prob = Normal(model.means[u, v], NOISE).log_prob(x[b, n]).sum()
                        expected["x"][b] += q_u[u] * q_v[v] * log_prob
                else:
                    expected["x"][b] += q_u[u] * Normal(q_v @ model.means[u], NOISE).log_prob(x[b, n]).sum()
    for name, term in expected.items():
        torch.testing.assert_close(bound.terms[name], term, atol=1e-12, rtol=0)


def test_further_particles_are_averaged_within_each_value():
    """Z is drawn for each particle; the sum over y is exact, that over z the mean of its draws."""
    x, logits, repeats = torch.randn(2, 3, 2), torch.randn(2, 3, 3), 4
    q = Trace(particles=3 * repeats, discrete={"y": "enumerate"})
    y = q.sample("y", choice(logits))
    q.sample("z", normal(y @ MEANS, 0.5))
    p = Trace({"x": x}, q, particles=3 * repeats)
    p.sample("y", choice(torch.zeros(2, 3, 3)))
    z = p.sample("z", normal(torch.zeros(2, 3, 2)))
    p.sample("x", normal(z, NOISE))
    bound = elbo(q, p)
    reconstruction, divergence, weight = torch.zeros(2), torch.zeros(2), logits.softmax(-1)
    for s in range(3 * repeats):
        code = y[s].argmax(-1)  # [B, N], the same for all
        assert torch.equal(code, code[0, 0].expand(2, 3))
        of = weight[..., code[0, 0]] / repeats
        reconstruction += (of * Normal(z[s], NOISE).log_prob(x).sum(-1)).sum(1)
        divergence += (of * kl_divergence(normal(y[s] @ MEANS, 0.5), normal(torch.zeros(2, 3, 2)))).sum(1)
    assert len(z.unique()) == z.numel()
    torch.testing.assert_close(bound.terms["x"], reconstruction, atol=1e-12, rtol=0)
    torch.testing.assert_close(bound.terms["z"], divergence, atol=1e-12, rtol=0)


def test_absent_items_count_nothing():
    x, logits, prior = torch.randn(2, 3, 2), torch.randn(2, 3, 3), torch.randn(2, 3, 3)
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    options = {"particles": 3, "discrete": {"y": "enumerate"}, "mask": mask}
    bound = one_site(x, logits, prior, MEANS, **options)
    each = one_site(*(part.reshape(6, 1, -1) for part in (x, logits, prior)), MEANS, **(options | {"mask": None}))
    for name, term in bound.terms.items():
        # the generative program of `one_site` is not told of the mask, which weighs the divergence alone
        present = mask if name == "y" else torch.ones(2, 3)
        torch.testing.assert_close(term, (each.terms[name].view(2, 3) * present).sum(1), atol=1e-12, rtol=0)


def test_a_site_of_sets_is_enumerated_for_all_their_items():
    x, logits = torch.randn(2, 4, 2), torch.randn(2, 3)
    bound = bound_of(
        lambda q: q.sample("y", choice(logits), axes="B"),
        lambda p: p.sample(
            "x",
            normal(
                (p.sample("y", choice(torch.zeros(2, 3)), axes="B") @ MEANS)[..., None, :].expand(-1, 2, 4, 2), NOISE
            ),
        ),
        x,
        particles=3,
        discrete={"y": "enumerate"},
    )
    log_prob = normal(MEANS[:, None, None].expand(3, 2, 4, 2), NOISE).log_prob(x).sum(-1)  # [V, B]
    torch.testing.assert_close(bound.terms["x"], (logits.softmax(-1).T * log_prob).sum(0), atol=1e-12, rtol=0)


# --- the exact evidence -------------------------------------------------------------------------------------


def conditional(x):
    """Of y ~ Cat(1/3), z ~ N(0, 1), x ~ N(m_y + z SLOPE, NOISE²): log p(x | y) `[V, B]`, p(z | x, y) mean and width."""
    rest = (x - MEANS[:, None, :1]).squeeze(-1)  # [V, B]
    precision = 1 + SLOPE**2 / NOISE**2
    return Normal(0.0, math.hypot(SLOPE, NOISE)).log_prob(rest), rest * SLOPE / NOISE**2 / precision, precision**-0.5


def evidence(x):
    return conditional(x)[0].logsumexp(0) - math.log(3)


def bound_in_closed_form(x, logits, mean, width):
    """The bound for q(y | x) `[B, V]` and q(z | x, y): the quadratic log p(x | y, z) averages over z = mean ± width."""
    code, sign = torch.arange(6) % 3, torch.arange(6) // 3 * 2.0 - 1
    sets = len(x)

    def infer(q):
        y = q.sample("y", choice(logits), axes="B")
        assert torch.equal(y[:, 0].argmax(-1), code)
        q.sample("z", normal(mean[code].unsqueeze(-1), torch.as_tensor(width).expand(6, sets, 1)), axes="B")

    def generate(p):
        y = p.sample("y", choice(torch.zeros(sets, 3)), axes="B")
        z = p.sample("z", normal(torch.zeros(sets, 1)), axes="B")
        p.sample("x", normal(y @ MEANS[:, :1] + z * SLOPE, NOISE), axes="B")

    drawn = {"z": (mean[code] + sign.unsqueeze(1) * width).unsqueeze(-1)}
    return bound_of(infer, generate, x, replay=drawn, particles=6, discrete={"y": "enumerate"}).value


def test_bound_is_the_evidence_for_the_exact_posterior():
    x = torch.randn(50, 1)
    log_prob, mean, width = conditional(x)
    torch.testing.assert_close(bound_in_closed_form(x, log_prob.T, mean, width), evidence(x), atol=1e-8, rtol=0)


def test_bound_falls_short_by_the_divergence_from_the_posterior():
    x = torch.randn(50, 1)
    log_prob, mean, width = conditional(x)
    other, shift, factor = torch.randn(50, 3), 0.4, 1.5
    bound = bound_in_closed_form(x, other, mean + shift, width * factor)
    of_z = kl_divergence(Normal(mean + shift, width * factor), Normal(mean, width)).T  # [B, V]
    gap = kl_divergence(choice(other), choice(log_prob.T)) + (other.softmax(-1) * of_z).sum(-1)
    assert (bound < evidence(x)).all()
    torch.testing.assert_close(bound, evidence(x) - gap, atol=1e-8, rtol=0)


def test_every_draw_gives_the_evidence_for_the_exact_posterior():
    x = torch.randn(20, 1)
    log_prob, mean, width = conditional(x)

    def infer(q):
        y = q.sample("y", choice(log_prob.T), axes="B")
        location = torch.einsum("sbv,vb->sb", y, mean).unsqueeze(-1)
        standard = normal(torch.zeros_like(location))
        q.sample("z", TransformedDistribution(standard, [AffineTransform(location, width, event_dim=1)]), axes="B")

    def generate(p):
        y = p.sample("y", choice(torch.zeros(20, 3)), axes="B")
        z = p.sample("z", normal(torch.zeros(20, 1)), axes="B")
        p.sample("x", normal(y @ MEANS[:, :1] + z * SLOPE, NOISE), axes="B")

    bound = bound_of(infer, generate, x, particles=3, discrete={"y": "enumerate"})
    torch.testing.assert_close(bound.value, evidence(x), atol=1e-10, rtol=0)


# --- gradients ----------------------------------------------------------------------------------------------

LOGITS = torch.tensor([0.5, -0.3, 0.1], dtype=torch.float64)
PRIOR = torch.tensor([0.2, 0.6, -0.4], dtype=torch.float64)
ITEM = torch.tensor([0.3, 0.9], dtype=torch.float64)


def gradient(count, baseline=None, **options):
    """Gradients in the logits and in the means of classes, `[count, ...]`, of as many independent draws of one item."""
    logits = LOGITS.expand(count, 1, 3).clone().requires_grad_()
    means = MEANS.expand(count, 3, 2).clone().requires_grad_()
    q = Trace(**options)
    q.sample("y", choice(logits))
    p = Trace({"x": ITEM.expand(count, 1, 2)}, q, particles=q.particles)
    y = p.sample("y", choice(PRIOR.expand(count, 1, 3)))
    p.sample("x", normal(y @ means, NOISE))
    bound = elbo(q, p)
    if baseline is not None:
        bound = score_function(q, bound, baseline)
    found = torch.autograd.grad(bound.value.sum(), (logits, means))
    return torch.cat([part.flatten(1) for part in found], 1)  # [count, 3 + 6]


def exact_gradient():
    return gradient(1, particles=3, discrete={"y": "enumerate"})[0]


def standard_error(draws):
    return draws.std(0) / math.sqrt(len(draws))


def test_enumerated_gradient_is_that_of_the_sum():
    logits, means = LOGITS.clone().requires_grad_(), MEANS.clone().requires_grad_()
    each = normal(means, NOISE).log_prob(ITEM) + PRIOR.log_softmax(-1) - logits.log_softmax(-1)
    expected = torch.autograd.grad((logits.softmax(-1) * each).sum(), (logits, means))
    torch.testing.assert_close(exact_gradient(), torch.cat([part.flatten() for part in expected]), atol=1e-12, rtol=0)


def test_score_function_has_the_gradient_of_enumeration_in_the_mean():
    draws, exact = gradient(100_000, baseline=0.0), exact_gradient()
    assert ((draws.mean(0) - exact).abs() < 3 * standard_error(draws)).all()
    without = gradient(100_000)
    assert ((without.mean(0) - exact).abs() > 10 * standard_error(draws))[:3].all()  # what it is there for


def test_score_function_of_particles_has_the_gradient_of_enumeration_in_the_mean():
    logits = LOGITS.expand(1, 1, 3).clone().requires_grad_()
    q = Trace(particles=100_000)
    q.sample("y", choice(logits))
    p = Trace({"x": ITEM.expand(1, 1, 2)}, q, particles=100_000)
    p.sample("x", normal(p.sample("y", choice(PRIOR.expand(1, 1, 3))) @ MEANS, NOISE))
    bound = score_function(q, elbo(q, p))
    assert bound.value.shape == (100_000, 1)
    (found,) = torch.autograd.grad(bound.value.mean(), logits)
    error = standard_error(gradient(20_000, baseline=0.0))[:3] * math.sqrt(0.2)
    assert ((found.flatten() - exact_gradient()[:3]).abs() < 3 * error).all()


def test_baseline_leaves_the_mean_and_lowers_the_variance():
    plain = gradient(100_000, baseline=0.0)
    mean = float(one_site(ITEM.expand(1, 1, 2), LOGITS.expand(1, 1, 3), PRIOR.expand(1, 1, 3), MEANS).value.mean())
    aided = gradient(100_000, baseline=torch.full((100_000,), mean))
    assert ((aided.mean(0) - exact_gradient()).abs() < 3 * standard_error(aided)).all()
    assert (aided[:, :3].var(0) < 0.5 * plain[:, :3].var(0)).all()


def test_score_has_no_value_and_fits_its_baseline():
    x, logits, prior = torch.randn(5, 2, 2), torch.randn(5, 2, 3), torch.randn(5, 2, 3)
    q = Trace()
    q.sample("y", choice(logits.requires_grad_()))
    p = Trace({"x": x}, q)
    p.sample("x", normal(p.sample("y", choice(prior)) @ MEANS, NOISE))
    bound, baseline = elbo(q, p), torch.randn(5, requires_grad=True)
    aided = score_function(q, bound, baseline)
    assert torch.equal(aided.value, bound.value) and aided.terms["score"].tolist() == [0.0] * 5
    found, score = torch.autograd.grad(aided.value.sum(), (baseline, logits), retain_graph=True)
    torch.testing.assert_close(found, 2 * (bound.value - baseline).detach())
    log_q = q["y"].distribution.log_prob(q["y"].value).sum(1)
    expected = bound.value + (bound.value - baseline).detach() * log_q
    torch.testing.assert_close(score, torch.autograd.grad(expected.sum(), logits)[0])


@pytest.mark.parametrize("how", ["plug-in", "relaxed", "straight-through", "enumerate"])
def test_a_variable_with_a_gradient_of_its_own_has_no_score(how):
    x, logits, prior = torch.randn(5, 1, 2), torch.randn(5, 1, 3).requires_grad_(), torch.randn(5, 1, 3)
    q = Trace(particles=3, discrete={"y": how})
    q.sample("y", choice(logits))
    p = Trace({"x": x}, q, particles=3)
    p.sample("x", normal(p.sample("y", choice(prior)) @ MEANS, NOISE))
    bound = elbo(q, p)
    (expected,) = torch.autograd.grad(bound.value.sum(), logits, retain_graph=True)
    (found,) = torch.autograd.grad(score_function(q, bound).value.sum(), logits)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_a_drawn_site_beside_an_enumerated_one_is_unbiased_or_refused():
    """The score of v weighs by q(u) once, and learns nothing of q(u); a product of averages does neither."""
    count = 50_000
    u, v = LOGITS.expand(count, 1, 3).clone().requires_grad_(), LOGITS.flip(0).expand(count, 1, 3).clone()
    v.requires_grad_()

    def run(discrete, particles):
        q = Trace(particles=particles, discrete=discrete)
        q.sample("u", choice(u))
        q.sample("v", choice(v))
        p = Trace({"x": ITEM.expand(count, 1, 2)}, q, particles=particles)
        first, second = (p.sample(name, choice(torch.zeros(count, 1, 3))) for name in "uv")
        p.sample("x", normal(first @ MEANS + 2 * second @ MEANS.flip(0), NOISE))
        bound = elbo(q, p)
        bound = bound if "v" in discrete else score_function(q, bound)
        return [part.flatten(1) for part in torch.autograd.grad(bound.value.sum(), (u, v))]

    try:
        found = run({"u": "enumerate"}, 3)
    except TraceError as refused:
        assert "enumerated" in str(refused)
        return
    for draws, exact in zip(found, run({"u": "enumerate", "v": "enumerate"}, 9), strict=True):
        assert ((draws.mean(0) - exact[0]).abs() < 4 * standard_error(draws)).all()


@pytest.mark.parametrize("how", ["relaxed", "straight-through"])
def test_relaxed_gradient_approaches_that_of_enumeration_as_temperature_falls(how):
    exact, biases = exact_gradient()[:3], []
    for temperature in (2.0, 0.5, 0.1):
        draws = gradient(50_000, discrete={"y": how}, relaxation=temperature)[:, :3]
        biases.append(float((draws.mean(0) - exact).norm()))
        assert float(standard_error(draws).norm()) < 0.05 * float(exact.norm())
    assert biases[0] > 1.4 * biases[1] > 1.4**2 * biases[2]
    assert biases[2] < 0.15 * float(exact.norm())


@pytest.mark.parametrize("how", ["relaxed", "straight-through", "sample"])
def test_values_of_drawn_sites(how):
    value = Trace(particles=500, discrete={"y": how}, relaxation=0.5).sample("y", choice(torch.zeros(2, 3)), axes="B")
    assert value.shape == (500, 2, 3)
    torch.testing.assert_close(value.sum(-1), torch.ones(500, 2))
    if how == "relaxed":
        assert ((value > 0) & (value < 1)).float().mean() > 0.99
    else:
        assert value.unique().tolist() == [0.0, 1.0]


def test_plug_in_is_the_vector_of_probabilities():
    logits = torch.randn(2, 3)
    value = Trace(particles=5, discrete={"y": "plug-in"}).sample("y", choice(logits), axes="B")
    torch.testing.assert_close(value, logits.softmax(-1).expand(5, 2, 3))


def test_plug_in_is_enumeration_where_the_posterior_is_certain():
    """Section 3 of Siddharth et al.: equal for a one-hot vector of probabilities, and not otherwise."""
    x, prior = torch.randn(2, 3, 2), torch.randn(2, 3, 3)
    certain = 900 * F.one_hot(torch.tensor([[0, 2, 1], [1, 1, 0]]), 3).to(x.dtype)

    def both(logits):
        enumerated = one_site(x, logits, prior, MEANS, particles=3, discrete={"y": "enumerate"})
        return enumerated, one_site(x, logits, prior, MEANS, discrete={"y": "plug-in"})

    enumerated, plugged = both(certain)
    for name, term in enumerated.terms.items():
        torch.testing.assert_close(plugged.terms[name], term, atol=1e-12, rtol=0)
    enumerated, plugged = both(certain / 900)
    assert ((enumerated.terms["x"] - plugged.terms["x"]).abs() > 0.1).all()
    torch.testing.assert_close(enumerated.terms["y"], plugged.terms["y"], atol=1e-12, rtol=0)


# --- terms of whole sets ------------------------------------------------------------------------------------


def scene(items, particles=3):
    """A class of each item, c of the set, and x of the set given the sum of all."""
    q = Trace(particles=particles, discrete={"y": "enumerate"})
    q.sample("c", normal(torch.ones(2, 2), 0.5), axes="B")
    q.sample("y", choice(torch.ones(2, items, 3)))
    p = Trace({"x": torch.zeros(2, 2)}, q, particles=particles)
    c = p.sample("c", normal(torch.zeros(2, 2)), axes="B")
    y = p.sample("y", choice(torch.zeros(2, items, 3)))
    p.sample("x", normal(c + (y @ MEANS).sum(-2), NOISE), axes="B")
    return q, p


def test_a_term_of_sets_of_several_enumerated_items_is_refused():
    with pytest.raises(TraceError, match=r"'y' was enumerated for 4 items.*sets of one item, or draw 'y' instead"):
        elbo(*scene(items=4))


def test_a_term_of_sets_of_one_enumerated_item_is_a_sum():
    q, p = scene(items=1)
    log_prob = p["x"].distribution.log_prob(torch.zeros(2, 2))  # [V, B], each value has a third
    torch.testing.assert_close(elbo(q, p).terms["x"], log_prob.mean(0), atol=1e-12, rtol=0)


def test_a_divergence_of_sets_that_no_item_enters_is_not_refused():
    """C is of the set and depends on no class; its divergence is in closed form, the same for all particles."""
    q = Trace(particles=3, discrete={"y": "enumerate"})
    c_posterior, logits = normal(torch.randn(2, 2), 0.5), torch.randn(2, 4, 3)
    q.sample("c", c_posterior, axes="B")
    q.sample("y", choice(logits))
    x = torch.randn(2, 4, 2)
    p = Trace({"x": x}, q, particles=3)
    c = p.sample("c", normal(torch.zeros(2, 2)), axes="B")
    y = p.sample("y", choice(torch.zeros(2, 4, 3)))
    p.sample("x", normal(c.unsqueeze(-2) + y @ MEANS, NOISE))
    terms = elbo(q, p).terms
    torch.testing.assert_close(terms["c"], kl_divergence(c_posterior, normal(torch.zeros(2, 2))), atol=1e-12, rtol=0)
    expected = torch.zeros(2)
    for v in range(3):
        log_prob = Normal(c[v].unsqueeze(1) + MEANS[v], NOISE).log_prob(x).sum(-1)
        expected += (logits.softmax(-1)[..., v] * log_prob).sum(1)
    torch.testing.assert_close(terms["x"], expected, atol=1e-12, rtol=0)


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["enumerate", "plug-in", "relaxed", "straight-through"])
def test_importance_weights_take_draws_alone(how):
    model, x = Pair(2, 1), torch.randn(2, 1, 2)
    q = Trace(particles=6, discrete={"u": how})
    model.infer(q)
    p = Trace({"x": x}, q, particles=6)
    model.generate(p)
    with pytest.raises(TraceError, match=f"'u': importance weights need draws of its posterior, not '{how}'"):
        importance_weighted(q, p)


@pytest.mark.parametrize("particles", [None, 2, 4])
def test_particles_that_do_not_hold_all_values_are_refused(particles):
    with pytest.raises(TraceError, match=rf"'y': enumerating its 3 values.*multiple of 3.*got particles={particles}"):
        Trace(particles=particles, discrete={"y": "enumerate"}).sample("y", choice(torch.zeros(2, 1, 3)))


def test_particles_must_hold_all_combinations():
    with pytest.raises(TraceError, match=r"'v': enumerating its 2 values.*multiple of 6.*got particles=3"):
        Pair(2, 1).infer(Trace(particles=3, discrete={"u": "enumerate", "v": "enumerate"}))


@pytest.mark.parametrize("how", ["enumerate", "plug-in", "relaxed", "straight-through"])
@pytest.mark.parametrize("distribution", [Categorical(torch.ones(2, 4, 3)), normal(torch.zeros(2, 4, 3))])
def test_only_one_hot_variables_can_be_enumerated_or_relaxed(how, distribution):
    with pytest.raises(TraceError, match=rf"'y': only a OneHotCategorical.*got {type(distribution).__name__}.*leave"):
        Trace(particles=3, discrete={"y": how}).sample("y", distribution)


def test_an_unknown_way_to_draw_names_the_nearest():
    with pytest.raises(ConfigurationError, match=r"no way to draw is called 'enumerated'.*did you mean 'enumerate'"):
        Trace(particles=3, discrete={"y": "enumerated"}).sample("y", choice(torch.zeros(2, 1, 3)))


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature):
    with pytest.raises(ConfigurationError, match="relaxation: expected a temperature above 0"):
        Trace(discrete={"y": "relaxed"}, relaxation=temperature).sample("y", choice(torch.zeros(2, 1, 3)))


def test_a_misspelt_discrete_site_is_named():
    with pytest.raises(TraceError, match=r"discrete value for 'Y'.*'y'"):
        one_site(torch.zeros(2, 1, 2), *torch.zeros(2, 2, 1, 3), MEANS, discrete={"Y": "relaxed"})


def test_too_many_values_to_enumerate_says_how_many_and_what_to_do_instead():
    message = r"1100 of 'class' make 1100 joint values, more than 1024.*'relaxed', 'straight-through'.*ScoreFunction"
    with pytest.raises(ConfigurationError, match=message):
        count_combinations({"class": 1100}, ["class"])
    discrete = {"class": 40, "other": 30}
    assert count_combinations(discrete, ["class"]) == 40 and count_combinations(discrete, []) == 1
    with pytest.raises(ConfigurationError, match="40 of 'class' x 30 of 'other' make 1200 joint values"):
        count_combinations(discrete, ["class", "other"])
    with pytest.raises(ConfigurationError, match=r"no discrete site 'style'; there are: 'class', 'other'"):
        count_combinations(discrete, ["style"])


@pytest.mark.parametrize("particles", [4, 8])
def test_enumerated_bits_are_a_sum_over_all_their_values(particles):
    """Two bits of a set: x ~ N(w · bits, 1), all four joint values weighed by their probabilities."""
    logits, x, weight = torch.randn(5, 2), torch.randn(5, 1), torch.tensor([1.5, -0.7])
    bits = Independent(Bernoulli(logits=logits), 1)
    q = Trace(particles=particles, discrete={"a": "enumerate"})
    q.sample("a", bits, axes="B")
    p = Trace({"x": x}, q, particles=particles)
    a = p.sample("a", Independent(Bernoulli(probs=torch.full((5, 2), 0.5)), 1), axes="B")
    p.sample("x", normal((a @ weight).unsqueeze(-1)), axes="B")
    terms = elbo(q, p).terms
    expected = torch.zeros(5)
    for value in ([0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]):
        value = torch.tensor(value).expand(5, 2)
        log_prob = Normal((value @ weight).unsqueeze(-1), 1.0).log_prob(x)[:, 0]
        expected += bits.log_prob(value).exp() * log_prob
    torch.testing.assert_close(terms["x"], expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(terms["a"], kl_divergence(bits, p["a"].distribution), atol=1e-12, rtol=0)
