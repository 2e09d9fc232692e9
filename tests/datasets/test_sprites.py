import pytest
import torch

from coset.datasets import Sprites
from coset.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("single")

SMALL = {"side": 24, "scales": 3, "orientations": 4, "positions": 5}


def pictures(table, **values):
    return table.where(**values).x()


def test_every_combination_is_there_once():
    table = Sprites(**SMALL).load()
    assert len(table) == 3 * 3 * 4 * 5 * 5
    assert {name: len(values) for name, values in table.values.items()} == {
        "shape": 3,
        "scale": 3,
        "orientation": 4,
        "x": 5,
        "y": 5,
    }
    assert len({item.numpy().tobytes() for item in pictures(table, shape="heart")}) == 3 * 4 * 5 * 5


def test_sprites_stand_where_their_factors_say():
    table = Sprites(**SMALL).load()
    x = table.x()
    mass = x.sum((1, 2))
    columns = (x.sum(1) * torch.arange(24.0)).sum(1) / mass
    rows = (x.sum(2) * torch.arange(24.0)).sum(1) / mass
    for name, place, sign in (("x", columns, 1), ("y", rows, -1)):
        level = torch.tensor(table.column(name))
        means = torch.stack([place[level == value].mean() for value in range(5)])
        assert bool((sign * means.diff() > 1.5).all())
        assert abs(float(means[2]) - 11.5) < 0.5
    scale = torch.tensor(table.column("scale"))
    areas = [float(mass[scale == value].mean()) for value in (50, 75, 100)]
    assert [area / areas[2] for area in areas] == pytest.approx([0.25, 0.5625, 1.0], abs=0.03)
    edges = torch.cat([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], 1)
    assert float(edges.max()) == 0  # none is cut off


def test_orientation_turns_counter_clockwise():
    table = Sprites(**SMALL).load()
    middle = {"scale": 100, "x": 2, "y": 2}
    upright, turned = (pictures(table, shape="heart", orientation=angle, **middle)[0] for angle in (0, 90))
    torch.testing.assert_close(turned, upright.rot90(1), atol=0.01, rtol=0)
    one, other = (pictures(table, shape="square", orientation=angle, **middle)[0] for angle in (0, 90))
    torch.testing.assert_close(one, other, atol=0.01, rtol=0)


@pytest.mark.parametrize("split", ["element", "range"])
def test_what_is_left_out_is_in_no_other_part(split):
    splits = Sprites(**SMALL, split=split).load_splits()
    assert sum(map(len, splits.values())) == 900
    test = splits["test"]
    if split == "range":
        assert set(test.column("shape")) == {"square"} and set(test.column("x")) == {3, 4}
        assert set(splits["train"].where(shape="square").column("x")) == {0, 1, 2}
        assert len(test) == 3 * 4 * 2 * 5
    else:
        assert set(test.column("shape")) == {"ellipse"} and set(test.column("scale")) == {100}
        assert set(test.column("orientation")) == {0, 90, 180, 270}  # an ellipse looks the same every 180 degrees
        assert set(test.column("x")) == set(test.column("y")) == {3, 4}
    for name, values in test.values.items():  # each value is seen, in other company
        assert set(splits["train"].column(name)) == set(values)
    seen = torch.cat([splits[part].x() for part in ("train", "validation")])
    assert float(torch.cdist(test.x().flatten(1), seen.flatten(1)).min()) > 0.5  # nor does anything look like it


def test_colour_is_one_more_factor():
    table = Sprites(**SMALL, colours=2).load()
    assert table.item_shape == (3, 24, 24) and table.values["colour"] == ["green", "red"] and len(table) == 1800
    red = pictures(table, colour="red").mean((0, 2, 3))
    assert float(red[0]) > 3 * float(red[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": 1}, "scales should be at least 2"),
        ({"colours": 9}, "colours 1 to 6"),
        ({"side": 4}, "side should be at least 8"),
        ({"split": "corner"}, "split should be one of"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Sprites(**options)
