"""Scores of codes against factors, from plain arrays: known values, what the settings do, and bad input."""

import math

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from coset.errors import ConfigurationError, DataError
from coset.metrics import dci, modularity, mutual_information_gap
from coset.metrics.information import discretise, entropies, mutual_informations
from coset.metrics.scoring import read_arrays

RANDOM = np.random.default_rng(0)
FACTORS = np.stack([grid.ravel() for grid in np.indices((4, 4, 4))], 1).repeat(10, 0)  # [640, 3]
ROTATION = np.linalg.qr(RANDOM.normal(size=(3, 3)))[0]
CODES = {
    "perfect": FACTORS.astype(float),
    "permuted and rescaled": FACTORS[:, [2, 0, 1]] * [-3.0, 0.1, 7.0] + 5,
    "useless": RANDOM.normal(size=(640, 3)),
    "duplicated": np.concatenate([FACTORS, FACTORS], 1).astype(float),
    "rotated": (FACTORS - 1.5) @ ROTATION,
}
KNOWN = {  # MIG, modularity, DCI disentanglement, completeness, each with how far it may be from it
    "perfect": [(1.0, 1e-9), (1.0, 1e-9), (1.0, 0.01), (1.0, 0.01)],
    "permuted and rescaled": [(1.0, 1e-9), (1.0, 1e-9), (1.0, 0.01), (1.0, 0.01)],
    "useless": [(0.01, 0.02), (0.5, 0.45), (0.0, 0.1), (0.0, 0.1)],
    "duplicated": [(0.0, 1e-9), (1.0, 1e-9), (1.0, 0.01), (1 - math.log(2) / math.log(6), 0.01)],
    "rotated": [(0.2, 0.2), (0.7, 0.2), (0.4, 0.3), (0.4, 0.3)],
}


@pytest.mark.parametrize("kind", CODES)
def test_codes_of_known_kinds_have_known_scores(kind):
    parts = dci(CODES[kind], FACTORS).parts
    found = [
        mutual_information_gap(CODES[kind], FACTORS, resamples=0).value,
        modularity(CODES[kind], FACTORS, resamples=0).value,
        parts["disentanglement"],
        parts["completeness"],
    ]
    for value, (expected, within) in zip(found, KNOWN[kind], strict=True):
        assert value == pytest.approx(expected, abs=within), found
    if kind in ("perfect", "duplicated", "rotated"):
        assert parts["informativeness"] > 0.9  # all is there to be read, however it is coded
    if kind == "useless":
        assert parts["informativeness"] < 0.4


def test_boosted_trees_are_the_default_and_are_named():
    found = dci(CODES["perfect"][::4], FACTORS[::4])
    assert found.value > 0.95 and "regressor gradient boosting" in str(found)


def test_mutual_information_is_that_of_scikit_learn():
    codes, levels = RANDOM.integers(0, 7, (300, 4)), RANDOM.integers(0, 5, (300, 3))
    expected = [[mutual_info_score(code, level) for level in levels.T] for code in codes.T]
    np.testing.assert_allclose(mutual_informations(codes, levels), expected, atol=1e-12)
    counts = np.bincount(levels[:, 0]) / 300
    assert entropies(levels)[0] == pytest.approx(-(counts * np.log(counts)).sum())


def test_the_gap_is_its_formula():
    """Written out, with bins as `disentanglement_lib` makes them."""
    codes = FACTORS + RANDOM.normal(size=(640, 3))
    binned = np.stack([np.digitize(code, np.histogram(code, 20)[1][:-1]) for code in codes.T], 1)
    told = np.array([[mutual_info_score(code, level) for level in FACTORS.T] for code in binned.T])
    best = np.sort(told, 0)[::-1]
    expected = np.mean((best[0] - best[1]) / np.log(4))
    assert mutual_information_gap(codes, FACTORS, resamples=0).value == pytest.approx(expected, abs=1e-9)


def test_one_outlier_moves_bins_of_equal_width_and_not_those_of_equally_many():
    codes = FACTORS + 0.1 * RANDOM.normal(size=(640, 3))
    far = codes.copy()
    far[0] = 1000.0
    change = {
        binning: mutual_information_gap(codes, FACTORS, binning=binning, resamples=0).value
        - mutual_information_gap(far, FACTORS, binning=binning, resamples=0).value
        for binning in ("width", "quantile")
    }
    assert change["width"] > 0.5 and abs(change["quantile"]) < 0.05


def test_with_many_codes_and_few_rows_chance_is_not_nothing():
    few = RANDOM.integers(0, 4, (60, 2))
    told = mutual_informations(discretise(RANDOM.normal(size=(60, 50))), few)
    assert told.max(0).min() > 0.25 * math.log(4)  # nats that useless codes seem to tell
    assert mutual_information_gap(RANDOM.normal(size=(60, 50)), few, resamples=0).value < 0.1  # the gap stays small


def test_intervals_hold_the_value_and_settings_are_said():
    found = mutual_information_gap(FACTORS + RANDOM.normal(size=(640, 3)), FACTORS, resamples=50)
    low, high = found.interval
    assert low <= found.value + 0.05 and low < high < low + 0.2
    assert "bins 20, binning width, rows 640" in str(found)
    named = dict(zip("abc", FACTORS.T, strict=True))
    again = mutual_information_gap(FACTORS + 0.0, named, resamples=0)
    assert again.value == pytest.approx(1.0) and again.interval is None


def test_factors_of_words_and_of_real_numbers_are_read():
    words = np.array(["low", "high", "low", "high"] * 160)
    real = RANDOM.normal(size=640)
    codes = np.stack([(words == "low") * 1.0, real], 1)
    assert mutual_information_gap(codes, {"word": words, "dose": real}, resamples=0).value > 0.8
    assert dci(codes, {"word": words, "dose": real}, regressor="random forest").parts["informativeness"] > 0.95


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (np.zeros((5, 2)), np.zeros((4, 1)), r"factors: expected \[5, f\], or names of columns \[5\], got \[4, 1\]"),
        (np.zeros(5), np.zeros((5, 1)), r"expected \[n, d\]"),
        (np.array([[1.0], [np.nan]]), np.array([[0], [1]]), "row 1, column 0 holds nan"),
        (np.zeros((3, 1)), np.ones((3, 1)), r"column 0 is 1\.0 in every row"),
        (np.zeros((3, 1)), {"dose": [0.5, np.inf, 1.0]}, "dose holds inf"),
    ],
)
def test_arrays_that_cannot_be_scored(codes, factors, message):
    for score in (mutual_information_gap, modularity, dci):
        with pytest.raises(DataError, match=message):
            score(codes, factors)


def test_settings_that_are_none_are_refused():
    with pytest.raises(ConfigurationError, match="bins: expected 2 or more"):
        mutual_information_gap(FACTORS, FACTORS, bins=1)
    with pytest.raises(ConfigurationError, match="binning"):
        modularity(FACTORS, FACTORS, binning="log")
    with pytest.raises(ConfigurationError, match="dci: expected a regressor"):
        dci(FACTORS, FACTORS, regressor="lasso")
    assert read_arrays(FACTORS, FACTORS)[0].shape == (640, 3)
