import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Exponential,
    OneHotCategorical,
    kl_divergence,
)

from coset.distributions import (
    StraightThroughBernoulli,
    StraightThroughOneHot,
    centre,
    diagonal_normal,
    standard_normal,
)


def test_bits_are_exact_and_have_gradient():
    logits = torch.zeros(2000, 3, requires_grad=True)
    bits = StraightThroughBernoulli(0.5, logits=logits).rsample()
    assert bits.detach().unique().tolist() == [0.0, 1.0]
    bits.sum().backward()
    assert logits.grad.ge(0).all() and logits.grad.mean(0).gt(0.1).all()


def test_choices_are_exact_and_have_gradient():
    logits = torch.zeros(2000, 3, requires_grad=True)
    choice = StraightThroughOneHot(0.5, logits=logits).rsample()
    assert choice.detach().unique().tolist() == [0.0, 1.0]
    assert torch.equal(choice.detach().sum(-1), torch.ones(2000))
    (choice * torch.tensor([1.0, 2.0, 4.0])).sum().backward()
    assert logits.grad.abs().mean(0).gt(0.05).all()


@pytest.mark.parametrize("kind", [StraightThroughBernoulli, StraightThroughOneHot])
def test_straight_through_draws_have_the_implied_frequencies(kind):
    logits = torch.tensor([1.0, -0.5, 0.0])
    draws = kind(0.7, logits=logits).rsample(torch.Size([20_000]))
    expected = logits.sigmoid() if kind is StraightThroughBernoulli else logits.softmax(-1)
    torch.testing.assert_close(draws.mean(0), expected, atol=0.015, rtol=0)


@pytest.mark.parametrize(
    ("kind", "implied"), [(StraightThroughBernoulli, Bernoulli), (StraightThroughOneHot, OneHotCategorical)]
)
def test_straight_through_densities_are_the_implied_ones(kind, implied):
    logits, other = torch.randn(4, 3), torch.randn(4, 3)
    relaxed, plain, prior = kind(0.5, logits=logits), implied(logits=logits), implied(logits=other)
    expected = kl_divergence(plain, prior)
    torch.testing.assert_close(kl_divergence(relaxed, prior), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(kl_divergence(relaxed, kind(2.0, logits=other)), expected, atol=1e-12, rtol=0)
    value = plain.sample()
    torch.testing.assert_close(relaxed.log_prob(value), plain.log_prob(value), atol=1e-12, rtol=0)


def test_straight_through_divergence_against_the_sum_over_outcomes():
    logits, other = torch.tensor([0.3]), torch.tensor([-1.0])
    q, p = logits.sigmoid(), other.sigmoid()
    by_hand = q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()
    found = kl_divergence(StraightThroughBernoulli(0.5, logits=logits), Bernoulli(logits=other))
    torch.testing.assert_close(found, by_hand, atol=1e-12, rtol=0)


def test_diagonal_normal_has_a_floor_and_no_ceiling():
    raw = torch.tensor([[-1e4, 0.0, 1e4]])
    scale = diagonal_normal(torch.zeros(1, 3), raw).stddev
    torch.testing.assert_close(scale, torch.tensor([[1e-3, 1.0, 1e4]]), rtol=1e-3, atol=0)
    assert diagonal_normal(torch.zeros(1, 3), raw).log_prob(torch.ones(1, 3)).isfinite()


def test_densities_are_never_in_half_precision():
    half = torch.zeros(2, 3, dtype=torch.bfloat16)
    assert diagonal_normal(half, half).stddev.dtype == torch.float32


def test_standard_normal_has_the_shape_and_type_of_its_model():
    prior = standard_normal(torch.full((4, 2, 3), 9.0))
    assert prior.batch_shape == (4, 2) and prior.event_shape == (3,)
    assert not prior.mean.any() and prior.variance.eq(1).all() and prior.mean.dtype == torch.float64


def test_centre_is_the_mean_or_the_mode():
    assert centre(Exponential(torch.tensor(4.0))) == 0.25
    assert centre(Bernoulli(torch.tensor([0.2, 0.5, 0.8]))).tolist() == [0.0, 0.0, 1.0]
    assert centre(OneHotCategorical(torch.tensor([0.2, 0.8]))).tolist() == [0.0, 1.0]
