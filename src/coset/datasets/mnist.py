"""MNIST and Fashion-MNIST."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from coset.data.files import DataFile, read_idx
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.errors import ConfigurationError, nearest

PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
FACTORS = {"mnist": "digit", "fashion-mnist": "article"}
SOURCES = {
    "mnist": "Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits (CC BY-SA 3.0)",
    "fashion-mnist": "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, arXiv:1708.07747 (MIT licence)",
}
URLS = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist",
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
}
CHECKSUMS = {
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion-mnist": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}


@dataclass(frozen=True)
class MNIST(DataSet):
    """Handwritten digits, or articles of clothing in the same format: 60,000 + 10,000 grey images of 28 × 28.

    Factor: `digit`, 0 to 9; of Fashion-MNIST `article`, 0 to 9.

    Args:
        variant: "mnist" or "fashion-mnist".
        validation: Training images held out for validation, as a number or a fraction.
        seed: Chooses which are held out.

    Raises:
        ConfigurationError: There is no such variant.

    >>> [file.path for file in MNIST("fashion-mnist").files][:2]
    ['fashion-mnist/train-images-idx3-ubyte.gz', 'fashion-mnist/train-labels-idx1-ubyte.gz']
    """

    variants: ClassVar = ({"variant": "mnist"}, {"variant": "fashion-mnist"})

    variant: Literal["mnist", "fashion-mnist"] = "mnist"
    validation: int | float = 5_000
    seed: int = 0

    def __post_init__(self):
        if self.variant not in SOURCES:
            raise ConfigurationError(f"MNIST: no variant {self.variant!r}; {nearest(self.variant, SOURCES)}")

    @property
    def name(self) -> str:
        """Name on the command line."""
        return self.variant

    @property
    def source(self) -> str:
        """Who made the data, and its licence."""
        return SOURCES[self.variant]

    @property
    def files(self) -> tuple[DataFile, ...]:
        """Images and labels for training, then for test."""
        variant = self.variant
        return tuple(
            DataFile(variant, f"{variant}/{part}-ubyte.gz", f"{URLS[variant]}/{part}-ubyte.gz", checksum)
            for part, checksum in zip(PARTS, CHECKSUMS[variant], strict=True)
        )

    def load(self) -> tuple[FactorTable, FactorTable]:
        """Tables of training and test images, uint8 `[n, 28, 28]`.

        Raises:
            DataFileError: If a file is missing or damaged; says how to get it.
        """
        images, labels, test_images, test_labels = (read_idx(file) for file in self.files)
        factor = FACTORS[self.variant]
        return FactorTable(images, **{factor: labels}), FactorTable(test_images, **{factor: test_labels})

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test; validation is held out of the training images."""
        train, test = self.load()
        train, validation = train.split(self.validation, self.seed)
        return {"train": train, "validation": validation, "test": test}
