"""The sleep phase: what the generative program draws teaches the inference program."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal

from coset.data import SetBatch
from coset.errors import ConfigurationError
from coset.models import VAE, MultiDigit
from coset.objectives import SleepPhase
from coset.programs import Programs
from coset.shapes import join, repetitions

SMALL = {"features": 16, "channels": (4, 4), "digit_features": 16, "digit_channels": (4,), "style_dim": 3}


def penalty(model, batch, **options):
    programs = Programs(model, batch)
    q = programs.infer()
    p = programs.generate(q)
    torch.manual_seed(5)
    return SleepPhase(**options)(programs, q, p)["sleep"]


def drawn(model, shape):
    torch.manual_seed(5)
    with torch.no_grad():
        return Programs(model, SetBatch(torch.zeros(1, 1, *model.item_shape))).generate(observed={}, shape=shape)


def test_it_is_the_posterior_of_what_was_drawn():
    model = VAE((4,), z_dim=2, features=8)
    found = penalty(model, SetBatch(torch.rand(8, 3, 4)), site="z", share=0.3)
    p = drawn(model, (math.ceil(0.3 * 8), 3))
    posterior = model.eval().z_posterior(model.encoder(p["x"].value))
    expected = -posterior.log_prob(p["z"].value).sum(1).mean()
    torch.testing.assert_close(found, expected.expand(8))


def test_repetitions_are_sorted_and_what_is_given_is_told():
    model = MultiDigit((20, 20), **SMALL)
    found = penalty(model, SetBatch(torch.rand(8, 1, 20, 20)), site="where", given=["count"], sorted_by=0)
    p = drawn(model, (2, 1))
    present = repetitions(p["count"].value)
    layout = model.eval()._look(p["x"].value)[1]
    posterior = model.where_posterior(join(layout, p["count"].value))
    expected = 0.0
    for b in range(2):
        places = sorted(p["where"].value[b, 0][present[b, 0] > 0].tolist())  # from left to right
        for r, place in enumerate(places):
            each = Independent(Normal(posterior.mean[b, 0, r], posterior.stddev[b, 0, r]), 1)
            expected -= float(each.log_prob(torch.tensor(place)).detach()) / 2
    assert found.shape == (8,) and found[0].item() == pytest.approx(expected)


def test_it_teaches_the_inference_program_alone_and_leaves_what_normalisation_learned():
    model = VAE((4,), z_dim=2, features=8).train()
    programs = Programs(model, SetBatch(torch.rand(8, 1, 4)))
    q = programs.infer()
    p = programs.generate(q)
    before = {name: value.clone() for name, value in model.encoder.named_buffers()}
    SleepPhase("z")(programs, q, p)["sleep"].sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in model.encoder.named_buffers())
    assert all(part.grad is None for part in model.decoder.parameters())
    assert any(part.grad is not None and part.grad.any() for part in model.z_posterior.parameters())
    assert model.training


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="share: expected a number above 0"):
        SleepPhase("z", share=0.0)
