"""Pairs of values and normal posteriors, made block by block, beside every pair at once."""

import pytest
import torch
from torch.distributions import Normal

from coset.objectives import normal_pairs
from coset.objectives.normal_pairs import NormalPairs
from coset.objectives.pairs import EveryPair

UNITS, MANY, DIMENSIONS = 5, 7, 11


def parts(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    def drawn(rows):
        return torch.randn(rows, DIMENSIONS, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    weights = torch.rand(UNITS, MANY, generator=generator, dtype=torch.float64)
    weights[torch.arange(UNITS), torch.arange(UNITS) + 1] = 0.0  # as leave-one-out has it
    return drawn(UNITS), drawn(MANY), drawn(MANY), weights.log().to(dtype)


def both(value, location, raw):
    scale = raw.exp()
    every = EveryPair(Normal(location, scale).log_prob(value.unsqueeze(1)))
    return NormalPairs(value, location, scale), every


@pytest.mark.parametrize("block", [1, 3 * UNITS * MANY, 1 << 18])
@pytest.mark.parametrize("asked", ["marginals", "group", "whole"])
def test_pairs_by_blocks_are_every_pair_in_value_and_gradient(block, asked, monkeypatch):
    monkeypatch.setattr(normal_pairs, "BLOCK", block)
    *leaves, weights = parts()
    weighing = torch.randn(UNITS, DIMENSIONS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = []
    for pairs in both(*leaves):
        assert pairs.shape == (UNITS, MANY)
        if asked == "marginals":
            value = pairs.marginals(weights)
        else:
            value = pairs.aggregate([2, 5, 6] if asked == "group" else range(DIMENSIONS), weights).unsqueeze(1)
        found.append((value, *torch.autograd.grad((value * weighing).sum(), leaves, retain_graph=True)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-11, rtol=1e-11)


def test_narrow_posteriors_far_from_the_middle_keep_their_digits():
    value, location, raw, weights = (part.detach() for part in parts(torch.float32))
    blocked, every = both(value + 20, location + 20, raw - 3)
    exact = EveryPair(Normal(location.double() + 20, (raw - 3).double().exp()).log_prob((value.double() + 20)[:, None]))
    wanted = exact.aggregate(range(DIMENSIONS), weights.double())
    apart = (blocked.aggregate(range(DIMENSIONS), weights) - wanted).abs().max()
    assert apart <= 2 * (every.aggregate(range(DIMENSIONS), weights) - wanted).abs().max() + 1e-3
    torch.testing.assert_close(blocked.marginals(weights), every.marginals(weights), atol=0.02, rtol=1e-4)
