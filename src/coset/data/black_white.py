"""Binary images, white on black and black on white: what is shown and its background are two factors."""

from dataclasses import dataclass
from typing import Any

import torch

from coset.data.bases import Base, Derived, base_images
from coset.data.table import FactorTable
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
