"""Invariant information: what classes of items and of their copies tell of each other."""

import math

import pytest
import torch
from torch import nn

from coset import VAE, AuxiliaryTaskVAE
from coset.batch import SetBatch
from coset.errors import ConfigurationError
from coset.objectives import EvidenceLowerBound, InvariantInformation
from coset.programs import Programs


class Reversed(nn.Module):
    """Copies in which items stand in another order, so that each is beside another one."""

    def forward(self, x):
        return x.flip(0), x.new_zeros(*x.shape[:2], 1)


class Same(nn.Module):
    """Copies that are their items."""

    def forward(self, x):
        return x, x.new_zeros(*x.shape[:2], 1)


def missed(rows, augmentation=None, mask=None, balance=1.0):
    """The penalty of a model of three classes that reads items as logits `[n, 3]`, or `[B, N, 3]`, say."""
    items = rows.reshape(len(rows), -1, 3)
    model = AuxiliaryTaskVAE((3,), transform=None, clusters=3, lost_dim=1, features=3, architecture="none").eval()
    with torch.no_grad():
        model.cluster_posterior.weight.copy_(torch.eye(3))
        model.cluster_posterior.bias.zero_()
    programs = Programs(model, SetBatch(items, mask=mask))
    bound = EvidenceLowerBound(discrete={"cluster": "enumerate", "lost": "sample"})(programs)
    penalty = InvariantInformation("cluster", augmentation or Same(), balance)
    penalty.bind(model, 1)
    return penalty(programs, bound.q, bound.p)["invariance.cluster"]


SURE = 30 * torch.eye(3, dtype=torch.float64).repeat(4, 1)


def test_nothing_is_missed_where_classes_are_sure_equal_and_as_frequent():
    assert missed(SURE).abs().max() < 1e-6
    torch.testing.assert_close(missed(SURE[torch.arange(12) % 3 < 2]), torch.full((8,), math.log(3 / 2)))


@pytest.mark.parametrize("rows", [0 * SURE, SURE[:1].expand(12, 3)])
def test_all_is_missed_where_no_item_is_told_from_another(rows):
    torch.testing.assert_close(missed(rows), torch.full((12,), math.log(3)))


def test_it_is_the_information_of_the_joint_distribution_of_both_readings():
    rows = torch.randn(6, 3)
    first, second = rows.softmax(-1), rows.flip(0).softmax(-1)
    joint = sum(torch.outer(a, b) + torch.outer(b, a) for a, b in zip(first, second, strict=True)) / 12
    alone = joint.sum(0)
    information = sum(joint[i, j] * (joint[i, j] / alone[i] / alone[j]).log() for i in range(3) for j in range(3))
    torch.testing.assert_close(missed(rows, Reversed()), (math.log(3) - information).expand(6))


def test_balance_counts_how_unequally_frequent_classes_are_by_as_much_more():
    rows = SURE[torch.arange(12) % 3 < 2]
    torch.testing.assert_close(missed(rows, balance=4.0), torch.full((8,), 4 * math.log(3 / 2)))
    torch.testing.assert_close(missed(SURE, balance=4.0), torch.zeros(12), atol=1e-6, rtol=0)
    with pytest.raises(ConfigurationError, match="balance: expected a number from 0 up"):
        InvariantInformation("cluster", Same(), -1.0)


def test_padding_is_not_read():
    mask = torch.tensor([[1.0, 1.0, 1.0, 0.0]] * 3)
    padded = torch.cat([SURE[:9].view(3, 3, 3), SURE[:3].unsqueeze(1)], 1)
    torch.testing.assert_close(missed(padded, mask=mask), torch.zeros(3), atol=1e-6, rtol=0)


def test_a_model_without_the_classes_is_refused():
    with pytest.raises(ConfigurationError, match="'class' is no discrete site of VAE, which has none"):
        InvariantInformation("class", Same()).bind(VAE((4,), z_dim=1, architecture="none"), 1)
