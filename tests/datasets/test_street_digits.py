from itertools import pairwise

import numpy as np
import pytest
import torch

from coset.data import FactorTable
from coset.datasets import street_digits
from coset.datasets.cifar10 import CIFAR10
from coset.datasets.street_digits import HUES, StreetDigits
from coset.errors import ConfigurationError
from coset.networks.transforms.grey import luminance

pytestmark = pytest.mark.usefixtures("single")

SIZES = {"train": 300, "validation": 40, "test": 60}


@pytest.fixture
def splits(monkeypatch):
    """Street digits on walls of noise that is smooth, as photographs are."""
    random = torch.Generator().manual_seed(0)

    def load_splits(self):
        low = torch.rand(20, 3, 8, 8, generator=random)
        images = torch.nn.functional.interpolate(low, (32, 32), mode="bilinear").mul(255).to(torch.uint8)
        return {name: FactorTable(images) for name in SIZES}

    monkeypatch.setattr(CIFAR10, "load_splits", load_splits)
    return StreetDigits("digits", **SIZES).load_splits()


def test_pictures_and_factors(splits):
    assert {name: len(table) for name, table in splits.items()} == SIZES
    train = splits["train"]
    assert train.items.dtype == torch.uint8 and train.item_shape == (3, 32, 32)
    assert train.values["digit"] == list(range(10)) and train.values["hue"] == list(HUES)
    assert set(train.column("neighbours")) == {"neither", "left", "right", "both"}
    assert set(train.column("brighter")) == {"digit", "wall"}


def test_no_two_parts_are_drawn_by_the_same_random_numbers(splits):
    hues = [table.column("hue")[:40] for table in splits.values()]
    assert all(sum(map(int.__eq__, one, two)) < 20 for one, two in pairwise(hues))


def test_hue_is_that_of_the_wall(splits):
    """The corners above and below show the wall, of whose colour the hue is computed in another way."""
    train = splits["train"]
    red, green, blue = train.x()[:, :, :2].mean((2, 3)).unbind(1)
    found = torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue) * 180 / np.pi % 360
    off = (found - torch.tensor(train.column("hue")) + 180) % 360 - 180
    assert off.abs().median() < 8 and (off.abs() < 22.5).double().mean() > 0.9


def test_a_digit_differs_from_its_wall_in_luminance_as_is_said():
    generator = torch.Generator().manual_seed(0)
    wall = torch.rand(1000, 3, 1, 1, generator=generator)
    paint, brighter = street_digits._mix(wall, generator)
    difference = (luminance(paint) - luminance(wall)).flatten()
    assert paint.min() >= 0 and paint.max() <= 1
    assert torch.equal(difference > 0, brighter) and 0.4 < brighter.double().mean() < 0.6
    assert difference.abs().min() > street_digits.CONTRAST - 1e-5


def test_neighbours_reach_into_the_picture_where_they_are_said_to_be():
    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(400, 3, 8, 8)
    images[:, :, 1:7, 2:6] = 1
    beside = torch.rand(400, 2, generator=generator) < 0.5
    ink = street_digits._write(images, beside, generator)
    left, right = ink[:, :, 0].amax(1) > 0.5, ink[:, :, -1].amax(1) > 0.5
    assert torch.equal(torch.stack([left, right], 1), beside)
    assert (ink[:, 14:18, 14:18] > 0.99).all()


def test_equal_seeds_compose_equal_pictures(splits, monkeypatch):
    walls = FactorTable(torch.randint(256, (20, 3, 32, 32), dtype=torch.uint8))
    monkeypatch.setattr(CIFAR10, "load_splits", lambda self: dict.fromkeys(SIZES, walls))
    one, two, other = (StreetDigits("digits", **SIZES, seed=seed).load_splits()["test"] for seed in (1, 1, 2))
    assert torch.equal(one.items, two.items) and one.column("hue") == two.column("hue")
    assert not torch.equal(one.items, other.items)


@pytest.mark.parametrize("options", [{"base": "letters"}, {"photographs": "folders"}, {"test": 0}, {"crowded": 1.5}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigurationError):
        StreetDigits(**options)
