"""What experiments on exchanged codes measure, beside what no model made."""

import pytest
import torch

from coset import AuxiliaryTaskVAE
from coset.experiments.auxiliary_street_digits import cover_middle
from coset.experiments.shared.exchanging import exchanged, over_seeds, photographs_at_hand, pictures, with_colours_of


class Made:
    """A run of an untrained model."""

    model = AuxiliaryTaskVAE((3, 8, 8), lost_dim=2, kept_dim=2, features=8, architecture="plain", channels=[]).eval()


def test_the_published_photographs_are_taken_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    assert photographs_at_hand() == "folder"
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"here")
    assert photographs_at_hand() == "published"


def test_colours_are_taken_over_by_their_first_two_moments():
    items, others = 0.4 + 0.2 * torch.rand(2, 5, 3, 6, 6)
    made = with_colours_of(items, others)
    torch.testing.assert_close(made.mean((2, 3)), others.mean((2, 3)))
    torch.testing.assert_close(made.std((2, 3)), others.std((2, 3)))
    assert torch.equal(made[0, 0].flatten().argsort(), items[0, 0].flatten().argsort())  # and shapes are not


def test_codes_are_exchanged_with_the_item_before():
    items = torch.rand(6, 3, 8, 8, dtype=torch.get_default_dtype())
    made, again = (exchanged(Made(), items, seed) for seed in (0, 0))
    assert all(torch.equal(made[name], again[name]) for name in made)
    torch.testing.assert_close(made["reconstructed"], Made.model.reconstruct(items))
    torch.testing.assert_close(made["taken"][1:2], Made.model.compose(lost=items[1:2], kept=items[:1]))
    torch.testing.assert_close(made["taken"][:1], Made.model.compose(lost=items[:1], kept=items[5:]))


def test_pictures_are_drawn():
    found = pictures(Made(), torch.rand(9, 3, 8, 8), seed=0)
    assert set(found) == {"reconstructed", "varied", "exchanged"} and all(figure.axes for figure in found.values())


def test_figures_over_seeds():
    assert over_seeds([{"a": 1.0}, {"a": 3.0}]) == pytest.approx({"a": 2.0, "a_sd": 2**0.5})


def test_the_middle_is_covered_by_the_mean_of_what_is_around_it():
    x = torch.rand(2, 3, 32, 32)
    covered = cover_middle(x)
    assert covered[0, 0, 3:29, 7:25].std() < 1e-6 and torch.equal(covered[..., :7], x[..., :7])
    other = x.clone()
    other[..., 10:20, 10:20] = 0.0  # the digit leaves no trace
    torch.testing.assert_close(cover_middle(other), covered)
