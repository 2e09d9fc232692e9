"""Rows divided at random into those kept and those held out."""

import torch
from torch import Tensor

from coset.codes import rank
from coset.errors import DataError


def split_rows(count: int, held_out: float, seed: int, codes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Divide rows at random: indices of those kept, and of those held out, each in ascending order.

    Args:
        count: how many rows there are.
        held_out: how many of them are held out, as a fraction below 1 or as a number.
        seed: equal seeds divide equally.
        codes: a factor `[count]` whose values are held out in equal proportion.

    Raises:
        DataError: One of the two would be empty.
    """
    size = round(held_out * count) if held_out < 1 else int(held_out)
    if not 0 < size < count or (held_out > 1 and size != held_out):
        raise DataError(
            f"FactorTable.split: of {count} items, holding out {held_out} leaves one part empty; give a fraction "
            f"between 0 and 1, or a number of rows between 1 and {count - 1}"
        )
    # On the CPU whatever the device, so that a split does not depend on where it was made.
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))  # [n]
    if codes is not None:
        group = rank(codes.cpu())[1][order]  # [n]
        order = order[group.argsort(stable=True)]  # group after group, shuffled within each
        each = group.bincount()
        place = torch.arange(count) - (each.cumsum(0) - each).repeat_interleave(each)
        # (place + ½) / each runs evenly from 0 to 1 in every group: its smallest are the same share of each.
        order = order[((place + 0.5) / each.repeat_interleave(each)).argsort(stable=True)]
    return order[size:].sort().values, order[:size].sort().values
