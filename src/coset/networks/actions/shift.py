"""A context that moves pictures."""

from collections.abc import Sequence
from typing import Literal

import torch

from coset.errors import ConfigurationError
from coset.networks.actions.plane import PlaneMap


class Shift(PlaneMap):
    """Moves a picture along one axis, by one of V evenly spaced distances, to one side and to the other.

    Args:
        item_shape: `(H, W)` or `(C, H, W)`.
        axis: `x`, to the right, or `y`, up.
        places: V, the candidates.
        reach: the largest distance, as a share of the picture's side.

    Raises:
        ConfigurationError: Items that are no pictures, fewer than two places, another axis, or no distance.

    >>> import torch
    >>> action = Shift((4, 4), axis="x", places=3, reach=0.25)
    >>> x, right = torch.eye(4), torch.eye(3)[2]
    >>> torch.allclose(action.do(x, right)[:, 1:], x[:, :-1], atol=1e-6)
    True
    """

    def __init__(self, item_shape: Sequence[int], axis: Literal["x", "y"] = "x", places: int = 8, reach: float = 0.25):
        if axis not in ("x", "y"):
            raise ConfigurationError(f"axis: expected x or y, got {axis!r}")
        if not 0 < reach <= 1:
            raise ConfigurationError(f"reach: expected a share of the side, above 0 and up to 1, got {reach}")
        maps = torch.eye(2, 3, dtype=torch.float64).repeat(max(places, 0), 1, 1)
        distances = torch.linspace(-2 * reach, 2 * reach, max(places, 0), dtype=torch.float64)  # a side is 2 long
        if axis == "x":
            maps[:, 0, 2] = -distances
        else:
            maps[:, 1, 2] = distances  # rows are counted down
        super().__init__(item_shape, maps)
