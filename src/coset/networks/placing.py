"""Cutting pieces out of canvases, and placing pieces on them (spatial transformers: Jaderberg et al. 2015)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def glimpse(canvas: Tensor, where: Tensor, side: int) -> Tensor:
    """Cut square windows out of canvases.

    Args:
        canvas: `[n, H, W]`.
        where: centre from the left, centre from the top, and side of each window, as shares of the canvas's side
            `[n, R, 3]`.
        side: of the pieces, in pixels.

    Returns:
        Pieces `[n, R, side, side]`; what lies outside the canvas is 0.

    >>> glimpse(torch.ones(2, 50, 50), torch.full((2, 3, 3), 0.5), side=28).shape
    torch.Size([2, 3, 28, 28])
    """
    n, repeats = where.shape[:2]
    offset, scale = 2 * where[..., :2] - 1, where[..., 2]
    flat = canvas.unsqueeze(1).expand(-1, repeats, -1, -1).reshape(n * repeats, 1, *canvas.shape[1:])
    return _sample(flat, offset.flatten(0, 1), scale.flatten(), side).view(n, repeats, side, side)


def place(pieces: Tensor, where: Tensor, side: int) -> Tensor:
    """Place pieces on empty canvases, the inverse of `glimpse`.

    Args:
        pieces: `[n, R, h, w]`.
        where: as in `glimpse`, `[n, R, 3]`.
        side: of the canvases, in pixels.

    Returns:
        One canvas for each piece `[n, R, side, side]`.
    """
    n, repeats = where.shape[:2]
    scale = where[..., 2].flatten()
    offset = -(2 * where[..., :2] - 1).flatten(0, 1) / scale.unsqueeze(-1)
    return _sample(pieces.flatten(0, 1).unsqueeze(1), offset, 1 / scale, side).view(n, repeats, side, side)


def _sample(images: Tensor, offset: Tensor, scale: Tensor, side: int) -> Tensor:
    """Read images `[m, 1, h, w]` on a grid of `side` × `side` points, scaled and then shifted: `[m, side, side]`."""
    none = torch.zeros_like(scale)
    rows = [torch.stack([scale, none, offset[:, 0]], -1), torch.stack([none, scale, offset[:, 1]], -1)]
    grid = F.affine_grid(torch.stack(rows, 1), [len(images), 1, side, side], align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).squeeze(1)
