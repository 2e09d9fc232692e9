"""Combinations of factor levels: the cells of a table, and tables with some of them taken out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from coset.arguments import checked
from coset.data.table import BLOCK, FactorTable
from coset.errors import DataError, nearest

TRIES = 20
"""Orders in which cells are tried before it is said that no more of them can be taken out."""


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


def find_cells(table: FactorTable, factors: Sequence[str]) -> Cells:
    """Sort the rows of a table into cells.

    Raises:
        DataError: Fewer than two factors, one that the table lacks or that is continuous, or no row with all known.

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


def cell_moments(table: FactorTable, cells: Cells) -> tuple[Tensor, Tensor, Tensor]:
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


@checked
def hold_out_combinations(
    table: FactorTable, factors: Sequence[str], share: float = 0.2, seed: int = 0, *, least: int = 2
) -> tuple[FactorTable, FactorTable]:
    """Take some combinations of factor levels out of a table altogether, to see whether they can be predicted.

    Cells are taken in a random order, as long as each of their levels keeps `least` others, and as long as the levels
    that are left stay connected through seen cells, without which not even main effects can be told apart.

    Args:
        table: with two or more discrete factors; items of which one of them is unknown stay where they are.
        factors: whose combinations.
        share: of the cells that hold items.
        seed: equal seeds take out the same.
        least: seen cells that each level keeps.

    Returns:
        The seen table and the held-out one.

    Raises:
        DataError: A factor is not there or continuous, a level occurs in fewer cells than it has to keep, or fewer
            cells can be taken out than asked for; says how many.

    >>> table = FactorTable(torch.rand(40, 3), digit=torch.arange(40) % 5, angle=torch.arange(40) // 5 % 4)
    >>> seen, held_out = hold_out_combinations(table, ["digit", "angle"], share=0.25)
    >>> len(find_cells(seen, ["digit", "angle"])), len(find_cells(held_out, ["digit", "angle"]))
    (15, 5)
    """
    cells = find_cells(table, factors)
    wanted = round(share * len(cells))
    if not 0 < share < 1 or wanted < 1:
        raise DataError(
            f"hold_out_combinations: a share of {share} of {len(cells)} cells is {wanted}; give a number between 0 and "
            "1 that is at least one cell"
        )
    for column, name in enumerate(factors):
        count = torch.bincount(cells.levels[:, column], minlength=cells.sizes[column]).tolist()
        scarce = [value for value, there in zip(table.values[name], count, strict=True) if 0 < there < least]
        if scarce:
            raise DataError(
                f"hold_out_combinations: {name}={scarce[0]!r} occurs in fewer than {least} cells; leave such items "
                "out, or give a smaller least"
            )
    generator, most = torch.Generator().manual_seed(seed), 0
    for _ in range(TRIES):
        taken = _take(cells, wanted, least, torch.randperm(len(cells), generator=generator).tolist())
        most = max(most, int(taken.sum()))
        if most == wanted:
            out = torch.cat([taken, torch.tensor([False])])[cells.row_cell]  # the last is that of unknown combinations
            return table[~out], table[out]
    raise DataError(
        f"hold_out_combinations: of {len(cells)} cells {wanted} should be held out, but only {most} can be if each "
        f"level keeps {least} seen cells and all stay connected; give a smaller share"
    )


def _take(cells: Cells, wanted: int, least: int, order: list[int]) -> Tensor:
    """Which cells `[cells]` can be taken out, tried in this order."""
    levels = cells.levels.numpy()
    left = [np.bincount(levels[:, column], minlength=size) for column, size in enumerate(cells.sizes)]
    taken = np.zeros(len(cells), dtype=bool)
    parts = _connected(levels, cells.sizes)
    for cell in order:
        if taken.sum() == wanted:
            break
        if all(left[column][level] > least for column, level in enumerate(levels[cell])):
            taken[cell] = True
            if _connected(levels[~taken], cells.sizes) > parts:
                taken[cell] = False
                continue
            for column, level in enumerate(levels[cell]):
                left[column][level] -= 1
    return torch.from_numpy(taken)


def _connected(levels: np.ndarray, sizes: Sequence[int]) -> int:
    """How many parts the levels of all factors fall into, where a cell joins its own."""
    start = np.cumsum([0, *sizes])
    nodes = levels + start[:-1]
    first, other = np.repeat(nodes[:, 0], nodes.shape[1] - 1), nodes[:, 1:].ravel()
    graph = coo_array((np.ones(len(first)), (first, other)), shape=(start[-1], start[-1]))
    return int(connected_components(graph, directed=False)[0])
