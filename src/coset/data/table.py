"""A table of items with named factors, from which sets are drawn."""

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from coset.arguments import checked
from coset.batch import as_numbers, full_scale_of
from coset.cells import BLOCK
from coset.codes import Coded, coded, occurring, read_vocabulary, recode
from coset.data.factors import encode
from coset.data.groups import Incomplete, group_rows
from coset.data.memory_map import MappedRows
from coset.data.patterns import Patterns, read_patterns
from coset.data.reading import read_items, read_rows
from coset.data.sampler import SetSampler, Supervision, read_length, read_supervision
from coset.data.sources.base import FromSources
from coset.data.splitting import split_rows
from coset.errors import ConfigurationError, DataError, nearest


class FactorTable(FromSources):
    """Items, and beside each the factors that describe it.

    Whole numbers, strings and booleans make a discrete factor, floating-point numbers a continuous one; `None`, NaN, NA
    or a mask says that one is unknown, and whole numbers with such gaps are discrete in floating point too. Items of
    type uint8 are intensities: they are stored as they are and come back from `x` as numbers between 0 and 1; where no
    byte is above 1, that one is 1, and 255 otherwise. A memory map is read row by row when needed, also after `split`
    or `where`.

    Args:
        items: `[n, ...]`, an array, a tensor or a memory map.
        **factors: name → `[n]`, an array, a tensor, a list, or a column of a data frame.

    Attributes:
        items: The items as stored.
        full_scale: The byte that stands for 1; None where items are no bytes.
        factors: name → `[n]` tensor of codes: positions in `values`, −1 unknown, for a discrete factor (see
            `coset.codes.Coded`: two such columns are compared by value); the numbers themselves, NaN unknown, for a
            continuous one.
        views: name → table of what else was observed of the items, see `with_view`.

    Raises:
        DataError: If lengths differ, a factor is neither discrete nor continuous, or an item holds NaN or infinity (of
            a memory map only `range` finds that, for it must read everything).

    >>> table = FactorTable(torch.rand(4, 8, 8), digit=[3, 5, 3, None], angle=[0.0, 90.0, 90.0, 0.0])
    >>> table
    FactorTable(4 items of shape [8, 8]; digit: 2 values; angle: continuous)
    >>> table.factors["digit"], table.values["digit"]
    (Coded([ 0,  1,  0, -1], vocabulary=[3, 5]), [3, 5])
    """

    def __init__(self, items: Any, /, **factors: Any):
        self.items: Tensor | MappedRows = read_items(items)
        self.full_scale = full_scale_of(self._blocks())
        self.factors: dict[str, Tensor] = {}
        self.views: dict[str, FactorTable] = {}
        for name, given in factors.items():
            if not name or "+" in name:
                raise DataError(f"FactorTable: a factor cannot be called {name!r}; '+' joins names in patterns")
            codes, values = encode(name, given)
            if len(codes) != len(self.items):
                raise DataError(
                    f"FactorTable: {len(self.items)} items, but {name!r} has {len(codes)} values; give one per item"
                )
            self.factors[name] = (codes if values is None else coded(codes, values)).to(self.device)
        if isinstance(self.items, Tensor) and self.items.is_floating_point():
            self.range()

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        kinds = {name: f"{len(values)} values" for name, values in self.values.items()}
        columns = "".join(f"; {name}: {kinds.get(name, 'continuous')}" for name in self.factors)
        return f"FactorTable({len(self)} items of shape {list(self.item_shape)}{columns})"

    @property
    def values(self) -> dict[str, list]:
        """The distinct values of each discrete factor, in the order of their codes."""
        return {name: codes.vocabulary for name, codes in self.factors.items() if isinstance(codes, Coded)}

    @property
    def item_shape(self) -> torch.Size:
        """Shape of one item."""
        return self.items.shape[1:]

    @property
    def device(self) -> torch.device:
        """Where the items live; a memory map counts as CPU."""
        return self.items.device if isinstance(self.items, Tensor) else torch.device("cpu")

    def __getitem__(self, rows: Any) -> "FactorTable":
        """Keep the rows with these indices, or those where a boolean mask `[n]` is true."""
        index = read_rows(rows, len(self)).to(self.device)  # [m]
        subset = copy.copy(self)
        subset.items = self.items[index] if isinstance(self.items, Tensor) else self.items.select(index)
        subset.factors = {name: codes[index] for name, codes in self.factors.items()}
        subset.views = {name: view[index] for name, view in self.views.items()}
        return subset

    @checked
    def with_view(self, name: str, items: Any) -> "FactorTable":
        """Join a second view of the items, such as a caption of each picture, which models observe by its name.

        Args:
            name: of the site that observes it, and of the view in `SetBatch.views`.
            items: `[n, ...]`, an array, a tensor or a memory map.

        Raises:
            DataError: Another number of items, or items that hold NaN or infinity.

        >>> table = FactorTable(torch.rand(60, 8, 8), digit=torch.arange(60) % 3).with_view("sound", torch.rand(60, 5))
        >>> table.sets(items=4, batch=2).draw(0).views["sound"].shape
        torch.Size([2, 4, 5])
        """
        view = FactorTable(items)
        if len(view) != len(self):
            raise DataError(f"FactorTable: {len(self)} items, but the view {name!r} has {len(view)}; give one per item")
        joined = copy.copy(self)
        joined.views = self.views | {name: view if view.device == self.device else view.to(self.device)}
        return joined

    def to(self, device: torch.device | str) -> "FactorTable":
        """Move items and factors to a device, where sets are then drawn; a memory map is read for that.

        Raises:
            ConfigurationError: There is no such device.
        """
        try:
            device = torch.device(device)
        except RuntimeError as reason:
            raise ConfigurationError(f"FactorTable: no device is called {device!r}; give cpu, cuda or mps") from reason
        moved = copy.copy(self)
        moved.items = (self.items if isinstance(self.items, Tensor) else self.items[:]).to(device)
        moved.factors = {name: codes.to(device) for name, codes in self.factors.items()}
        moved.views = {name: view.to(device) for name, view in self.views.items()}
        return moved

    def x(self, rows: Any = slice(None)) -> Tensor:
        """Items at these rows (any shape of indices from 0, or a slice) as floating-point numbers.

        >>> FactorTable(torch.tensor([[0], [255]], dtype=torch.uint8)).x(torch.tensor([1, 0, 1])).flatten()
        tensor([1., 0., 1.])
        """
        if isinstance(self.items, Tensor) and isinstance(rows, Tensor) and rows.dtype == torch.int64:
            # Copies whole rows, where indexing would go through them number by number.
            chosen = self.items.index_select(0, rows.reshape(-1)).reshape(*rows.shape, *self.item_shape)
        else:
            chosen = self.items[rows]
        return as_numbers(chosen, torch.get_default_dtype(), self.full_scale)

    def range(self) -> tuple[float, float]:
        """Smallest and largest number in any item, on the scale of `x`; a memory map is read block by block.

        Raises:
            DataError: Naming the first row that holds NaN or infinity.

        >>> FactorTable(torch.tensor([[-1.0, 0.5], [0.25, 2.0]])).range()
        (-1.0, 2.0)
        """
        start, low, high = 0, math.inf, -math.inf
        for block in self._blocks():
            least, greatest = (bound.item() for bound in block.aminmax())
            if not (math.isfinite(least) and math.isfinite(greatest)):
                bad = ~block.reshape(len(block), -1).isfinite().all(1)  # [rows]
                raise DataError(
                    f"FactorTable: item {start + int(bad.int().argmax())} holds NaN or infinity; leave such items out "
                    "or fill in what is missing"
                )
            low, high, start = min(low, least), max(high, greatest), start + len(block)
        scale = self.full_scale or 1
        return low / scale, high / scale

    def blocks(self) -> Iterator[Tensor]:
        """All items `[n, *item_shape]`, block by block, as numbers on the scale of `x`."""
        return (as_numbers(block, torch.float64, self.full_scale) for block in self._blocks())

    def on_scale(self, full_scale: int | None) -> "FactorTable":
        """The same table, its bytes read on another scale: that of the data which a model was built for."""
        scaled = copy.copy(self)
        scaled.full_scale = self.full_scale and (full_scale or self.full_scale)
        return scaled

    def _blocks(self) -> Iterator[Tensor]:
        """The items as stored, block by block."""
        rows = max(1, BLOCK // max(1, math.prod(self.item_shape)))
        return (self.items[start : start + rows] for start in range(0, len(self), rows))

    def column(self, name: str) -> list:
        """One factor as it was given: a value per item, None where unknown.

        >>> FactorTable(torch.zeros(3, 1), shape=["round", None, "flat"]).column("shape")
        ['round', None, 'flat']
        """
        codes = self._codes(name)
        if name in self.values:
            values = [*self.values[name], None]  # code −1 is the last
            return [values[code] for code in codes.tolist()]
        return [None if math.isnan(number) else number for number in codes.tolist()]

    def where(self, /, **values: Any) -> "FactorTable":
        """The rows on which every named factor has the given value, for instance to condition on them.

        Raises:
            DataError: If a factor or value is unknown, or no row has all the values together.

        >>> table = FactorTable(torch.arange(4.0), digit=[3, 5, 3, 5], colour=["red", "red", "blue", "blue"])
        >>> table.where(digit=5, colour="blue").x()
        tensor([3.])
        """
        keep = torch.ones(len(self), dtype=torch.bool, device=self.device)  # [n]
        for name, value in values.items():
            codes = self._codes(name)
            if name in self.values:
                if getattr(value, "ndim", 0) or value not in self.values[name]:
                    known = nearest(str(value), map(str, self.values[name]))
                    raise DataError(f"FactorTable.where: {name!r} is never {value!r}; {known}")
                value = self.values[name].index(value)
            keep &= codes == value
        if not keep.any():
            cell = ", ".join(f"{name}={value!r}" for name, value in values.items())
            raise DataError(f"FactorTable.where: no item has {cell}; ask for a combination that exists")
        return self[keep]

    def recode(self, /, **values: Sequence[Any]) -> "FactorTable":
        """Number the values of discrete factors as another table or a model does: `table.recode(**model.values)`.

        Args:
            **values: name → all values in the order of their new codes; without any, those that occur, of every
                discrete factor, so that what a subset has lost is gone. Names of other factors are passed over.

        Raises:
            DataError: A value that occurs is not among them, or they are no list of different values.

        >>> table = FactorTable(torch.zeros(3, 1), digit=[7, None, 9])
        >>> table.recode(digit=range(10)).factors["digit"].tolist(), table[[0]].recode().values
        ([7, -1, 9], {'digit': [7]})
        """
        recoded = copy.copy(self)
        recoded.factors = dict(self.factors)
        for name, codes in self.factors.items():
            if not isinstance(codes, Coded) or (values and name not in values):
                continue
            wanted = occurring(codes) if not values else read_vocabulary(name, values[name])
            recoded.factors[name] = coded(recode(codes, wanted, what=f"FactorTable: factor {name!r}"), wanted)
        return recoded

    @checked
    def split(
        self, held_out: float, seed: int = 0, *, stratify: str | None = None
    ) -> tuple["FactorTable", "FactorTable"]:
        """Divide the rows at random into those kept and those held out.

        Args:
            held_out: Size of the second table, as a fraction below 1 or as a number of rows.
            seed: Equal seeds divide equally.
            stratify: A factor whose values shall be held out in equal proportion.

        Raises:
            DataError: If one of the two would be empty.

        >>> kept, held_out = FactorTable(torch.rand(50, 2)).split(0.2)
        >>> len(kept), len(held_out)
        (40, 10)
        """
        codes = None if stratify is None else self._codes(stratify)
        kept, taken = split_rows(len(self), held_out, seed, codes)
        return self[kept], self[taken]

    @checked
    def sets(
        self,
        contexts: Iterable[str] | None = None,
        patterns: Patterns = "exactly-one",
        *,
        items: int | Sequence[int] | None = 10,
        batch: int = 32,
        seed: int = 0,
        batches: int | None = None,
        binarize: bool = False,
        supervision: Supervision | Mapping[str, Any] | None = None,
        incomplete: Incomplete = "error",
    ) -> SetSampler:
        """Draw sets that hold some contexts constant while the rest vary.

        For each set a pattern is drawn, that is, which contexts are constant; then one joint value of those, each with
        equal probability; then items that have it, independently and with replacement. Items on which a constant
        context is unknown don't take part in that pattern.

        Args:
            contexts: Factors that sets may hold constant, by default all; none, `()`, makes sets of any items.
            patterns: "exactly-one" constant context; "any" subset; a fixed number of them; or proportions, such as
                `{"digit": 5, "background": 1, "digit+background": 1, "": 1}`.
            items: Items in a set, or the smallest and largest number of them; or None for all that have the joint
                value, each once, padded to the longest of the batch.
            batch: Sets in a batch.
            seed: Equal seeds draw equal sets.
            batches: Batches in an epoch, by default as many as use each item once on average.
            binarize: Draw items of 0 and 1 with their intensities as probabilities, afresh for every batch.
            supervision: Of single items without contexts, how often those are shown of which a factor is known; of
                sets, how often it is told which contexts are constant: a `Supervision`, or its options.
            incomplete: What to do where the table has too few items for a joint value: "error", or "skip" to draw only
                from the joint values of which there are at least two items.

        Raises:
            DataError: The table cannot produce a pattern; says which combination is missing.
            ConfigurationError: An option makes no sense.

        >>> table = FactorTable(torch.rand(60, 4), digit=torch.arange(60) % 3, even=torch.arange(60) % 2 == 0)
        >>> table.sets(["digit", "even"], {"digit": 1}, items=5, batch=4).draw(0).constant[0]
        tensor([1., 0.])
        """
        contexts = self.factors if contexts is None else contexts
        names = (contexts,) if isinstance(contexts, str) else tuple(contexts)
        for name in names:
            self._codes(name)
        least = 1 if items is None else min(read_length(items)[1], 2)
        groups = group_rows(self, names, read_patterns(patterns, names), least, incomplete)
        self._check_binarize(binarize)
        return SetSampler(
            self,
            groups,
            names,
            items=items,
            batch=batch,
            seed=seed,
            batches=batches,
            binarize=binarize,
            supervision=read_supervision(supervision),
        )

    def _check_binarize(self, binarize: bool) -> None:
        low, high = self.range() if binarize else (0.0, 1.0)
        if low < 0 or high > 1:
            raise DataError(
                f"sets: binarize takes intensities in [0, 1] as probabilities, got [{low:g}, {high:g}]; rescale the "
                "items"
            )

    def _codes(self, name: str) -> Tensor:
        if name not in self.factors:
            raise DataError(f"FactorTable: no factor is called {name!r}; {nearest(name, self.factors)}")
        return self.factors[name]
