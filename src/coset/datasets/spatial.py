"""Images as clouds of points: each is a set of places where there is ink."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coset.data.table import FactorTable
from coset.datasets.bases import Base, Based, base_images
from coset.errors import ConfigurationError, DataError

BLOCK = 4096  # images drawn from at a time


@dataclass(frozen=True)
class SpatialMNIST(Based):
    """Base images as sets of points in the plane, drawn with the intensities as density (Edwards & Storkey 2016).

    A point is a pixel, drawn with replacement and with probability proportional to its intensity, and in it a place
    drawn evenly. The image fills the square [−1, 1]²: x to the right, y upwards, the origin in its middle.

    Factors: `image`, a number of its own for each within its table, and that of the base. The points of an image stand
    together.

    Args:
        base: "mnist", "fashion-mnist" or "digits".
        points: Points drawn of each image.
        validation: Training images held out of the base, as a number or a fraction; by default as in the base.
        seed: Chooses which are held out, and draws the points.

    Raises:
        ConfigurationError: There is no point at all, or no such base.

    >>> SpatialMNIST("digits", points=20).load_splits()["test"]
    FactorTable(7180 items of shape [2]; image: 359 values; digit: 10 values)
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

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test, of which no two share a base image.

        Raises:
            DataFileError: If a file of the base is missing or damaged; says how to get it.
        """
        splits = base_images(self.base, self.validation, self.seed).load_splits()
        return {name: self._scatter(table, stream) for stream, (name, table) in enumerate(splits.items())}

    def _scatter(self, table: FactorTable, stream: int) -> FactorTable:
        """Points of every image of a table; each part has a stream of random numbers of its own."""
        generator = torch.Generator().manual_seed(3 * self.seed + stream)
        rows = (slice(start, start + BLOCK) for start in range(0, len(table), BLOCK))
        items = torch.cat([draw_points(table.x(block), self.points, generator) for block in rows])  # [n, points, 2]
        factors: dict[str, Any] = {"image": torch.arange(len(table))}
        for name, codes in table.factors.items():
            factors[name] = torch.tensor(table.values[name])[codes]
        repeated = {name: values.repeat_interleave(self.points) for name, values in factors.items()}  # [n·points]
        return FactorTable(items.flatten(0, 1), **repeated)


def draw_points(images: Tensor, points: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw points of images, as `SpatialMNIST` does.

    Args:
        images: Intensities `[n, H, W]`, floating point.
        points: Points drawn of each.
        generator: Where random numbers come from.

    Returns:
        Places `[n, points, 2]`, x from the left and y from below, between −1 and 1.

    Raises:
        DataError: If an image is blank or has negative intensities.

    >>> image = torch.zeros(1, 4, 4)
    >>> image[0, 0, 3] = 1  # the upper right corner
    >>> x, y = draw_points(image, points=100).unbind(-1)
    >>> bool(x.min() >= 0.5), bool(y.min() >= 0.5)
    (True, True)
    """
    height, width = images.shape[1:]
    intensity = images.flatten(1)  # [n, H·W]
    unusable = (intensity.amin(1) < 0) | (intensity.amax(1) <= 0)  # [n]
    if unusable.any():
        raise DataError(
            f"draw_points: image {int(unusable.int().argmax())} is blank or has negative intensities; rescale the "
            "images to begin at 0, and leave blank ones out"
        )
    pixel = torch.multinomial(intensity, points, replacement=True, generator=generator)  # [n, points]
    corner = torch.stack([pixel % width, pixel // width], -1)  # [n, points, 2], from the upper left
    within = torch.rand(corner.shape, dtype=images.dtype, device=images.device, generator=generator)
    x, y = (2 * (corner + within) / corner.new_tensor([width, height]) - 1).unbind(-1)
    return torch.stack([x, -y], -1)
