"""Objectives of the literature on disentanglement, each beside its paper's formula written out."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

import coset
from coset.batch import SetBatch
from coset.errors import ConfigurationError
from coset.objectives import CovarianceMatching, EvidenceLowerBound, MaximumMeanDiscrepancy, Preset, SharedDimensions
from coset.objectives.presets import OBJECTIVES
from coset.programs import Programs

PLAIN = {"features": 16, "architecture": "plain", "channels": [], "norm": "none"}
SETTINGS = {"hfvae": {"groups": ["z[:2]", "z[2:]"]}, "gvae": {"shared": [0]}, "ml-vae": {"shared": [0, 2]}}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def programs(items=2, sets=8):
    torch.manual_seed(0)
    return Programs(coset.VAE((6,), z_dim=4, **PLAIN).eval(), SetBatch(torch.rand(sets, items, 6)))


def posterior(shown):
    of = shown.infer()["z"].distribution.base_dist
    return of.loc, of.scale


@pytest.mark.parametrize("form", ["means", "draws"])
def test_covariances_are_those_of_the_paper(form):
    shown = programs()
    q = shown.infer()
    mean, scale = (part.flatten(0, 1) for part in posterior(shown))
    covariance = (mean - mean.mean(0)).T @ (mean - mean.mean(0)) / len(mean)
    covariance = covariance + torch.diag(scale.square().mean(0)) if form == "draws" else covariance
    apart = sum(covariance[i, j] ** 2 for i in range(4) for j in range(4) if i != j)
    expected = apart + 3 * sum((covariance[i, i] - 1) ** 2 for i in range(4))
    found = CovarianceMatching(form, ratio=3)(shown, q, shown.generate(q))["covariance"]
    torch.testing.assert_close(found, expected.expand(8), atol=1e-12, rtol=0)


def test_items_that_are_missing_do_not_count():
    shown = programs()
    mask = torch.ones(8, 2)
    mask[3, 1] = 0
    q = Programs(shown.model, SetBatch(shown.batch.x, mask=mask)).infer()
    kept = Programs(shown.model, SetBatch(shown.batch.x.flatten(0, 1)[mask.flatten() > 0].unsqueeze(1)))
    one = CovarianceMatching()(shown, q, shown.generate(q))["covariance"][0]
    two = CovarianceMatching()(kept, kept.infer(), shown.generate(q))["covariance"][0]
    torch.testing.assert_close(one, two)


def test_discrepancy_is_large_where_draws_are_not_those_of_the_prior_and_small_where_they_are():
    shown, penalty = programs(items=1, sets=400), MaximumMeanDiscrepancy()
    found = []
    for mean in (0.0, 2.0):
        q = coset.Trace()
        q.sample("z", torch.distributions.Independent(Normal(torch.full((400, 1, 4), mean), 1.0), 1), axes="BN")
        found.append(float(penalty(shown, q, shown.generate(q))["discrepancy"][0]))
    assert 0 <= found[0] < 0.01 and found[1] > 0.2, found


def test_discrepancy_of_two_points_is_its_formula():
    shown = programs(items=1, sets=2)
    q = shown.infer()
    torch.manual_seed(5)
    found = MaximumMeanDiscrepancy(width=1.5)(shown, q, shown.generate(q))["discrepancy"][0]
    p = shown.generate(q)
    torch.manual_seed(5)
    shown.generate(q)
    drawn = p["z"].distribution.expand((2, 1)).rsample().flatten(0, 1)
    z = q["z"].value.flatten(0, 1)
    kernel = lambda a, b: math.exp(-float((a - b).detach().square().sum()) / (2 * 1.5**2))  # noqa: E731
    mean = lambda one, two: sum(kernel(a, b) for a in one for b in two) / 4  # noqa: E731
    assert float(found.detach()) == pytest.approx(mean(z, z) + mean(drawn, drawn) - 2 * mean(z, drawn), abs=1e-12)


@pytest.mark.parametrize("average", ["moments", "product"])
def test_dimensions_that_are_shared_have_one_posterior_a_set(average):
    shown = programs()
    mean, scale = posterior(shown)
    bound = SharedDimensions([0, 2], average)(shown)
    made = bound.q["z"].distribution.base_dist
    if average == "moments":
        together, variance = mean.mean(1, keepdim=True), scale.square().mean(1, keepdim=True)
    else:
        precision = scale.square().reciprocal()
        together = (precision * mean).sum(1, keepdim=True) / precision.sum(1, keepdim=True)
        variance = 1 / precision.sum(1, keepdim=True)
    for dimension in range(4):
        expected = (together, variance.sqrt()) if dimension in (0, 2) else (mean, scale)
        torch.testing.assert_close(made.loc[..., dimension], expected[0].expand_as(mean)[..., dimension])
        torch.testing.assert_close(made.scale[..., dimension], expected[1].expand_as(mean)[..., dimension])
    standard = Normal(torch.zeros(()), torch.ones(()))
    torch.testing.assert_close(bound.terms["z"], kl_divergence(made, standard).sum((1, 2)))


def test_dimensions_that_differ_least_are_found_to_be_shared():
    shown = programs()
    mean, scale = posterior(shown)
    found = SharedDimensions()(shown).q["z"].distribution.base_dist.loc
    for pair in range(8):
        one, two = (Normal(mean[pair, item], scale[pair, item]) for item in range(2))
        away = kl_divergence(one, two) + kl_divergence(two, one)
        alike = away < 0.5 * (away.max() + away.min())
        assert torch.equal(found[pair, 0] == found[pair, 1], alike)


def test_what_is_told_to_be_shared_makes_the_code_of_pairs_alike():
    """Pairs share the first half of the numbers; afterwards the dimensions that stand for them tell more of it."""
    kind = torch.randn(40, 3)
    x = torch.cat([kind.repeat_interleave(20, 0), torch.randn(800, 3)], 1)
    table = coset.FactorTable(x, kind=torch.arange(40).repeat_interleave(20))
    torch.manual_seed(0)
    model = coset.VAE((6,), z_dim=6, likelihood="gaussian", **PLAIN)
    sets = {"contexts": ["kind"], "items": 2, "batch": 64}
    objective = Preset("gvae", {"shared": [0, 1, 2]})
    coset.fit(model, table, steps=300, learning_rate=1e-2, sets=sets, objective=objective, **QUIET)
    codes = model.embed(x).view(40, 20, 6)
    within = codes.var(1).mean(0) / codes.flatten(0, 1).var(0)  # of each dimension, the share within kinds
    assert float(within[:3].mean()) < 0.7 * float(within[3:].mean()), within


def test_a_critic_learns_to_tell_dependent_draws_from_shuffled_ones():
    torch.manual_seed(0)
    table = coset.FactorTable(torch.randn(400, 2) @ torch.randn(2, 6) + 0.1 * torch.randn(400, 6))
    model = coset.VAE((6,), z_dim=3, likelihood="gaussian", **PLAIN)
    objective = Preset("factor-vae", {"gamma": 0.0, "units": 64, "layers": 2})
    record = coset.fit(model, table, steps=120, learning_rate=5e-3, objective=objective, **QUIET)
    assert record.history[-1]["correlation"] > 0.05  # nats that the shuffled dimensions had in common
    shown = Programs(model.eval(), SetBatch(table.x().unsqueeze(1)))
    with torch.no_grad():
        objective(shown)
        assert float(objective.objective.critic_loss(shown)) < math.log(2)


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_preset_trains(name):
    table = coset.FactorTable(torch.rand(60, 6), kind=torch.arange(60) % 3)
    model = coset.VAE((6,), z_dim=4, **PLAIN)
    sets = {"contexts": ["kind"], "items": 2, "batch": 8}
    record = coset.fit(model, table, steps=3, sets=sets, objective=Preset(name, SETTINGS.get(name)), **QUIET)
    assert math.isfinite(record.history[-1]["bound"])


def test_with_a_weight_of_one_beta_vae_is_the_bound():
    shown = programs()
    objective = Preset("beta-vae", {"beta": 1.0})
    objective.objective.bind(shown.model, 100)
    torch.manual_seed(1)
    bound = objective(shown)
    torch.manual_seed(1)
    closed = EvidenceLowerBound()(shown)
    # of the same draw, whose divergence in closed form is the mean of what it is of draws
    drawn = bound.p["x"].log_prob + bound.p["z"].log_prob - bound.q["z"].log_prob
    torch.testing.assert_close(bound.weighted(objective.schedule.weights), drawn, atol=1e-9, rtol=0)
    assert torch.equal(bound.q["z"].value, closed.q["z"].value) and torch.equal(bound.terms["x"], closed.terms["x"])


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("beta-tcvae", {}, "no objective is called 'beta-tcvae'; .*did you mean"),
        ("beta-tc", {"gamma": 1.0}, "beta-tc has the settings .*beta=6.0"),
        ("hfvae", {}, "missing a required argument: 'groups'"),
    ],
)
def test_names_and_settings_that_are_none_are_refused(name, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Preset(name, settings)


def test_hfvae_weighs_information_and_correlation_between_and_within_groups():
    objective = Preset("hfvae", {**SETTINGS["hfvae"], "alpha": 0.5, "beta": 2.0, "gamma": 3.0})
    assert objective.schedule.weights == {"information": 0.5, "correlation": 2.0, "correlation.1": 3.0}


def test_options_that_are_none_are_refused():
    shown = programs()
    for build in (
        lambda: CovarianceMatching("codes"),
        lambda: MaximumMeanDiscrepancy(width=0),
        lambda: SharedDimensions(average="median"),
        lambda: SharedDimensions([7])(shown),
        lambda: Preset("factor-vae")(shown),
        lambda: Preset("factor-vae").objective.critic_loss(shown),
    ):
        with pytest.raises(ConfigurationError):
            build()
