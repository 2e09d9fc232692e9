"""Images at evenly spaced angles: what is shown and how it is turned are two factors of every item."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from coset.data.rotation import rotate
from coset.data.table import FactorTable
from coset.datasets.bases import Base, Derived, base_images
from coset.errors import ConfigurationError

BLOCK = 4096  # images turned at a time


@dataclass(frozen=True)
class Rotated(Derived):
    """Every base image at every one of several evenly spaced angles.

    Factors: that of the base, and `rotation`, counter-clockwise in whole degrees from 0 to below 360. Held-out base
    images are held out at every angle.

    Args:
        base: "mnist", "fashion-mnist" or "digits".
        angles: How many angles; a divisor of 360.
        validation: Training images held out of the base, as a number or a fraction; by default as in the base.
        seed: Chooses which are held out.
        keep: Values of the base's factor whose images are kept; all where None.

    Raises:
        ConfigurationError: The angles do not divide 360 degrees, or there is no such base.

    >>> train, test = Rotated("digits", angles=4).load()
    >>> test
    FactorTable(1436 items of shape [8, 8]; digit: 10 values; rotation: 4 values)
    >>> test.values["rotation"]
    [0, 90, 180, 270]
    """

    base: Base = "mnist"
    angles: int = 4
    validation: int | float | None = None
    seed: int = 0
    keep: Sequence[int] | None = None

    def __post_init__(self):
        if self.angles < 1 or 360 % self.angles:
            raise ConfigurationError(
                f"Rotated: angles should divide 360, so that each is a whole number of degrees; got {self.angles}"
            )
        base_images(self.base)

    @property
    def name(self) -> str:
        """Name on the command line."""
        return f"rotated-{self.base}"

    def derive(self, table: FactorTable) -> FactorTable:
        """Items in the type of the base, angle after angle.

        Raises:
            DataError: A value to keep does not occur.
        """
        if self.keep is not None:
            (factor, _), *_ = table.values.items()
            for value in self.keep:
                table.where(**{factor: value})  # there are some
            table = table[[value in self.keep for value in table.column(factor)]].recode()
        degrees = range(0, 360, 360 // self.angles)
        items = torch.empty(self.angles, len(table), *table.item_shape, dtype=table.items.dtype)
        for turned, angle in zip(items, degrees, strict=True):
            for start in range(0, len(table), BLOCK):
                rows = slice(start, start + BLOCK)
                image = rotate(table.x(rows), angle)
                turned[rows] = image.mul(255).round() if items.dtype == torch.uint8 else image
        factors: dict[str, Any] = {name: table.column(name) * self.angles for name in table.factors}
        rotation = [angle for angle in degrees for _ in range(len(table))]
        return FactorTable(items.flatten(0, 1), **factors, rotation=rotation)
