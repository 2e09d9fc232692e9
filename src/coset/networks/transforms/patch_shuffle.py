"""Patches of an image in another order: what is near stays near, what is far is torn apart."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coset.errors import ConfigurationError
from coset.networks.transforms.base import Transform


class PatchShuffle(Transform):
    """Cuts images into m patches of n × n pixels and puts these together in a random order (2019, section 2.2).

    Pixels keep their places within a patch. Colours and textures, which a patch tells, survive; shapes do not.

    Args:
        item_shape: `(H, W)` or `(C, H, W)`.
        side: n, of a patch, in pixels.

    Raises:
        ConfigurationError: The items are no images, patches do not divide them, or there is one patch only.

    >>> shuffled = PatchShuffle((4, 4), side=2)(torch.arange(16.0).view(1, 4, 4))
    >>> sorted(shuffled.flatten().tolist()) == list(range(16))
    True
    """

    def __init__(self, item_shape: Sequence[int], side: int = 4):
        super().__init__()
        if len(item_shape) not in (2, 3):
            raise ConfigurationError(f"PatchShuffle: expected images [H, W] or [C, H, W], got {list(item_shape)}")
        height, width = item_shape[-2:]
        if side < 1 or height % side or width % side:
            raise ConfigurationError(
                f"PatchShuffle: patches of side {side} do not divide images of {height} × {width} pixels; take a side "
                "that divides both"
            )
        if side == height == width:
            raise ConfigurationError(f"PatchShuffle: one patch of side {side} is the whole image; take a smaller side")
        self.side, self.grid = side, (height // side, width // side)
        # Evaluation always puts patches into this order.
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(self.grid[0] * self.grid[1], generator=generator)
        self.register_buffer("order", order, persistent=False)

    order: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[n, H, W]` or `[n, C, H, W]` to images with the same patches."""
        images = x.reshape(len(x), -1, *x.shape[-2:])  # [n, C, H, W]
        rows, columns = self.grid
        cut = images.unflatten(3, (columns, self.side)).unflatten(2, (rows, self.side))  # [n, C, rows, s, columns, s]
        patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # [n, m, C, s, s]
        if self.training:
            order = torch.rand(patches.shape[:2], device=x.device).argsort(1)
            patches = patches[torch.arange(len(x), device=x.device).unsqueeze(1), order]
        else:
            patches = patches[:, self.order]
        whole = patches.unflatten(1, (rows, columns)).permute(0, 3, 1, 4, 2, 5)  # [n, C, rows, s, columns, s]
        return whole.reshape(x.shape)
