"""Cycle consistency of classes: items of another class keep the rest, and should be read as that class."""

import pytest
import torch
import torch.nn.functional as F

from coset.data import SetBatch
from coset.models import ClassStyle
from coset.networks import RandomCopies
from coset.objectives import ClassCycleConsistency
from coset.programs import Programs


def build(item_shape=(6,), **options):
    model = ClassStyle(item_shape, **({"classes": 3, "style_dim": 2, "features": 8, "channels": (3, 4)} | options))
    return model.eval()


def penalty(model, batch, discrete=None, seed=4, **options):
    programs = Programs(model, batch)
    torch.manual_seed(1)
    q = programs.infer(discrete=discrete)
    p = programs.generate(q)
    torch.manual_seed(seed)
    return ClassCycleConsistency("class", **options)(programs, q, p)["cycle"], p


@pytest.mark.parametrize("how", ["sample", "enumerate", "plug-in"])
def test_it_is_the_decoder_followed_by_the_classifier(how):
    model, batch = build(), SetBatch(torch.rand(4, 2, 6))
    found, p = penalty(model, batch, {"class": how})
    style = p["style"].value  # [(S,) B, N, Z]
    torch.manual_seed(4)
    code = torch.randint(3, style.shape[:-1])
    decoded = model.likelihood(model.decode_latents(F.one_hot(code, 3).to(style), style)).mean
    read = model.class_posterior(model.encoder(decoded)).log_softmax(-1)
    missed = -read.gather(-1, code.unsqueeze(-1)).squeeze(-1).sum(-1)
    torch.testing.assert_close(found, missed if missed.ndim == 1 else missed.mean(0), atol=1e-10, rtol=0)


def test_it_teaches_the_decoder_and_the_style_and_not_the_classifier():
    model = build().train()
    penalty(model, SetBatch(torch.rand(4, 1, 6)))[0].sum().backward()

    def reached(network):
        return any(part.grad is not None and part.grad.any() for part in network.parameters())

    assert reached(model.decoder) and reached(model.style_posterior) and not reached(model.class_posterior)
    assert all(part.requires_grad for part in model.parameters())


def test_absent_items_count_nothing():
    model, x = build((8, 8), architecture="strided"), torch.rand(3, 2, 8, 8)
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    found, _ = penalty(model, SetBatch(x, mask=mask), augmentation=RandomCopies())
    whole, _ = penalty(model, SetBatch(x), augmentation=RandomCopies())
    assert found.shape == (3,) and (found >= 0).all()
    torch.testing.assert_close(found[[0, 2]], whole[[0, 2]])
    assert whole[1] > found[1]
