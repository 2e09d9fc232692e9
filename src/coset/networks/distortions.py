"""Random distortions of images that leave alone what they show."""

import torch
import torch.nn.functional as F
from torch import Tensor


def random_affine(
    images: Tensor, angle: float = 0.17, scale: float = 0.1, shift: float = 0.08, shear: float = 0.0
) -> Tensor:
    """Turn, scale, shift and shear each image by its own random amounts, evenly distributed up to these.

    Args:
        images: `[n, H, W]` or `[n, C, H, W]`.
        angle: in radians.
        scale: as a share of the size, of width and height alike.
        shift: as a share of the side.
        shear: as a tangent.

    >>> random_affine(torch.ones(5, 12, 8)).shape
    torch.Size([5, 12, 8])
    """
    flat = images.unsqueeze(1) if images.ndim == 3 else images  # [n, C, H, W]
    most = torch.tensor([[angle], [scale], [2 * shift], [2 * shift], [shear]])  # a picture is 2 units wide
    turn, zoom, across, down, lean = ((torch.rand(5, len(flat)) * 2 - 1) * most).to(flat).unbind()
    cosine, sine = turn.cos() * (1 + zoom), turn.sin() * (1 + zoom)
    rows = [torch.stack([cosine, lean - sine, across], -1), torch.stack([sine, cosine, down], -1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(flat.shape), align_corners=False)
    return F.grid_sample(flat, grid, align_corners=False, padding_mode="border").view_as(images)


def random_light(images: Tensor, gamma: float = 0.6, ramp: float = 0.7) -> Tensor:
    """Light each image `[n, H, W]` or `[n, C, H, W]` of intensities from 0 to 1 a little differently, at random.

    Args:
        images: intensities.
        gamma: largest logarithm of the exponent that intensities are raised to.
        ramp: largest rise of the brightness from the middle of an image to an edge, in either direction.

    >>> random_light(torch.full((5, 12, 8), 0.5)).std(0).min() > 0
    tensor(True)
    """
    lead = (len(images), *(1,) * (images.ndim - 1))
    exponent, across, down = ((torch.rand(3, *lead) * 2 - 1).to(images)).unbind()
    rows = torch.linspace(-1, 1, images.shape[-2]).to(images).unsqueeze(-1)
    columns = torch.linspace(-1, 1, images.shape[-1]).to(images)
    brightness = (1 + ramp * (across * columns + down * rows)).clamp_min(0.1)
    return (images.clamp_min(0).pow((gamma * exponent).exp()) * brightness).clamp(0, 1)


def random_colours(images: Tensor) -> Tensor:
    """Give each image `[n, C, H, W]` of intensities from 0 to 1 other colours, at random, alike all over.

    Its channels change places, some turn into their negatives, and each loses up to half of its contrast. Which pixels
    have the same colour stays as it is.

    >>> random_colours(torch.rand(5, 3, 12, 8)).shape
    torch.Size([5, 3, 12, 8])
    """
    order = torch.rand(images.shape[:2]).argsort(1).to(images.device)
    mixed = images[torch.arange(len(images), device=images.device)[:, None], order]
    one, other = torch.rand(2, *images.shape[:2], 1, 1).to(images)
    contrast = 0.5 + 0.5 * one  # of a channel, which goes from its lowest intensity up, or down where it is negative
    lowest, negative = (1 - contrast) * other, torch.rand_like(one) < 0.5
    return lowest + contrast * torch.where(negative, 1 - mixed, mixed)


def exchange_margins(images: Tensor, others: Tensor, share: float) -> Tensor:
    """Images `[..., H, W]` whose columns at the left and at the right are those of other images of the same shape.

    Args:
        images: what the middle comes from.
        others: what the margins come from.
        share: width of each margin, as a share of the width of an image, rounded to whole columns.

    >>> exchange_margins(torch.zeros(1, 8), torch.ones(1, 8), share=0.25)
    tensor([[1., 1., 0., 0., 0., 0., 1., 1.]])
    """
    width = images.shape[-1]
    columns = torch.arange(width, device=images.device)
    margin = round(share * width)
    return torch.where((columns < margin) | (columns >= width - margin), others, images)


def local_contrast(images: Tensor, window: int = 9, noise: float = 0.02) -> Tensor:
    """Each pixel of images `[n, H, W]` in standard deviations from the mean of the window around it.

    What a change of light does to a face is nearly the same across a small window, and so drops out.

    >>> ramp = torch.linspace(0.1, 0.4, 20).expand(1, 20, 20)
    >>> torch.allclose(local_contrast(ramp, noise=0.0), local_contrast(2 * ramp + 0.1, noise=0.0), atol=1e-3)
    True
    """
    side = window // 2
    flat = F.pad(images.unsqueeze(1), (side,) * 4, mode="reflect")
    mean = F.avg_pool2d(flat, window, 1)
    variance = F.avg_pool2d(flat.square(), window, 1) - mean.square()
    return (images - mean.squeeze(1)) / (variance.clamp_min(0).sqrt().squeeze(1) + noise)
