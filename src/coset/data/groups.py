"""Groups: the rows of a table that can be in one set, because they have the same value of what it holds constant."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from coset.codes import rank
from coset.errors import ConfigurationError, DataError

Incomplete = Literal["error", "skip"]


class Rows(Protocol):
    """What grouping and drawing need of a `FactorTable`."""

    factors: dict[str, Tensor]

    @property
    def values(self) -> dict[str, list]:
        """The distinct values of each discrete factor."""
        ...

    @property
    def views(self) -> Mapping[str, "Rows"]:
        """What else was observed of the items, by name."""
        ...

    def __len__(self) -> int: ...

    @property
    def device(self) -> torch.device:
        """Where the items live."""
        ...

    @property
    def item_shape(self) -> Sequence[int]:
        """Shape of one item."""
        ...

    def x(self, rows: Any) -> Tensor:
        """Items at these rows, as floating-point numbers."""
        ...


@dataclass(frozen=True, eq=False)
class Groups:
    """What sets can be drawn from: G groups of rows, which belong to P patterns.

    Args:
        order: `[R]`, rows of the table, group after group, whole numbers of any width.
        start: `[G]`, where each group begins in `order`.
        count: `[G]`, how many rows it has.
        constant: `[G, K]`, the contexts that a set drawn from it holds constant.
        first: `[P]`, the first group of each pattern.
        size: `[P]`, how many groups the pattern has.
        weight: `[P]`, how probable the pattern is.
    """

    order: Tensor
    start: Tensor
    count: Tensor
    constant: Tensor
    first: Tensor
    size: Tensor
    weight: Tensor


def group_rows(
    table: Rows,
    contexts: Sequence[str],
    patterns: Mapping[tuple[str, ...], float],
    fewest: int,
    incomplete: Incomplete,
) -> Groups:
    """Group the rows of a table, for every pattern, by the joint value of the contexts that it holds constant.

    Args:
        table: The table.
        contexts: Names of the K contexts.
        patterns: Constant contexts → probability, as `read_patterns` gives it.
        fewest: How many rows a group needs.
        incomplete: What to do where a joint value has fewer: "error", or "skip" to leave it out.

    Raises:
        DataError: If the table cannot produce a pattern; says which combination is missing.
        ConfigurationError: If `incomplete` is neither.
    """
    if incomplete not in ("error", "skip"):
        raise ConfigurationError(f"sets: incomplete should be 'error' or 'skip', got {incomplete!r}")
    parts = [_sort(table, constant, fewest, incomplete) for constant in patterns]
    count = torch.cat([counts for _, counts in parts])  # [G]
    size = torch.tensor([len(counts) for _, counts in parts], device=table.device)  # [P]
    flags = [[float(name in constant) for name in contexts] for constant in patterns]  # [P, K]
    return Groups(
        order=torch.cat([rows for rows, _ in parts]),
        start=count.cumsum(0) - count,
        count=count,
        constant=torch.tensor(flags, device=table.device).repeat_interleave(size, 0),  # [G, K]
        first=size.cumsum(0) - size,
        size=size,
        weight=torch.tensor(list(patterns.values()), device=table.device),
    )


def _sort(table: Rows, constant: Sequence[str], fewest: int, incomplete: Incomplete) -> tuple[Tensor, Tensor]:
    """Sort rows by the joint value of some factors; return the rows, and how many each joint value has."""
    known = torch.ones(len(table), dtype=torch.bool, device=table.device)  # [n]
    # For each factor: the codes that occur, [v], and for each row its position among them, [n].
    distinct, place = [], []
    for name in constant:
        occurring, position = rank(table.factors[name])
        is_known = occurring == occurring if occurring.is_floating_point() else occurring >= 0
        distinct.append(occurring[is_known])
        place.append(position.sub_(int(is_known.int().argmax())))  # what is unknown comes first, or last
        known &= (position >= 0) & (position < len(distinct[-1]))
    together = " and ".join(repr(name) for name in constant)
    if not known.any():
        raise DataError(f"sets: no item has a known {together}, so no set can hold that constant")
    # Where every row counts, which is usual, none is picked: that would take longer than all else.
    items = None if known.all() else known.nonzero()[:, 0]  # [m]
    sizes = [len(codes) for codes in distinct]
    place = place if items is None else [position[items] for position in place]  # [m]
    group = place[0] if constant else torch.zeros(len(table), dtype=torch.long, device=table.device)  # [m]
    for size, position in zip(sizes[1:], place[1:], strict=True):
        # Numbered anew after each factor: a number stays below n · v however many factors there are.
        group = rank(group * size + position)[1]
    count = group.bincount()  # [G]
    order = _narrow(group, len(count)).argsort(stable=True)  # narrow numbers are sorted several times faster
    rows = _narrow(order if items is None else items[order], len(table))  # [m]
    enough = count >= fewest
    first = order[count.cumsum(0) - count]  # [G], one item of each group
    if not enough.any() or (incomplete == "error" and not enough.all()):
        scarce = enough.int().argmin()
        levels = zip(constant, distinct, place, strict=True)
        cell = _describe(table, {name: codes[position[first[scarce]]].item() for name, codes, position in levels})
        continuous = [name for name in constant if name not in table.values]
        mend = (
            f"{continuous[0]!r} is continuous: bin it first, for instance with numpy.digitize"
            if continuous
            else "add items, hold another factor constant, or leave such groups out with incomplete='skip'"
        )
        raise DataError(
            f"sets: a set that holds {together} constant needs at least {fewest} items with the same value, but {cell} "
            f"has {int(count[scarce])} ({int((~enough).sum())} of {len(count)} groups have too few); {mend}"
        )
    if incomplete == "error" and len(count) < math.prod(sizes):
        found = torch.stack([position[first] for position in place], 1).tolist()  # [G, factors], sorted
        missing = zip(constant, distinct, _first_missing(found, sizes), strict=True)
        cell = _describe(table, {name: codes[position].item() for name, codes, position in missing})
        raise DataError(
            f"sets: no item has {cell}, so not every set that holds {together} constant can be drawn; add such items, "
            "drop the pattern, or draw only from the combinations that exist with incomplete='skip'"
        )
    return (rows, count) if enough.all() else (rows[enough.repeat_interleave(count)], count[enough])


def _narrow(numbers: Tensor, count: int) -> Tensor:
    """The same numbers, below a count, in the narrowest type that holds them."""
    return numbers.to(next(kind for kind in (torch.int16, torch.int32, torch.int64) if count <= torch.iinfo(kind).max))


def _first_missing(found: list[list[int]], sizes: Sequence[int]) -> tuple[int, ...]:
    """The first combination of numbers below `sizes` that is not among those found, which are sorted."""
    cells = product(*(range(size) for size in sizes))
    return next(cell for cell, here in zip_longest(cells, found) if here is None or list(cell) != here)


def _describe(table: Rows, cell: Mapping[str, float]) -> str:
    """Write codes as values: `digit=3, rotation=90`."""
    discrete = {name: table.values[name][int(cell[name])] for name in cell if name in table.values}
    return ", ".join(f"{name}={value!r}" for name, value in {**cell, **discrete}.items())
