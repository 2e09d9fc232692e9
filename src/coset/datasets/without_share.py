"""Another data set, of which a share of all combinations is never trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from coset.cells import find_cells
from coset.data.combinations import hold_out_combinations
from coset.data.files import DataFile
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.datasets.without_combinations import WithoutCombinations


@dataclass(frozen=True)
class WithoutShare(DataSet):
    """Another data set, with a share of the combinations of some factors taken out of what is trained on.

    Factors are those of the data set; its test part keeps all combinations.

    Args:
        of: The data set.
        factors: Whose combinations.
        share: Of the combinations that training items have; each level keeps two or more.
        seed: Chooses which.

    >>> from coset.datasets import Digits, Rotated
    >>> data = WithoutShare(Rotated("digits"), ["digit", "rotation"], share=0.25)
    >>> seen, left_out = data.divide(data.load_splits()["test"])
    >>> len(find_cells(seen, data.factors)), len(find_cells(left_out, data.factors))
    (30, 10)
    """

    of: DataSet
    factors: Sequence[str]
    share: float = 0.2
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of the data set in messages."""
        return f"{self.of.name}-without-share"

    @property
    def source(self) -> str:
        """Who made the data, and their licence."""
        return self.of.source

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The files of the data set."""
        return tuple(self.of.files)

    @cached_property
    def chosen(self) -> WithoutCombinations:
        """The data set without the combinations that were chosen.

        Raises:
            DataError: No such factor, or more combinations than can be taken out.
        """
        train = self.of.load_splits()["train"]
        _, out = hold_out_combinations(train, self.factors, self.share, self.seed)
        levels = find_cells(out, self.factors).levels.tolist()
        cells = {name: [out.values[name][row[column]] for row in levels] for column, name in enumerate(self.factors)}
        return WithoutCombinations(self.of, cells)

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train and validation, without these combinations, and test, with all of them.

        Raises:
            DataError: No such factor, or more combinations than can be taken out.
        """
        return self.chosen.load_splits()

    def divide(self, table: FactorTable) -> tuple[FactorTable, FactorTable]:
        """The items of combinations that are trained on, and those of the others."""
        return self.chosen.divide(table)
