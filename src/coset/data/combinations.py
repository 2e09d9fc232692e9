"""Tables with some combinations of factor levels taken out."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from coset.arguments import checked
from coset.cells import Cells, find_cells
from coset.data.table import FactorTable
from coset.errors import DataError

TRIES = 20
"""Orders in which cells are tried before it is said that no more of them can be taken out."""


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
