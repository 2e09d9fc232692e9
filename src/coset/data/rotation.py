"""Images turned about their centre."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from coset.errors import ShapeError


def rotate(x: Tensor, degrees: float | Tensor) -> Tensor:
    """Rotate square images about their centre, counter-clockwise; what comes in from outside is 0.

    Quarter turns only move pixels, so they are exact and undo each other; what remains of an angle, at most 45 degrees
    to either side, is interpolated bilinearly.

    Args:
        x: Images `[..., H, H]`, floating point.
        degrees: One angle, or one for each image: a tensor that broadcasts over the leading axes of `x`.

    Raises:
        ShapeError: Images are not square, or there are angles without an image.

    >>> x = torch.rand(5, 28, 28)
    >>> torch.equal(rotate(rotate(x, 90), -90), x)
    True
    >>> torch.equal(rotate(x, torch.tensor([0, 90, 180, 270, 360]))[1], rotate(x[1], 90))
    True
    """
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"rotate: images should be square, [..., H, H], got {list(x.shape)}; pad the shorter side")
    if not isinstance(degrees, Tensor):
        quarters = round(degrees / 90)
        rest = degrees - 90 * quarters
        turned = torch.rot90(x, quarters, dims=(-2, -1))
        return _interpolate(turned, torch.full((), rest, dtype=x.dtype, device=x.device)) if rest else turned
    degrees = degrees.to(x.device)
    if degrees.ndim > x.ndim - 2:
        raise ShapeError(f"rotate: {list(degrees.shape)} angles don't fit over images {list(x.shape)}; give one each")
    quarters = (degrees / 90).round()
    rest = (degrees - 90 * quarters).to(x.dtype)
    turn = quarters.remainder(4)[..., None, None]
    turned = x
    for count in (1, 2, 3):
        turned = torch.where(turn == count, torch.rot90(x, count, dims=(-2, -1)), turned)
    # Interpolating by nothing would still round: images that only make quarter turns are left as they are.
    return torch.where((rest == 0)[..., None, None], turned, _interpolate(turned, rest))


def _interpolate(x: Tensor, degrees: Tensor) -> Tensor:
    """Bilinear rotation by any angle."""
    angle = (degrees * (math.pi / 180)).expand(x.shape[:-2]).reshape(-1)  # [n]
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # For each target pixel, where it comes from: x to the right, y downwards.
    matrix = torch.stack([cosine, -sine, zero, sine, cosine, zero], -1).reshape(-1, 2, 3)  # [n, 2, 3]
    images = x.reshape(-1, 1, *x.shape[-2:])  # [n, 1, H, H]
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).reshape(x.shape)
