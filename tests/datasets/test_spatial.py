import pytest
import torch

from coset.datasets.bases import base_images
from coset.datasets.spatial import SpatialMNIST, draw_points
from coset.errors import ConfigurationError, DataError


def histogram(points, height, width):
    """Share of the points `[m, 2]` in each pixel, in the layout of an image."""
    column = ((points[:, 0] + 1) / 2 * width).floor().long().clamp(0, width - 1)
    row = ((1 - points[:, 1]) / 2 * height).floor().long().clamp(0, height - 1)
    return (row * width + column).bincount(minlength=height * width).reshape(height, width) / len(points)


def test_histogram_of_many_points_is_the_image():
    _, digits = base_images("digits").load()
    image = digits.x()[7].double()
    points = draw_points(image[None], 200_000, torch.Generator().manual_seed(0))[0]
    found, expected = histogram(points, 8, 8), image / image.sum()
    assert (found - expected).abs().max() < 0.003
    assert (found[image == 0] == 0).all()
    # none of its mirror images or turns would do as well
    for other in (expected.flip(0), expected.flip(1), expected.mT, expected.rot90()):
        assert (found - other).abs().max() > 0.01


def test_images_need_not_be_square():
    image = torch.rand(1, 3, 7)
    points = draw_points(image, 200_000, torch.Generator().manual_seed(0))[0]
    assert (histogram(points, 3, 7) - image[0] / image.sum()).abs().max() < 0.003


def test_points_are_spread_evenly_within_a_pixel():
    image = torch.zeros(1, 4, 4)
    image[0, 1, 3] = 0.2  # x from 0.5 to 1, y from 0 to 0.5
    points = draw_points(image, 100_000, torch.Generator().manual_seed(0))[0]
    place = 2 * points - torch.tensor([1.0, 0.0])
    assert place.min() >= 0 and place.max() <= 1
    torch.testing.assert_close(place.mean(0), torch.full((2,), 0.5), atol=0.005, rtol=0)
    torch.testing.assert_close(place.T.cov(), torch.eye(2) / 12, atol=0.001, rtol=0)


def test_each_image_is_a_set_with_the_factor_of_the_base():
    splits, base = SpatialMNIST("digits", points=30, seed=2).load_splits(), base_images("digits", seed=2).load_splits()
    assert list(splits) == ["train", "validation", "test"]
    for name, table in splits.items():
        assert len(table) == 30 * len(base[name]) and table.item_shape == (2,)
        assert table.items.dtype == torch.float32 and table.range()[0] >= -1 and table.range()[1] <= 1
        assert table.column("digit")[::30] == base[name].column("digit")
        # every set lies where its own image has ink
        for image in range(5):
            points = table.where(image=image).x()
            assert len(points) == 30 and points.unique(dim=0).shape == points.shape
            assert (histogram(points, 8, 8)[base[name].x()[image] == 0] == 0).all()
    batch = splits["train"].sets(["image"], items=None, batch=4).draw(0)
    assert batch.x.shape == (4, 30, 2) and batch.mask is None
    assert (batch.factors["digit"] == batch.factors["digit"][:, :1]).all()


def test_seeds_repeat_and_parts_are_drawn_apart():
    first, again = (SpatialMNIST("digits", points=3).load_splits() for _ in range(2))
    assert all(torch.equal(first[name].items, again[name].items) for name in first)
    assert not torch.equal(first["test"].items, SpatialMNIST("digits", points=3, seed=1).load_splits()["test"].items)
    base = base_images("digits").load_splits()
    alike = [
        torch.equal(table.items, draw_points(base[name].x(), 3, torch.Generator().manual_seed(0)).flatten(0, 1))
        for name, table in first.items()
    ]
    assert alike == [True, False, False]


def test_it_says_where_it_comes_from():
    data = SpatialMNIST("fashion-mnist")
    assert data.name == "spatial-fashion-mnist" and data.source == base_images("fashion-mnist").source
    assert len(data.files) == 4 and not SpatialMNIST("digits").files


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'mnist'"):
        SpatialMNIST("mnst")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match="points should be at least 1, got 0"):
        SpatialMNIST(points=0)
    with pytest.raises(DataError, match="image 1 is blank"):
        draw_points(torch.stack([torch.ones(4, 4), torch.zeros(4, 4)]), 5)
    with pytest.raises(DataError, match="image 0 is blank or has negative"):
        draw_points(-torch.ones(1, 4, 4), 5)
