"""Digits as house numbers show them: coloured, on a wall, with neighbours that reach into the picture."""

import colorsys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coset.data.files import DataFile
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.datasets.bases import Base, base_images
from coset.datasets.cifar10 import CIFAR10, Form
from coset.errors import ConfigurationError
from coset.networks.placing import glimpse, place
from coset.networks.transforms.grey import luminance

BLOCK = 2048  # pictures composed at a time
SIDE = 32  # of a picture, as SVHN's
HUES = tuple(range(0, 360, 45))
"""Of walls, in degrees of the colour circle: the values of the factor `hue`."""
JITTER = 8.0
"""Degrees by which a wall is off its hue at most."""
TEXTURE = 0.5
"""Share of a photograph's contrast that is left in a wall."""
PATCH = (6, 16)
"""Smallest and largest side of the patch of a photograph that a wall is enlarged from, in pixels."""
CONTRAST = 0.25
"""Least difference in luminance between a digit and the wall."""
NEIGHBOURS = ("neither", "left", "right", "both")


@dataclass(frozen=True)
class StreetDigits(DataSet):
    """A digit in the middle of a wall, 32 × 32 in colour, alone or with other digits to its left or right.

    It stands for SVHN where that cannot be had, with two factors whose places are known: what the digit is, which is
    told by how distant pixels hang together, and the colour scheme, which any patch of pixels tells. Walls are enlarged
    patches of photographs, tinted; a digit and its neighbours, as on a house, are of one colour and one size.

    Factors: `digit`, named as in the base; `hue` of the wall, in degrees of the colour circle, of eight; `brighter`,
    `digit` or `wall`; and `neighbours`, `neither`, `left`, `right` or `both`.

    Args:
        base: "mnist", "fashion-mnist" or "digits".
        photographs: The form in which CIFAR-10 is at hand, see `CIFAR10`.
        train: Pictures for training.
        validation: Pictures for validation, of base images and photographs held out for that.
        test: Pictures for test, of test images of both.
        crowded: How probable a neighbour is, on each side.
        seed: Equal seeds compose equal pictures.

    Raises:
        ConfigurationError: An option makes no sense.

    >>> [file.path for file in StreetDigits("digits").files]
    ['cifar-10-binary.tar.gz']
    """

    base: Base = "mnist"
    photographs: Form = "published"
    train: int = 60_000
    validation: int = 5_000
    test: int = 10_000
    crowded: float = 0.5
    seed: int = 0

    def __post_init__(self):
        base_images(self.base)
        CIFAR10(self.photographs)
        for name in ("train", "validation", "test"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"StreetDigits: {name} should be at least 1, got {getattr(self, name)}")
        if not 0 <= self.crowded <= 1:
            raise ConfigurationError(f"StreetDigits: crowded should be a probability, 0 to 1, got {self.crowded}")

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "street-digits" if self.base == "mnist" else f"street-{self.base}"

    @property
    def source(self) -> str:
        """Who made the digits and the photographs, and their licences."""
        return f"{base_images(self.base).source}; {CIFAR10(self.photographs).source}"

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The files of the base, and of the photographs."""
        return (*base_images(self.base).files, *CIFAR10(self.photographs).files)

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test, uint8 `[n, 3, 32, 32]`; no two share a base image or photograph.

        Raises:
            DataFileError: A file is missing or damaged; says how to get it.
        """
        digits = base_images(self.base, seed=self.seed).load_splits()
        walls = CIFAR10(self.photographs, seed=self.seed).load_splits()
        return {
            name: self._compose(digits[name], walls[name], getattr(self, name), stream)
            for stream, name in enumerate(digits)
        }

    def _compose(self, table: FactorTable, walls: FactorTable, n: int, stream: int) -> FactorTable:
        """Draw n pictures, block by block, by random numbers that no other part is drawn by."""
        generator = torch.Generator().manual_seed(3 * self.seed + stream)
        (factor, values), *_ = table.values.items()
        items = torch.empty(n, 3, SIDE, SIDE, dtype=torch.uint8)
        columns: dict[str, list[Any]] = {factor: [], "hue": [], "brighter": [], "neighbours": []}
        for start in range(0, n, BLOCK):
            rows = slice(start, start + BLOCK)
            count = len(items[rows])
            chosen = torch.randint(len(table), (count, 3), generator=generator)
            beside = torch.rand(count, 2, generator=generator) < self.crowded  # [n, 2]: left, right
            ink = _write(table.x(chosen.flatten()).unflatten(0, (count, 3)), beside, generator)
            hue = torch.randint(len(HUES), (count,), generator=generator)
            wall = _build(walls, hue, generator)
            paint, brighter = _mix(wall, generator)
            picture = wall + ink.unsqueeze(1) * (paint - wall)
            items[rows] = picture.mul(255).round().to(torch.uint8)
            columns[factor] += [values[code] for code in table.factors[factor][chosen[:, 0]].tolist()]
            columns["hue"] += [HUES[code] for code in hue.tolist()]
            columns["brighter"] += ["digit" if found else "wall" for found in brighter.tolist()]
            columns["neighbours"] += [NEIGHBOURS[code] for code in (beside[:, 0] + 2 * beside[:, 1].long()).tolist()]
        return FactorTable(items, **columns)


def _uniform(low: float, high: float, *shape: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator)


def _write(images: Tensor, beside: Tensor, generator: torch.Generator) -> Tensor:
    """Ink `[n, 32, 32]` of three images `[n, 3, H, W]`: in the middle, and left and right of it where wanted `[n, 2]`.

    All three are of one height, 28 to 36 pixels with the margin that images have; neighbours are half of that away or
    somewhat more, so that the picture's edge cuts through them.
    """
    count = len(images)
    height = _uniform(28, 36, count, generator=generator)
    across = _uniform(-1.5, 1.5, count, 3, generator=generator)
    across[:, 1:] += torch.tensor([-1.0, 1.0]) * height[:, None] * _uniform(0.5, 0.6, count, 2, generator=generator)
    down = _uniform(-1.5, 1.5, count, 3, generator=generator)
    where = torch.stack([across + SIDE / 2, down + SIDE / 2, height[:, None].expand(-1, 3)], -1) / SIDE
    ink = place(images, where, SIDE)  # [n, 3, 32, 32]
    there = torch.cat([torch.ones(count, 1, dtype=torch.bool), beside], 1)
    return (ink * there[..., None, None]).amax(1).clamp(0, 1)


def _build(walls: FactorTable, hue: Tensor, generator: torch.Generator) -> Tensor:
    """Walls `[n, 3, 32, 32]`: patches of random photographs, enlarged, grey, and tinted with the colour of a hue."""
    count = len(hue)
    photographs = walls.x(torch.randint(len(walls), (count,), generator=generator))
    size = _uniform(*PATCH, count, generator=generator) / SIDE  # share of the photograph's side
    centre = 0.5 + _uniform(-0.5, 0.5, count, 2, generator=generator) * (1 - size - 1 / SIDE)[:, None]
    grey = glimpse(luminance(photographs), torch.cat([centre, size[:, None]], 1).unsqueeze(1), SIDE)  # [n, 1, 32, 32]
    degrees = torch.tensor(HUES)[hue] + _uniform(-JITTER, JITTER, count, generator=generator)
    colour = _colours(
        degrees, _uniform(0.4, 0.9, count, generator=generator), _uniform(0.3, 0.9, count, generator=generator)
    )
    relief = TEXTURE * (grey - grey.mean((2, 3), keepdim=True))
    return (colour * (1 + relief / 0.5)).clamp(0, 1)  # lighter and darker, of the same hue


def _mix(wall: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Colours of digits `[n, 3, 1, 1]` on their walls, of any hue, and whether they are brighter than these `[n]`."""
    count = len(wall)
    behind = luminance(wall).mean((1, 2))
    hue = _uniform(0, 360, count, generator=generator)
    colour = _colours(hue, _uniform(0, 0.6, count, generator=generator), torch.ones(count))
    bright = luminance(colour)[:, 0, 0]
    # Colours darker than the wall, and brighter, by enough: to black they shrink, to white they fade.
    brighter = torch.rand(count, generator=generator) < 0.5
    brighter = torch.where(behind < CONTRAST + 0.05, True, torch.where(behind > 0.95 - CONTRAST, False, brighter))
    low, high = torch.where(brighter, behind + CONTRAST, 0.0), torch.where(brighter, 1.0, behind - CONTRAST)
    wanted = low + (high - low) * torch.rand(count, generator=generator)
    shrunk = colour * (wanted / bright).clamp(max=1)[:, None, None, None]
    fade = ((wanted - bright) / (1 - bright).clamp_min(1e-6)).clamp(0, 1)[:, None, None, None]
    return shrunk + fade * (1 - shrunk), brighter


def _colours(degrees: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Colours `[n, 3, 1, 1]` of hues, saturations and values `[n]`."""
    rows = zip((degrees / 360 % 1).tolist(), saturation.tolist(), value.tolist(), strict=True)
    return torch.tensor([colorsys.hsv_to_rgb(*row) for row in rows])[..., None, None]
