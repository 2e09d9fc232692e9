"""Sets as they were found, each an array of its own length."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from coset.batch import check_binary
from coset.data.groups import Groups
from coset.data.sampler import SetSampler
from coset.data.table import FactorTable
from coset.errors import DataError, nearest


class SetCollection:
    """Sets as they were found: each an array of its own length, with the contexts known to be constant in it.

    Args:
        sets: Arrays or tensors `[n_i, ...]`, with items of the same shape and type.
        constant: `[number of sets, K]`, 1 where a context is constant in a set and 0 where it varies; by default every
            set holds the one context constant.
        contexts: Names of the K contexts; by default "context", or "context_1", "context_2" and so on.

    Attributes:
        table: The items of all sets, one set after another.
        lengths: `[number of sets]`, items in each.
        constant: `[number of sets, K]`.
        contexts: Names of the contexts.

    Raises:
        DataError: Naming the set that is empty, or whose items differ or hold NaN; or if `constant` does not fit.

    >>> sets = SetCollection([torch.rand(3, 8), torch.rand(5, 8)])
    >>> sets
    SetCollection(2 sets of 3 to 5 items of shape [8]; contexts: context)
    >>> sets[1].shape
    torch.Size([5, 8])
    """

    def __init__(self, sets: Sequence[Any], constant: Any = None, contexts: Sequence[str] | None = None):
        if not isinstance(sets, Iterable) or not len(sets):
            raise DataError(f"SetCollection: expected a list of sets, at least one, got {sets!r}")
        read = [_read_set(index, items) for index, items in enumerate(sets)]
        first = read[0]
        for index, items in enumerate(read):
            if items.shape[1:] != first.shape[1:] or items.dtype != first.dtype:
                raise DataError(
                    f"SetCollection: set {index} has items of shape {list(items.shape[1:])} and type {items.dtype}, "
                    f"but set 0 of {list(first.shape[1:])} and {first.dtype}; bring all to one shape and type"
                )
        self.table = FactorTable(torch.cat(read))
        self.lengths = torch.tensor([len(items) for items in read], device=self.device)  # [sets]
        if constant is None:
            if contexts is not None and len(contexts) != 1:
                raise DataError(
                    f"SetCollection: which of {len(contexts)} contexts a set holds constant cannot be guessed; give "
                    f"constant, [{len(read)}, {len(contexts)}] of 0 and 1"
                )
            constant = torch.ones(len(read), 1)
        self.constant = torch.as_tensor(constant, dtype=torch.get_default_dtype(), device=self.device)
        if self.constant.ndim != 2 or len(self.constant) != len(read):
            raise DataError(
                f"SetCollection: {len(read)} sets, but constant is {list(self.constant.shape)}; give one row of K "
                "flags per set"
            )
        check_binary("SetCollection: constant", self.constant)
        width = self.constant.shape[1]
        if contexts is None:
            contexts = ["context"] if width == 1 else [f"context_{position + 1}" for position in range(width)]
        if len(contexts) != width or len(set(contexts)) != width:
            raise DataError(
                f"SetCollection: constant has {width} columns, but the contexts are {list(contexts)}; give each column "
                "a name of its own"
            )
        self.contexts = tuple(contexts)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Tensor:
        """The items of one set, `[n_i, ...]`, as floating-point numbers."""
        end = int(self.lengths[: range(len(self))[index] + 1].sum())
        return self.table.x(slice(end - int(self.lengths[index]), end))

    def __repr__(self) -> str:
        least, most = self.lengths.aminmax()
        return (
            f"SetCollection({len(self)} sets of {least} to {most} items of shape {list(self.item_shape)}; contexts: "
            f"{', '.join(self.contexts)})"
        )

    @property
    def item_shape(self) -> torch.Size:
        """Shape of one item."""
        return self.table.item_shape

    @property
    def device(self) -> torch.device:
        """Where the items live."""
        return self.table.device

    def range(self) -> tuple[float, float]:
        """Smallest and largest number in any item, on the scale that items come out with."""
        return self.table.range()

    def blocks(self) -> Iterator[Tensor]:
        """All items `[n, *item_shape]`, block by block."""
        return self.table.blocks()

    @property
    def full_scale(self) -> int | None:
        """The byte that stands for 1; None where items are no bytes."""
        return self.table.full_scale

    def on_scale(self, full_scale: int | None) -> "SetCollection":
        """The same sets, their bytes read on another scale."""
        scaled = copy.copy(self)
        scaled.table = self.table.on_scale(full_scale)
        return scaled

    def to(self, device: torch.device | str) -> "SetCollection":
        """Move items and what is known of them to a device, where batches are then drawn."""
        moved = copy.copy(self)
        moved.table = self.table.to(device)
        moved.lengths, moved.constant = self.lengths.to(device), self.constant.to(device)
        return moved

    def sets(
        self,
        *,
        items: int | Sequence[int] | None = None,
        batch: int = 32,
        seed: int = 0,
        batches: int | None = None,
    ) -> SetSampler:
        """Draw batches of these sets, each set with equal probability.

        Args:
            items: None for whole sets, padded to the longest of the batch; or how many items to draw from each set,
                independently and with replacement; or the smallest and largest number of them.
            batch: Sets in a batch.
            seed: Equal seeds draw equal batches.
            batches: Batches in an epoch, by default as many as use each item once on average.

        Raises:
            ConfigurationError: If an option makes no sense.

        >>> batch = SetCollection([torch.rand(3, 8), torch.rand(5, 8)]).sets(batch=4).draw(0)
        >>> batch.shape == batch.mask.shape
        True
        """
        groups = Groups(
            order=torch.arange(len(self.table), device=self.device),
            start=self.lengths.cumsum(0) - self.lengths,
            count=self.lengths,
            constant=self.constant,
            first=torch.zeros(1, dtype=torch.int64, device=self.device),
            size=torch.tensor([len(self)], device=self.device),
            weight=torch.ones(1, device=self.device),
        )
        return SetSampler(self.table, groups, self.contexts, items=items, batch=batch, seed=seed, batches=batches)


def as_table_or_sets(data: Any, contexts: Sequence[str] | None = None) -> FactorTable | SetCollection:
    """Take a table, a collection, a list of sets or one array of items, wherever data is asked for.

    Raises:
        DataError: If the data has not the contexts that are named.

    >>> as_table_or_sets([torch.rand(3, 8), torch.rand(5, 8)])
    SetCollection(2 sets of 3 to 5 items of shape [8]; contexts: context)
    >>> as_table_or_sets(torch.rand(6, 8))
    FactorTable(6 items of shape [8])
    """
    if isinstance(data, list | tuple):
        return SetCollection(data, contexts=contexts)
    known = data if isinstance(data, FactorTable | SetCollection) else FactorTable(data)
    names = known.contexts if isinstance(known, SetCollection) else tuple(known.factors)
    for name in contexts or ():
        if name not in names:
            raise DataError(f"the data has no context {name!r}; {nearest(name, names)}")
    return known


def _read_set(index: int, items: Any) -> Tensor:
    try:
        table = FactorTable(items)
    except DataError as error:
        raise DataError(f"SetCollection: set {index} cannot be used: {error}") from error
    return table.items if isinstance(table.items, Tensor) else table.items[:]
