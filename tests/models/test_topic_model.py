"""The topic model: its likelihood, its prior, and topics that were planted."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

import coset
from coset.batch import SetBatch
from coset.errors import ConfigurationError
from coset.objectives import elbo
from coset.programs import Programs

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
WORDS = [f"{kind}{index}" for kind in ("a", "b", "c") for index in range(5)]


def planted(documents=600, length=40):
    """Three topics of five words each; a document is mostly of one of them."""
    random = np.random.default_rng(0)
    kind = np.arange(documents) % 3
    odds = np.kron(np.eye(3), np.ones((1, 5)))[kind] + 0.02
    counts = np.stack([random.multinomial(length, row / row.sum()) for row in odds])
    return coset.FactorTable(counts.astype(np.float32), kind=kind)


def test_words_are_multinomial_given_the_length_of_the_document():
    """Up to the Poisson probability of the length, which no parameter has a say in."""
    model = coset.TopicModel.for_data(planted(), topics=4, hidden=8).double().eval()
    x = planted().x()[:5].double()
    shown = Programs(model, SetBatch(x.unsqueeze(1)))
    with torch.no_grad():
        p = shown.generate(shown.infer())
        log_share = p["x"].distribution.mean[:, 0].log() - math.log(40)
    multinomial = torch.distributions.Multinomial(40, logits=log_share).log_prob(x)
    torch.testing.assert_close(p["x"].log_prob, multinomial + stats.poisson.logpmf(40, 40), atol=1e-8, rtol=0)


def test_the_prior_is_the_laplace_approximation_of_a_dirichlet_distribution():
    """Srivastava & Sutton 2017, equation 2, for a concentration that is the same for all topics."""
    k, alpha = 7, 0.3
    model = coset.TopicModel((6,), topics=k, concentration=alpha)
    prior = coset.Trace()
    model.eval().generate(prior, (1, 1))
    variance = (1 / alpha) * (1 - 2 / k) + k / (k**2 * alpha)
    assert float(prior["z"].distribution.base_dist.scale.square()[0, 0, 0]) == pytest.approx(variance, rel=1e-5)


@pytest.mark.usefixtures("single")
def test_planted_topics_are_found():
    table = planted()
    torch.manual_seed(0)
    model = coset.TopicModel.for_data(table, topics=3, hidden=32)
    coset.fit(model, table, steps=300, learning_rate=1e-2, sets={"batch": 100}, **QUIET)
    found = model.top_words(WORDS, count=5)
    assert {frozenset(word[0] for word in topic) for topic in found} == {frozenset("a"), frozenset("b"), frozenset("c")}
    clusters = model.shares(table.x()).argmax(1)
    assert coset.metrics.clustering_accuracy(clusters, table.column("kind")).one_to_one > 95
    bound = elbo(*model.eval().trace(SetBatch(table.x().unsqueeze(1)))).value
    assert bool(bound.isfinite().all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"item_shape": (4, 4)}, r"expected counts of words \(V,\)"),
        ({"topics": 1}, "2 topics or more"),
        ({"likelihood": "gaussian"}, "takes a likelihood of counts, got 'gaussian'"),
        ({"dropout": 1.0}, "dropout below 1"),
        ({"concentration": 0.0}, "concentration above 0"),
    ],
)
def test_sizes_that_are_none_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        coset.TopicModel(**({"item_shape": (6,)} | options))


def test_relevance_weighs_what_is_likely_against_what_is_likely_everywhere():
    table = planted()
    common = coset.FactorTable(torch.cat([table.x(), torch.full((600, 1), 30.0)], 1))
    torch.manual_seed(0)
    model = coset.TopicModel.for_data(common, topics=3, hidden=8).eval()
    share = model.word_probabilities()
    torch.testing.assert_close(share.sum(1), torch.ones(3))
    words = [*WORDS, "everywhere"]
    likely = model.top_words(words, count=1, relevance=1.0)
    assert likely == [[words[index]] for index in share.argmax(1).tolist()] == [["everywhere"]] * 3
    lift = (share.log() - model.likelihood.rates.log()).argmax(1).tolist()
    assert model.top_words(words, count=1, relevance=0.0) == [[words[index]] for index in lift]


def test_words_are_as_many_as_the_items_have():
    with pytest.raises(ConfigurationError, match="expected 6 words"):
        coset.TopicModel((6,)).top_words(["a", "b"])
