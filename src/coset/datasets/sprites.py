"""Sprites: simple shapes of which every factor is known, drawn by formula, with whole combinations left out."""

import math
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from coset.data.files import DataFile
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.errors import ConfigurationError

Split = Literal["items", "element", "range"]
"""What the test part holds: a fifth of the items at random; one combination of all factors; or a range of one factor,
for one value of another (Montero et al. 2021: recombination to element, and to range)."""

SHAPES = ("square", "ellipse", "heart")
COLOURS = {
    "red": (1.0, 0.2, 0.2),
    "green": (0.2, 1.0, 0.2),
    "blue": (0.3, 0.4, 1.0),
    "yellow": (1.0, 1.0, 0.2),
    "magenta": (1.0, 0.2, 1.0),
    "cyan": (0.2, 1.0, 1.0),
}
RADIUS = 0.17
"""Half of the largest sprite, as a share of the picture's side."""
REACH = 1.5
"""How far a sprite reaches, in halves of its size."""
FINE = 3
"""Points along each side of a pixel whose mean it is."""
BLOCK = 1 << 22
"""Points computed at a time."""


@dataclass(frozen=True)
class Sprites(DataSet):
    """A square, an ellipse or a heart of some size, turned and placed somewhere: every combination of the factors once.

    Factors: `shape`; `scale`, percent of the largest; `orientation`, degrees counter-clockwise; `x` and `y`, counted
    from the left and from below; and `colour` where there are several. They are those of dSprites (Matthey et al.
    2017), with fewer values and soft edges. A square looks alike every 90 degrees and an ellipse every 180.

    Args:
        side: Of the square pictures, `[side, side]`, or `[3, side, side]` in colour.
        scales: How many sizes, from half of the largest up.
        orientations: How many, evenly over the whole turn.
        positions: How many, along each axis.
        colours: How many of `COLOURS`; 1 draws in white on black.
        split: What the test part holds: `items`, a fifth at random; `element`, the largest ellipses in the upper right
            corner, turned by less than 120 of the 180 degrees after which they look the same; `range`, every square in
            the right half.
        validation: Share of the other items that is for validation.
        seed: Of what is drawn at random.

    Raises:
        ConfigurationError: Fewer than two values of a factor, more colours than there are, or a side below 8.

    >>> splits = Sprites(side=16, scales=2, orientations=3, positions=4, split="range").load_splits()
    >>> splits["test"]
    FactorTable(48 items of shape [16, 16]; shape: 3 values; scale: 2 values; orientation: 3 values; x: 4 values; ...)
    """

    name: ClassVar[str] = "sprites"
    source: ClassVar[str] = "drawn by formula; factors as in dSprites (L. Matthey et al., 2017)"
    files: ClassVar[tuple[DataFile, ...]] = ()

    side: int = 32
    scales: int = 6
    orientations: int = 12
    positions: int = 8
    colours: int = 1
    split: Split = "items"
    validation: float = 0.05
    seed: int = 0

    def __post_init__(self):
        for name in ("scales", "orientations", "positions"):
            if getattr(self, name) < 2:
                raise ConfigurationError(f"Sprites: {name} should be at least 2, got {getattr(self, name)}")
        if self.side < 8 or not 1 <= self.colours <= len(COLOURS):
            raise ConfigurationError(
                f"Sprites: side should be at least 8 and colours 1 to {len(COLOURS)}, got {self.side}, {self.colours}"
            )
        if self.split not in get_args(Split):
            raise ConfigurationError(f"Sprites: split should be one of {get_args(Split)}, got {self.split!r}")

    def load(self) -> FactorTable:
        """All combinations, uint8."""
        half = torch.linspace(0.5, 1.0, self.scales)
        angles = [round(360 * index / self.orientations) for index in range(self.orientations)]
        margin = REACH * RADIUS * self.side
        places = torch.linspace(margin, self.side - margin, self.positions)
        numbers = range(self.positions)
        every = list(product(range(len(SHAPES)), range(self.scales), angles, numbers, numbers))
        shape, scale, angle, across, up = (torch.tensor(column) for column in zip(*every, strict=True))
        size = half[scale] * RADIUS * self.side
        pictures = _draw(shape, size, angle * (math.pi / 180), places[across], places[up], self.side)
        factors = {
            "shape": [SHAPES[index] for index in shape.tolist()],
            "scale": [round(100 * float(half[index])) for index in scale.tolist()],
            "orientation": angle.tolist(),
            "x": across.tolist(),
            "y": up.tolist(),
        }
        if self.colours == 1:
            return FactorTable((pictures * 255).round().to(torch.uint8), **factors)
        names = list(COLOURS)[: self.colours]
        painted = [
            (pictures.unsqueeze(1) * torch.tensor(COLOURS[name]).view(3, 1, 1) * 255).round().to(torch.uint8)
            for name in names
        ]
        colour = [name for name in names for _ in range(len(pictures))]
        return FactorTable(
            torch.cat(painted), **{name: part * self.colours for name, part in factors.items()}, colour=colour
        )

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test."""
        table = self.load()
        if self.split == "items":
            train, test = table.split(0.2, self.seed)
        else:
            out = self._left_out(table)
            train, test = table[~out], table[out]
        train, validation = train.split(self.validation, self.seed)
        return {"train": train, "validation": validation, "test": test}

    def _left_out(self, table: FactorTable) -> Tensor:
        factor = {name: torch.tensor(table.column(name)) for name in ("scale", "orientation", "x", "y")}
        right = factor["x"] > 0.5 * (self.positions - 1)
        if self.split == "range":
            return _is(table, "shape", "square") & right
        corner = (factor["x"] > 0.6 * (self.positions - 1)) & (factor["y"] > 0.6 * (self.positions - 1))
        turned = factor["orientation"] % 180 < 120
        return _is(table, "shape", "ellipse") & (factor["scale"] == 100) & turned & corner


def _is(table: FactorTable, name: str, value: str) -> Tensor:
    return torch.as_tensor(table.factors[name]) == table.values[name].index(value)


def _draw(shape: Tensor, size: Tensor, angle: Tensor, across: Tensor, up: Tensor, side: int) -> Tensor:
    """Pictures `[n, side, side]` of sprites with half sizes, angles in radians and middles in pixels, `[n]` each."""
    place = (torch.arange(side * FINE) + 0.5) / FINE
    rows = side - place  # up from below
    pictures = torch.zeros(len(shape), side, side)
    for code, inside in enumerate((_square, _ellipse, _heart)):
        for block in (shape == code).nonzero()[:, 0].split(max(1, BLOCK // (side * FINE) ** 2)):
            right = ((place - across[block, None]) / size[block, None])[:, None]  # [b, 1, S]
            above = ((rows - up[block, None]) / size[block, None])[:, :, None]  # [b, S, 1]
            cosine, sine = (part[block, None, None] for part in (angle.cos(), angle.sin()))
            drawn = inside(cosine * right + sine * above, cosine * above - sine * right)
            pictures[block] = torch.nn.functional.avg_pool2d(drawn.float().unsqueeze(1), FINE).squeeze(1)
    return pictures


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) < 0.85


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    return u.square() + (v / 0.55).square() < 1.2


def _heart(u: Tensor, v: Tensor) -> Tensor:
    inner, squared = u * u + v * v - 1, u * u
    return inner * inner * inner < squared * v * v * v
