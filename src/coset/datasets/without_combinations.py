"""Another data set, of which some combinations are never trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coset.data.files import DataFile
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.errors import ConfigurationError, DataError, nearest


@dataclass(frozen=True)
class WithoutCombinations(DataSet):
    """Another data set, with some combinations of levels taken out of what is trained on; its test part keeps all.

    Args:
        of: The data set.
        cells: Factor → levels; the first levels of all factors are the first combination, and so on.

    Raises:
        ConfigurationError: Fewer than two factors, no level, or differing numbers of them.

    >>> from coset.datasets import Digits, Rotated
    >>> data = WithoutCombinations(Rotated("digits"), {"digit": [3, 6], "rotation": [90, 180]})
    >>> splits = data.load_splits()
    >>> seen, left_out = data.divide(splits["test"])
    >>> len(splits["train"].where(digit=3, rotation=0)) > 0, len(left_out.where(digit=3, rotation=90)) > 0
    (True, True)
    """

    of: DataSet
    cells: Mapping[str, Sequence[Any]]

    def __post_init__(self):
        counts = {len(levels) for levels in self.cells.values()}
        if len(self.cells) < 2 or len(counts) != 1 or counts == {0}:
            raise ConfigurationError(
                "WithoutCombinations: cells should give as many levels of each of two factors or more, got "
                f"{ {name: len(levels) for name, levels in self.cells.items()} }"
            )

    @property
    def name(self) -> str:
        """Name of the data set in messages."""
        return f"{self.of.name}-without-combinations"

    @property
    def source(self) -> str:
        """Who made the data, and their licence."""
        return self.of.source

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The files of the data set."""
        return tuple(self.of.files)

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train and validation, without these combinations, and test, with all of them.

        Raises:
            DataError: A factor or a level that the data lack.
        """
        splits = self.of.load_splits()
        return {name: table if name == "test" else self.divide(table)[0] for name, table in splits.items()}

    def divide(self, table: FactorTable) -> tuple[FactorTable, FactorTable]:
        """The items of combinations that are trained on, and those of the others.

        Raises:
            DataError: A factor or a level that the table lacks.
        """
        out = self.are_left_out(table)
        return table[~out], table[out]

    def are_left_out(self, table: FactorTable) -> Tensor:
        """Which items of a table have one of these combinations, `[n]`.

        Raises:
            DataError: A factor or a level that the table lacks.
        """
        codes = []
        for factor, levels in self.cells.items():
            if factor not in table.values:
                raise DataError(f"cells: the data have no discrete factor {factor!r}; {nearest(factor, table.values)}")
            known = list(table.values[factor])
            if missing := [level for level in levels if level not in known]:
                raise DataError(f"cells: {factor} has no level {missing[0]!r}; {nearest(missing[0], known)}")
            wanted = torch.tensor([known.index(level) for level in levels])
            codes.append(torch.as_tensor(table.factors[factor]).cpu()[:, None] == wanted)
        return torch.stack(codes).all(0).any(1)
