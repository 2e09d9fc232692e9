"""Extended Yale B, cropped: faces under lights from known directions."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from coset.data.files import DataFile, folders, locate, read_members
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.errors import ConfigurationError, DataFileError

URL = "http://vision.ucsd.edu/extyaleb/CroppedYaleBZip/CroppedYale.zip"
PUBLISHED = DataFile("yale-b", "yale-b/CroppedYale.zip", URL)
HALVED = DataFile("yale-b", "cropped-yale-b-96x84.tar.gz", URL)  # the same images at half the height and width
NAME = re.compile(r"(yaleB\d\d)_P00(A([+-]\d{3})E([+-]\d\d))\.pgm")
GAP = rb"(?:\s|#[^\n]*\n)+"
HEADER = re.compile(rb"P5" + GAP + rb"(\d+)" + GAP + rb"(\d+)" + GAP + rb"255\s")


@dataclass(frozen=True)
class YaleB(DataSet):
    """Faces of 38 people, each seen from the front under up to 64 lights: 2,414 grey images.

    Factors: `identity`, such as "yaleB01"; `light`, one of 64, such as "A+035E+40"; the direction of the light, in
    degrees as `azimuth` and `elevation` and as a unit vector `light_x`, `light_y`, `light_z` (see `light_direction`).

    Both the published archive of 192 × 168 images and one of 96 × 84 are read. Images that the publisher marked as bad
    and those without a light of their own ("Ambient") are left out.

    Args:
        height: Of the images; they are made smaller by averaging over areas.
        width: Of the images.
        held_out: Images of the test set, as a fraction or a number; of each person in equal proportion.
        validation: Training images held out for validation, likewise.
        seed: Chooses which are held out.

    Raises:
        ConfigurationError: A side is below 1.

    >>> YaleB(height=48, width=42).name
    'yale-b'
    """

    name: ClassVar[str] = "yale-b"
    source: ClassVar[str] = (
        "A. Georghiades, P. Belhumeur, D. Kriegman: From Few to Many, PAMI 2001; K.-C. Lee, J. Ho, D. Kriegman: "
        "Acquiring Linear Subspaces for Face Recognition under Variable Lighting, PAMI 2005 (research use)"
    )

    height: int = 96
    width: int = 84
    held_out: int | float = 0.2
    validation: int | float = 0.1
    seed: int = 0

    def __post_init__(self):
        if self.height < 1 or self.width < 1:
            raise ConfigurationError(
                f"YaleB: height and width should be at least 1, got {self.height} and {self.width}"
            )

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The archive that is on this machine; if there is none, the published one."""
        there = [file for file in (PUBLISHED, HALVED) if any((folder / file.path).is_file() for folder in folders())]
        return (there[0] if there else PUBLISHED,)

    def load(self) -> tuple[FactorTable, FactorTable]:
        """Tables of training and test images, uint8 `[n, height, width]`.

        Raises:
            DataFileError: If the archive is missing or damaged; says how to get it.
            ConfigurationError: If the images asked for are larger than those in the archive.
        """
        return self._table().split(self.held_out, self.seed, stratify="identity")

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test; validation is held out of the training images."""
        train, test = self.load()
        train, validation = train.split(self.validation, self.seed, stratify="identity")
        return {"train": train, "validation": validation, "test": test}

    def _table(self) -> FactorTable:
        try:
            path = locate(self.files[0])
        except DataFileError as error:
            raise DataFileError(
                f"{error}; an archive of the images at half their size, {HALVED.path}, will do"
            ) from None
        images, names = _read_faces(path)
        size = tuple(images.shape[1:])
        if size[0] < self.height or size[1] < self.width:
            raise ConfigurationError(
                f"YaleB: images of {self.height} × {self.width} were asked for, but {path} holds {size[0]} × "
                f"{size[1]}; ask for at most that"
            )
        identity, light, azimuth, elevation = zip(*names, strict=True)
        azimuth, elevation = np.array(azimuth, dtype=np.float64), np.array(elevation, dtype=np.float64)
        direction = dict(zip(("light_x", "light_y", "light_z"), light_direction(azimuth, elevation), strict=True))
        return FactorTable(
            _resize(images, self.height, self.width),
            identity=identity,
            light=light,
            azimuth=azimuth,
            elevation=elevation,
            **direction,
        )


def light_direction(azimuth: np.ndarray, elevation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vector from the face towards the light, in the axes of the image as it is looked at.

    x points to the right of the image, y up, z out of the image to the camera:

        x = −cos(elevation) sin(azimuth),   y = sin(elevation),   z = cos(elevation) cos(azimuth)

    The minus is there because the data set counts azimuths from where the person sits: a positive one is to their
    right, so that the left half of the image is bright. Beyond ±90 degrees the light comes from behind, and z < 0.

    Args:
        azimuth: `[n]`, degrees.
        elevation: `[n]`, degrees above the horizon.

    >>> x, y, z = light_direction(np.array([-90.0]), np.array([0.0]))
    >>> x.round(2), y.round(2), z.round(2)
    (array([1.]), array([0.]), array([0.]))
    """
    azimuth, elevation = np.deg2rad(azimuth), np.deg2rad(elevation)
    return -np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)


def _read_faces(path: Path) -> tuple[Tensor, list[tuple[str, str, str, str]]]:
    """Images uint8 `[n, h, w]` and, of each, identity, light, azimuth and elevation; in the order of their names."""
    faces: dict[tuple[str, str, str, str], np.ndarray] = {}
    for member, content in read_members(path, _wanted, _again(path)):
        name = NAME.fullmatch(member.rsplit("/")[-1])
        if name is None:
            raise DataFileError(
                f"{path}: {member} should be called like yaleB01_P00A+000E+20.pgm (person, light's azimuth and "
                f"elevation); take it out of the archive, or {_again(path)}"
            )
        faces[name[1], name[2], name[3], name[4]] = _read_pgm(path, member, content)
    sizes = {image.shape for image in faces.values()}
    if len(sizes) != 1:
        found = ", ".join(f"{height} × {width}" for height, width in sorted(sizes)) or "no image"
        raise DataFileError(f"{path} should hold images of one size, but holds {found}; {_again(path)}")
    names = sorted(faces)
    return torch.from_numpy(np.stack([faces[name] for name in names])), names


def _wanted(member: str) -> bool:
    name = member.rsplit("/")[-1]
    # The published archive also has notes, logs and images called `.pgm.bad`; macOS adds shadows called `._`.
    return name.endswith(".pgm") and not name.endswith("_Ambient.pgm") and not name.startswith(".")


def _read_pgm(path: Path, member: str, content: bytes) -> np.ndarray:
    """Read a grey image in the binary PGM format: "P5", width, height and 255 in ASCII, then one byte a pixel."""
    header = HEADER.match(content)
    if header is None:
        raise DataFileError(
            f"{path}: {member} is not a binary PGM of 8 bits: it should begin with P5, width, height and 255, but "
            f"begins with {content[:16]!r}; {_again(path)}"
        )
    width, height = int(header[1]), int(header[2])
    if len(content) != header.end() + height * width:
        raise DataFileError(
            f"{path}: {member} should have {height} × {width} pixels, but there are {len(content) - header.end()}; "
            f"{_again(path)}"
        )
    return np.frombuffer(content, np.uint8, offset=header.end()).reshape(height, width)


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    """Average over the area of each new pixel, uint8 `[n, h, w]` to uint8 `[n, height, width]`."""
    if images.shape[1:] == (height, width):
        return images
    blocks = images.split(max(1, (1 << 24) // math.prod(images.shape[1:])))
    return torch.cat(
        [F.adaptive_avg_pool2d(block.float(), (height, width)).round().to(torch.uint8) for block in blocks]
    )


def _again(path: Path) -> str:
    return f"delete {path.name} and get it again, for instance from {URL} with `coset data fetch {YaleB.name}`"
