"""The small digits that scikit-learn ships, for which nothing need be downloaded."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from sklearn.datasets import load_digits

from coset.data.files import DataFile
from coset.data.table import FactorTable
from coset.datasets.base import DataSet


@dataclass(frozen=True)
class Digits(DataSet):
    """Handwritten digits, 1,797 grey images of 8 × 8, which come with scikit-learn.

    Factor: `digit`, 0 to 9.

    Args:
        held_out: Images of the test set, as a fraction or a number; each digit in equal proportion.
        validation: Training images held out for validation, likewise.
        seed: Chooses which are held out.

    >>> train, test = Digits().load()
    >>> train
    FactorTable(1438 items of shape [8, 8]; digit: 10 values)
    >>> len(test), train.range()
    (359, (0.0, 1.0))
    """

    name: ClassVar[str] = "digits"
    source: ClassVar[str] = "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits (CC BY 4.0)"
    files: ClassVar[tuple[DataFile, ...]] = ()

    held_out: int | float = 0.2
    validation: int | float = 0.1
    seed: int = 0

    def load(self) -> tuple[FactorTable, FactorTable]:
        """Tables of training and test images, float32 `[n, 8, 8]` between 0 and 1."""
        pixels, digit = load_digits(return_X_y=True)
        images = pixels.reshape(-1, 8, 8).astype(np.float32) / 16  # a pixel counts dots in a block of 4 × 4
        return FactorTable(images, digit=digit).split(self.held_out, self.seed, stratify="digit")

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test; validation is held out of the training images."""
        train, test = self.load()
        train, validation = train.split(self.validation, self.seed, stratify="digit")
        return {"train": train, "validation": validation, "test": test}
