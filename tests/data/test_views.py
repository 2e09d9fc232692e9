"""Further views of the items: joined to a table, drawn with its sets, checked in a batch."""

import numpy as np
import pytest
import torch

from coset.data import FactorTable, SetBatch
from coset.errors import DataError, ShapeError


@pytest.fixture
def table():
    """Items that are their own row number, whose view is the same number five times."""
    rows = torch.arange(30.0)
    return FactorTable(rows[:, None], kind=torch.arange(30) % 3).with_view("sound", rows[:, None].expand(-1, 5))


@pytest.mark.parametrize("items", [4, [2, 4], None])
def test_views_are_drawn_with_their_items(table, items):
    batch = table.sets(["kind"], items=items, batch=3).draw(0)
    assert batch.views["sound"].shape == (*batch.shape, 5)
    torch.testing.assert_close(batch.views["sound"], batch.x.expand(-1, -1, 5))
    single = table.sets((), items=1, batch=7).draw(0)
    torch.testing.assert_close(single.views["sound"], single.x.expand(-1, -1, 5))


def test_views_stay_beside_their_items(table):
    for part in (table.where(kind=1), *table.split(0.3), table[[5, 2]], table.to("cpu")):
        torch.testing.assert_close(part.views["sound"].x(), part.x().expand(-1, 5))


def test_a_view_may_be_larger_than_memory(tmp_path):
    np.save(tmp_path / "view.npy", np.arange(60, dtype=np.uint8).reshape(30, 2))
    mapped = np.load(tmp_path / "view.npy", mmap_mode="r")
    table = FactorTable(torch.rand(30, 3)).with_view("picture", mapped)
    batch = table.sets((), items=1, batch=4).draw(0)
    assert batch.views["picture"].max() <= 1 and table.views["picture"].items.shape == (30, 2)


def test_batches_keep_and_move_views():
    batch = SetBatch(torch.rand(2, 3, 4), views={"sound": torch.rand(2, 3, 5)})
    assert list(batch.values) == ["x", "sound"] and batch.to(dtype=torch.float32).views["sound"].dtype == torch.float32


@pytest.mark.parametrize(
    ("error", "message", "build"),
    [
        (DataError, "30 items, but the view 'sound' has 29", lambda t: t.with_view("sound", torch.rand(29, 2))),
        (
            DataError,
            "item 3 holds NaN",
            lambda t: t.with_view("sound", torch.where(torch.arange(30) == 3, torch.nan, 0)),
        ),
        (
            ShapeError,
            r"sound \[B, N, \.\.\.\] is \[2, 4\]",
            lambda t: SetBatch(torch.rand(2, 3), views={"sound": torch.rand(2, 4)}),
        ),
        (DataError, "called 'x'", lambda t: SetBatch(torch.rand(2, 3), views={"x": torch.rand(2, 3)})),
        (
            DataError,
            "sound should be floating point",
            lambda t: SetBatch(torch.rand(2, 3), views={"sound": torch.ones(2, 3).long()}),
        ),
    ],
)
def test_what_does_not_fit_is_refused(table, error, message, build):
    with pytest.raises(error, match=message):
        build(table)
