"""Random copies of images that show the same, for whoever reads them alike."""

from typing import Literal

import torch
from torch import Tensor, nn

from coset.errors import ConfigurationError, ShapeError
from coset.networks.distortions import exchange_margins, random_affine, random_colours, random_light


class RandomCopies(nn.Module):
    """Copies of images, each turned, scaled, shifted and sheared by its own random amounts, perhaps mirrored or relit.

    Args:
        angle: largest turn, in radians.
        scale: largest change of the size, as a share of it.
        shift: largest shift, as a share of the side.
        shear: largest shear, as a tangent.
        mirrored: which copies may be mirrored: none, half of all `items`, or all items of every other `batch`.
        relit: light each copy a little differently; for intensities from 0 to 1.
        recoloured: give each copy other colours; for intensities from 0 to 1 in several channels.
        margins: width that a copy has from the set after its own, at the left and at the right, as a share of its
            width; so copies do not show what is beside the thing in the middle.

    Raises:
        ConfigurationError: Another value of `mirrored`, or margins that meet.

    >>> copies, mirrored = RandomCopies(mirrored="items")(torch.rand(4, 3, 12, 8))
    >>> copies.shape, mirrored.shape
    (torch.Size([4, 3, 12, 8]), torch.Size([4, 3, 1]))
    """

    def __init__(
        self,
        angle: float = 0.17,
        scale: float = 0.1,
        shift: float = 0.08,
        shear: float = 0.0,
        mirrored: Literal["none", "items", "batch"] = "none",
        relit: bool = False,
        recoloured: bool = False,
        margins: float = 0.0,
    ):
        super().__init__()
        if mirrored not in ("none", "items", "batch"):
            raise ConfigurationError(f"mirrored: expected 'none', 'items' or 'batch', got {mirrored!r}")
        if not 0 <= margins < 0.5:
            raise ConfigurationError(f"margins: expected a share of the width from 0 to less than 0.5, got {margins}")
        self.amounts = {"angle": angle, "scale": scale, "shift": shift, "shear": shear}
        self.mirrored, self.relit, self.recoloured, self.margins = mirrored, relit, recoloured, margins

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Copy images `[B, N, H, W]` or `[B, N, C, H, W]`; also return which are mirrored, 0 or 1, `[B, N, 1]`.

        Raises:
            ShapeError: The items are no images.
        """
        if x.ndim not in (4, 5) or (self.recoloured and x.ndim == 4):
            expected = "[B, N, C, H, W]" if self.recoloured else "[B, N, H, W] or [B, N, C, H, W]"
            raise ShapeError(
                f"RandomCopies: expected images {expected}, got {list(x.shape)}; leave the augmentation out for other "
                "items"
            )
        flip = x.new_zeros(*x.shape[:2], 1)
        if self.mirrored == "items":
            flip = torch.randint(2, flip.shape, device=x.device).to(x.dtype)
        elif self.mirrored == "batch":
            flip = (torch.rand(()) < 0.5).to(flip).expand_as(flip)
        images = exchange_margins(x, x.roll(1, 0), self.margins).flatten(0, 1)  # [B·N, ..., H, W]
        if self.mirrored != "none":
            images = torch.where(flip.view(-1, *(1,) * (images.ndim - 1)) > 0, images.flip(-1), images)
        images = random_affine(images, **self.amounts)
        images = random_light(images) if self.relit else images
        images = random_colours(images) if self.recoloured else images
        return images.view_as(x), flip
