"""Binary images, white on black and black on white: what is shown and its background are two factors."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coset.data.table import FactorTable
from coset.datasets.bases import Base, Derived, base_images
from coset.errors import ConfigurationError

BLOCK = 4096  # images binarised at a time


@dataclass(frozen=True)
class BlackWhite(Derived):
    """Every base image made binary, once on a black background and once inverted.

    Factors: that of the base, and `background`, "black" or "white". Held-out base images are held out in both versions.

    Args:
        base: "mnist", "fashion-mnist" or "digits".
        threshold: Intensity above which a pixel belongs to what is shown, between 0 and 1.
        validation: Training images held out of the base, as a number or a fraction; by default as in the base.
        seed: Chooses which are held out.

    Raises:
        ConfigurationError: The threshold is not at least 0 and below 1, or there is no such base.

    >>> train, test = BlackWhite("digits").load()
    >>> test
    FactorTable(718 items of shape [8, 8]; digit: 10 values; background: 2 values)
    >>> bool(test.where(background="white").x().mean() > 0.5)
    True
    """

    base: Base = "mnist"
    threshold: float = 0.5
    validation: int | float | None = None
    seed: int = 0

    def __post_init__(self):
        if not 0 <= self.threshold < 1:
            raise ConfigurationError(f"BlackWhite: threshold should be at least 0 and below 1, got {self.threshold}")
        base_images(self.base)

    @property
    def name(self) -> str:
        """Name on the command line."""
        return f"black-white-{self.base}"

    def derive(self, table: FactorTable) -> FactorTable:
        """Items of 0 and 255: first all images on black, then all on white."""
        rows = (slice(start, start + BLOCK) for start in range(0, len(table), BLOCK))
        shown = torch.cat([table.x(block) > self.threshold for block in rows])  # [n, H, W]
        shown = shown.to(torch.uint8) * 255
        factors: dict[str, Any] = {name: table.column(name) * 2 for name in table.factors}
        background = ["black"] * len(table) + ["white"] * len(table)
        return FactorTable(torch.cat([shown, 255 - shown]), **factors, background=background)


def read_background(x: Tensor) -> Tensor:
    """Codes `[n]` of images `[n, H, W]`: 0 where most of the border is black, 1 where most of it is white.

    >>> read_background(torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])).tolist()
    [0, 1]
    """
    border = x.clone()
    border[..., 1:-1, 1:-1] = 0
    edge = 2 * (x.shape[-1] + x.shape[-2]) - 4
    return (border.sum((-2, -1)) / edge > 0.5).long()


def without_background(x: Tensor) -> Tensor:
    """Images `[n, H, W]` as white on black: those on white are inverted."""
    white = read_background(x).to(x.dtype)[:, None, None]
    return white * (1 - x) + (1 - white) * x
