"""Whole batches of sets, drawn by index arithmetic.

Items are sorted by group beforehand; then a batch costs one draw of patterns, one draw of random integers and one
gather, on the device where the items live.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from coset.arguments import check_memory
from coset.batch import SetBatch
from coset.data.groups import Groups, Rows
from coset.errors import ConfigurationError, DataError, nearest


@dataclass(frozen=True)
class Supervision:
    """How often training sees what is known of a factor: the supervision rate of Siddharth et al. (2017), section 3.

    Batches are wholly supervised, which are drawn from the items of which a factor is known, or wholly unsupervised,
    drawn from all items with those factors hidden; or every batch is mixed of both.

    Args:
        factors: Which are at issue; an item is labelled if one of them is known.
        rate: Share of items that are shown with their labels, 0 to 1.
        mixed: Whether every batch has that share, rather than that share of the batches being supervised.

    Raises:
        ConfigurationError: If the rate is no share.
    """

    factors: Sequence[str]
    rate: float
    mixed: bool = False

    def __post_init__(self):
        if not 0 <= self.rate <= 1:
            raise ConfigurationError(f"supervision: rate should be between 0 and 1, got {self.rate}")
        if isinstance(self.factors, str) or not self.factors:
            raise ConfigurationError(f"supervision: factors should be a list of names, got {self.factors!r}")

    def labelled(self, table: Rows) -> Tensor:
        """Rows `[m]` of which a factor is known.

        Raises:
            DataError: If there is no such factor, or, with a rate above 0, none of an item is known, or a discrete
                factor is never known to have one of its values.
        """
        for name in self.factors:
            if name not in table.factors:
                raise DataError(f"supervision: no factor is called {name!r}; {nearest(name, table.factors)}")
        known = torch.stack([_is_known(table.factors[name]) for name in self.factors]).any(0)  # [n]
        if self.rate > 0 and not known.any():
            raise DataError(f"supervision: no item has a known value of {', '.join(self.factors)}; set rate to 0")
        for name in self.factors if self.rate > 0 else ():
            values, codes = table.values.get(name, []), table.factors[name]
            missing = [value for code, value in enumerate(values) if not (codes == code).any()]
            if missing:
                raise DataError(
                    f"supervision: no item is known to have {name}={missing[0]!r}, one of {len(missing)} values "
                    "without a label; label at least one item of each, or leave out those items and then the values "
                    "without any (table.recode())"
                )
        return known.nonzero()[:, 0]

    def shown(self, index: int, batch: int) -> tuple[int, int]:
        """How many labelled items were shown before the batch of this index, and how many are in it, its first ones."""
        size, rate = (1, self.rate * batch) if self.mixed else (batch, self.rate)
        # A product that is a whole number may come out a little below it.
        before, after = (math.floor(number * rate + 1e-6) for number in (index, index + 1))
        return before * size, (after - before) * size


class SetSampler(IterableDataset[SetBatch]):
    """Draws batches of sets; made by `FactorTable.sets` and `SetCollection.sets`.

    Batch t of epoch e depends on nothing but (seed, e, t): drawing can be repeated, resumed anywhere, and shared among
    any number of workers. Iterating again without changing `epoch` gives the same batches again. Give it to
    `DataLoader(sampler, batch_size=None, num_workers=W)`, which keeps the order for every W.

    Of R processes under `torch.distributed`, rank r draws the batches t·R + r, and an epoch is divided among them; set
    `rank` and `world_size` to say so without a process group.

    Args:
        table: Where the items are.
        groups: Which of its rows can be in one set.
        contexts: Names of the K contexts; if there are none, batches don't say what is constant.
        items: Items in a set, or the smallest and largest number of them, drawn independently and with replacement;
            None for all that the group has, padded to the longest of the batch. Without contexts and with one item a
            set, an epoch goes through the items in a random order.
        batch: Sets in a batch.
        seed: Equal seeds draw equal sets.
        batches: Batches in an epoch, by default as many as use each item once on average.
        binarize: Draw each element of an item as 0 or 1 with its intensity as the probability of 1, afresh for every
            batch (Salakhutdinov & Murray 2008).
        supervision: Of single items without contexts, how often those are shown of which a factor is known; by default
            all items are drawn alike, with what is known of them. Of sets, with the contexts as its factors, how often
            it is told what a set holds constant; by default always.

    Raises:
        ConfigurationError: If an option makes no sense.

    >>> from coset.data.table import FactorTable
    >>> table = FactorTable(torch.rand(60, 4), digit=torch.arange(60) % 3)
    >>> sampler = table.sets(items=5, batch=4)
    >>> len(sampler)
    3
    >>> first = sampler.draw(0)
    >>> torch.equal(next(iter(sampler)).x, first.x)
    True
    >>> sampler.epoch = 1
    >>> torch.equal(sampler.draw(0).x, first.x)
    False
    """

    def __init__(
        self,
        table: Rows,
        groups: Groups,
        contexts: Sequence[str],
        *,
        items: int | Sequence[int] | None,
        batch: int,
        seed: int,
        batches: int | None,
        binarize: bool = False,
        supervision: "Supervision | None" = None,
    ):
        for name, number in (("batch", batch), ("batches", batches)):
            if number is not None and number < 1:
                raise ConfigurationError(f"sets: {name} should be at least 1, got {number}")
        longest = int(groups.count.max()) if items is None else read_length(items)[1]
        check_memory(f"sets: {batch} sets of {longest} items", batch * longest * math.prod(table.item_shape))
        self.table = table
        self.groups = groups
        self.contexts = tuple(contexts)
        self.items = None if items is None else read_length(items)
        self.batch = batch
        self._order: dict[bool, tuple[int, Tensor]] = {}
        self._even = bool((groups.count == groups.count[0]).all())
        if batches is None:
            sets = len(groups.count) if self.items is None else len(table) / self.items[1]
            batches = math.ceil(sets / batch)
        self.batches = batches
        self.binarize = binarize
        self.supervision = supervision
        single = not contexts and self.items == (1, 1)
        if supervision is not None and not single and (not contexts or set(supervision.factors) != set(contexts)):
            raise ConfigurationError(
                "sets: supervision is a setting for single items, with contexts=() and items=1, or for what sets hold "
                f"constant, with the contexts {list(self.contexts)} as its factors; got {list(supervision.factors)}"
            )
        self._labelled = supervision.labelled(table) if supervision is not None and single else None
        self.seed = seed
        self.rank: int | None = None
        self.world_size: int | None = None
        # Shared memory, so that workers which outlive an epoch learn of the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch to draw from; training sets it before each pass."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Batches in an epoch, for one process."""
        return math.ceil(self.batches / self._place()[1])

    def __iter__(self) -> Iterator[SetBatch]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        rank, world_size = self._place()
        for step in range(first, len(self), stride):
            yield self.draw(step * world_size + rank)

    def draw(self, index: int) -> SetBatch:
        """Draw the batch with this index among those of all processes in the current epoch."""
        groups, device = self.groups, self.table.device
        generator = torch.Generator(device).manual_seed(_stable_hash(self.seed, self.epoch, index))
        least, most = self.items or (0, 0)
        if not self.contexts and most == 1:
            return self._draw_single(index, generator)
        pattern = torch.multinomial(groups.weight, self.batch, replacement=True, generator=generator)  # [B]
        # A remainder of 62 random bits is uniform to within count / 2^62. Uniform numbers would have to be float64,
        # which some devices lack.
        draws = torch.randint(1 << 62, (self.batch, 2 + most), generator=generator, device=device)  # [B, 2+N]
        group = groups.first[pattern] + draws[:, 0] % groups.size[pattern]  # [B]
        count = groups.count[group, None]  # [B, 1]
        present = None
        if self.items is None:  # whole sets, as long as the longest
            place = torch.arange(int(count.max()), device=device)  # [N]
            present = None if self._even else place < count  # [B, N]
            place = place.minimum(count - 1)  # [B, N]
        else:
            place = draws[:, 2:] % count  # [B, N]
            if most > least:
                length = least + draws[:, 1:2] % (most - least + 1)  # [B, 1]
                present = torch.arange(most, device=device) < length  # [B, N]
        rows = groups.order[groups.start[group, None] + place].long()  # [B, N]
        x, factors, views = self._gather(rows, generator)
        if present is not None:
            x = _blank(x, present)
            views = {name: _blank(view, present) for name, view in views.items()}
            factors = {name: codes.masked_fill(~present, _unknown(codes)) for name, codes in factors.items()}
        constant = groups.constant[group].to(x.dtype) if self.contexts else None  # [B, K]
        if constant is not None and self.supervision is not None:
            told = self.supervision.shown(index, self.batch)[1]
            constant[told:] = torch.nan
            constant = constant if told else None
        return SetBatch(x, constant, None if present is None else present.to(x.dtype), factors, views)

    def _draw_single(self, index: int, generator: torch.Generator) -> SetBatch:
        """Independent items: an epoch goes through all of them in a random order, and round again if it is longer."""
        if self.supervision is None:
            x, factors, views = self._gather(self._take(False, index * self.batch, self.batch), generator)
            return SetBatch(x, None, None, factors, views)
        before, shown = self.supervision.shown(index, self.batch)
        rows = torch.cat([self._take(True, before, shown), self._take(False, index * self.batch, self.batch - shown)])
        x, factors, views = self._gather(rows, generator)  # [B, 1]
        for name in self.supervision.factors:
            factors[name] = factors[name].clone()
            factors[name][shown:] = _unknown(factors[name])
        return SetBatch(x, None, None, factors, views)

    def _take(self, labelled: bool, start: int, count: int) -> Tensor:
        """Rows `[count, 1]` at these places of the epoch's order of all items, or of those that are labelled."""
        order = self._order.get(labelled)
        rows = self._labelled if labelled else None
        size, device = len(self.table) if rows is None else len(rows), self.table.device
        if order is None or order[0] != self.epoch:
            shuffle = torch.Generator(device).manual_seed(_stable_hash(self.seed, self.epoch, *([1] * labelled)))
            order = (self.epoch, torch.randperm(size, generator=shuffle, device=device))
            self._order[labelled] = order
        places = order[1][torch.arange(start, start + count, device=device) % size, None]  # [count, 1]
        return places if rows is None else rows[places]

    def _gather(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Items, factors and other views of the items at these rows `[B, N]`."""
        x = self.table.x(rows)  # [B, N, ...]
        if self.binarize:
            x = torch.bernoulli(x, generator=generator)
        factors = {name: codes[rows] for name, codes in self.table.factors.items()}
        return x, factors, {name: view.x(rows) for name, view in self.table.views.items()}

    def _place(self) -> tuple[int, int]:
        """Rank of this process and number of processes."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        else:
            rank, world_size = 0, 1
        return (
            rank if self.rank is None else self.rank,
            world_size if self.world_size is None else self.world_size,
        )

    def __getstate__(self) -> dict[str, Any]:
        # A worker started afresh has no process group: it is told the place of the process that it works for.
        rank, world_size = self._place()
        return self.__dict__ if world_size == 1 else {**self.__dict__, "rank": rank, "world_size": world_size}


def read_length(items: int | Sequence[int]) -> tuple[int, int]:
    """Turn a number of items, or the smallest and largest such number, into the latter.

    Raises:
        ConfigurationError: If they are no whole numbers of at least 1, in this order.

    >>> read_length(10), read_length([2, 6])
    ((10, 10), (2, 6))
    """
    length = tuple(items) if isinstance(items, Sequence) else (items, items)
    whole = all(isinstance(number, Integral) for number in length)
    if len(length) != 2 or not whole or not 1 <= length[0] <= length[1]:
        raise ConfigurationError(
            f"sets: items should be a number of at least 1, or the smallest and largest such number, got {items!r}"
        )
    return length[0], length[1]


def read_supervision(given: Supervision | Mapping[str, Any] | None) -> Supervision | None:
    """Turn the options of a `Supervision` into one.

    Raises:
        ConfigurationError: If there is no such option, or one is missing.

    >>> read_supervision({"factors": ["digit"], "rate": 0.1})
    Supervision(factors=['digit'], rate=0.1, mixed=False)
    """
    if not isinstance(given, Mapping):
        return given
    names = {option.name for option in fields(Supervision)}
    for name in given:
        if name not in names:
            raise ConfigurationError(f"supervision: no option is called {name!r}; {nearest(name, names)}")
    for name in ("factors", "rate"):
        if name not in given:
            raise ConfigurationError(f"supervision: {name!r} is missing; give at least factors and rate")
    return Supervision(**given)


def _blank(items: Tensor, present: Tensor) -> Tensor:
    """Zeros in the place of items `[B, N, ...]` that are not present `[B, N]`."""
    return items.masked_fill(~present.reshape(present.shape + (1,) * (items.ndim - 2)), 0.0)


def _unknown(codes: Tensor) -> float:
    return math.nan if codes.is_floating_point() else -1


def _is_known(codes: Tensor) -> Tensor:
    return ~codes.isnan() if codes.is_floating_point() else codes >= 0


def _stable_hash(*parts: int) -> int:
    """A seed of 63 bits that is the same on every machine and in every process, as `hash` would not be."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
