"""Density and coverage against their definition, and what they are for."""

import math

import pytest
import torch

from coset.errors import ConfigurationError, ShapeError
from coset.metrics import density_and_coverage


def test_the_definition_written_out():
    real, made = torch.randn(12, 3), torch.randn(7, 3)
    k = 3
    density, covered = 0, set()
    for i, centre in enumerate(real):
        others = sorted(math.dist(centre, other) for j, other in enumerate(real) if j != i)
        for item in made:
            if math.dist(centre, item) < others[k - 1]:
                density += 1
                covered.add(i)
    found = density_and_coverage(real, made, neighbours=k)
    assert found["density"] == pytest.approx(density / (k * 7))
    assert found["coverage"] == pytest.approx(len(covered) / 12)


def test_one_typical_item_over_and_over_covers_nothing():
    real = torch.randn(200, 4)
    stuck = density_and_coverage(real, torch.zeros(200, 4) + 0.01 * torch.randn(200, 4))
    half = density_and_coverage(real, torch.randn(200, 4) * torch.tensor([1.0, 1.0, 0.0, 0.0]))
    whole = density_and_coverage(real, torch.randn(200, 4))
    assert stuck["density"] > 1 > 0.2 > stuck["coverage"]
    assert stuck["coverage"] < half["coverage"] < whole["coverage"]
    far = density_and_coverage(real, torch.randn(200, 4) + 9)
    assert far == {"density": 0.0, "coverage": 0.0}


def test_features_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"expected \[n, F\] and \[M, F\], got \[5, 2\], \[5, 3\]"):
        density_and_coverage(torch.rand(5, 2), torch.rand(5, 3))
    with pytest.raises(ConfigurationError, match="expected 1 to 4"):
        density_and_coverage(torch.rand(5, 2), torch.rand(5, 2), neighbours=5)
