"""Your own data, by its path."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from coset.data.files import DataFile
from coset.data.table import FactorTable
from coset.datasets.base import DataSet


@dataclass(frozen=True)
class OwnData(DataSet):
    """Your own folder, data frame, AnnData, data set of Hugging Face or file of arrays, divided at random.

    Args:
        path: of the data, or a pattern such as `faces/{person}/{light}.jpg`; see `FactorTable.from_path`.
        options: of the method that reads this kind, such as `{size: 64}` of a folder.
        held_out: Share of the items that is for tests; with 0 all are trained on, and tests are of training items.
        validation: Share of the others that is for validation; with 0 likewise.
        seed: Of the division.

    >>> import tempfile, numpy
    >>> path = tempfile.mkdtemp() + "/items.npz"
    >>> numpy.savez(path, x=numpy.random.rand(50, 3), batch=[0, 1] * 25)
    >>> OwnData(path).load_splits()["test"]
    FactorTable(10 items of shape [3]; batch: 2 values)
    """

    name: ClassVar[str] = "own-data"
    source: ClassVar[str] = "your own"
    files: ClassVar[tuple[DataFile, ...]] = ()

    path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    held_out: float = 0.2
    validation: float = 0.1
    seed: int = 0

    def load(self) -> FactorTable:
        """All items."""
        return FactorTable.from_path(self.path, **self.options)

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test."""
        table = self.load()
        kept, test = table.split(self.held_out, self.seed) if self.held_out else (table, table)
        train, validation = kept.split(self.validation, self.seed) if self.validation else (kept, kept)
        return {"train": train, "validation": validation, "test": test}
