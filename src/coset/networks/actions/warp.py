"""A context that turns pictures."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from coset.networks.actions.plane import PlaneMap


class Warp(PlaneMap):
    """Turns a picture about its middle, counter-clockwise, by one of V evenly spaced angles.

    Args:
        item_shape: `(H, W)` or `(C, H, W)`.
        turns: V, the candidates.
        first: degrees by which the first candidate turns.

    Raises:
        ConfigurationError: Items that are no pictures, or fewer than two turns.

    >>> import torch
    >>> action = Warp((6, 6), turns=4)
    >>> x, quarter = torch.rand(3, 6, 6), torch.eye(4)[1].expand(3, 4)
    >>> torch.allclose(action.do(x, quarter), x.rot90(1, (-2, -1)), atol=1e-5)
    True
    >>> torch.allclose(action.undo(action.do(x, quarter), quarter), x, atol=1e-5)
    True
    """

    def __init__(self, item_shape: Sequence[int], turns: int = 8, first: float = 0.0):
        angles = math.radians(first) + torch.arange(max(turns, 0), dtype=torch.float64) * (2 * math.pi / max(turns, 1))
        height, width = (1, 1, *item_shape)[-2:]
        cosine, sine = angles.cos(), angles.sin()
        # Coordinates are from -1 to 1 along both sides, whatever their lengths.
        rows = torch.stack([cosine, -sine * height / width, sine * width / height, cosine], -1)
        super().__init__(item_shape, F.pad(rows.view(-1, 2, 2), (0, 1)))
