"""Are images of the same colours, wherever these stand?"""

from torch import Tensor

from coset.arguments import checked
from coset.errors import ShapeError


@checked
def colour_distance(first: Tensor, second: Tensor) -> Tensor:
    """How far the colour histogram of each image is from that of another one, in the units of the intensities: `[n]`.

    For each channel, the Wasserstein distance of the intensities of one image and of the other, which for equally many
    pixels is the mean distance of those of the same rank; then the mean over channels. 0 for images whose pixels are
    the same in another order, channel by channel; the difference for images of one colour each.

    Args:
        first: images `[n, C, H, W]`.
        second: images of the same shape.

    Raises:
        ShapeError: These are no such images.

    >>> import torch
    >>> colour_distance(torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5))
    tensor([0.5000, 0.5000])
    """
    if first.ndim != 4 or first.shape != second.shape:
        shapes = f"{list(first.shape)}, {list(second.shape)}"
        raise ShapeError(f"colour_distance: expected images [n, C, H, W] of one shape, got {shapes}")
    one, other = (images.flatten(2).sort(-1).values for images in (first, second))
    return (one - other).abs().mean((1, 2))
