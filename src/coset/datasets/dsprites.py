"""dSprites as published: every combination of shape, scale, orientation and place, in black and white."""

import zipfile
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from coset.data.files import DataFile, locate
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.errors import DataFileError

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
SHAPES = ("square", "ellipse", "heart")
FACTORS = ("colour", "shape", "scale", "orientation", "x", "y")
"""Columns of the file, of which the first is always white."""


@dataclass(frozen=True)
class DSprites(DataSet):
    """737,280 pictures of 64 × 64 in black and white, 3 GB in memory; `Sprites` draws such ones without a file.

    Factors: `shape`; `scale`, percent of the largest; `orientation`, degrees; `x` and `y`, counted from 0. A square
    looks alike every 90 degrees, an ellipse every 180.

    Args:
        validation: Pictures held out for validation, as a number or a fraction.
        test: Likewise for test.
        seed: Chooses which are held out.
    """

    name: ClassVar[str] = "dsprites"
    source: ClassVar[str] = "L. Matthey, I. Higgins, D. Hassabis, A. Lerchner: dSprites, 2017 (zlib licence)"
    files: ClassVar[tuple[DataFile, ...]] = (
        DataFile(
            "dsprites", f"dsprites/{FILE}", f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{FILE}"
        ),
    )

    validation: int | float = 5_000
    test: int | float = 0.1
    seed: int = 0

    def load(self) -> FactorTable:
        """All pictures, bytes of 0 and 1 `[n, 64, 64]`.

        Raises:
            DataFileError: The file is missing, damaged, or holds something else; says how to get it.
        """
        path = locate(self.files[0])
        again = "delete it and run `coset data fetch dsprites`"
        try:
            with path.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
                pictures, values = arrays["imgs"], arrays["latents_values"]
                classes = arrays["latents_classes"]
        except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError) as reason:
            raise DataFileError(f"{path} is damaged or not the file that was published ({reason}); {again}") from reason
        if pictures.dtype != np.uint8 or pictures.ndim != 3 or classes.shape != (len(pictures), len(FACTORS)):
            raise DataFileError(
                f"{path}: expected bytes [n, 64, 64] and classes [n, {len(FACTORS)}], got {pictures.dtype} "
                f"{list(pictures.shape)} and {list(classes.shape)}; {again}"
            )
        return FactorTable(
            pictures,
            shape=[SHAPES[code] for code in classes[:, 1]],
            scale=(100 * values[:, 2]).round().astype(int),
            orientation=np.degrees(values[:, 3]).round().astype(int) % 360,
            x=classes[:, 4],
            y=classes[:, 5],
        )

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test, drawn at random."""
        train, test = self.load().split(self.test, self.seed)
        train, validation = train.split(self.validation, self.seed)
        return {"train": train, "validation": validation, "test": test}
