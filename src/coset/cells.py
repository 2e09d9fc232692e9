"""Cells of a table: combinations of levels of crossed factors, and what lies in them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coset.errors import DataError, nearest

BLOCK = 1 << 22
"""Elements read at a time where a table may be larger than memory."""


@dataclass(frozen=True)
class Cells:
    """The cells of a table that hold items, a combination of levels each.

    Attributes:
        levels: codes of the factors, `[cells, K]`, sorted.
        sizes: how many levels each factor has, K of them.
        row_cell: the cell of each row of the table, `[n]`; −1 where a factor is unknown.
    """

    levels: Tensor
    sizes: tuple[int, ...]
    row_cell: Tensor

    def __len__(self) -> int:
        return len(self.levels)


def find_cells(table: Any, factors: Sequence[str]) -> Cells:
    """Sort the rows of a table into cells.

    Raises:
        DataError: Fewer than two factors, one that the table lacks or that is continuous, or no row with all known.

    >>> from coset.data import FactorTable
    >>> table = FactorTable(torch.rand(6, 4), drug=["a", "b", "a", "b", "a", None], dose=[1, 1, 2, 2, 1, 1])
    >>> cells = find_cells(table, ["drug", "dose"])
    >>> cells.levels.tolist(), cells.row_cell.tolist()
    ([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 2, 1, 3, 0, -1])
    """
    if len(factors) < 2 or len(set(factors)) < len(factors):
        raise DataError(f"combinations: expected two factors or more, each once, got {list(factors)}")
    for name in factors:
        if name not in table.values:
            raise DataError(f"combinations: the table has no discrete factor {name!r}; {nearest(name, table.values)}")
    codes = torch.stack([torch.as_tensor(table.factors[name]).cpu() for name in factors], 1)  # [n, K]
    known = (codes >= 0).all(1)  # [n]
    if not known.any():
        raise DataError(f"combinations: no item has a known level of each of {', '.join(factors)}")
    levels, place = codes[known].unique(dim=0, return_inverse=True)
    row_cell = torch.full((len(table),), -1)
    row_cell[known] = place
    return Cells(levels, tuple(len(table.values[name]) for name in factors), row_cell)


def find_held_out(seen: Any, held_out: Any, factors: Sequence[str]) -> tuple[Any, Cells]:
    """A held-out table in the codes of the seen one, which may number levels otherwise, and its cells."""
    coded = held_out.recode(**{name: seen.values[name] for name in factors if name in seen.values})
    return coded, find_cells(coded, factors)


def cell_moments(table: Any, cells: Cells) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of the items of each cell, flattened `[cells, D]`, and how many these are `[cells]`.

    In double precision, block by block; the variance is that of the items themselves (divided by their number).
    """
    size = math.prod(table.item_shape)
    total, square = (torch.zeros(len(cells), size, dtype=torch.float64) for _ in range(2))
    rows = (cells.row_cell >= 0).nonzero()[:, 0]
    for part in rows.split(max(1, BLOCK // size)):
        x = table.x(part.to(table.device)).flatten(1).cpu().double()
        total.index_add_(0, cells.row_cell[part], x)
        square.index_add_(0, cells.row_cell[part], x.square())
    count = torch.bincount(cells.row_cell[rows], minlength=len(cells)).double()
    mean = total / count[:, None]
    return mean, (square / count[:, None] - mean.square()).clamp_min(0), count


def name_cells(levels: Tensor, table: Any, factors: Sequence[str]) -> list[dict[str, Any]]:
    """Cells `[m, K]` as mappings of factor → level."""
    return [
        {name: table.values[name][code] for name, code in zip(factors, codes, strict=True)} for codes in levels.tolist()
    ]


def arrange_means(table: Any, factors: Sequence[str]) -> Tensor:
    """Means of the cells of two factors as a table, `[V_1, V_2, *item_shape]`, NaN where there is no item.

    >>> from coset.data import FactorTable
    >>> table = FactorTable(torch.arange(3.0).view(3, 1), drug=["a", "b", "b"], dose=[1, 1, 2])
    >>> arrange_means(table, ["drug", "dose"]).squeeze(-1)
    tensor([[0., nan],
            [1., 2.]])
    """
    cells = find_cells(table, factors)
    found = torch.full((*cells.sizes, *table.item_shape), torch.nan)
    means = cell_moments(table, cells)[0].view(-1, *table.item_shape)
    found[cells.levels[:, 0], cells.levels[:, 1]] = means.to(found.dtype)
    return found
