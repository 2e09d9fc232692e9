import math
from functools import cache

import pytest
import torch
from scipy.stats import ks_2samp

from coset.data.table import FactorTable
from coset.datasets.multi_mnist import MultiMNIST, _arrange, _paint, ink_baseline
from coset.errors import ConfigurationError, DataError

pytestmark = pytest.mark.usefixtures("single")


@cache
def canvases(**options):
    """Canvases of scikit-learn's digits, made once for all tests."""
    options = {"base": "digits", "side": 32, "train": 1600, "test": 100} | options
    return MultiMNIST(**options).load()[0]


def ink(table):
    return table.x().sum((1, 2))


def inks_by_count(table, least):
    count = table.factors["count"]
    return [ink(table)[count == value] for value in range(least, 4)]


# --- what stands on a canvas --------------------------------------------------------------------------------


def test_counts_and_digits_are_balanced():
    table = canvases()
    assert [table.column("count").count(value) for value in range(4)] == [400] * 4
    for count in range(1, 4):
        rows = table.where(count=count)
        for slot in range(1, 4):
            column = rows.column(f"digit_{slot}")
            expected = 40 if slot <= count else 0
            assert [column.count(digit) for digit in range(10)] == [expected] * 10


@pytest.mark.parametrize("clutter", [0.0, 0.4])
def test_a_digit_has_its_factors_and_an_absent_one_has_none(clutter):
    table = canvases(clutter=clutter)
    count = torch.tensor(table.column("count"))
    for slot in range(1, 4):
        for name in ("digit", "x", "y", "scale"):
            known = torch.tensor([value is not None for value in table.column(f"{name}_{slot}")])
            assert torch.equal(known, count >= slot)


def test_digits_lie_where_the_factors_say():
    one = canvases().where(count=1)
    x = one.x()
    pixel = (torch.arange(32) + 0.5) / 32
    across, down = x.sum(1), x.sum(2)
    for name, profile in (("x", across), ("y", down)):
        inked = profile > 0
        first, last = inked.byte().argmax(1), 31 - inked.flip(1).byte().argmax(1)
        middle = (pixel[first] + pixel[last]) / 2
        torch.testing.assert_close(one.factors[f"{name}_1"], middle, atol=1.5 / 32, rtol=0)
    assert one.factors["x_1"].std() > 0.05 and one.factors["y_1"].std() > 0.03


def test_digits_of_three_are_smaller_but_share_the_ink():
    table = canvases()
    one, three = table.where(count=1), table.where(count=3)
    assert one.factors["scale_1"].mean() > 1.5 * three.factors["scale_1"].mean()
    area = torch.stack([three.factors[f"scale_{slot}"] for slot in (1, 2, 3)]).square().sum(0)  # of whole images
    assert area.mean().item() == pytest.approx(one.factors["scale_1"].square().mean().item(), rel=0.05)


def test_nothing_overlaps_more_than_is_allowed():
    generator = torch.Generator().manual_seed(0)
    m, side, overlap = 300, 20, 0.1
    box = torch.tensor([1.5, 0.5, 6.5, 5.5]).expand(m, 3, 4)
    size = 1 + torch.rand(m, 3, generator=generator)
    size[::3, 2] = 0  # absent
    origin, centre, fits = _arrange(box, size, side, overlap, generator)
    assert fits.float().mean() > 0.5
    low = origin + box[..., :2] * size[..., None]
    high = origin + box[..., 2:] * size[..., None]
    assert (low >= -1e-4).all() and (high <= side + 1e-4).all()
    torch.testing.assert_close(centre.flip(-1), (low + high) / 2)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        shared = (high[:, first].minimum(high[:, second]) - low[:, first].maximum(low[:, second])).clamp(min=0).prod(1)
        area = (high - low).prod(2)
        allowed = overlap * area[:, first].minimum(area[:, second]) + 1e-4
        assert (shared <= allowed)[fits].all()


def test_what_does_not_fit_is_said_so():
    generator = torch.Generator().manual_seed(0)
    box = torch.tensor([0.0, 0.0, 8.0, 8.0]).expand(4, 2, 4)
    size = torch.tensor([[1.0, 1.0], [3.0, 0.0], [2.4, 2.4], [2.4, 0.0]])
    assert _arrange(box, size, 20, 0.1, generator)[2].tolist() == [True, False, False, True]


def test_painting_keeps_the_ink_exactly_and_puts_it_in_its_place():
    image = torch.rand(5, 6, 4)
    size = torch.tensor([[1.0], [0.37], [2.5], [1.9], [0.8]])
    origin = torch.tensor([[[3.0, 5.0]], [[4.2, 1.3]], [[2.0, 7.7]], [[6.1, 6.2]], [[9.9, 0.9]]])
    canvas = _paint([image], size, origin, 24)
    torch.testing.assert_close(canvas.sum((1, 2)), image.sum((1, 2)) * size[:, 0] ** 2)
    assert canvas.max() <= 1
    place = torch.arange(24) + 0.5
    for axis, length in ((0, 6), (1, 4)):
        inner = (torch.arange(length) + 0.5) * torch.ones(5, 1)
        weight = image.sum(2 - axis)
        expected = origin[:, 0, axis] + size[:, 0] * (weight * inner).sum(1) / weight.sum(1)
        found = (canvas.sum(2 - axis) * place).sum(1) / canvas.sum((1, 2))
        torch.testing.assert_close(found, expected, atol=0.03, rtol=0)  # ink within a pixel counts as in its middle


def test_painting_adds_up_and_skips_what_is_absent():
    images = [torch.rand(2, 5, 5), torch.rand(2, 3, 3)]
    size, origin = torch.tensor([[1.2, 0.0], [1.2, 2.0]]), torch.rand(2, 2, 2) * 6 + 1
    alone = [_paint([image], size[:, [j]], origin[:, [j]], 16) for j, image in enumerate(images)]
    torch.testing.assert_close(_paint(images, size, origin, 16), alone[0] + alone[1])
    assert alone[1][0].max() < 1e-5 < alone[1][1].max()


# --- counting by ink ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("clutter", "least"), [(0.0, 1), (0.4, 0)])
def test_ink_has_the_same_distribution_for_every_count(clutter, least):
    groups = inks_by_count(canvases(clutter=clutter), least)
    for group in groups[1:]:
        assert ks_2samp(groups[0].numpy(), group.numpy()).pvalue > 0.01


@pytest.mark.parametrize(("clutter", "least"), [(0.0, 1), (0.4, 0)])
def test_ink_baseline_is_at_chance(clutter, least):
    table = canvases(clutter=clutter)
    table = table[table.factors["count"] >= least]
    assert ink_baseline(table) == pytest.approx(1 / (4 - least), abs=0.06)


def test_unequal_ink_can_be_counted_by_ink():
    table = canvases(equal_ink=False, scale=(0.35, 0.45))
    assert ink_baseline(table) > 0.8
    mean = torch.stack([group.mean() for group in inks_by_count(table, 1)])
    torch.testing.assert_close(mean / mean[0], torch.tensor([1.0, 2.0, 3.0]), atol=0.1, rtol=0)


def test_only_clutter_fills_a_canvas_without_digits():
    assert canvases().where(count=0).items.max() == 0
    assert ink(canvases(clutter=0.4).where(count=0)).min() > 0


def test_ink_baseline_reads_what_ink_tells():
    generator = torch.Generator().manual_seed(0)
    lightness = torch.rand(400, generator=generator)
    band = (4 * lightness).long()
    items = lightness[:, None, None] * torch.ones(400, 3, 3)
    table = FactorTable(items, band=band, coin=torch.randint(2, (400,), generator=generator), lightness=lightness)
    assert ink_baseline(table, "band") > 0.97
    assert ink_baseline(table, "coin") == pytest.approx(0.5, abs=0.1)
    with pytest.raises(DataError, match="did you mean 'band'"):
        ink_baseline(table, "bend")
    with pytest.raises(DataError, match="no discrete factor is called 'lightness'"):
        ink_baseline(table, "lightness")


# --- splits and options -------------------------------------------------------------------------------------


def test_seeds_compose():
    options = {"base": "digits", "train": 30, "validation": 10, "test": 20, "clutter": 0.2}
    splits = MultiMNIST(**options).load_splits()
    assert {name: len(table) for name, table in splits.items()} == {"train": 30, "validation": 10, "test": 20}
    again, other = MultiMNIST(**options).load_splits(), MultiMNIST(**options, seed=1).load_splits()
    assert all(torch.equal(splits[name].items, again[name].items) for name in splits)
    assert not any(splits[name].column("count") == other[name].column("count") for name in splits)
    assert torch.equal(MultiMNIST(**options).load()[1].items, splits["test"].items)


def test_canvases_come_in_the_form_that_is_asked_for():
    data = MultiMNIST("digits", most=2, side=20, train=7, test=3, scale=(0.3, 0.5))
    train, _ = data.load()
    assert train.item_shape == (20, 20) and train.items.dtype == torch.uint8
    assert train.column("count").count(0) == 3 and train.values["count"] == [0, 1, 2]
    assert "digit_2" in train.factors and "digit_3" not in train.factors
    assert data.name == "multi-digits" and MultiMNIST().name == "multi-mnist"
    assert MultiMNIST().files and "MNIST" in MultiMNIST().source


def test_scale_is_the_share_of_the_canvas():
    alone = canvases(equal_ink=False, scale=(0.35, 0.45)).where(count=1)
    scale = alone.factors["scale_1"]
    assert scale.min() >= 0.35 and scale.max() <= 0.45
    # An image of scikit-learn's digits has 8 × 8 pixels, and ink that grows with the square of the zoom.
    zoom = scale * 32 / 8
    assert (ink(alone) / zoom**2).mean().item() == pytest.approx(19.5, rel=0.1)


def test_no_room_is_an_error():
    with pytest.raises(DataError, match="don't find room on 50 × 50"):
        MultiMNIST("digits", most=6, equal_ink=False, scale=(0.9, 1.0), train=14, test=7).load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "mnst"}, "did you mean 'mnist'"),
        ({"most": 0}, "most should be at least 1"),
        ({"test": 0}, "test should be at least 1"),
        ({"scale": (0.8, 0.5)}, "scale should be"),
        ({"scale": (0.0, 0.5)}, "scale should be"),
        ({"scale": (0.5, 1.5)}, "scale should be"),
        ({"scale": (math.nan, 0.5)}, "scale should be"),
        ({"clutter": 1.0}, "clutter should be"),
        ({"overlap": -0.1}, "overlap should be"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ConfigurationError, match=message):
        MultiMNIST(**options)
