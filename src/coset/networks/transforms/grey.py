"""Images without their colours."""

from collections.abc import Sequence

from torch import Tensor

from coset.errors import ConfigurationError
from coset.networks.transforms.base import Transform

LUMINANCE = (0.299, 0.587, 0.114)
"""How bright red, green and blue look (ITU-R BT.601)."""


def luminance(x: Tensor) -> Tensor:
    """How bright colours `[n, 3, H, W]` look: `[n, H, W]`."""
    return (x * x.new_tensor(LUMINANCE).view(3, 1, 1)).sum(1)


class Grey(Transform):
    """Gives all three channels of an image its luminance: shapes survive, colours do not.

    Args:
        item_shape: `(3, H, W)`, red, green and blue.

    Raises:
        ConfigurationError: The items are not of three channels.

    >>> import torch
    >>> made = Grey((3, 1, 1))(torch.tensor([[[[1.0]], [[0.0]], [[0.0]]]]))
    >>> [round(value, 3) for value in made.flatten().tolist()]
    [0.299, 0.299, 0.299]
    """

    def __init__(self, item_shape: Sequence[int]):
        super().__init__()
        if len(item_shape) != 3 or item_shape[0] != 3:
            raise ConfigurationError(f"Grey: expected images [3, H, W], red, green and blue, got {list(item_shape)}")

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[n, 3, H, W]` to grey ones of the same shape."""
        return luminance(x).unsqueeze(1).expand_as(x)
