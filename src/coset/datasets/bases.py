"""The plain images that other data sets are made from."""

from abc import abstractmethod
from typing import Literal

from coset.data.files import DataFile
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.datasets.digits import Digits
from coset.datasets.mnist import MNIST
from coset.errors import ConfigurationError, nearest

Base = Literal["mnist", "fashion-mnist", "digits"]
BASES = ("mnist", "fashion-mnist", "digits")


def base_images(base: Base, validation: int | float | None = None, seed: int = 0) -> MNIST | Digits:
    """The data set called `base`; `validation=None` holds out as much as it does by itself.

    Raises:
        ConfigurationError: If there is none of that name.

    >>> base_images("digits")
    Digits(held_out=0.2, validation=0.1, seed=0)
    """
    if base not in BASES:
        raise ConfigurationError(f"no images are called {base!r}; {nearest(base, BASES)}")
    options = {"seed": seed} if validation is None else {"seed": seed, "validation": validation}
    return Digits(**options) if base == "digits" else MNIST(base, **options)


class Based(DataSet):
    """Data made from the images of a base, whose files and licence are theirs."""

    base: Base

    @property
    def source(self) -> str:
        """Who made the base images, and their licence."""
        return base_images(self.base).source

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The files of the base."""
        return base_images(self.base).files


class Derived(Based):
    """Images made from those of a base: several items of each, so that what varies among them is a known factor."""

    validation: int | float | None
    seed: int

    @abstractmethod
    def derive(self, table: FactorTable) -> FactorTable:
        """Make the items of one part of the base, with their factors."""

    def load(self) -> tuple[FactorTable, FactorTable]:
        """Tables for training and test.

        Raises:
            DataFileError: If a file of the base is missing or damaged; says how to get it.
        """
        train, test = base_images(self.base, self.validation, self.seed).load()
        return self.derive(train), self.derive(test)

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test, of which no two share a base image."""
        splits = base_images(self.base, self.validation, self.seed).load_splits()
        return {name: self.derive(table) for name, table in splits.items()}
