"""A context that maps the plane: pictures that are turned."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from coset.errors import ConfigurationError
from coset.networks.actions.base import Action
from coset.shapes import flatten_items


class Warp(Action):
    """Turns a picture about its middle, by one of V evenly spaced angles.

        x(u) = x'(M_v⁻¹ u),   M_v = rotation by `first` + 360 v / V degrees

    What is interpolated is the parameters of the likelihood, such as logits; beyond the edge they go on as they end.

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

    maps: Tensor

    def __init__(self, item_shape: Sequence[int], turns: int = 8, first: float = 0.0):
        super().__init__()
        if len(item_shape) not in (2, 3):
            raise ConfigurationError(
                f"Warp: turns pictures, [H, W] or [C, H, W], but items have the shape {list(item_shape)}"
            )
        if turns < 2:
            raise ConfigurationError(f"turns: expected a number of candidates from 2 up, got {turns}")
        self.item_shape, self.candidates = tuple(item_shape), turns
        angles = math.radians(first) + torch.arange(turns, dtype=torch.float64) * (2 * math.pi / turns)
        height, width = self.item_shape[-2:]
        cosine, sine = angles.cos(), angles.sin()
        # Coordinates are from -1 to 1 along both sides, whatever their lengths.
        rows = torch.stack([cosine, -sine * height / width, sine * width / height, cosine], -1)
        self.register_buffer("maps", rows.view(-1, 2, 2).to(torch.get_default_dtype()), persistent=False)

    def do(self, parameters: Tensor, choice: Tensor) -> Tensor:
        """Turn pictures `[..., *item_shape]` counter-clockwise, for choices `[..., V]`."""
        return self._turn(parameters, choice, self.maps)

    def undo(self, x: Tensor, choice: Tensor) -> Tensor:
        """Turn pictures back."""
        return self._turn(x, choice, torch.linalg.inv(self.maps))

    def _turn(self, pictures: Tensor, choice: Tensor, maps: Tensor) -> Tensor:
        lead = torch.broadcast_shapes(pictures.shape[: pictures.ndim - len(self.item_shape)], choice.shape[:-1])
        flat, _ = flatten_items(pictures.expand(*lead, *self.item_shape), len(self.item_shape))
        matrix = torch.einsum("...v,vij->...ij", choice, maps).expand(*lead, 2, 2).reshape(-1, 2, 2)
        flat = flat.view(len(flat), -1, *self.item_shape[-2:])  # [n, C, H, W]
        grid = F.affine_grid(F.pad(matrix, (0, 1)), list(flat.shape), align_corners=False)
        turned = F.grid_sample(flat, grid, align_corners=False, padding_mode="border")
        return turned.view(*lead, *self.item_shape)
