"""Cycle consistency of contexts: `generate` on exchanged contexts, then `infer` on the result."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from coset.data import SetBatch
from coset.errors import ConfigurationError, TraceError
from coset.models import ContextAwareLearner, NeuralStatistician
from coset.objectives import ContextCycleConsistency
from coset.programs import Programs, evaluating
from coset.shapes import join


def build(**options):
    options = {"context_dim": 3, "z_dim": 2, "features": 6, "hidden": 7} | options
    return ContextAwareLearner((5,), ["digit", "rotation"], **options)


def sets(count=6, items=4):
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).repeat(count // 3, 1)
    return SetBatch(torch.rand(count, items, 5), a)


def penalty(model, batch, **options):
    programs = Programs(model, batch)
    q = programs.infer()
    p = programs.generate(q)
    torch.manual_seed(3)
    return ContextCycleConsistency("context.constant", fresh=["z"], **options)(programs, q, p)["cycle"], q


def written_out(model, q, batch, share=0.5):
    """The penalty without the programs: networks by hand, in the order in which numbers are drawn."""
    a, posterior = batch.constant, q["context.constant"].distribution
    count = max(1, round(share * batch.shape[1]))
    torch.manual_seed(3)
    donors = torch.multinomial(a.T, len(a) * count, replacement=True).T  # [B·M, K]
    which = torch.arange(2)
    location, width = posterior.mean.detach()[donors, which], posterior.stddev.detach()[donors, which]
    donated = Independent(Normal(location, width), 1)
    context = donated.sample().flatten(-2)
    z = model.z_prior(context).rsample()
    composed = model.likelihood(model.decoder(join(context, z))).mean
    with evaluating(model):
        linear, precision = model.coding.encode(model.encoder(composed))
    again = Independent(Normal(linear / (1 + precision), (1 + precision).rsqrt()), 1)
    return kl_divergence(donated, again).sum(-1).view(len(a), count).mean(-1) * batch.shape[1]


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_it_is_the_decoder_followed_by_the_encoder(share):
    model, batch = build().train(), sets()
    found, q = penalty(model, batch, share=share)
    torch.testing.assert_close(found, written_out(model, q, batch, share), atol=1e-12, rtol=1e-12)


def test_it_teaches_the_decoder_alone():
    model = build().train()
    found, _ = penalty(model, sets())
    assert found.shape == (6,) and (found >= 0).all()
    found.sum().backward()
    reached = {name.split(".")[0] for name, part in model.named_parameters() if part.grad is not None}
    assert reached == {"decoder", "z_prior"}
    assert all(part.requires_grad for part in model.parameters()) and model.encoder.training


def test_a_context_that_no_set_holds_has_no_donor():
    model, batch = build(), sets()
    found, _ = penalty(model, SetBatch(batch.x, torch.zeros(6, 2)))
    assert not found.any()
    one = SetBatch(batch.x, torch.tensor([[1.0, 0.0]]).expand(6, -1))
    assert penalty(model, one)[0].all()


def test_what_normalisation_learned_of_items_stays():
    model = build().train()
    before = {name: value.clone() for name, value in model.encoder.named_buffers()}
    programs = Programs(model.eval(), sets())
    q = programs.infer()
    p = programs.generate(q)
    model.train()
    ContextCycleConsistency("context.constant", fresh=["z"])(programs, q, p)
    assert all(torch.equal(value, before[name]) for name, value in model.encoder.named_buffers())


def test_wrong_requests_are_refused():
    with pytest.raises(ConfigurationError, match="share: expected a number above 0"):
        ContextCycleConsistency("context.constant", share=0.0)
    programs = Programs(NeuralStatistician((4,), pooling="size", features=8, hidden=8), SetBatch(torch.rand(3, 2, 4)))
    q = programs.infer()
    with pytest.raises(TraceError, match="notes `constant`"):
        ContextCycleConsistency("context")(programs, q, programs.generate(q))
