import math

import torch
from torch.distributions import Categorical as Choice
from torch.distributions import Exponential, Laplace, MixtureSameFamily, Normal

from coset.datasets.families import draw_families
from coset.datasets.families_posterior import exact_posterior

GRID = 800
STEPS = torch.arange(GRID, dtype=torch.float64)
MEAN, VARIANCE = torch.meshgrid(2 * (STEPS + 0.5) / GRID - 1, 0.5 + 1.5 * (STEPS + 0.5) / GRID, indexing="ij")


def by_quadrature(log_density):
    """Log evidence, mean and variance from the log density of a set on a fine grid."""
    weight = log_density.exp()
    return weight.mean().log(), (weight * MEAN).sum() / weight.sum(), (weight * VARIANCE).sum() / weight.sum()


def families(numbers):
    """Log densities of one set under the four families, by torch's own distributions."""
    deviation = VARIANCE.sqrt()
    apart = torch.stack([-1.0 * deviation, deviation], -1) * math.sqrt(3) / 2
    pair = Normal(MEAN[..., None] + apart, (deviation / 2)[..., None].expand_as(apart))
    mixture = MixtureSameFamily(Choice(torch.ones_like(apart)), pair)
    waiting = Exponential(1 / deviation, validate_args=False)
    for density in (
        lambda x: mixture.log_prob(x.expand_as(MEAN)),
        lambda x: Laplace(MEAN, (VARIANCE / 2).sqrt()).log_prob(x),
        lambda x: torch.where(x >= MEAN - deviation, waiting.log_prob(x - MEAN + deviation), -torch.inf),
        lambda x: torch.where(x <= MEAN + deviation, waiting.log_prob(MEAN + deviation - x), -torch.inf),
    ):
        yield torch.stack([density(x) for x in numbers]).sum(0)


def test_posterior_is_that_of_quadrature():
    x, *_ = draw_families(6, 4, seed=3)
    found = exact_posterior(x, cells=400)
    for row, numbers in enumerate(x[..., 0]):
        for code, log_density in enumerate(families(numbers)):
            expected = torch.stack(by_quadrature(log_density))
            if code >= 2 and expected[0] < -10:  # all but impossible: the end of the density lies between grid points
                continue
            torch.testing.assert_close(torch.stack([part[row, code] for part in found]), expected, rtol=0, atol=0.02)


def test_nothing_is_nearer_on_average_than_the_posterior_mean():
    x, family, mean, variance = draw_families(800, 20, seed=1)
    _, means, variances = exact_posterior(x, cells=32)
    own = family[:, None]
    error = (means.gather(1, own)[:, 0] - mean).square().mean()
    assert error < 0.7 * (x.mean((1, 2)) - mean).square().mean()
    spread = (variances.gather(1, own)[:, 0] - variance).square().mean()
    assert spread < variance.var() < (x.var((1, 2)) - variance).square().mean()


def test_a_family_that_cannot_be_has_no_evidence():
    evidence, means, _ = exact_posterior(torch.tensor([[-3.0], [3.0]]))  # an exponential begins at −2.4 or above
    assert evidence[0, 2] == -torch.inf and means[0, 2].isnan()
    assert evidence[0, :2].isfinite().all()
