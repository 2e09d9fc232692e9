"""Images out of focus."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from coset.errors import ConfigurationError
from coset.networks.transforms.base import Transform


class Blur(Transform):
    """Averages pixels with a Gaussian window: coarse shapes and colours survive, fine lines and textures do not.

    Args:
        item_shape: `(H, W)` or `(C, H, W)`.
        width: standard deviation of the window, in pixels.

    Raises:
        ConfigurationError: The items are no images, or the width is not above 0 or too large for them.

    >>> round(float(Blur((5, 5), width=0.5)(torch.ones(2, 5, 5)).mean()), 4)
    1.0
    """

    window: Tensor

    def __init__(self, item_shape: Sequence[int], width: float = 2.0):
        super().__init__()
        if len(item_shape) not in (2, 3):
            raise ConfigurationError(f"Blur: expected images [H, W] or [C, H, W], got {list(item_shape)}")
        self.reach = math.ceil(3 * width)
        if not width > 0 or self.reach >= min(item_shape[-2:]):
            raise ConfigurationError(
                f"Blur: expected a width above 0 and below a third of the side, {min(item_shape[-2:])}, got {width}"
            )
        places = torch.arange(-self.reach, self.reach + 1)
        window = (-0.5 * (places / width).square()).exp()
        self.register_buffer("window", window / window.sum(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[n, H, W]` or `[n, C, H, W]` to blurred ones of the same shape."""
        flat = F.pad(x.reshape(-1, 1, *x.shape[-2:]), (self.reach,) * 4, mode="reflect")
        along = F.conv2d(flat, self.window.view(1, 1, 1, -1))
        return F.conv2d(along, self.window.view(1, 1, -1, 1)).view_as(x)
