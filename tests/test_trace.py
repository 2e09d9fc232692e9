import math

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Independent,
    Normal,
    OneHotCategorical,
    StudentT,
    TransformedDistribution,
    kl_divergence,
)
from torch.distributions.transforms import AffineTransform

from coset.errors import ConfigurationError, ShapeError, TraceError
from coset.trace import Trace, kl


def normal(*shape, location=0.0, scale=1.0):
    """A diagonal Gaussian whose last axis is the event."""
    return Independent(Normal(torch.full(shape, location), torch.full(shape, scale)), 1)


def program(trace, sets=3, items=4):
    """A set's c, an item's z given c, an item's x given z."""
    c = trace.sample("c", normal(sets, 2), axes="B")
    z = trace.sample("z", Independent(Normal(c.unsqueeze(-2).expand(*c.shape[:-1], items, 2), 1.0), 1))
    return trace.sample("x", Independent(Normal(z, 0.1), 1))


# --- where values come from ---------------------------------------------------------------------------------


def test_provenance_of_every_kind():
    prior = Trace()
    program(prior)
    x = torch.ones(3, 4, 2)
    scored = Trace(observed={"x": x}, replay=prior.values("z"))
    program(scored)
    scored.factor("bonus", torch.zeros(3))
    assert {site.name: site.provenance for site in scored} == {
        "c": "sampled",
        "z": "replayed",
        "x": "observed",
        "bonus": "factor",
    }
    assert torch.equal(scored["z"].value, prior["z"].value) and torch.equal(scored["x"].value, x)
    assert not torch.equal(scored["c"].value, prior["c"].value)


def test_observed_wins_over_replayed():
    trace = Trace(observed={"c": torch.zeros(3, 2)}, replay={"c": torch.ones(3, 2)})
    program(trace)
    assert trace["c"].provenance == "observed" and not trace["c"].value.any()


def test_replaying_a_trace_repeats_it_and_its_score():
    first = Trace()
    program(first)
    second = Trace(replay=first)
    program(second)
    for site in first:
        assert torch.equal(site.value, second[site.name].value)
        assert torch.equal(site.log_prob, second[site.name].log_prob)


def test_log_prob_is_that_of_the_distribution_summed_per_set():
    trace = Trace()
    program(trace)
    by_hand = torch.zeros(3)
    for b in range(3):
        for n in range(4):
            for d in range(2):
                by_hand[b] += Normal(trace["z"].value[b, n, d], 0.1).log_prob(trace["x"].value[b, n, d])
    torch.testing.assert_close(trace["x"].log_prob, by_hand, atol=1e-10, rtol=0)


def test_a_factor_is_scored_by_its_weight_and_is_not_replayed():
    trace = Trace(mask=torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    trace.factor("penalty", torch.tensor([[1.0, 5.0], [2.0, 3.0]]), axes="BN")
    assert trace["penalty"].log_prob.tolist() == [1.0, 5.0]
    assert trace.values() == {}


@pytest.mark.parametrize("kind", ["observed", "replayed"])
def test_misspelt_name_lists_the_sites(kind):
    trace = Trace(**{"observed" if kind == "observed" else "replay": {"zz": torch.zeros(3, 4, 2)}})
    program(trace)
    with pytest.raises(TraceError, match=rf"{kind} value for 'zz'.*'c', 'z', 'x'; did you mean 'z'"):
        trace.check_visited()


def test_unknown_site_names_the_nearest():
    trace = Trace()
    trace.sample("context.constant", normal(2, 2), axes="B")
    with pytest.raises(TraceError, match=r"did you mean 'context\.constant'"):
        trace["context.constnt"]
    assert "context.constant" in trace and "other" not in trace and len(trace) == 1


def test_duplicate_site_is_refused_with_the_sites_so_far():
    trace = Trace()
    program(trace)
    with pytest.raises(TraceError, match=r"'z' is visited twice(.|\n)*c +\[B=3\](.|\n)*x +\[B=3, N=4\]"):
        trace.sample("z", normal(3, 4, 2))
    with pytest.raises(TraceError, match="visited twice"):
        trace.factor("z", torch.zeros(3))


def test_scoring_waits_until_it_is_asked_for():
    class Expensive(Normal):
        scored = 0

        def log_prob(self, value):
            Expensive.scored += 1
            return super().log_prob(value)

    trace = Trace()
    trace.sample("z", Expensive(torch.zeros(3, 4), 1.0))
    assert Expensive.scored == 0
    first = trace["z"].log_prob
    assert trace["z"].log_prob is first and Expensive.scored == 1


# --- axes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "axes"),
    [
        (normal(5, 4, 2), "BN"),  # another number of sets than before
        (normal(3, 5, 2), "BN"),  # of items
        (normal(3, 4, 2), "B"),  # an axis that was not declared
        (normal(3, 2), "BN"),  # one that is missing
        (Normal(torch.zeros(3, 4, 2), 1.0), "BN"),  # the event was not declared
    ],
)
def test_shape_error_names_the_site_and_shows_the_sites_so_far(distribution, axes):
    trace = Trace()
    program(trace)
    with pytest.raises(ShapeError, match=r"site 'w'(.|\n)*z +\[B=3, N=4\] +value \[3, 4, 2\] +sampled"):
        trace.sample("w", distribution, axes=axes)


@pytest.mark.parametrize("value", [torch.zeros(3, 4, 7), torch.zeros(2), torch.zeros(5, 4, 2), torch.zeros(2, 3, 4, 2)])
def test_a_value_of_another_shape_names_the_site(value):
    with pytest.raises(ShapeError, match="site 'z'"):
        program(Trace(replay={"z": value}))


def test_unknown_letters_and_masks_of_another_shape():
    with pytest.raises(ShapeError, match=r"unknown axes \['Q'\]"):
        Trace().sample("z", normal(3, 2), axes="Q")
    with pytest.raises(ShapeError, match="site 'z'"):
        Trace().sample("z", normal(3, 4, 2), mask=torch.ones(3, 5))
    with pytest.raises(ShapeError, match="site 'z'"):
        Trace(mask=torch.ones(3, 5)).sample("z", normal(3, 4, 2))


# --- particles ----------------------------------------------------------------------------------------------


def test_particles_lead_values_and_scores():
    q = Trace(particles=5)
    program(q)
    assert q["c"].value.shape == (5, 3, 2) and q["x"].value.shape == (5, 3, 4, 2)
    assert {site.log_prob.shape for site in q} == {(5, 3)}
    assert not torch.equal(q["c"].value[0], q["c"].value[1])
    observed = torch.zeros(3, 4, 2)
    p = Trace(observed={"x": observed}, replay=q, particles=5)
    program(p)
    for s in range(5):
        single = Trace(observed={"x": observed}, replay={"c": q["c"].value[s], "z": q["z"].value[s]})
        program(single)
        for site in single:
            torch.testing.assert_close(p[site.name].log_prob[s], site.log_prob, atol=1e-10, rtol=0)


def test_the_table_shows_the_axes_of_a_value_that_all_particles_share():
    trace = Trace(observed={"x": torch.zeros(3, 4, 2)}, particles=5)
    program(trace)
    assert "[S=5, B=3, N=4]" in str(trace) and "value [3, 4, 2]" in str(trace)
    assert "(none)" in str(Trace())


def test_no_particles_is_refused():
    with pytest.raises(ConfigurationError, match="particles"):
        Trace(particles=0)


# --- masks --------------------------------------------------------------------------------------------------


def test_absent_items_count_nothing():
    mask = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    trace = Trace(mask=mask)
    program(trace)
    elementwise = trace["x"].distribution.log_prob(trace["x"].value)
    torch.testing.assert_close(trace["x"].log_prob, (elementwise * mask).sum(1), atol=1e-10, rtol=0)
    assert trace["c"].mask is None


def test_a_mask_of_the_site_joins_that_of_the_items():
    items, contexts = torch.tensor([[1.0, 0.0]]), torch.tensor([[[1.0, 0.0, 1.0]] * 2])
    trace = Trace(mask=items)
    trace.sample("c", normal(1, 2, 3, 2), axes="BNK", mask=contexts)
    expected = trace["c"].distribution.log_prob(trace["c"].value)[0, 0, [0, 2]].sum()
    torch.testing.assert_close(trace["c"].log_prob[0], expected, atol=1e-10, rtol=0)


def test_a_mask_has_gradient_also_where_it_is_zero():
    mask = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    trace = Trace()
    trace.sample("c", normal(2, 2, 3), axes="BK", mask=mask)
    trace["c"].log_prob.sum().backward()
    assert torch.equal(mask.grad, trace["c"].distribution.log_prob(trace["c"].value))
    mask.grad = None
    p = Trace(replay=trace)
    p.sample("c", normal(2, 2, 3, location=2.0), axes="BK", mask=mask)
    kl(trace["c"], p["c"]).sum().backward()
    torch.testing.assert_close(mask.grad, torch.full((2, 2), 6.0), atol=1e-10, rtol=0)  # 3 dimensions, 2² / 2 each


@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf])
def test_nothing_leaks_from_an_absent_item(junk):
    mask = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    x = torch.zeros(2, 2, 3)
    x[0, 1] = junk

    def score(x, mask):
        location = torch.full((2, 2, 3), 0.5, requires_grad=True)
        trace = Trace(observed={"x": x}, mask=mask)
        trace.sample("x", Independent(Normal(location, 1.0, validate_args=False), 1))
        trace["x"].log_prob.sum().backward()
        return trace["x"].log_prob, location.grad

    value, gradient = score(x, mask)
    assert value.isfinite().all() and gradient.isfinite().all()
    assert not gradient[0, 1].any() and gradient[0, 0].all()
    assert not score(x, None)[0].isfinite().all()  # without the mask it is seen


@pytest.mark.parametrize("junk", [math.nan, math.inf])
def test_nothing_leaks_from_an_absent_weight_or_divergence(junk):
    mask = torch.tensor([[1.0, 0.0]], requires_grad=True)
    weight = torch.tensor([[2.0, junk]], requires_grad=True)
    trace = Trace(mask=mask)
    trace.factor("w", weight, axes="BN")
    trace["w"].log_prob.sum().backward()
    assert trace["w"].log_prob.tolist() == [2.0]
    assert weight.grad.tolist() == [[1.0, 0.0]] and mask.grad.tolist() == [[2.0, 0.0]]
    location = torch.tensor([[[1.0], [junk]]])
    q, p = Trace(mask=mask.detach(), replay={"z": torch.zeros(1, 2, 1)}), Trace(replay={"z": torch.zeros(1, 2, 1)})
    q.sample("z", Independent(Normal(location, 1.0, validate_args=False), 1))
    p.sample("z", normal(1, 2, 1))
    assert kl(q["z"], p["z"]).tolist() == [0.5]


# --- temperature --------------------------------------------------------------------------------------------


def test_temperature_zero_is_the_centre():
    trace = Trace(temperature=0.0, particles=2)
    assert torch.equal(trace.sample("z", normal(3, 2, location=7.0), axes="B"), torch.full((2, 3, 2), 7.0))
    bits = Independent(Bernoulli(torch.tensor([[0.9, 0.1, 0.5]])), 1)
    assert trace.sample("a", bits.expand((3,)), axes="B")[0, 0].tolist() == [1.0, 0.0, 0.0]
    choice = OneHotCategorical(torch.tensor([0.2, 0.7, 0.1])).expand((3,))
    assert trace.sample("k", choice, axes="B")[1, 2].tolist() == [0.0, 1.0, 0.0]


def test_temperature_of_one_site_scales_its_spread_alone():
    def draw(temperature):
        torch.manual_seed(1)
        trace = Trace(temperature=temperature)
        return trace.sample("c", normal(3, 2, location=4.0), axes="B"), trace.sample("z", normal(3, 5, 2, location=2.0))

    c, z = draw(1.0)
    same, narrow = draw({"z": 0.25})
    torch.testing.assert_close(narrow - 2.0, 0.25 * (z - 2.0))
    assert torch.equal(c, same)
    assert torch.equal(draw({"z": 0.0})[1], torch.full((3, 5, 2), 2.0))


def test_discrete_draws_stay_discrete_at_any_temperature():
    value = Trace(temperature=0.3).sample("a", Independent(Bernoulli(torch.full((9, 4), 0.5)), 1), axes="B")
    assert value.unique().tolist() == [0.0, 1.0]


# --- divergences --------------------------------------------------------------------------------------------


def pair(q_distribution, p_distribution, particles=None):
    q = Trace(particles=particles)
    q.sample("z", q_distribution, axes="BN")
    p = Trace(replay=q, particles=particles)
    p.sample("z", p_distribution, axes="BN")
    return q["z"], p["z"]


def test_closed_form_is_used_and_equals_monte_carlo():
    wide, narrow = normal(2, 3, 2, location=0.3, scale=0.8), normal(2, 3, 2)
    q, p = pair(wide, narrow, particles=20_000)
    exact = kl(q, p)
    torch.testing.assert_close(exact, kl_divergence(wide, narrow).sum(1)[None], atol=1e-10, rtol=0)
    draws = q.log_prob - p.log_prob  # [S, B]
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - exact[0]).abs() < 4 * error).all() and (error < 0.02).all()


def shifted(*shape):
    base = normal(*shape, location=-0.5)
    return TransformedDistribution(base, [AffineTransform(torch.tensor(0.5), torch.tensor(1.0), event_dim=1)])


@pytest.mark.parametrize("particles", [None, 20_000])
def test_a_single_draw_stands_in_where_there_is_no_closed_form(particles):
    q, p = pair(normal(2, 3, 2, location=1.0), shifted(2, 3, 2), particles)
    estimate = kl(q, p)
    torch.testing.assert_close(estimate, q.log_prob - p.log_prob, atol=1e-10, rtol=0)
    assert estimate.shape == ((2,) if particles is None else (particles, 2))
    if particles is not None:  # the transformed one is a standard normal: 3 items, 2 dimensions, ½ each
        torch.testing.assert_close(estimate.mean(0), torch.full((2,), 3.0), atol=0.1, rtol=0)


def test_families_without_a_common_closed_form_in_one_event():
    q, p = pair(normal(2, 3, 2), Independent(StudentT(torch.full((2, 3, 2), 4.0)), 1))
    torch.testing.assert_close(kl(q, p), q.log_prob - p.log_prob, atol=1e-10, rtol=0)


def test_divergence_where_only_one_side_knows_of_particles():
    q, p = Trace(particles=4), Trace(particles=4)
    locations = torch.randn(4, 2, 3, 2)
    q.sample("z", normal(2, 3, 2), mask=torch.tensor([[1.0, 1.0, 0.0]] * 2))
    p.replay = q.values()
    p.sample("z", Independent(Normal(locations, 1.0), 1))
    expected = (locations[:, :, :2] ** 2).sum((2, 3)) / 2
    torch.testing.assert_close(kl(q["z"], p["z"]), expected, atol=1e-10, rtol=0)


def test_a_factor_has_no_divergence():
    trace = Trace()
    trace.factor("w", torch.zeros(2))
    with pytest.raises(TraceError, match="'w'"):
        kl(trace["w"], trace["w"])


def test_sites_of_one_group_take_their_values_in_step():
    """A variable that a set holds, or that each item has of its own: one particle a value."""
    of_sets, of_items = torch.rand(2, 3), torch.rand(2, 4, 3)
    here = torch.tensor([1.0, 0.0])

    def program(trace):
        one = trace.sample("turn.constant", OneHotCategorical(of_sets), axes="B", mask=here)
        each = trace.sample("turn.varying", OneHotCategorical(of_items), mask=(1 - here)[:, None].expand(2, 4))
        return here[:, None, None] * one.unsqueeze(-2) + (1 - here[:, None, None]) * each

    trace = Trace(particles=3, discrete={"turn": "enumerate"})
    value = program(trace)  # [S, B, N, V]
    trace.check_visited()
    expected = torch.stack([(of_sets[:1] / of_sets[:1].sum()).expand(4, -1), of_items[1] / of_items[1].sum(-1, True)])
    torch.testing.assert_close(trace.expect(value, "BN"), expected)
    score = torch.rand(3, 2, 4)
    by_hand = torch.einsum("sbn,bns->b", score, expected)
    torch.testing.assert_close(trace.total(score, "SBN"), by_hand)


def test_a_tempered_site_is_enumerated_with_softened_probabilities():
    logits = torch.tensor([[[0.0, 4.0, 8.0]]])
    trace = Trace(particles=3, discrete={"y": "tempered"}, relaxation=4.0)
    value = trace.sample("y", OneHotCategorical(logits=logits))
    torch.testing.assert_close(trace.expect(value, "BN"), (logits / 4).softmax(-1))
    torch.testing.assert_close(trace["y"].distribution.probs, (logits / 4).softmax(-1))


def test_what_is_drawn_beside_enumerated_sites_is_drawn_once_for_all_of_their_values():
    torch.manual_seed(0)
    first, second = OneHotCategorical(logits=torch.zeros(2, 1, 5)), OneHotCategorical(logits=torch.zeros(2, 1, 3))
    trace = Trace(particles=6, discrete={"v": "straight-through", "w": "enumerate"})
    drawn, listed = trace.sample("v", first), trace.sample("w", second)
    own = trace.sample("z", Independent(Normal(drawn[..., :2], 1.0), 1))
    assert drawn.shape == (2, 1, 5) and listed.shape == (6, 2, 1, 3) and own.shape == (6, 2, 1, 2)
    torch.testing.assert_close(trace.expect(listed, "BN"), second.probs)
    assert Trace(particles=6, discrete={"v": "straight-through"}).sample("v", first).shape == (6, 2, 1, 5)


def test_sites_have_temperatures_of_their_own():
    logits = torch.tensor([[[0.0, 4.0, 8.0]]])
    trace = Trace(particles=9, discrete={"y.varying": "tempered", "v": "tempered"}, relaxation={"y": 4.0, "v": 2.0})
    for name, temperature in {"y.varying": 4.0, "v": 2.0}.items():
        trace.sample(name, OneHotCategorical(logits=logits))
        torch.testing.assert_close(trace[name].distribution.probs, (logits / temperature).softmax(-1))
    with pytest.raises(ConfigurationError, match="no temperature for the site 'w'"):
        Trace(discrete={"w": "relaxed"}, relaxation={"y": 1.0}).sample("w", OneHotCategorical(logits=logits))
