"""What a table holds, and what will go wrong with it, in words, before anything is trained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import skew
from torch import Tensor

from coset.codes import Coded
from coset.data.factors import suspects
from coset.data.table import FactorTable
from coset.errors import DataError, nearest

FEW = 5
"""Items of a level below which little can be learned of it."""
WRITTEN = 12
"""Levels of a factor up to which the grid of combinations is written out."""
LOOKED_AT = 2000
"""Items whose numbers are looked at, evenly spaced, at most."""
MOST = 1 << 24
"""Numbers that are looked at, at most."""
SKEWED = 2.5
"""Skewness of what wants a logarithm: that of an exponential distribution is 2."""
APART = 1000.0
"""How many times larger the numbers of one feature are than those of another, so that units should be looked at."""


@dataclass(frozen=True)
class Inspection:
    """What was found in a table.

    Attributes:
        items: how many.
        item_shape: of each.
        range: smallest and largest number.
        factors: name → how many levels, or `continuous`; and how many items it is unknown for.
        pair: the two factors of the grid; none where there are fewer.
        counts: items of each combination of their levels `[rows, columns]`.
        levels: of these two.
        findings: what will go wrong: its kind, and what it says.
    """

    items: int
    item_shape: list[int]
    range: tuple[float, float]
    factors: dict[str, dict[str, Any]]
    pair: list[str] = field(default_factory=list)
    counts: list[list[int]] = field(default_factory=list)
    levels: list[list[Any]] = field(default_factory=list)
    findings: list[dict[str, str]] = field(default_factory=list)

    def table(self) -> str:
        """Everything as text."""
        low, high = self.range
        lines = [f"{self.items} items of shape {self.item_shape}, from {low:g} to {high:g}"]
        for name, found in self.factors.items():
            levels = found["levels"]
            unknown = f", unknown for {found['unknown']}" if found["unknown"] else ""
            lines.append(f"  {name}: {levels if levels == 'continuous' else f'{levels} levels'}{unknown}")
        if self.pair:
            empty = sum(count == 0 for row in self.counts for count in row)
            rows, columns = (len(levels) for levels in self.levels)
            some = [count for row in self.counts for count in row if count] or [0]
            lines.append(
                f"{' × '.join(self.pair)}: {rows * columns - empty} of {rows * columns} combinations are seen, with "
                f"{min(some)} to {max(some)} items each"
            )
            if max(rows, columns) <= WRITTEN:
                width = max(len(str(level)) for level in (*self.levels[0], *self.levels[1], max(some))) + 2
                lines.append(" " * width + "".join(f"{level!s:>{width}}" for level in self.levels[1]))
                for level, row in zip(self.levels[0], self.counts, strict=True):
                    lines.append(f"{level!s:>{width}}" + "".join(f"{count or '·':>{width}}" for count in row))
        lines += [f"! {found['says']}" for found in self.findings] or ["nothing stands out"]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def inspect_table(table: FactorTable, contexts: Sequence[str] | None = None) -> Inspection:
    """Look through a table for what will go wrong when it is learned from.

    Args:
        table: the table.
        contexts: discrete factors that sets will hold constant; all where None.

    Raises:
        DataError: The table has no such discrete factor.

    >>> table = FactorTable(torch.rand(60, 4), person=torch.arange(60) % 6, camera=torch.arange(60) % 6 // 2)
    >>> [found["kind"] for found in inspect_table(table).findings]
    ['nested']
    """
    for name in contexts or ():
        if name not in table.values:
            raise DataError(f"inspect: the table has no discrete factor {name!r}; {nearest(name, table.values)}")
    names = list(table.values) if contexts is None else list(contexts)
    findings = [*_of_factors(table, names)]
    odd = {name for found in findings for name in found["about"] if found["kind"] in ("one level", "identifier")}
    usual = [name for name in names if name not in odd]
    findings += [*_of_pairs(table, usual), *_of_items(table)]
    factors = {
        name: {
            "levels": len(table.values[name]) if name in table.values else "continuous",
            "unknown": int((codes < 0).sum() if isinstance(codes, Coded) else codes.isnan().sum()),
        }
        for name, codes in table.factors.items()
    }
    pair = usual[:2] if len(usual) > 1 else []
    counts = _counts(table, *pair).tolist() if pair else []
    return Inspection(
        len(table),
        list(table.item_shape),
        table.range(),
        factors,
        pair,
        counts,
        [list(table.values[name]) for name in pair],
        [{"kind": found["kind"], "says": found["says"]} for found in findings],
    )


def _found(kind: str, says: str, *about: str) -> dict[str, Any]:
    return {"kind": kind, "says": says, "about": about}


def _of_factors(table: FactorTable, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What is odd about single factors."""
    count = len(table)
    for name, numbers in table.factors.items():
        unknown = int(numbers.isnan().sum()) if name not in table.values else int((numbers < 0).sum())
        if unknown > count / 2:
            yield _found("mostly unknown", f"{name} is unknown for {unknown} of {count} items", name)
        if name not in table.values:
            distinct = len(numbers[~numbers.isnan()].unique())
            if distinct <= min(20, count / 5):
                says = f"{name} is continuous with {distinct} values only; whole numbers or words can be held constant"
                yield _found("continuous with few values", says, name)
    for name in names:
        levels, codes = table.values[name], table.factors[name]
        if len(levels) < 2:
            only = f"the single level {levels[0]!r}" if levels else "no level"
            yield _found("one level", f"{name} has {only}: there is nothing to tell", name)
            continue
        if len(levels) > max(count / 2, 10):
            says = f"{name} has {len(levels)} levels for {count} items: it names items, and is nothing they share"
            yield _found("identifier", says, name)
            continue
        for level in suspects(levels):
            says = f"{name} has the level {level!r}; if that means unknown, leave the field empty"
            yield _found("word for unknown" if isinstance(level, str) else "minus one", says, name)
        each = torch.bincount(codes[codes >= 0].as_subclass(Tensor), minlength=len(levels))
        if few := int((each < FEW).sum()):
            least = f"{levels[int(each.argmin())]!r} with {int(each.min())}"
            says = f"{name}: {few} of {len(levels)} levels have fewer than {FEW} items, such as {least}"
            yield _found("few items", says, name)


def _counts(table: FactorTable, one: str, other: str) -> Tensor:
    """Items of each combination of levels of two factors, `[rows, columns]`."""
    first, second = (table.factors[name].as_subclass(Tensor) for name in (one, other))
    known = (first >= 0) & (second >= 0)
    rows, columns = (len(table.values[name]) for name in (one, other))
    return torch.bincount(first[known] * columns + second[known], minlength=rows * columns).view(rows, columns)


def _of_pairs(table: FactorTable, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Factors that are not crossed with each other."""
    for one, other in combinations(names, 2):
        counts = _counts(table, one, other)
        enough = (counts.sum(1, keepdim=True) >= FEW) & (counts.sum(0) >= FEW)  # of others, that was said already
        seen = (counts > 0) & enough
        if not seen.any():
            continue
        partners, theirs = seen.sum(1), seen.sum(0)
        if bool((partners <= 1).all()) and bool((theirs <= 1).all()):
            says = f"{one} and {other} say the same: each level of one is always with one of the other; leave one out"
            yield _found("the same", says, one, other)
        elif bool((partners <= 1).all()) or bool((theirs <= 1).all()):
            inner, outer = (one, other) if bool((partners <= 1).all()) else (other, one)
            says = (
                f"{inner} is nested in {outer}: each of its levels is with one level of {outer} only, so that what "
                f"{outer} does cannot be told from what {inner} is; the two cannot be recombined"
            )
            yield _found("nested", says, inner, outer)
        elif (parts := _parts(seen)) > 1:
            says = f"{one} and {other} fall into {parts} groups of levels that never meet: nothing relates these"
            yield _found("never meet", says, one, other)
        else:
            for name, with_, number in ((one, other, partners), (other, one, theirs)):
                alone = [table.values[name][index] for index in (number == 1).nonzero()[:, 0].tolist()]
                if alone:
                    says = f"{name}={alone[0]!r} is seen with one level of {with_} only"
                    more = f", and so are {len(alone) - 1} others" if len(alone) > 1 else ""
                    yield _found("one combination", f"{says}{more}: what it does elsewhere is a guess", name)


def _parts(seen: Tensor) -> int:
    """Into how many groups rows and columns fall that no combination connects."""
    used = seen[seen.any(1)][:, seen.any(0)]
    rows, columns = used.nonzero(as_tuple=True)
    size = sum(used.shape)
    graph = coo_array((torch.ones(len(rows)).numpy(), (rows.numpy(), columns.numpy() + len(used))), (size, size))
    return int(connected_components(graph, directed=False, return_labels=False))


def _of_items(table: FactorTable) -> Iterator[dict[str, Any]]:
    """What is odd about the numbers of the items."""
    count = max(2, min(LOOKED_AT, MOST // table.item_shape.numel()))
    rows = torch.linspace(0, len(table) - 1, min(len(table), count)).long()
    x = table.x(rows.to(table.device)).cpu().double().flatten(1)
    again = len(x) - len(x.unique(dim=0))
    if again > len(x) / 10:
        yield _found("repeated items", f"{again} of {len(x)} items are copies of others: what is held out was seen")
    if len(table.item_shape) != 1 or table.full_scale is not None:
        return
    names = table.feature_names or [f"number {index}" for index in range(x.shape[1])]
    spread = x.std(0, correction=0)
    still = (spread == 0).nonzero()[:, 0].tolist()
    if still:
        says = f"{len(still)} of {x.shape[1]} numbers never change, such as {names[still[0]]}: leave them out"
        yield _found("constant", says)
    spread = torch.where(spread == 0, torch.nan, spread)
    low, high = (spread.nan_to_num(other) for other in (torch.inf, 0.0))
    if float(high.max()) > APART * float(low.min()):
        says = f"{names[int(high.argmax())]} varies {float(high.max() / low.min()):.0f} times as much as"
        yield _found("scales", f"{says} {names[int(low.argmin())]}: are they in the units that you mean?")
    varied = x[:, ~spread.isnan()]
    if varied.numel() and bool((varied >= 0).all()):
        raw, logarithm = (float(np.median(skew(part.numpy()))) for part in (varied, (varied + x.mean() / 100).log()))
        if raw > SKEWED and abs(logarithm) < SKEWED / 2:
            says = "few numbers are far larger than most, as where effects multiply: take logarithms"
            yield _found("wants a logarithm", says)
