"""Information and dependence of codes whose posteriors are known, in closed form; and clusters beside classes."""

import math
import sys

import numpy as np
import pytest
import torch

import coset
from coset.errors import DataError
from coset.metrics import InformationResult, clustering_accuracy, gaussian_total_correlation, posterior_information

RANDOM = np.random.default_rng(1)


def test_of_normal_codes_information_is_what_channels_of_this_noise_carry():
    means = RANDOM.normal(size=(900, 3))
    noise = np.array([2.0, 1.0, 0.3])
    found = posterior_information(means, np.tile(noise, (900, 1)))
    np.testing.assert_allclose(found.items, 0.5 * np.log(1 + 1 / noise**2), atol=0.1)
    assert found.total == pytest.approx(sum(found.items) - found.total_correlation, abs=1e-9)


def test_a_factorised_code_has_no_total_correlation_and_it_is_not_negative():
    for deviation in (1.0, 0.3):
        found = posterior_information(RANDOM.normal(size=(1000, 2)), np.full((1000, 2), deviation))
        assert 0 <= found.total_correlation < 0.2
        assert 0 <= found.gaussian_total_correlation < 0.02


def test_dependent_means_have_the_total_correlation_of_their_normal_distribution():
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    means = RANDOM.multivariate_normal([0, 0], covariance, size=1000)
    found = posterior_information(means, np.full((1000, 2), 0.5), draws=2)
    expected = -0.5 * math.log(1 - (0.8 / 1.25) ** 2)  # of draws, whose variances are 1.25
    assert found.total_correlation == pytest.approx(expected, abs=0.1)
    assert found.gaussian_total_correlation == pytest.approx(expected, abs=0.06)
    assert found.gaussian_total_correlation_of_means == pytest.approx(-0.5 * math.log(1 - 0.8**2), abs=0.06)


def test_what_a_dimension_tells_of_a_factor_is_at_most_its_entropy():
    level = RANDOM.integers(0, 2, 1000)
    means = np.stack([10.0 * level, RANDOM.normal(size=1000)], 1)
    found = posterior_information(means, np.full((1000, 2), 0.5), {"treated": level})
    assert found.names == ["treated"]
    assert found.factors[0][0] == pytest.approx(math.log(2), abs=0.01)
    assert found.factors[1][0] == pytest.approx(0, abs=0.02)
    assert found.items[0] == pytest.approx(math.log(2), abs=0.01)  # all that the dimension says is its level
    assert found.table().splitlines()[0].split() == ["dimension", "I(x;z)", "treated"]


def test_with_few_rows_information_stops_at_the_logarithm_of_their_number():
    found = posterior_information(RANDOM.normal(size=(50, 6)), np.full((50, 6), 0.01))
    assert found.total == pytest.approx(math.log(50), abs=1e-6)


def test_blocks_of_rows_change_nothing(monkeypatch):
    means, deviations = RANDOM.normal(size=(60, 3)), RANDOM.uniform(0.1, 1, (60, 3))
    whole = posterior_information(means, deviations, means[:, :1] > 0)
    monkeypatch.setattr(sys.modules[InformationResult.__module__], "BLOCK", 1000)
    assert posterior_information(means, deviations, means[:, :1] > 0).items == pytest.approx(whole.items, abs=1e-12)


@pytest.mark.parametrize(
    "model",
    [coset.VAE((6,), z_dim=4), coset.ContextAwareLearner((6,), ["set"], z_dim=2, context_dim=2)],
    ids=["items", "sets"],
)
def test_models_say_what_their_posteriors_are(model):
    items = torch.rand(7, 6)
    means, deviations = model.posteriors(items)
    assert torch.equal(means, model.embed(items)) and means.shape == deviations.shape
    torch.manual_seed(0)
    draws = torch.stack([model.embed(items, sample=True) for _ in range(400)])
    torch.testing.assert_close(draws.std(0), deviations, rtol=0.2, atol=0.02)
    assert posterior_information(*model.posteriors(items)).rows == 7


@pytest.mark.parametrize(
    ("means", "deviations", "message"),
    [
        (np.zeros(3), np.ones(3), r"expected \[n, d\]"),
        (np.zeros((3, 2)), np.ones((3, 1)), r"numbers above 0 of shape \[3, 2\], got \[3, 1\]"),
        (np.zeros((3, 2)), np.zeros((3, 2)), "numbers above 0"),
        (np.array([[np.nan], [1.0]]), np.ones((2, 1)), "row 0, column 0 holds nan"),
    ],
)
def test_posteriors_that_are_none_are_refused(means, deviations, message):
    with pytest.raises(DataError, match=message):
        posterior_information(means, deviations)


def test_a_dimension_that_never_changes_does_not_count_in_a_covariance():
    assert gaussian_total_correlation(np.stack([np.arange(5.0), np.ones(5)], 1)) == 0


def test_clusters_are_compared_with_classes_in_both_ways():
    classes = np.repeat([0, 1, 2], 20)
    same = clustering_accuracy(2 - classes, classes)
    assert (same.one_to_one, same.many_to_one, same.nmi, same.ari) == (100, 100, 1, 1)
    halves = clustering_accuracy(np.arange(60) // 10, classes)  # each class in two clusters
    assert halves.one_to_one == 50 and halves.many_to_one == 100 and halves.clusters == 6
    chance = clustering_accuracy(RANDOM.integers(0, 3, 60), classes)
    assert chance.one_to_one < 60 and abs(chance.ari) < 0.1


@pytest.mark.parametrize(
    ("clusters", "classes", "message"),
    [
        ([0, 1], [0], "two lists"),
        ([], [], "two lists"),
        ([0.5, 1], [0, 1], "clusters: expected whole numbers"),
        ([0, 1], [np.inf, 1], "classes: expected whole numbers or words, got inf"),
    ],
)
def test_partitions_that_are_none_are_refused(clusters, classes, message):
    with pytest.raises(DataError, match=message):
        clustering_accuracy(clusters, classes)
