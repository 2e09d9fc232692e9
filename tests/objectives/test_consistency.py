"""Consistency regularisation: an item and a copy of it should be read alike."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from coset.data import SetBatch
from coset.errors import ConfigurationError, ShapeError
from coset.models import ClassStyle, IntrinsicFaces
from coset.networks import RandomCopies
from coset.objectives import ConsistencyRegularisation
from coset.programs import Programs
from coset.trace import Partial


class Mirror(nn.Module):
    """Copies that are their items, mirrored or not."""

    def __init__(self, mirrored=True):
        super().__init__()
        self.mirrored = mirrored

    def forward(self, x):
        flag = x.new_full((*x.shape[:2], 1), float(self.mirrored))
        return x.flip(-1) if self.mirrored else x, flag


class Classes:
    """A stand-in for a model of three classes, to which the penalty is bound."""

    discrete = {"class": 3}  # noqa: RUF012

    def parameters(self):
        return iter([torch.zeros(1)])


@pytest.fixture
def penalty():
    made = ConsistencyRegularisation("class", Mirror()).eval()
    made.bind(Classes(), data_size=1)
    return made


def test_labelled_items_are_asked_and_those_read_with_confidence(penalty):
    probabilities = torch.tensor([[[0.98, 0.01, 0.01], [0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.95, 0.03, 0.02]]])
    read = torch.randn(1, 4, 3).log_softmax(-1)
    known = Partial(F.one_hot(torch.tensor([[0, 0, 2, 1]]), 3).double(), torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    expected = torch.stack([-read[0, 0, 0], torch.zeros(()), -read[0, 2, 2], -read[0, 3, 1]])
    torch.testing.assert_close(penalty.disagreement(probabilities, read, known)[0], expected)
    unknown = torch.stack([-read[0, 0, 0], torch.zeros(()), torch.zeros(()), -read[0, 3, 0]])
    torch.testing.assert_close(penalty.disagreement(probabilities, read)[0], unknown)


def test_classes_that_are_wholly_known(penalty):
    probabilities, read = torch.full((2, 4, 3), 1 / 3), torch.randn(2, 4, 3).log_softmax(-1)
    value = F.one_hot(torch.tensor([[0, 1, 2, 0], [1, 1, 0, 2]]), 3).double()
    expected = -(value * read).sum(-1)
    for known in (Partial(value, torch.ones(2, 4)), value):
        torch.testing.assert_close(penalty.disagreement(probabilities, read, known), expected)


def test_padding_does_not_enter_the_share_of_classes():
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    probabilities = torch.randn(2, 3, 3).softmax(-1)
    read, shares = torch.randn(2, 3, 3).log_softmax(-1), []
    for junk in (0, 1):
        penalty = ConsistencyRegularisation("class", Mirror()).train()
        penalty.bind(Classes(), data_size=1)
        padded = torch.where(mask.unsqueeze(-1) > 0, probabilities, torch.eye(3)[junk])
        for _ in range(50):
            penalty.disagreement(padded, read, mask=mask)
        shares.append(penalty.share)
    torch.testing.assert_close(*shares)
    assert (shares[0] - 1 / 3).abs().max() > 0.01  # and the classes of the items do


@pytest.mark.parametrize("how", ["sample", "enumerate", "plug-in"])
def test_copies_are_read_by_the_models_own_program(how):
    model = ClassStyle((8, 8), classes=3, style_dim=2, features=8, architecture="plain", channels=[4]).eval()
    x, codes = torch.rand(3, 2, 8, 8), torch.tensor([[0, 1], [-1, -1], [2, -1]])
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    penalty = ConsistencyRegularisation("class", Mirror())
    penalty.bind(model, data_size=6)
    programs = Programs(model, SetBatch(x, mask=mask, factors={"class": codes}))
    q = programs.infer(discrete={"class": how})
    found = penalty(programs, q, programs.generate(q))["consistency.class"]
    read = model.class_posterior(model.encoder(x.flip(-1))).log_softmax(-1)
    known = torch.where(codes >= 0, -read.gather(-1, codes.clamp_min(0).unsqueeze(-1)).squeeze(-1), 0.0)
    torch.testing.assert_close(found, (known * mask).sum(1), atol=1e-10, rtol=0)  # nothing else is read surely


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_mirrored_copy_is_asked_for_the_mirrored_light(mirrored):
    model = IntrinsicFaces((8, 8), people=3, features=8, architecture="plain", channels=()).eval()
    x, light = torch.rand(4, 1, 8, 8), torch.randn(4, 1, 3)
    light[2:] = torch.nan  # unknown
    factors = dict(zip(("light_x", "light_y", "light_z"), light.unbind(-1), strict=True))
    programs = Programs(model, SetBatch(x, factors=factors))
    q = programs.infer()
    penalty = ConsistencyRegularisation("light", Mirror(mirrored), reversed=[0])
    penalty.bind(model, data_size=4)
    found = penalty(programs, q, programs.generate(q))["consistency.light"]
    target = torch.where(light.isnan(), model.light_posterior(model.encoder(x)).mean, light)
    target = target * torch.tensor([-1.0, 1.0, 1.0]) if mirrored else target
    copies = x.flip(-1) if mirrored else x
    apart = (model.light_posterior(model.encoder(copies)).mean - target).square().sum(-1) / 2
    torch.testing.assert_close(found, apart[:, 0], atol=1e-10, rtol=0)


def test_what_is_not_ready_is_refused():
    model = ClassStyle((8, 8), classes=3, style_dim=2, features=8, architecture="plain", channels=[4])
    programs = Programs(model, SetBatch(torch.rand(3, 2, 8, 8)))
    q = programs.infer()
    with pytest.raises(ConfigurationError, match="call bind"):
        ConsistencyRegularisation("class", Mirror())(programs, q, programs.generate(q))
    with pytest.raises(ShapeError, match=r"expected images .*got \[3, 2, 6\]"):
        RandomCopies()(torch.rand(3, 2, 6))
    with pytest.raises(ConfigurationError, match="mirrored: expected"):
        RandomCopies(mirrored="sets")


def test_copies_of_images():
    x = torch.rand(200, 2, 8, 8)
    for mirrored in ("none", "items", "batch"):
        still = RandomCopies(angle=0.0, scale=0.0, shift=0.0, mirrored=mirrored)
        copies, flag = still(x)
        torch.testing.assert_close(copies, torch.where(flag.unsqueeze(-1) > 0, x.flip(-1), x), atol=1e-6, rtol=0)
        shares = {float(still(x)[1].mean()) for _ in range(20)}
        expected = {"none": shares == {0.0}, "items": all(0.4 < share < 0.6 for share in shares)}
        assert expected.get(mirrored, shares == {0.0, 1.0})
    assert not torch.equal(RandomCopies(relit=True)(x)[0], RandomCopies()(x)[0])


def test_copies_beside_what_is_beside_others():
    x = torch.rand(3, 2, 3, 8, 10)
    copies, _ = RandomCopies(angle=0.0, scale=0.0, shift=0.0, margins=0.2)(x)
    torch.testing.assert_close(copies[..., 2:8], x[..., 2:8])
    for columns in (slice(0, 2), slice(8, 10)):  # of another set, as items of one may show the same
        torch.testing.assert_close(copies[..., columns], x[[2, 0, 1]][..., columns])
    for margins in (-0.1, 0.5):
        with pytest.raises(ConfigurationError, match=f"margins: expected a share of the width .*, got {margins}"):
            RandomCopies(margins=margins)


def test_copies_in_other_colours():
    x = torch.rand(300, 1, 3, 8, 8)
    copies, _ = RandomCopies(angle=0.0, scale=0.0, shift=0.0, recoloured=True)(x)
    assert copies.min() >= 0 and copies.max() <= 1
    one, other = (images.flatten(0, 1).flatten(2) for images in (x, copies))  # [n, C, H·W]
    alike = torch.stack([torch.corrcoef(torch.cat(pair))[:3, 3:] for pair in zip(one, other, strict=True)])
    source = alike.abs().argmax(1)  # each channel of a copy is one of the item's, perhaps its negative
    torch.testing.assert_close(alike.abs().amax(1), torch.ones(300, 3))
    assert all(sorted(row) == [0, 1, 2] for row in source.tolist()) and len(source.unique(dim=0)) == 6
    signs = alike.gather(1, source.unsqueeze(1)).sign()
    assert 0.4 < (signs > 0).double().mean() < 0.6
    with pytest.raises(ShapeError, match=r"expected images \[B, N, C, H, W\], got \[4, 2, 8, 8\]"):
        RandomCopies(recoloured=True)(torch.rand(4, 2, 8, 8))
