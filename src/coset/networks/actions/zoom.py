"""A context that resizes pictures."""

from collections.abc import Sequence

import torch

from coset.errors import ConfigurationError
from coset.networks.actions.plane import PlaneMap


class Zoom(PlaneMap):
    """Resizes what a picture shows about its middle, to one of V evenly spaced sizes.

    Args:
        item_shape: `(H, W)` or `(C, H, W)`.
        sizes: V, the candidates.
        smallest: size of the first, as a share of the last, which leaves the picture as it is.

    Raises:
        ConfigurationError: Items that are no pictures, fewer than two sizes, or a smallest one that is not smaller.

    >>> import torch
    >>> action = Zoom((8, 8), sizes=2, smallest=0.5)
    >>> x = torch.zeros(8, 8)
    >>> x[2:6, 2:6] = 1.0
    >>> action.do(x, torch.eye(2)[0]).sum()
    tensor(4.)
    """

    def __init__(self, item_shape: Sequence[int], sizes: int = 6, smallest: float = 0.5):
        if not 0 < smallest < 1:
            raise ConfigurationError(f"smallest: expected a share between 0 and 1, got {smallest}")
        size = torch.linspace(smallest, 1.0, max(sizes, 0), dtype=torch.float64)
        super().__init__(item_shape, torch.eye(2, 3, dtype=torch.float64) / size[:, None, None])
