"""Spatial MNIST: every image as a set of positions, drawn where its ink is."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coset.data.bases import Base, Derived, base_images
from coset.data.table import FactorTable
from coset.errors import ConfigurationError

BLOCK = 4096  # images drawn from at a time


@dataclass(frozen=True)
class SpatialMNIST(Derived):
    """Every base image as a set of points in the plane (Edwards & Storkey 2016, section 5.2).

    A point is a pixel, drawn with its intensity as the probability and then placed evenly within it. Positions run from
    -1 to 1, x to the right and y upwards.

    Factors: that of the base, and `image`, a number of its own for each image.

    Args:
        base: "mnist", "fashion-mnist" or "digits".
        points: How many from each image.
        validation: Training images held out of the base, as a number or a fraction; by default as in the base.
        seed: Chooses which are held out, and the points.

    >>> SpatialMNIST("digits", points=5).load_splits()["test"]
    FactorTable(1795 items of shape [2]; digit: 10 values; image: 359 values)
    """

    base: Base = "mnist"
    points: int = 50
    validation: int | float | None = None
    seed: int = 0

    def __post_init__(self):
        if self.points < 1:
            raise ConfigurationError(f"SpatialMNIST: points should be at least 1, got {self.points}")
        base_images(self.base)

    @property
    def name(self) -> str:
        """Name on the command line."""
        return f"spatial-{self.base}"

    def derive(self, table: FactorTable) -> FactorTable:
        """Points `[n · points, 2]`, those of one image after another."""
        generator = torch.Generator().manual_seed(self.seed)
        blocks = torch.arange(len(table)).split(BLOCK)
        points = torch.cat([draw_points(table.x(rows), self.points, generator) for rows in blocks])
        factors: dict[str, Any] = {
            name: [value for value in table.column(name) for _ in range(self.points)] for name in table.factors
        }
        image = torch.arange(len(table)).repeat_interleave(self.points)
        return FactorTable(points.flatten(0, 1), **factors, image=image)


def draw_points(images: Tensor, points: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw positions from images `[n, H, W]`, with intensities as probabilities: `[n, points, 2]`, x and y.

    >>> image = torch.zeros(1, 4, 4)
    >>> image[0, 0, 3] = 1.0  # the corner at the upper right
    >>> bool((draw_points(image, 10) >= 0.5).all())
    True
    """
    height, width = images.shape[-2:]
    pixel = torch.multinomial(images.flatten(1), points, replacement=True, generator=generator)  # [n, points]
    row, column = pixel // width, pixel % width
    within = torch.rand(*pixel.shape, 2, generator=generator)
    x = (column + within[..., 0]) / width * 2 - 1
    y = 1 - (row + within[..., 1]) / height * 2
    return torch.stack([x, y], -1)
