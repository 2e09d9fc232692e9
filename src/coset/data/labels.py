"""Semi-supervision: tables on which a factor is known of a few items only."""

import copy
import math

import torch
from torch import Tensor

from coset.arguments import checked
from coset.codes import plain, rank
from coset.data.table import FactorTable
from coset.errors import DataError, nearest


@checked
def hide_labels(table: FactorTable, factor: str, labels: int, seed: int = 0, balanced: bool = True) -> FactorTable:
    """Copy a table so that a factor is known of `labels` items only, drawn at random, and unknown of all others.

    What is known with few labels is also known with more under the same seed, so that experiments over their number
    differ in nothing else. The items are shared with the given table, and so are `values`.

    Args:
        table: Where the factor may already be unknown on some items; those stay so.
        factor: Which to hide.
        labels: How many items keep it, in all.
        seed: Equal seeds keep the same.
        balanced: Keep equally many of each class that occurs, to within one; otherwise whatever is drawn. A continuous
            factor has no classes.

    Raises:
        DataError: If there is no such factor, too few items of a class or in all, or fewer labels than classes.

    >>> table = FactorTable(torch.rand(60, 4), digit=torch.arange(60) % 3)
    >>> few = hide_labels(table, "digit", labels=6)
    >>> [few.column("digit").count(value) for value in (0, 1, 2, None)]
    [2, 2, 2, 54]
    """
    if factor not in table.factors:
        raise DataError(f"hide_labels: no factor is called {factor!r}; {nearest(factor, table.factors)}")
    codes = plain(table.factors[factor]).cpu()  # [n]
    known = (~codes.isnan() if codes.is_floating_point() else codes >= 0).nonzero()[:, 0]  # [m]
    if not 0 <= labels <= len(known):
        raise DataError(
            f"hide_labels: {factor!r} is known of {len(known)} of {len(table)} items, so between 0 and {len(known)} "
            f"labels can be kept, got {labels}"
        )
    # On the CPU whatever the device, so that the choice does not depend on where it was made.
    generator = torch.Generator().manual_seed(seed)
    order = known[torch.randperm(len(known), generator=generator)]  # [m]
    if balanced:
        order = order[_turns(table, factor, codes[order], labels, generator).argsort(stable=True)]
    kept = order[:labels].to(table.device)
    hidden = copy.copy(table)
    unknown = math.nan if codes.is_floating_point() else -1
    lost = torch.ones(len(table), dtype=torch.bool, device=table.device)
    lost[kept] = False
    hidden.factors = {**table.factors, factor: table.factors[factor].masked_fill(lost, unknown)}
    return hidden


def _turns(table: FactorTable, factor: str, codes: Tensor, labels: int, generator: torch.Generator) -> Tensor:
    """Numbers `[m]` that put items in such an order that the classes among them take turns."""
    if factor not in table.values:
        raise DataError(f"hide_labels: {factor!r} is continuous and has no classes to balance; give balanced=False")
    occur, codes = rank(codes)  # a part of a table may lack some of the table's values
    classes = [table.values[factor][code] for code in occur.tolist()]
    if labels < len(classes):
        raise DataError(
            f"hide_labels: {labels} labels cannot show each of the {len(classes)} values of {factor!r}; give at least "
            f"{len(classes)}, or balanced=False"
        )
    count = codes.bincount(minlength=len(classes))  # [classes]
    first = torch.randperm(len(classes), generator=generator)  # [classes], who begins each round
    quota = labels // len(classes) + (first < labels % len(classes)).long()
    short = (count < quota).nonzero()[:, 0].tolist()
    if short:
        raise DataError(
            f"hide_labels: {labels} balanced labels need {int(quota[short[0]])} items with {factor}="
            f"{classes[short[0]]!r}, but there are {int(count[short[0]])}; give fewer labels, or balanced=False"
        )
    group = codes.argsort(stable=True)  # [m], class after class
    place = torch.empty_like(codes)
    place[group] = torch.arange(len(codes)) - (count.cumsum(0) - count).repeat_interleave(count)  # [m], within a class
    return place * len(classes) + first[codes]
