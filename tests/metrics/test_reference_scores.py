"""Scores of twenty noisy codes beside what `disentanglement_lib`'s own functions say, see `reference_scores.py`."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.metrics.reference_scores import SEEDS, draw

import coset.metrics as metrics

REFERENCE = json.loads(Path(__file__).with_name("reference_scores.json").read_text())
ROWS = [draw(seed) for seed in SEEDS]

EXACT = {
    "mig": lambda x, v: metrics.mutual_information_gap(x, v, resamples=0).value,
    "modularity": lambda x, v: metrics.modularity(x, v, resamples=0).value,
    "sap": lambda x, v: metrics.separated_attribute_predictability(x, v).value,
    "sap_continuous": lambda x, v: metrics.separated_attribute_predictability(x, v + 0.5).value,
    "irs": lambda x, v: metrics.interventional_robustness(x, v).value,
    "gaussian_total_correlation": lambda x, v: metrics.gaussian_total_correlation(x),
}


@pytest.mark.parametrize("name", EXACT)
def test_scores_that_are_formulae_are_the_same(name):
    found = [EXACT[name](*rows) for rows in ROWS]
    np.testing.assert_allclose(found, REFERENCE[name], atol=1e-6)


def test_areas_under_curves_of_classifiers_are_the_same():
    """Within what their optimiser leaves open."""
    found = [metrics.explicitness(*rows).value for rows in ROWS]
    np.testing.assert_allclose(found, REFERENCE["explicitness"], atol=1e-4)


def test_trees_say_the_same_within_what_other_rows_would_say():
    """Of the first two; each takes a second."""
    for index, (x, v) in enumerate(ROWS[:2]):
        found = metrics.dci(x, v).parts
        for part in ("disentanglement", "completeness", "informativeness"):
            assert found[part] == pytest.approx(REFERENCE[f"dci_{part}"][index], abs=0.02), part


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("beta_vae", lambda x, v: metrics.beta_vae_score(x, v, points=(2000, 1000))),
        ("factor_vae", lambda x, v: metrics.factor_vae_score(x, v, votes=(2000, 1000))),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_scores_of_drawn_groups_are_the_same_within_what_draws_leave_open(name, score):
    differences = []
    for (x, v), expected in zip(ROWS[:10], REFERENCE[name], strict=False):
        found = score(x, v).value
        differences.append(found - expected)
        assert found == pytest.approx(expected, abs=0.05)  # three deviations of a share of 1,000 each
    assert abs(np.mean(differences)) < 0.015, differences
