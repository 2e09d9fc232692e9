import functools
from types import SimpleNamespace

import pytest
import torch

from coset import AuxiliaryTaskVAE, FactorTable
from coset.errors import ConfigurationError, DataError
from coset.metrics import placement, train_classifier
from coset.networks.transforms import PatchShuffle

ROWS = 400


@pytest.fixture
def table():
    """Items of which the first three numbers tell one factor, and the others another."""
    torch.manual_seed(0)
    levels = {"colour": torch.randint(3, (ROWS,)), "shape": torch.randint(3, (ROWS,))}
    marks = [torch.nn.functional.one_hot(column, 3) + 0.1 * torch.randn(ROWS, 3) for column in levels.values()]
    return FactorTable(torch.cat(marks, 1), **levels)


def placed(table, lost, kept):
    """A model whose transform destroys shapes, and whose codes are the given columns of items."""
    x = table.x()
    colours_alone = torch.cat([x[:, :3], torch.zeros(ROWS, 3)], 1)
    read = {"transformed": colours_alone, "lost": x[:, lost], "kept": x[:, kept]}
    return SimpleNamespace(transform=torch.nn.Identity(), place=lambda items, seed: read)


@pytest.mark.parametrize(
    ("lost", "kept", "score"),
    [
        (slice(3, 6), slice(0, 3), 1.0),  # as it should be
        (slice(0, 3), slice(3, 6), 0.0),  # the other way round
        (slice(0, 6), slice(0, 3), 0.75),  # what is lost knows colours as well
        (slice(0, 6), slice(0, 6), 0.5),  # nothing was placed
    ],
)
def test_score_says_how_much_stands_where_the_transform_wants_it(table, lost, kept, score):
    found = placement(placed(table, lost, kept), table)
    assert found.wanted["shape"] > 0.95 and found.wanted["colour"] < 0.05
    assert found.score == pytest.approx(score, abs=0.05)
    assert found.told["shape"]["items"] > 0.95 and found.told["shape"]["transformed"] < 0.05
    assert "placement" in found.table() and found.as_dict()["score"] == found.score


def test_what_items_do_not_tell_does_not_count(table):
    guess = torch.randint(2, (ROWS,), generator=torch.Generator().manual_seed(1))
    more = FactorTable(table.items, guess=guess, **{name: table.column(name) for name in table.factors})
    alone, beside = (placement(placed(more, slice(3, 6), slice(0, 3)), more, factors) for factors in (["shape"], None))
    assert beside.told["guess"]["items"] < 0.05 and beside.wanted["guess"] != beside.wanted["guess"]
    assert beside.score == pytest.approx(alone.score, abs=0.05)


@pytest.mark.usefixtures("single")
def test_images_are_read_by_a_classifier(monkeypatch):
    monkeypatch.setattr(
        "coset.metrics.information_placement.train_classifier", functools.partial(train_classifier, steps=30)
    )
    torch.manual_seed(0)
    corner, level = torch.randint(4, (ROWS,)), torch.randint(2, (ROWS,))
    items = torch.zeros(ROWS, 2, 2, 8, 8)
    items[torch.arange(ROWS), corner // 2, corner % 2] = 0.5 + 0.5 * level[:, None, None].float()
    table = FactorTable(items.permute(0, 1, 3, 2, 4).reshape(ROWS, 16, 16), corner=corner, level=level)
    model = AuxiliaryTaskVAE(
        (16, 16), {"class": "PatchShuffle", "side": 8}, lost_dim=2, kept_dim=2, features=8, architecture="dense"
    )
    assert isinstance(model.transform, PatchShuffle)
    found = placement(model, table)
    assert found.wanted["corner"] > 0.9 and found.wanted["level"] < 0.1  # patches are in another order for each item
    assert placement(model, table).as_dict() == found.as_dict()


def test_what_cannot_be_judged_is_refused(table):
    with pytest.raises(ConfigurationError, match="the model has no transform"):
        placement(AuxiliaryTaskVAE((6,), None, clusters=2, architecture="dense"), table)
    model = placed(table, slice(3, 6), slice(0, 3))
    with pytest.raises(DataError, match="no discrete factor 'size'"):
        placement(model, table, ["size"])
    with pytest.raises(DataError, match="the table has no discrete factor; give one"):
        placement(model, FactorTable(table.items))
    unknown = FactorTable(table.items, colour=[None, *table.column("colour")[1:]])
    with pytest.raises(DataError, match="'colour' is unknown for 1 items"):
        placement(model, unknown)
