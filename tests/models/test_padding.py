"""Padding, order and mixed sizes of sets change nothing, in training as in evaluation."""

import copy
import inspect

import pytest
import torch

from coset import models
from coset.data import SetBatch
from coset.discovery import classes
from coset.objectives import elbo
from coset.programs import Programs

SIDE, SIZES = 40, (5, 2, 3)
SMALL = {"features": 8, "hidden": 6, "context_dim": 2, "z_dim": 2, "style_dim": 2, "shading_dim": 2}
SMALL |= {
    "topics": 3,
    "dropout": 0.0,
    "reflectance_dim": 2,
    "digit_features": 8,
    "channels": (2, 3),
    "digit_channels": (2, 3),
    "transform": lambda x: x.flip(-1),
    "lost_dim": 2,
    "kept_dim": 2,
}
NAMES = ["VAE", "NeuralStatistician", "ContextAwareLearner", "ClassStyle", "IntrinsicFaces", "MultiDigit", "TopicModel"]
NAMES += ["AuxiliaryTaskVAE"]
NORMS = {"TopicModel": ("batch",)}
KINDS = [(name, norm, {}) for name in NAMES for norm in NORMS.get(name, ("batch", "layer", "none"))]
KINDS += [("ContextAwareLearner", "batch", {"pooling": "mean"}), ("NeuralStatistician", "batch", {"pooling": "mean"})]
KINDS += [("NeuralStatistician", "batch", {"pooling": "size", "layers": 2})]
KINDS += [("VAE", "batch", {"item_shape": (8, 8)}), ("ContextAwareLearner", "batch", {"item_shape": (8, 8)})]
KINDS += [("ContextAwareLearner", "batch", {"infer_a": "any"})]
KINDS += [("AuxiliaryTaskVAE", "batch", {"item_shape": (8, 8), "clusters": None})]


def test_every_model_is_tried():
    assert set(NAMES) == set(classes("coset.models", models.Model))


def build(name, norm, options):
    known = inspect.signature(getattr(models, name)).parameters
    given = {"item_shape": (SIDE, SIDE) if name == "MultiDigit" else (7,), "norm": norm, "contexts": ["a", "b"]}
    given |= {"classes": 3, "people": 3, "most": 2} | SMALL | options
    if name == "NeuralStatistician":
        given["contexts"] = ["a"]
    torch.manual_seed(3)
    return getattr(models, name)(**{key: value for key, value in given.items() if key in known}).train()


def batch_of(model, padding, order):
    """Three sets of 5, 2 and 3 items, with some more padding, in some order; the same items each time."""
    generator = torch.Generator().manual_seed(0)
    most = max(SIZES) + padding
    x = torch.full((3, most, *model.item_shape), 0.5)
    mask = torch.zeros(3, most)
    places = []
    for row, size in enumerate(SIZES):
        place = torch.arange(most) if order is None else torch.randperm(most, generator=order)
        place = place[:size]
        x[row, place] = torch.rand(size, *model.item_shape, generator=generator)
        mask[row, place] = 1.0
        places.append(place)
    constant = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]) if len(model.contexts) == 2 else None
    constant = torch.ones(3, 1) if len(model.contexts) == 1 else constant
    return SetBatch(x, constant, mask), places


def outcome(model, padding=0, order=None):
    """Terms of each set, gradients and buffers of one step, without noise."""
    model = copy.deepcopy(model)
    batch, _ = batch_of(model, padding, order)
    centres = {"temperature": 0.0}
    programs = Programs(model, batch)
    q = programs.infer(**centres)
    bound = elbo(q, programs.generate(q))
    bound.value.sum().backward()
    terms = {f"term {name}": term.detach() for name, term in bound.terms.items()}
    gradients = {name: part.grad for name, part in model.named_parameters() if part.grad is not None}
    buffers = {name: part.double() for name, part in model.named_buffers()}
    return terms | gradients | buffers


@pytest.mark.parametrize(("name", "norm", "options"), KINDS)
def test_nothing_hangs_on_padding_or_order(name, norm, options):
    model = build(name, norm, options)
    plain = outcome(model)
    for other in (outcome(model, padding=4), outcome(model, 3, torch.Generator().manual_seed(1))):
        assert other.keys() == plain.keys()
        for key, value in plain.items():
            torch.testing.assert_close(
                other[key], value, atol=1e-8, rtol=1e-7, msg=lambda text, key=key: f"{key}: {text}"
            )


@pytest.mark.parametrize("name", ["NeuralStatistician", "ContextAwareLearner"])
def test_padding_may_hold_anything(name):
    model = build(name, "batch", {})
    clean, dirty = batch_of(model, 2, None)[0], batch_of(model, 2, None)[0]
    dirty.x[dirty.mask == 0] = torch.inf
    found = []
    for batch in (clean, dirty):
        torch.manual_seed(0)
        found.append(elbo(*model.trace(batch)).value)
    assert torch.equal(*found)
