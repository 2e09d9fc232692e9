"""CIFAR-10: small colour photographs of ten kinds of things."""

import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
from PIL import Image, UnidentifiedImageError

from coset.data.files import DataFile, locate, read_members
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.errors import ConfigurationError, DataFileError, nearest

PAGE = "https://www.cs.toronto.edu/~kriz"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""In the order of the codes in the published files."""
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
"""Of the published archive, as it is compressed."""
RECORD = 1 + 3 * 32 * 32
"""Bytes of an image in the published files, with its code before it."""

BATCH = re.compile(r".*/(?:data_batch_\d|(test)_batch)\.bin")
PICTURE = re.compile(r"(?:.*/)?(train|test)/([a-z]+)/[^/]+\.(?:jpg|jpeg|png)")

Form = Literal["published", "folder"]
Pictures = tuple[list[np.ndarray], list[str]]
"""Arrays `[n, 3, 32, 32]`, and the class of each image."""


@dataclass(frozen=True)
class CIFAR10(DataSet):
    """Photographs of ten kinds of things: 50,000 + 10,000 colour images of 32 × 32.

    Factor: `class`, from `airplane` to `truck`.

    Args:
        form: `published`, the binary version of its authors, or `folder`, an archive of pictures that lie in folders
            called `train/CLASS` and `test/CLASS`, such as others have made of it. Compressed by JPEG they are not quite
            the same pictures.
        validation: Training images held out for validation, as a number or a fraction.
        seed: Chooses which are held out.

    Raises:
        ConfigurationError: There is no such form.

    >>> [file.path for file in CIFAR10().files]
    ['cifar-10-binary.tar.gz']
    """

    source: ClassVar[str] = "A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009"
    variants = ({}, {"form": "folder"})

    form: Form = "published"
    validation: int | float = 5_000
    seed: int = 0

    def __post_init__(self):
        if self.form not in get_args(Form):
            raise ConfigurationError(f"CIFAR10: no form is called {self.form!r}; {nearest(self.form, get_args(Form))}")

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "cifar10" if self.form == "published" else "cifar10-folder"

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The archive; that of folders has no publisher, and is put there by hand."""
        if self.form == "published":
            return (DataFile(self.name, "cifar-10-binary.tar.gz", f"{PAGE}/cifar-10-binary.tar.gz"),)
        return (DataFile(self.name, "cifar10-jpeg.tar.gz", f"{PAGE}/cifar.html"),)

    def load(self) -> tuple[FactorTable, FactorTable]:
        """Tables of training and test images, uint8 `[n, 3, 32, 32]`.

        Raises:
            DataFileError: The archive is missing, damaged, or holds something else; says how to get it.
        """
        path = locate(self.files[0])
        again = f"delete it and run `coset data fetch {self.name}`, or put it there by hand, see {PAGE}/cifar.html"
        found = (_published if self.form == "published" else _folder)(path, again)
        if short := [part for part, (images, _) in found.items() if not images]:
            raise DataFileError(f"{path} holds no images for {', '.join(short)}; {again}")
        train, test = (FactorTable(np.concatenate(images), **{"class": kinds}) for images, kinds in found.values())
        return train, test

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test; validation is held out of the training images."""
        train, test = self.load()
        train, validation = train.split(self.validation, self.seed)
        return {"train": train, "validation": validation, "test": test}


def _published(path: Path, again: str) -> dict[str, Pictures]:
    """Images of the batches, which follow one another in records of a code and the bytes of an image."""
    with path.open("rb") as content:
        checksum = hashlib.file_digest(content, "sha256").hexdigest()
    if checksum != SHA256:
        raise DataFileError(
            f"{path} is truncated or not the file that was published: its {path.stat().st_size} bytes should have "
            f"SHA-256 {SHA256}, but have {checksum}; {again}"
        )
    found: dict[str, Pictures] = {"train": ([], []), "test": ([], [])}
    for name, batch in sorted(read_members(path, lambda name: bool(BATCH.fullmatch(name)), again)):
        records = np.frombuffer(batch, np.uint8).reshape(-1, RECORD)
        which = BATCH.fullmatch(name)
        images, kinds = found["test" if which and which[1] else "train"]
        images.append(records[:, 1:].reshape(-1, 3, 32, 32))
        kinds += [CLASSES[code] for code in records[:, 0]]
    return found


def _folder(path: Path, again: str) -> dict[str, Pictures]:
    """Images of an archive of pictures, in the order of their names."""
    found: dict[str, Pictures] = {"train": ([], []), "test": ([], [])}
    members = dict(read_members(path, lambda name: bool(PICTURE.fullmatch(name)), again))
    for name in sorted(members):
        which = PICTURE.fullmatch(name)
        if which is None or which[2] not in CLASSES:
            raise DataFileError(f"{path}: {name} is of no class that CIFAR-10 has, {', '.join(CLASSES)}; {again}")
        images, kinds = found[which[1]]
        images.append(_picture(members[name], f"{path}: {name}", again)[None])
        kinds.append(which[2])
    return found


def _picture(content: bytes, place: str, again: str) -> np.ndarray:
    """A picture, uint8 `[3, 32, 32]`."""
    try:
        with Image.open(io.BytesIO(content)) as opened:
            picture = np.asarray(opened.convert("RGB"), np.uint8)
    except (UnidentifiedImageError, OSError) as reason:
        raise DataFileError(f"{place} is no picture ({reason}); {again}") from reason
    if picture.shape != (32, 32, 3):
        raise DataFileError(f"{place} should be 32 × 32, but is {picture.shape[1]} × {picture.shape[0]}; {again}")
    return picture.transpose(2, 0, 1)
