"""Likelihoods: what they say of items, what they take, and what they take from data."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

import coset
from coset import VAE, ClassStyle, ContextAwareLearner, FactorTable, NeuralStatistician
from coset.discovery import classes
from coset.errors import ConfigurationError, DataError
from coset.networks.likelihoods.base import Likelihood, build_likelihood
from coset.networks.likelihoods.columns import by_name
from coset.objectives import elbo

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
OPTIONS = {"Categorical": {"values": 4}, "Columns": {"parts": [{"class": "Gaussian", "columns": [0, 1, 2, 3]}]}}
NAMES = sorted(classes("coset.networks.likelihoods", Likelihood))
VECTORS = ("Columns",)


def made(name, shape, **options):
    return build_likelihood({"class": name, **OPTIONS.get(name, {}), **options}, shape)


def spread_out(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def rows(name, shape, n=60):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(n, *shape, generator=generator)
    counts = {"Categorical": 3, "Poisson": 9}.get(name, 9)
    return x if "Bernoulli" in name or name == "Logistic" else (counts * x).round()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(4,), (8, 9), (3, 8, 8)])
def test_likelihoods_are_over_whole_items_for_any_batch(name, shape):
    if name in VECTORS and len(shape) > 1:
        with pytest.raises(ConfigurationError, match="expected vectors"):
            made(name, shape)
        return
    likelihood = made(name, shape)
    assert build_likelihood({"class": likelihood.kind, **OPTIONS.get(name, {})}, shape).kind == likelihood.kind
    parameters = spread_out((2, 5, *likelihood.parameter_shape))
    distribution = likelihood(parameters)
    drawn = distribution.sample()
    assert drawn.shape == distribution.mean.shape == (2, 5, *shape) and likelihood.check(drawn) is None
    score = distribution.log_prob(drawn)
    assert score.shape == (2, 5) and bool(score.isfinite().all())
    assert likelihood.reading(drawn).shape == (2, 5, *likelihood.reading.shape)
    with torch.no_grad():
        one = likelihood(parameters[1, 3]).log_prob(drawn[1, 3])
    torch.testing.assert_close(one, score.detach()[1, 3])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("Bernoulli", "Categorical")])
def test_means_and_variances_are_those_of_draws(name):
    likelihood = made(name, (4,)).double()
    distribution = likelihood(spread_out(likelihood.parameter_shape).double().clamp(-1, 1))
    torch.manual_seed(0)
    drawn = torch.stack([distribution.sample() for _ in range(20_000)])
    error = 6 * (distribution.variance.detach() / 20_000).sqrt()
    assert bool(((drawn.mean(0) - distribution.mean.detach()).abs() < error).all())
    torch.testing.assert_close(drawn.var(0), distribution.variance.detach(), rtol=0.2, atol=0)


def test_counts_have_the_probabilities_that_scipy_gives():
    x = torch.tensor([0.0, 1.0, 7.0], dtype=torch.float64)
    said = torch.tensor([-0.3, 0.8, 0.1], dtype=torch.float64)
    library = torch.tensor(20.0, dtype=torch.float64)
    rate = (20 * said.softmax(-1)).numpy()
    options = {"library": (3.0, 0.5)}
    poisson = made("Poisson", (3,), **options).double()
    np.testing.assert_allclose(
        poisson(said, library).log_prob(x).item(), stats.poisson.logpmf(x.numpy(), rate).sum(), rtol=1e-12
    )
    negative = made("NegativeBinomial", (3,), **options).double()
    torch.nn.init.constant_(negative.raw_theta, math.log(2.5))
    one_by_one = stats.nbinom.logpmf(x.numpy(), 2.5, 2.5 / (2.5 + rate))
    np.testing.assert_allclose(negative(said, library).log_prob(x).item(), one_by_one.sum(), rtol=1e-6)
    inflated = made("ZeroInflatedNegativeBinomial", (3,), **options).double()
    torch.nn.init.constant_(inflated.raw_theta, math.log(2.5))
    lost = torch.tensor([0.4, -1.0, 2.0], dtype=torch.float64)
    pi = torch.sigmoid(lost).numpy()
    expected = np.log(pi * (x.numpy() == 0) + (1 - pi) * np.exp(one_by_one)).sum()
    found = inflated(torch.cat([said, lost]), library).log_prob(x)
    np.testing.assert_allclose(found.item(), expected, rtol=1e-6)


def test_levels_have_the_probabilities_of_a_rounded_logistic_variable():
    likelihood = build_likelihood({"class": "Logistic", "levels": 5, "width": 0.2}, (6,)).double()
    x, said = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0, 0.25]).double(), torch.tensor([0.3] * 5 + [-60.0]).double()
    centre = 1 / (1 + np.exp(-said.numpy()))
    edges = [np.where(x == 0, -np.inf, x - 0.125), np.where(x == 1, np.inf, x + 0.125)]
    low, high = (stats.logistic.cdf(edge, centre, 0.2) for edge in edges)
    found = torch.stack([likelihood(said).base_dist.log_prob(x)]).squeeze(0).detach().numpy()
    np.testing.assert_allclose(found, np.log(high - low), rtol=1e-9)
    np.testing.assert_allclose(np.exp(found[:5]).sum(), 1.0, rtol=1e-9)
    narrow = build_likelihood({"class": "Logistic", "width": 2e-3}, (1,)).double()
    far = narrow(torch.tensor([-4.0]).double()).log_prob(torch.tensor([0.9]).double())
    assert -450 < far.item() < -430  # and not minus infinity


def test_students_t_and_gaussians_have_the_densities_that_scipy_gives():
    x, said = torch.tensor([0.5, -3.0]).double(), torch.tensor([0.1, 0.4]).double()
    with_outliers = build_likelihood("student-t", (2,), (1.0, 2.0)).double()
    freedom = 2 + math.log1p(math.exp(2.0))
    expected = stats.t.logpdf(x.numpy(), freedom, 1 + 2 * said.numpy(), 2.0).sum()
    np.testing.assert_allclose(with_outliers(said).log_prob(x).item(), expected, rtol=1e-4)
    fixed = build_likelihood({"class": "Gaussian", "scale": 0.7}, (2,), (1.0, 2.0)).double()
    assert not list(fixed.parameters())
    expected = stats.norm.logpdf(x.numpy(), 1 + 2 * said.numpy(), 0.7).sum()
    np.testing.assert_allclose(fixed(said).log_prob(x).item(), expected, rtol=1e-4)


def test_widths_are_learned_for_elements_for_all_or_said_for_each_item():
    sizes = {how: made("Gaussian", (3,), scale=how) for how in ("element", "shared", "item")}
    shapes = {how: [list(p.shape) for p in likelihood.parameters()] for how, likelihood in sizes.items()}
    assert shapes == {"element": [[3]], "shared": [[]], "item": []}
    said = torch.tensor([0.0, 0.0, 0.0, 5.0, 0.0, -5.0])
    widths = sizes["item"](said).stddev
    assert float(widths[0]) > float(widths[1]) > float(widths[2]) > 0


def test_columns_have_likelihoods_of_their_own():
    kinds = {"age": "gaussian", "sex": {"class": "Categorical", "values": 2}, "n": "poisson"}
    likelihood = build_likelihood(by_name(kinds, ["n", "sex", "age"]), (3,)).double()
    assert likelihood.parameter_shape == (4,) and likelihood.reading.shape == (4,)
    said, x = torch.tensor([0.5, 0.2, 1.0, -1.0]).double(), torch.tensor([3.0, 1.0, 0.4]).double()
    alone = [
        made("Poisson", (1,)).double()(said[:1]).log_prob(x[:1]),
        build_likelihood({"class": "Categorical", "values": 2}, (1,)).double()(said[1:3]).log_prob(x[1:2]),
        made("Gaussian", (1,)).double()(said[3:]).log_prob(x[2:]),
    ]
    torch.testing.assert_close(likelihood(said).log_prob(x), torch.stack(alone).sum())
    assert likelihood(said).mean[1] == 1  # the more probable code


def counts(n=240, genes=6, seed=0):
    random = np.random.default_rng(seed)
    kind, batch = np.arange(n) % 3, np.arange(n) // 3 % 2
    rate = np.exp(random.normal(size=(3, genes)))[kind] * np.exp(0.5 * random.normal(size=(2, genes)))[batch]
    library = np.exp(random.normal(3.5, 0.6, n))
    rate = library[:, None] * rate / rate.sum(1, keepdims=True)
    x = random.poisson(rate * random.gamma(3.0, 1 / 3.0, rate.shape)).astype(float)
    return FactorTable(x, kind=kind, batch=batch)


@pytest.mark.parametrize("kind", [VAE, ClassStyle, NeuralStatistician, ContextAwareLearner])
def test_models_of_counts_take_rates_and_totals_from_the_data_and_give_back_totals(kind, tmp_path):
    table = counts()
    options = {"label": "kind"} if kind is ClassStyle else {}
    if kind is NeuralStatistician:
        options = {"contexts": ["kind"]}
    model = kind.for_data(table, likelihood="negative-binomial", **options)
    x = table.x()
    torch.testing.assert_close(model.likelihood.rates, x.mean(0), rtol=1e-5, atol=1e-5)
    logs = x.sum(1).clamp_min(1).log()
    assert float(model.likelihood.library.location) == pytest.approx(float(logs.mean()), abs=1e-4)
    shown = x.view(1, -1, 6) if model.contexts else x
    out = model.reconstruct(shown).view(-1, 6)
    torch.testing.assert_close(out.sum(1), x.sum(1).clamp_min(1), rtol=1e-4, atol=1e-3)
    coset.fit(model, table, steps=2, sets={"batch": 4}, **QUIET)
    model.save_pretrained(tmp_path / "model")
    again = coset.load(tmp_path / "model").reconstruct(shown).view(-1, 6)
    torch.testing.assert_close(again, model.reconstruct(shown).view(-1, 6))
    drawn = model.sample(n=500, draw=True)
    assert bool((drawn == drawn.round()).all()) and drawn.sum(-1).log1p().std() > 0.2  # totals differ, as in the data


def test_the_total_is_given_and_no_part_of_the_bound():
    table = counts()
    model = VAE.for_data(table, likelihood="poisson")
    batch = table.sets((), items=1, batch=20).draw(0)
    bound = elbo(*model.trace(batch))
    assert set(bound.terms) == {"x", "z"}


def test_compositions_of_counts_are_counts():
    table = counts()
    model = ContextAwareLearner.for_data(table, ["kind", "batch"], likelihood="zero-inflated-negative-binomial")
    assert model.likelihood.parameter_shape == (12,)
    given = {name: table.where(**{name: 1}).x() for name in ("kind", "batch")}
    composed = model.compose(**given, n=7)
    assert composed.shape == (7, 6) and bool((composed >= 0).all())


def test_a_negative_binomial_explains_what_a_poisson_does_not():
    table, held_out = counts(), counts(seed=0)[np.arange(0, 240, 7)]
    scores = {}
    for name in ("poisson", "negative-binomial"):
        torch.manual_seed(0)
        model = VAE.for_data(table, likelihood=name, z_dim=2, features=16)
        coset.fit(model, table, steps=200, learning_rate=5e-3, sets={"batch": 60}, **QUIET)
        scores[name] = float(coset.metrics.log_likelihood(model, held_out.x(), particles=50).mean())
    assert scores["negative-binomial"] > scores["poisson"] + 1


def test_a_table_of_mixed_columns_is_learned_by_the_names_of_its_columns(tmp_path):
    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(0)
    sex, site = random.integers(0, 2, 300), np.arange(300) % 2
    frame = pandas.DataFrame({"site": site, "age": 40 + 9 * sex + random.normal(size=300), "sex": sex})
    table = coset.FactorTable.from_frame(frame, ["age", "sex"], ["site"])
    kinds = {"age": "gaussian", "sex": "categorical"}
    model = VAE.for_data(table, likelihood=kinds, z_dim=2, features=16)
    coset.fit(model, table, steps=150, learning_rate=1e-2, sets={"batch": 60}, **QUIET)
    drawn = model.sample(n=400, draw=True)
    assert set(drawn[:, 1].unique().tolist()) == {0.0, 1.0}
    older = drawn[drawn[:, 1] == 1, 0].mean() - drawn[drawn[:, 1] == 0, 0].mean()
    assert float(older) > 4  # years, of 9
    with pytest.raises(ConfigurationError, match="no column 'height'"):
        VAE.for_data(table, likelihood={**kinds, "height": "gaussian"})
    with pytest.raises(ConfigurationError, match="column 'sex' has none"):
        VAE.for_data(table, likelihood={"age": "gaussian"})


@pytest.mark.parametrize(
    ("name", "x", "match"),
    [
        ("bernoulli", [[0.5, 1.5]], r"Bernoulli likelihood takes values in \[0, 1\], got \[0.5, 1.5\]; rescale"),
        ("continuous-bernoulli", [[-0.5, 0.5]], r"takes values in \[0, 1\].*gaussian"),
        ("negative-binomial", [[3.0, -1.0]], r"takes values from 0 up, got \[-1, 3\].*gaussian"),
        ("poisson", [[3.0, 0.25]], r"whole numbers, got 0.25; give counts as they were counted"),
        ({"class": "Categorical", "values": 3}, [[0.0, 3.0]], r"takes values in \[0, 2\].*number the values"),
        ("gaussian", [[0.0, float("nan")]], "NaN"),
    ],
)
def test_items_that_a_likelihood_does_not_take_are_refused(name, x, match):
    with pytest.raises(DataError, match=match):
        VAE.for_data(torch.tensor(x).repeat(4, 1), likelihood=name)
    fine = VAE.for_data(torch.tensor([[0.0, 1.0], [1.0, 1.0]]), likelihood=name)
    with pytest.raises(DataError, match=match):
        fine.embed(x)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("negative-binomal", "nothing is called 'negative-binomal'.*did you mean 'negative-binomial'"),
        ({"class": "Gaussian", "skale": 1.0}, "no option 'skale'.*scale"),
        ({"class": "Gaussian", "scale": "row"}, "expected a number, or one of"),
        ({"class": "Gaussian", "scale": 0.0}, "scale: expected a number above"),
        ({"class": "Gaussian", "scale": 1.0, "width": 1.0}, "scale is fixed"),
        ({"class": "NegativeBinomial", "rates": [1.0, 0.0]}, "above 0"),
        ({"class": "NegativeBinomial", "rates": [1.0]}, "one for each of"),
        ({"class": "Poisson", "library": [3.0, 0.0]}, "library: expected mean and deviation"),
        ({"class": "Categorical", "values": 1}, "values: expected 2 or more"),
        (
            {"class": "Columns", "parts": [{"class": "Gaussian", "columns": [0]}]},
            "columns 0 to 1 in one part",
        ),
    ],
)
def test_likelihoods_that_cannot_be_are_refused(given, match):
    with pytest.raises(ConfigurationError, match=match):
        VAE((2,), likelihood=given)
