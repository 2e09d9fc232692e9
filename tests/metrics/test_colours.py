import pytest
import torch
from scipy.stats import wasserstein_distance

from coset.errors import ShapeError
from coset.metrics import colour_distance


def test_colours_count_and_places_do_not():
    images = torch.rand(3, 3, 5, 4)
    torch.testing.assert_close(colour_distance(images, images.flip(-1)), torch.zeros(3))
    torch.testing.assert_close(colour_distance(images, images + 0.25), torch.full((3,), 0.25))
    assert (colour_distance(images, images.roll(1, 1)) > 0.01).all()  # channels are told apart


def test_it_is_the_distance_of_the_histograms():
    one, other = torch.rand(2, 2, 3, 6, 4)
    for found, first, second in zip(colour_distance(one, other), one, other, strict=True):
        each = [wasserstein_distance(a.flatten(), b.flatten()) for a, b in zip(first, second, strict=True)]
        assert found == pytest.approx(sum(each) / 3)


@pytest.mark.parametrize("second", [torch.rand(2, 3, 5, 5), torch.rand(3, 4, 4)])
def test_images_of_other_shapes_are_refused(second):
    with pytest.raises(ShapeError, match=r"expected images \[n, C, H, W\] of one shape"):
        colour_distance(torch.rand(2, 3, 4, 4), second)
