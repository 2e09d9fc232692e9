"""CelebA: photographs of celebrities, aligned, with forty attributes of each."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from coset.data.files import DataFile, locate, read_members
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.errors import ConfigurationError, DataFileError, nearest

DRIVE = "https://drive.google.com/drive/folders/0B7EVK8r0v71pWEZsZE9oNnFzTm8"
PICTURES, ATTRIBUTES, PARTS = "img_align_celeba.zip", "list_attr_celeba.txt", "list_eval_partition.txt"
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class CelebA(DataSet):
    """202,599 photographs of 10,177 people, cropped to the face: 162,770 + 19,867 + 19,962 for train, validation, test.

    Factors: the attributes that are asked for, `yes` or `no`, under their published names.

    Args:
        attributes: Of the forty, such as `Smiling`, `Eyeglasses` and `Wearing_Hat`, the contexts of the 2018 paper.
        side: Of the square pictures that are made, in pixels.
        crop: Side of the square that is cut from the middle of the published 178 × 218 pixels.
        most: Photographs read of each part; all where None. In memory each takes 3 · side² bytes.

    Raises:
        ConfigurationError: No attribute, or a side or crop that makes no picture.
    """

    name: ClassVar[str] = "celeb-a"
    source: ClassVar[str] = (
        "Z. Liu, P. Luo, X. Wang, X. Tang: Deep Learning Face Attributes in the Wild, ICCV 2015 (non-commercial use)"
    )
    files: ClassVar[tuple[DataFile, ...]] = tuple(
        DataFile("celeb-a", f"celeba/{file}", DRIVE) for file in (PICTURES, ATTRIBUTES, PARTS)
    )

    attributes: Sequence[str] = ("Smiling", "Eyeglasses", "Wearing_Hat")
    side: int = 64
    crop: int = 148
    most: int | None = None

    def __post_init__(self):
        if not self.attributes or isinstance(self.attributes, str):
            raise ConfigurationError(f"CelebA: attributes should be names, one or more, got {self.attributes!r}")
        if self.side < 8 or not 8 <= self.crop <= 178:
            raise ConfigurationError(
                f"CelebA: side should be at least 8 and crop 8 to 178, got {self.side} and {self.crop}"
            )

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test, as published, uint8 `[n, 3, side, side]`.

        Raises:
            DataFileError: A file is missing or damaged; says how to get it.
            ConfigurationError: An attribute that is not among the forty.
        """
        pictures, attributes, parts = (locate(file) for file in self.files)
        wanted = self._of_parts(parts)
        named = _read_attributes(attributes, self.attributes)
        kept: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
        columns: dict[str, list[list[str]]] = {name: [] for name in SPLITS}
        again = f"get it from {DRIVE}"
        for path, content in read_members(pictures, lambda path: Path(path).name in wanted, again):
            file = Path(path).name
            if file not in named:
                raise DataFileError(f"{attributes} says nothing of {file}; {again}")
            kept[wanted[file]].append(self._face(content, f"{pictures}: {path}", again))
            columns[wanted[file]].append(named[file])
        if short := [name for name in SPLITS if not kept[name]]:
            raise DataFileError(f"{pictures} has no photograph for {', '.join(short)}; {again}")
        tables = {}
        for name in SPLITS:
            factors = {one: [row[index] for row in columns[name]] for index, one in enumerate(self.attributes)}
            tables[name] = FactorTable(np.stack(kept[name]), **factors)
        return tables

    def _of_parts(self, path: Path) -> dict[str, str]:
        """File → train, validation or test; no more than `most` of each."""
        rows = [line.split() for line in path.read_text("utf-8").splitlines() if line.strip()]
        if not rows or any(len(row) != 2 or row[1] not in "012" for row in rows):
            raise DataFileError(f"{path}: expected lines of a file and 0, 1 or 2; get it from {DRIVE}")
        of = {name: [file for file, part in rows if int(part) == code] for code, name in enumerate(SPLITS)}
        return {file: name for name, files in of.items() for file in files[: self.most]}

    def _face(self, content: bytes, place: str, again: str) -> np.ndarray:
        """The middle of a photograph, uint8 `[3, side, side]`."""
        try:
            with Image.open(io.BytesIO(content)) as opened:
                photograph = opened.convert("RGB")
        except (UnidentifiedImageError, OSError) as reason:
            raise DataFileError(f"{place} is no picture ({reason}); {again}") from reason
        left, top = ((length - self.crop) // 2 for length in photograph.size)
        square = photograph.crop((left, top, left + self.crop, top + self.crop))
        small = square.resize((self.side, self.side), Image.Resampling.BOX)
        return np.asarray(small, np.uint8).transpose(2, 0, 1)


def _read_attributes(path: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """File → `yes` or `no` of each of some attributes.

    The file begins with the number of photographs and the names of the attributes; then each has a line of its own,
    with 1 or −1 for each of them.
    """
    lines = path.read_text("utf-8").splitlines()
    known = lines[1].split() if len(lines) > 1 else []
    for name in names if known else ():
        if name not in known:
            raise ConfigurationError(f"CelebA: no attribute is called {name!r}; {nearest(name, known)}")
    rows = [line.split() for line in lines[2:] if line.strip()]
    if not known or any(len(row) != 1 + len(known) or {*row[1:]} - {"1", "-1"} for row in rows):
        raise DataFileError(f"{path}: expected a number, names, and lines of a file and {len(known)} times 1 or -1")
    places = [1 + known.index(name) for name in names]
    return {row[0]: ["yes" if row[place] == "1" else "no" for place in places] for row in rows}
