import pytest
import torch

from coset.data.digits import Digits
from coset.data.spatial import SpatialMNIST, draw_points
from coset.errors import ConfigurationError


def test_points_are_drawn_where_the_ink_is():
    image = torch.rand(2, 6, 8)
    image[0, 2:4] = 0
    points = draw_points(image, 200_000, torch.Generator().manual_seed(0))
    assert points.abs().max() <= 1
    for each, drawn in zip(image, points, strict=True):
        column = ((drawn[:, 0] + 1) / 2 * 8).long().clamp(max=7)
        row = ((1 - drawn[:, 1]) / 2 * 6).long().clamp(max=5)
        counts = torch.bincount(row * 8 + column, minlength=48).view(6, 8) / 200_000
        torch.testing.assert_close(counts, each / each.sum(), atol=4e-3, rtol=0)


def test_points_fill_their_pixel():
    image = torch.zeros(1, 4, 4)
    image[0, 3, 0] = 0.3  # lower left
    points = draw_points(image, 5000)[0]
    assert points.min() >= -1 and points.max() <= -0.5
    torch.testing.assert_close(points.mean(0), torch.tensor([-0.75, -0.75]), atol=0.02, rtol=0)


def test_every_image_is_a_set():
    splits = SpatialMNIST("digits", points=7, seed=2).load_splits()
    plain = Digits(seed=2).load_splits()
    for name, table in splits.items():
        assert len(table) == 7 * len(plain[name])
        assert table.column("digit")[::7] == plain[name].column("digit")
    batch = splits["test"].sets(["image"], items=None, batch=5).draw(0)
    assert batch.x.shape == (5, 7, 2) and (batch.factors["digit"] == batch.factors["digit"][:, :1]).all()
    assert torch.equal(SpatialMNIST("digits", points=7, seed=2).load_splits()["test"].items, splits["test"].items)


def test_no_points_are_refused():
    with pytest.raises(ConfigurationError, match="points should be at least 1, got 0"):
        SpatialMNIST(points=0)
