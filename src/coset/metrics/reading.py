"""Held-out items and those who read them: what the metrics of generated items share."""

from collections.abc import Callable

import torch
from torch import Tensor

from coset.codes import recode
from coset.data import FactorTable
from coset.errors import DataError, nearest

Reader = Callable[[Tensor], Tensor]
"""Any function of items `[n, ...]` to codes `[n]`: `ImageClassifier.predict`, or one written for the data.

Codes that know their values (`coset.codes`) are compared by these, others have the numbering of the table's.
"""

BLOCK = 100
"""Sets that a model is asked about at a time."""


def rows_with(table: FactorTable, factor: str, code: int) -> Tensor:
    """Rows `[m]` of the items with this code of a discrete factor.

    Raises:
        DataError: There is none.
    """
    rows = torch.nonzero(table.factors[factor] == code)[:, 0]
    if not len(rows):
        raise DataError(
            f"no held-out item with {factor}={table.values[factor][code]!r}; table.recode() drops values without items"
        )
    return rows


def read(reader: Reader, items: Tensor, table: FactorTable, factor: str) -> Tensor:
    """Codes `[n]` that a reader finds, in the numbering of a table; −1 where the table has no such value."""
    return recode(reader(items), table.values[factor], absent=-1)


def draw_rows(rows: Tensor, count: int) -> Tensor:
    """Draw `[count]` of some rows `[m]`, with replacement."""
    return rows[torch.randint(len(rows), (count,)).to(rows.device)]


def check_discrete(where: str, table: FactorTable, factor: str) -> None:
    """Refuse a table that lacks a discrete factor, which `where` asks for.

    Raises:
        DataError: It has none of this name.
    """
    if factor not in table.values:
        raise DataError(f"{where}: the table has no discrete factor {factor!r}; {nearest(factor, table.values)}")
