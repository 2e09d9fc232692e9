"""Scores made of classifiers, votes and neighbours: known values on codes of known kinds, chance, and bad input."""

import numpy as np
import pytest
from tests.metrics.test_codes_and_factors import CODES, FACTORS

import coset.metrics as metrics
from coset.errors import ConfigurationError, DataError

RANDOM = np.random.default_rng(0)
SOME = (600, 300)
SCORES = {
    "beta_vae": lambda x: metrics.beta_vae_score(x, FACTORS, points=SOME).value,
    "factor_vae": lambda x: metrics.factor_vae_score(x, FACTORS, votes=SOME).value,
    "sap": lambda x: metrics.separated_attribute_predictability(x, FACTORS).value,
    "explicitness": lambda x: metrics.explicitness(x, FACTORS).value,
    "irs": lambda x: metrics.interventional_robustness(x, FACTORS).value,
    "infom": lambda x: metrics.infomec(x, FACTORS, active=0).parts["infom"],
    "infoe": lambda x: metrics.infomec(x, FACTORS, active=0).parts["infoe"],
    "infoc": lambda x: metrics.infomec(x, FACTORS, active=0).parts["infoc"],
}
KNOWN = {  # the least and the largest value for each kind of code
    "beta_vae": {"perfect": (1, 1), "useless": (0.2, 0.5), "duplicated": (1, 1), "rotated": (0.9, 1)},
    "factor_vae": {"perfect": (1, 1), "useless": (0.25, 0.5), "duplicated": (1, 1), "rotated": (0.5, 1)},
    "sap": {"perfect": (0.4, 0.6), "useless": (0, 0.05), "duplicated": (0, 0), "rotated": (0, 0.35)},
    "explicitness": {"perfect": (0.8, 1), "useless": (0.4, 0.6), "duplicated": (0.8, 1), "rotated": (0.8, 1)},
    "irs": {"perfect": (1, 1), "useless": (0.1, 0.6), "duplicated": (1, 1), "rotated": (0.2, 0.8)},
    "infom": {"perfect": (0.95, 1), "useless": (0, 1), "duplicated": (0.95, 1), "rotated": (0.1, 0.8)},
    "infoe": {"perfect": (0.99, 1), "useless": (-0.1, 0.05), "duplicated": (0.99, 1), "rotated": (0.99, 1)},
    "infoc": {"perfect": (0.95, 1), "useless": (0, 1), "duplicated": (0.35, 0.45), "rotated": (0.1, 0.8)},
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("kind", ["perfect", "useless", "duplicated", "rotated"])
def test_codes_of_known_kinds_are_scored_as_such(name, kind):
    low, high = KNOWN[name][kind]
    assert low - 1e-9 <= SCORES[name](CODES[kind]) <= high + 1e-9


@pytest.mark.parametrize("name", SCORES)
def test_the_order_of_dimensions_does_not_matter_and_their_scale_hardly(name):
    """A linear machine with a cost for its weights sees the scale, and so does a threshold in units of the codes."""
    permuted = SCORES[name](CODES["permuted and rescaled"])
    assert permuted == pytest.approx(SCORES[name](CODES["perfect"]), abs=0.25 if name == "sap" else 0.03)


def test_what_is_learned_is_judged_by_rows_held_out():
    """Sixty useless dimensions fit 40 rows, and tell nothing of others; the published InfoE would be near 1."""
    few, codes = RANDOM.integers(0, 2, (80, 2)), RANDOM.normal(size=(80, 60))
    assert metrics.infomec(codes, few).parts["infoe"] < 0
    assert metrics.explicitness(codes, few).value == pytest.approx(0.5, abs=0.2)


def test_chance_is_said_and_is_reached_by_useless_codes():
    codes = RANDOM.normal(size=(640, 30))
    for found in (
        metrics.beta_vae_score(codes, FACTORS, points=SOME),
        metrics.factor_vae_score(codes, FACTORS, votes=SOME),
    ):
        assert found.parts["chance"] == pytest.approx(1 / 3) and found.value == pytest.approx(1 / 3, abs=0.12)


def test_dimensions_that_hardly_move_have_no_vote():
    codes = np.concatenate([FACTORS, 1e-3 * RANDOM.normal(size=(640, 2))], 1)
    found = metrics.factor_vae_score(codes, FACTORS, votes=SOME)
    assert found.value == 1 and found.parts["active"] == 3
    assert metrics.factor_vae_score(0 * codes, FACTORS, votes=SOME).value == 0


def test_dimensions_of_a_small_range_do_not_count_as_published():
    codes = FACTORS * [1.0, 1.0, 0.01]
    assert len(metrics.infomec(codes, FACTORS).parts["information"]) == 2
    assert len(metrics.infomec(codes, FACTORS, active=0).parts["information"]) == 3


def test_information_from_neighbours_and_from_bins_agree_on_clear_codes():
    codes = FACTORS + 0.1 * RANDOM.normal(size=(640, 3))
    near, binned = (metrics.infomec(codes, FACTORS, information=way).parts["infom"] for way in ("neighbours", "bins"))
    assert near == pytest.approx(binned, abs=0.1) and near > 0.9


def test_scores_repeat_and_have_intervals_on_demand():
    codes = FACTORS + RANDOM.normal(size=(640, 3))
    for score in (metrics.explicitness, metrics.separated_attribute_predictability, metrics.interventional_robustness):
        one, two = (score(codes, FACTORS, resamples=10, seed=3) for _ in range(2))
        assert one == two and one.interval[0] < one.interval[1] < one.interval[0] + 0.2
    assert metrics.beta_vae_score(codes, FACTORS, points=SOME).interval[1] <= 1


def test_factors_of_real_numbers_are_read_by_every_score():
    real = {"dose": RANDOM.normal(size=640), "word": np.array(["low", "high"] * 320)}
    codes = np.stack([real["dose"], real["word"] == "low"], 1)
    assert metrics.separated_attribute_predictability(codes, real).value > 0.6
    assert metrics.beta_vae_score(codes, real, bins=4, points=SOME).value > 0.95
    assert metrics.factor_vae_score(codes, real, bins=4, votes=SOME).value > 0.95
    assert metrics.interventional_robustness(codes, real, bins=8).value > 0.7
    assert metrics.infomec(codes, real, bins=4).parts["infom"] > 0.8
    assert metrics.explicitness(codes, real, bins=3, held_out=0.5).value > 0.85


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.beta_vae_score(FACTORS, FACTORS[:, :1]), "expected two factors or more"),
        (lambda: metrics.beta_vae_score(FACTORS, FACTORS, pairs=0), "counts from 1, got"),
        (lambda: metrics.factor_vae_score(FACTORS, FACTORS, group=1), "groups of 2"),
        (lambda: metrics.interventional_robustness(FACTORS, FACTORS, quantile=1.5), "quantile"),
        (lambda: metrics.infomec(FACTORS, FACTORS, information="knn"), "information: expected one of"),
        (lambda: metrics.explicitness(FACTORS, FACTORS, held_out=1.0), "held_out"),
        (lambda: metrics.dci(FACTORS, FACTORS, held_out=0.0), "held_out"),
    ],
)
def test_settings_that_are_none_are_refused(call, message):
    with pytest.raises(ConfigurationError, match=message):
        call()


def test_a_level_on_one_side_of_the_split_only_is_said():
    rare = FACTORS.copy()
    rare[0, 0] = 9
    with pytest.raises(DataError, match="level 4 of factor 0 is on one side of the split only"):
        metrics.explicitness(rare, rare)
