"""The divergence taken apart: exact in sum, right in its parts, and each preset the formula of its paper."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import coset
from coset.batch import SetBatch
from coset.errors import ConfigurationError
from coset.objectives import Decomposed
from coset.objectives.decomposed import PRESETS
from coset.objectives.latents import latent_sites
from coset.programs import Programs
from coset.recipes import read_recipe
from coset.runs import train_run

PLAIN = {"features": 16, "architecture": "plain", "channels": [], "norm": "none"}
GROUPS = [None, ["z"], ["z[:2]", "z[2:]"], [["z[0]", "z[1:3]"], "z[3]"], ["z[2:]", "z[:2]"]]
ESTIMATORS = ["importance", "weighted", "stratified", "leave-one-out"]


def vae():
    return coset.VAE((6,), z_dim=4, **PLAIN).eval()


def two_sites():
    return coset.ClassStyle((6,), classes=3, style_dim=2, **PLAIN).eval()


def batch(items=9):
    return SetBatch(torch.rand(items, 1, 6))


def drawn_bound(bound, *sites):
    """Log p(x, z) − log q(z | x) of the draw itself, not its closed form."""
    return bound.p["x"].log_prob + sum(bound.p[name].log_prob - bound.q[name].log_prob for name in sites)


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_parts_sum_to_the_bound_draw_by_draw(groups, estimator):
    bound = Decomposed(groups=groups, estimator=estimator, data_size=50)(Programs(vae(), batch()))
    torch.testing.assert_close(bound.value, drawn_bound(bound, "z"), atol=1e-9, rtol=0)


@pytest.mark.parametrize("groups", [None, ["class", "style[0]", "style[1]"], [["class", "style[:1]"], "style[1:]"]])
def test_sites_that_read_each_other_sum_to_the_bound_too(groups):
    bound = Decomposed(groups=groups, data_size=50)(Programs(two_sites(), batch()))
    torch.testing.assert_close(bound.value, drawn_bound(bound, "class", "style"), atol=1e-9, rtol=0)


def test_items_of_sets_count_each_and_padding_does_not():
    model = vae()
    x, mask = torch.rand(3, 4, 6), torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
    torch.manual_seed(0)
    bound = Decomposed(data_size=50)(Programs(model, SetBatch(x, mask=mask)))
    torch.testing.assert_close(bound.value, drawn_bound(bound, "z"), atol=1e-9, rtol=0)
    x[1, 2:], x[2, 3] = torch.nan, torch.inf
    torch.manual_seed(0)
    other = Decomposed(data_size=50)(Programs(model, SetBatch(x, mask=mask)))
    torch.testing.assert_close(other.terms["correlation"], bound.terms["correlation"], atol=1e-9, rtol=0)


def log_aggregate(model, z, x, columns):
    """Log 1/N Σ_n q(z_g | x_n), written out."""
    q = coset.Trace()
    model.infer(q, SetBatch(x))
    normal = q["z"].distribution.base_dist
    parts = [normal.log_prob(one)[:, 0, columns].sum(-1) for one in z]  # [N] each
    return torch.stack([part.logsumexp(0) for part in parts]) - math.log(len(x))


def test_a_batch_of_all_items_has_the_exact_aggregate():
    model, x = vae(), torch.rand(12, 1, 6)
    with torch.no_grad():
        bound = Decomposed(groups=["z[:3]", "z[3:]"], data_size=12)(Programs(model, SetBatch(x)))
        z = bound.q["z"].value[:, 0]
        whole, one, two = (log_aggregate(model, z, x, columns) for columns in ([0, 1, 2, 3], [0, 1, 2], [3]))
        torch.testing.assert_close(bound.terms["information"], bound.q["z"].log_prob - whole, atol=1e-9, rtol=0)
        torch.testing.assert_close(bound.terms["correlation"], whole - one - two, atol=1e-9, rtol=0)


def test_estimates_whose_weights_are_those_of_the_data_are_the_least_biased():
    """Mean of log q(z) over many batches of 8 of 60 items beside that of the exact aggregate of all."""
    model, x = vae(), 4 * torch.rand(60, 1, 6)
    model.z_posterior = _Narrow(model.z_posterior)
    biases = {}
    with torch.no_grad():
        for estimator in ESTIMATORS:
            objective, found = Decomposed(estimator=estimator, data_size=60), []
            for _ in range(100):
                some = x[torch.randperm(60)[:8]]
                bound = objective(Programs(model, SetBatch(some)))
                z = bound.q["z"].value[:, 0]
                estimate = bound.q["z"].log_prob - bound.terms["information"]
                found.append(estimate - log_aggregate(model, z, x, [0, 1, 2, 3]))
            biases[estimator] = float(torch.cat(found).mean())
    assert max(abs(biases["importance"]), abs(biases["stratified"])) < 0.5 * abs(biases["leave-one-out"]), biases
    assert biases["weighted"] < biases["importance"] < 0, biases


class _Narrow(torch.nn.Module):
    """The same posteriors with their means further apart, so that they overlap in part only."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, *given):
        base = self.head(*given).base_dist
        return torch.distributions.Independent(torch.distributions.Normal(6 * base.loc, 0.5 * base.scale), 1)


def test_values_of_one_site_are_scored_under_what_other_items_give_the_next():
    """Of q(class | x) q(style | x, class) the pair (i, j) has class and style of i, and x of j."""
    model, x = two_sites(), torch.rand(5, 1, 6)
    with torch.no_grad():
        bound = Decomposed(data_size=5)(Programs(model, SetBatch(x)))
        values = bound.q.values("class", "style")
        rows = []
        for item in range(5):
            q = coset.Trace(replay={name: value[item].expand_as(value) for name, value in values.items()})
            model.infer(q, SetBatch(x))
            rows.append(q["class"].log_prob + q["style"].log_prob)
        whole = torch.stack(rows).logsumexp(1) - math.log(5)
    own = bound.q["class"].log_prob + bound.q["style"].log_prob
    torch.testing.assert_close(bound.terms["information"], own - whole, atol=1e-9, rtol=0)


FORMULAE = {
    "vae": ({}, lambda t: t["information"] + t["correlation"] + t["correlation.1"] + t["marginals"]),
    "beta-vae": (
        {"beta": 4.0},
        lambda t: 4 * (t["information"] + t["correlation"] + t["correlation.1"] + t["marginals"]),
    ),
    "kumar": (
        {"scale": 3.0},
        lambda t: t["information"] + 3 * (t["correlation"] + t["correlation.1"] + t["marginals"]),
    ),
    "zhao": ({"scale": 3.0}, lambda t: 3 * (t["correlation"] + t["correlation.1"] + t["marginals"])),
    "gao": ({"scale": 3.0}, lambda t: FORMULAE["vae"][1](t) - 3 * t["anchors"]),
    "achille-soatto": (
        {"beta": 2.0, "gamma": 5.0},
        lambda t: 2 * t["information"] + 5 * (t["correlation"] + t["correlation.1"]),
    ),
    "beta-tc": (
        {"beta": 6.0},
        lambda t: t["information"] + 6 * (t["correlation"] + t["correlation.1"]) + t["marginals"],
    ),
    "hfvae": (
        {"alpha": 0.5, "beta": 12.0, "gamma": 4.0},
        lambda t: 0.5 * t["information"] + 12 * t["correlation"] + 4 * t["correlation.1"] + t["marginals"],
    ),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_its_row_of_the_table(preset):
    coefficients, cost = FORMULAE[preset]
    options = {"groups": ["z[:2]", "z[2:]"], "data_size": 50, "anchors": ["z[1]"] if preset == "gao" else ()}
    objective = Decomposed(preset, coefficients, **options)
    bound = objective(Programs(vae(), batch()))
    weighted = bound.weighted(objective.schedule.weights)
    torch.testing.assert_close(weighted, bound.terms["x"] - cost(bound.terms), atol=1e-9, rtol=0)


def test_anchors_are_what_their_dimensions_tell_of_an_item():
    model, x = vae(), torch.rand(12, 1, 6)
    with torch.no_grad():
        bound = Decomposed("gao", anchors=["z[1:3]"], data_size=12)(Programs(model, SetBatch(x)))
        z = bound.q["z"]
        own = z.distribution.base_dist.log_prob(z.value)[:, 0, 1:3].sum(-1)
        expected = own - log_aggregate(model, z.value[:, 0], x, [1, 2])
    torch.testing.assert_close(bound.terms["anchors"], expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(bound.value, drawn_bound(bound, "z"), atol=1e-9, rtol=0)  # it is no part of the bound


@pytest.mark.usefixtures("single")
def test_a_recipe_names_a_preset_with_its_coefficients(tmp_path):
    options = [
        "--training.steps=2",
        "--objective.coefficients={gamma: 2}",
        "--model.features=8",
        "--trainer.enable_progress_bar=false",
    ]
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(0).normal(size=(200, 5)))
    recipe = {
        "data": {"class": "OwnData", "path": str(tmp_path / "rows.npz")},
        "model": {"class": "VAE", "z_dim": 4},
        "objective": {"class": "Decomposed", "preset": "hfvae", "groups": ["z[:2]", "z[2:]"]},
    }
    _, record = train_run(read_recipe("rows", recipe), tmp_path / "run", options)
    assert "correlation.1" in record.history[-1]


@pytest.mark.usefixtures("single")
def test_more_weight_on_correlation_leaves_less_of_it():
    torch.manual_seed(0)
    table = coset.FactorTable(torch.randn(400, 2) @ torch.randn(2, 6) + 0.1 * torch.randn(400, 6))
    left = []
    for preset, coefficients in (("vae", {}), ("beta-tc", {"beta": 30.0})):
        torch.manual_seed(0)
        model = coset.VAE((6,), z_dim=3, likelihood="gaussian", **PLAIN)
        objective = Decomposed(preset, coefficients)
        options = {"sets": {"batch": 64}, "enable_progress_bar": False, "accelerator": "cpu"}
        coset.fit(model, table, steps=200, learning_rate=1e-2, objective=objective, **options)
        with torch.no_grad():
            bound = Decomposed(data_size=400)(Programs(model.eval(), SetBatch(table.x().unsqueeze(1))))
        left.append(float(bound.terms["correlation"].mean()))
    assert left[0] > 0.1 and left[1] < 0.5 * left[0], left


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": ["z[:2]"]}, r"no partition of z\[:4\]"),
        ({"groups": ["z[:3]", "z[2:]"]}, "no partition"),
        ({"groups": ["y"]}, "no latent site for 'y'"),
        ({"data_size": None}, "how many items the data has is not known"),
        ({"data_size": 8}, "no more than the 8 of the data, got 9"),
    ],
)
def test_groups_and_sizes_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Decomposed(**({"data_size": 50} | options))(Programs(vae(), batch()))


def test_a_batch_of_one_is_refused():
    with pytest.raises(ConfigurationError, match="2 items in a batch or more"):
        Decomposed(data_size=50)(Programs(vae(), batch(1)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "hfva"}, "no preset 'hfva'; .*did you mean 'hfvae'"),
        (
            {"preset": "hfvae", "coefficients": {"delta": 1.0}},
            "hfvae has the coefficients .'alpha', 'beta', 'gamma'., got .'delta'",
        ),
        ({"estimator": "exact"}, "no estimator 'exact'"),
        ({"preset": "gao"}, "the preset gao rewards what dimensions, anchors=, tell"),
        ({"anchors": ["z[0]"]}, "the preset gao rewards what dimensions, anchors=, tell"),
        ({"discrete": {"class": "enumerate"}}, "drawn, not enumerated"),
        ({"discrete": {"class": "tempered"}}, "drawn, not enumerated"),
    ],
)
def test_words_that_are_none_of_its_own_are_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        Decomposed(**arguments)


def drawn_difference(bound):
    """The same of every model: entries that are known are conditioned on, and masks weigh both programs alike."""
    total = sum(site.log_prob for site in bound.p if site.provenance == "observed")
    for site in latent_sites(bound.q):
        entry = bound.p[site.name].distribution.log_prob(site.value) - site.distribution.log_prob(site.value)
        entry = entry.expand(site.value.shape[: len(site.axes)])
        entry = entry if site.mask is None else torch.where(site.mask > 0, entry, 0.0) * site.mask
        entry = entry if site.known is None else entry * (1 - site.known)
        total = total + entry.flatten(1).sum(1) if entry.ndim > 1 else total + entry
    return total


def sets():
    """Five sets, of two contexts of which each holds some constant, with items missing."""
    constant = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    mask = torch.tensor([[1.0, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 1]])
    return SetBatch(torch.rand(5, 3, 6), constant, mask)


SIZES = {"context_dim": 2, "z_dim": 2, "hidden": 8}


def of_sets():
    shown = sets()
    return {
        "contexts": (coset.ContextAwareLearner((6,), ["one", "two"], **SIZES, **PLAIN), shown),
        "statistician": (
            coset.NeuralStatistician((6,), ["set"], **SIZES, **PLAIN),
            replace(shown, constant=shown.constant[:, :1]),
        ),
        "labels": (
            coset.ClassStyle((6,), classes=3, style_dim=2, **PLAIN),
            replace(
                shown, constant=None, factors={"class": torch.tensor([[0, 1, -1], [2, -1, -1]] * 2 + [[-1, 1, 0]])}
            ),
        ),
        "faces": (coset.IntrinsicFaces((6,), people=2, shading_dim=2, reflectance_dim=2, **PLAIN), batch()),
    }


@pytest.mark.parametrize("name", ["contexts", "statistician", "labels", "faces"])
@pytest.mark.parametrize("estimator", ["importance", "stratified"])
def test_parts_sum_to_the_bound_in_every_model(name, estimator):
    model, shown = of_sets()[name]
    bound = Decomposed(estimator=estimator, data_size=50)(Programs(model.eval(), shown))
    torch.testing.assert_close(bound.value, drawn_difference(bound), atol=1e-9, rtol=0)
    assert {"information", "correlation", "marginals"} <= bound.terms.keys()


def test_groups_of_a_model_of_sets_are_of_one_site_each():
    model, shown = of_sets()["statistician"]
    bound = Decomposed(groups=["context", ["z.1[0]", "z.1[1]"]], data_size=50)(Programs(model.eval(), shown))
    torch.testing.assert_close(bound.value, drawn_difference(bound), atol=1e-9, rtol=0)
    with pytest.raises(ConfigurationError, match="'context' is taken apart by itself"):
        Decomposed(groups=[["context[0]", "z.1[0]"], ["context[1]", "z.1[1]"]], data_size=50)(Programs(model, shown))


def test_the_context_of_sets_has_the_sets_of_the_batch_for_its_aggregate():
    model, shown = of_sets()["statistician"]
    with torch.no_grad():
        bound = Decomposed(estimator="weighted", data_size=50)(Programs(model.eval(), shown))
        q, value = bound.q["context"].distribution.base_dist, bound.q["context"].value
        pairs = q.log_prob(value.unsqueeze(1)).sum(-1)  # [5, 5]
        of_context = bound.q["context"].log_prob - (pairs.logsumexp(1) - math.log(5 * 50))
        z = bound.q["z.1"]
        normal, some = z.distribution.base_dist, z.mask.flatten() > 0
        means, deviations = normal.loc.flatten(0, 1)[some], normal.scale.flatten(0, 1)[some]
        values = z.value.flatten(0, 1)[some]
        under = torch.distributions.Normal(means, deviations).log_prob(values.unsqueeze(1)).sum(-1)
        of_items = under.diagonal() - (under.logsumexp(1) - math.log(len(values) * 50))
    assert float(bound.terms["information"].sum()) == pytest.approx(float(of_context.sum() + of_items.sum()), abs=1e-9)
