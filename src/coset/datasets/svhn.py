"""Street View House Numbers, cropped to single digits."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.io import loadmat

from coset.data.files import DataFile, locate
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.errors import DataFileError

URL = "http://ufldl.stanford.edu/housenumbers"
CHECKSUMS = {
    "train": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    "test": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    "extra": "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
}


@dataclass(frozen=True)
class SVHN(DataSet):
    """House numbers cropped to the digit in the middle: 73,257 + 26,032 colour images of 32 × 32.

    Factor: `digit`, 0 to 9.

    Args:
        extra: Also train on the 531,131 further images, which are easier and of 1.6 GB.
        validation: Training images held out for validation, as a number or a fraction.
        seed: Chooses which are held out.

    >>> [file.path for file in SVHN().files]
    ['svhn/train_32x32.mat', 'svhn/test_32x32.mat']
    """

    name: ClassVar[str] = "svhn"
    source: ClassVar[str] = (
        "Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Ng: Reading Digits in Natural Images with Unsupervised "
        "Feature Learning, NIPS Workshop 2011 (non-commercial use)"
    )

    extra: bool = False
    validation: int | float = 5_000
    seed: int = 0

    @property
    def files(self) -> tuple[DataFile, ...]:
        """Images with their labels for training, for test, and the extra ones if they are wanted."""
        return tuple(
            DataFile(self.name, f"svhn/{part}_32x32.mat", f"{URL}/{part}_32x32.mat", checksum)
            for part, checksum in CHECKSUMS.items()
            if self.extra or part != "extra"
        )

    def load(self) -> tuple[FactorTable, FactorTable]:
        """Tables of training and test images, uint8 `[n, 3, 32, 32]`.

        Raises:
            DataFileError: If a file is missing or damaged; says how to get it.
        """
        (images, digit), test, *extra = (_read_digits(file) for file in self.files)
        if extra:
            images, digit = np.concatenate([images, extra[0][0]]), np.concatenate([digit, extra[0][1]])
        return FactorTable(images, digit=digit), FactorTable(test[0], digit=test[1])

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test; validation is held out of the training images."""
        train, test = self.load()
        train, validation = train.split(self.validation, self.seed)
        return {"train": train, "validation": validation, "test": test}


def _read_digits(file: DataFile) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[n, 3, 32, 32]` and digits `[n]` of a MATLAB file."""
    path = locate(file)
    with path.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != file.sha256:
        raise DataFileError(
            f"{path} is truncated or not the file that was published: its {path.stat().st_size} bytes should have "
            f"SHA-256 {file.sha256}, but have {found}; delete it and run `coset data fetch {file.data_set}`"
        )
    arrays = loadmat(path, variable_names=["X", "y"])
    images = np.ascontiguousarray(arrays["X"].transpose(3, 2, 0, 1))  # [32, 32, 3, n] -> [n, 3, 32, 32]
    return images, arrays["y"].reshape(-1).astype(np.int64) % 10  # 0 is written as 10
