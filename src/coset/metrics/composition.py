"""Does the model put factors together? Items that it composes are read by classifiers of real ones.

A *reader* is any function of items `[n, ...]` to codes `[n]`: `ImageClassifier.predict`, or one written for the data.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coset.data import FactorTable
from coset.data.rotated import rotate
from coset.errors import ConfigurationError, DataError, nearest

Reader = Callable[[Tensor], Tensor]
Upright = Callable[[Tensor, Any], Tensor]

BLOCK = 100
"""Pairs of sets that are composed at a time."""


@dataclass(frozen=True)
class CompositionResult:
    """Percentages by cell: rows are values of the second factor, columns of the first.

    Attributes:
        rows, columns: the values of the two factors.
        cells: share of samples read as their cell's first factor, mean over runs `[rows][columns]`.
        cell_sds: standard deviation over runs of each cell `[rows][columns]`; 0 for a single one.
        run_means: the mean over cells, for each run.
        temperature: of p(z | c).
        diversity: variance of a pixel within a cell, averaged over pixels and cells.
        real_diversity: the same for held-out items of the cell, treated alike.
        ceiling: share of held-out items of each cell that are read right in the same protocol `[rows][columns]`.
    """

    rows: list[Any]
    columns: list[Any]
    cells: list[list[float]]
    cell_sds: list[list[float]]
    run_means: list[float]
    temperature: float
    diversity: float
    real_diversity: float
    ceiling: list[list[float]]

    @property
    def mean(self) -> float:
        """Mean over cells and runs."""
        return sum(self.run_means) / len(self.run_means)

    @property
    def sd(self) -> float:
        """Standard deviation of the mean over runs; 0 for a single one."""
        return float(torch.tensor(self.run_means).std()) if len(self.run_means) > 1 else 0.0

    @property
    def worst(self) -> float:
        """The worst cell, averaged over runs."""
        return min(min(row) for row in self.cells)

    @property
    def ceiling_mean(self) -> float:
        """What real items reach, mean over cells."""
        return sum(map(sum, self.ceiling)) / (len(self.rows) * len(self.columns))

    @property
    def ceiling_worst(self) -> float:
        """What real items reach, worst cell."""
        return min(min(row) for row in self.ceiling)

    def table(self) -> str:
        """The table as text."""
        lines = [" " * 8 + "".join(f"{value!s:>7}" for value in self.columns)]
        lines += [
            f"{row!s:>8}" + "".join(f"{cell:7.1f}" for cell in cells)
            for row, cells in zip(self.rows, self.cells, strict=True)
        ]
        lines.append(
            f"mean {self.mean:.1f} ± {self.sd:.1f} %, worst cell {self.worst:.1f} %, temperature {self.temperature:g};"
            f" real items {self.ceiling_mean:.1f} % / {self.ceiling_worst:.1f} %; pixel variance {self.diversity:.4f}, "
            f"of real items {self.real_diversity:.4f}"
        )
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; percentages with two decimals."""
        return {
            "mean": round(self.mean, 2),
            "sd": round(self.sd, 2),
            "worst": round(self.worst, 2),
            "run_means": [round(value, 2) for value in self.run_means],
            "temperature": self.temperature,
            "diversity": round(self.diversity, 5),
            "real_diversity": round(self.real_diversity, 5),
            "ceiling_mean": round(self.ceiling_mean, 2),
            "ceiling_worst": round(self.ceiling_worst, 2),
            "rows": self.rows,
            "columns": self.columns,
            "cells": [[round(cell, 2) for cell in row] for row in self.cells],
            "cell_sds": [[round(cell, 2) for cell in row] for row in self.cell_sds],
            "ceiling": [[round(cell, 2) for cell in row] for row in self.ceiling],
        }


def composition_accuracy(
    model: Any,
    table: FactorTable,
    reader: Reader,
    *,
    factors: tuple[str, str] = ("digit", "rotation"),
    upright: Upright | None = None,
    samples: int = 250,
    runs: int = 5,
    set_size: int = 10,
    temperature: float = 1.0,
    seed: int = 0,
) -> CompositionResult:
    """Table 1 of the 2018 paper: compose every value of one factor with every value of another.

    For each cell and run, sets of held-out items are drawn that are constant in the first factor (the second varying),
    and others that are constant in the second (the first varying); the model composes as many items from each pair as
    a set has, about `samples` in all. A second factor called `rotation` is undone before reading, as the paper does.

    Args:
        model: anything with `compose(n=…, temperature=…, **{factor: sets})`.
        table: held-out items with both factors.
        reader: reads the first factor, from upright items where the second is a rotation.
        factors: what is read, and what it is combined with.
        upright: function of items `[n, ...]` and a value of the second factor, which undoes it before reading; by
            default it turns a `rotation` back, and leaves any other factor.
        samples: items scored in each cell and run.
        runs: repetitions with sets drawn afresh.
        set_size: items in a conditioning set, and composed from each pair.
        temperature: of p(z | c).
        seed: of sets and samples.

    Raises:
        DataError: a factor that the table lacks, or a cell without held-out items.
        ConfigurationError: fewer samples than a set has items, or an empty set.

    >>> class Copier:  # gives back the set that shows the digit, whatever the angle should be
    ...     def compose(self, *, digit, rotation, n, temperature):
    ...         return digit[:, :n]
    >>> x = torch.zeros(8, 2, 2)
    >>> x[:4, 0], x[4:, 1] = 1.0, 1.0
    >>> table = FactorTable(x, digit=[0] * 4 + [1] * 4, rotation=[0, 180] * 4)
    >>> result = composition_accuracy(Copier(), table, lambda x: (x[:, 1, 0] > 0.5).long(), runs=2, set_size=2)
    >>> result.cells  # angles by digits
    [[100.0, 100.0], [0.0, 0.0]]
    """
    first, second = factors
    for factor in factors:
        _check_discrete("composition_accuracy", table, factor)
    if not 1 <= set_size <= samples or runs < 1:
        raise ConfigurationError(
            "composition_accuracy: expected runs and set_size from 1 up, and samples from set_size up, got "
            f"runs={runs}, set_size={set_size}, samples={samples}"
        )
    turn_back = upright or (turn_upright if second == "rotation" else leave)
    columns, rows = table.values[first], table.values[second]
    pairs = samples // set_size
    by_column = [_rows(table, first, code) for code in range(len(columns))]
    by_row = [_rows(table, second, code) for code in range(len(rows))]
    cells = {
        (row, column): _cell(table, factors, row, column) for row in range(len(rows)) for column in range(len(columns))
    }
    scores = torch.zeros(runs, len(rows), len(columns), dtype=torch.float64)
    ceiling = torch.zeros(len(rows), len(columns), dtype=torch.float64)
    spread, real_spread = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for column, owners in enumerate(by_column):
            for row, others in enumerate(by_row):
                real = turn_back(table.x(_draw(cells[row, column], samples)).cpu(), rows[row])
                ceiling[row, column] = (reader(real) == column).double().mean() * 100
                real_spread.append(real.var(0).mean())
                given = {
                    first: table.x(_draw(owners, runs * pairs * set_size)),
                    second: table.x(_draw(others, runs * pairs * set_size)),
                }
                made = turn_back(_compose(model, given, set_size, temperature), rows[row])
                scores[:, row, column] = (reader(made) == column).double().view(runs, -1).mean(1) * 100
                spread.append(made.var(0).mean())
    return CompositionResult(
        rows=list(rows),
        columns=list(columns),
        cells=scores.mean(0).tolist(),
        cell_sds=(scores.std(0) if runs > 1 else torch.zeros_like(ceiling)).tolist(),
        run_means=scores.mean((1, 2)).tolist(),
        temperature=temperature,
        diversity=float(torch.stack(spread).mean()),
        real_diversity=float(torch.stack(real_spread).mean()),
        ceiling=ceiling.tolist(),
    )


def turn_upright(x: Tensor, degrees: float) -> Tensor:
    """Turn images back by the angle that they show."""
    return rotate(x, -float(degrees))


def leave(x: Tensor, value: Any) -> Tensor:
    """Give items back as they are."""
    return x


def agreement_of(sets: Tensor, readers: Mapping[str, Reader]) -> dict[str, float]:
    """Percentage of a set's items that share its most frequent reading, averaged over sets `[B, N, ...]`.

    >>> sets = torch.tensor([[0.0, 0.0, 1.0, 2.0], [3.0, 3.0, 3.0, 3.0]])
    >>> agreement_of(sets, {"digit": lambda x: x.long()})
    {'digit': 75.0}
    """
    found = {}
    for factor, reader in readers.items():
        codes = reader(sets.flatten(0, 1)).view(sets.shape[:2])  # [B, N]
        most = (codes.unsqueeze(1) == codes.unsqueeze(2)).sum(2).max(1).values  # [B]
        found[factor] = 100 * float(most.float().mean()) / sets.shape[1]
    return found


def agreement(
    model: Any,
    readers: Mapping[str, Reader],
    constant: Sequence[str],
    *,
    sets: int = 500,
    n: int = 10,
    temperature: float = 1.0,
    seed: int = 0,
) -> dict[str, float]:
    """How far the items of a set sampled from the model agree in each factor, given which contexts are constant.

    Thesis figure 6.6 in figures: with both constant it should be near 100, with neither near that of random real sets,
    which `agreement_of` gives.

    Args:
        model: anything with `sample(n=…, sets=…, constant=[…], temperature=…)`.
        readers: factor → reader of items as they are made: at any angle, on any background.
        constant: which contexts the sets hold constant; none, one or all.
        sets: how many are sampled.
        n: items in each.
        temperature: of p(z | c).
        seed: of the samples.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = model.sample(n=n, sets=sets, constant=list(constant), temperature=temperature).cpu()
    return agreement_of(made, readers)


@dataclass(frozen=True)
class ConditionResult:
    """What items are, given sets that hold one factor constant.

    Attributes:
        right: percentage of items that have the value which their set holds constant.
        shares: factor → value → percentage of all items.
        entropy_bits: factor → entropy of `shares`, in bits.
    """

    right: float
    shares: dict[str, dict[str, float]]
    entropy_bits: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {"right": self.right, "shares": self.shares, "entropy_bits": self.entropy_bits}


def conditional_accuracy(
    model: Any,
    table: FactorTable,
    factor: str,
    readers: Mapping[str, Reader],
    *,
    samples: int = 10_000,
    set_size: int = 10,
    temperature: float = 1.0,
    seed: int = 0,
) -> ConditionResult:
    """Condition on held-out sets that hold one factor constant, and read every factor of what the model makes.

    Args:
        model: anything with `condition(sets, constant=[factor], n=…, temperature=…)`.
        table: held-out items.
        factor: what the sets hold constant; all else varies. Its values are taken in equal numbers.
        readers: factor → reader, for `factor` and any other whose spread is of interest.
        samples: items read in all.
        set_size: items in a conditioning set, and made from each.
        temperature: of p(z | c).
        seed: of sets and samples.

    Raises:
        DataError: a factor that the table lacks, or a value without held-out items.
        ConfigurationError: no reader for `factor`.
    """
    for name in (factor, *readers):
        _check_discrete("conditional_accuracy", table, name)
    if factor not in readers:
        raise ConfigurationError(f"conditional_accuracy: no reader for {factor!r}; {nearest(factor, readers)}")
    values = table.values[factor]
    sets = max(1, samples // (set_size * len(values)))
    made, wanted = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for code in range(len(values)):
            shown = table.x(_draw(_rows(table, factor, code), sets * set_size))
            shown = shown.view(sets, set_size, *shown.shape[1:])
            for part in shown.split(BLOCK):
                out = model.condition(part, constant=[factor], n=set_size, temperature=temperature)
                made.append(out.cpu().flatten(0, 1))
                wanted.append(torch.full((len(made[-1]),), code))
    items, codes = torch.cat(made), torch.cat(wanted)
    read = {name: reader(items) for name, reader in readers.items()}
    shares, entropy = {}, {}
    for name, found in read.items():
        share = torch.bincount(found, minlength=len(table.values[name])).double() / len(found)
        shares[name] = {str(value): 100 * float(part) for value, part in zip(table.values[name], share, strict=False)}
        entropy[name] = float(-(share * share.clamp_min(1e-12).log2()).sum())
    return ConditionResult(100 * float((read[factor] == codes).double().mean()), shares, entropy)


def _rows(table: FactorTable, factor: str, code: int) -> Tensor:
    rows = torch.nonzero(table.factors[factor] == code)[:, 0]
    if not len(rows):
        raise DataError(f"no held-out item with {factor}={table.values[factor][code]!r}")
    return rows


def _draw(rows: Tensor, count: int) -> Tensor:
    return rows[torch.randint(len(rows), (count,)).to(rows.device)]


def _cell(table: FactorTable, factors: tuple[str, str], row: int, column: int) -> Tensor:
    first, second = factors
    rows = torch.nonzero((table.factors[first] == column) & (table.factors[second] == row))[:, 0]
    if not len(rows):
        cell = f"{first}={table.values[first][column]!r}, {second}={table.values[second][row]!r}"
        raise DataError(f"no held-out item with {cell}")
    return rows


def _check_discrete(where: str, table: FactorTable, factor: str) -> None:
    if factor not in table.values:
        raise DataError(f"{where}: the table has no discrete factor {factor!r}; {nearest(factor, table.values)}")


def _compose(model: Any, given: Mapping[str, Tensor], set_size: int, temperature: float) -> Tensor:
    """Compose sets given as rows of items, a block at a time: `[pairs · set_size, ...]`."""
    sets = {name: x.view(-1, set_size, *x.shape[1:]) for name, x in given.items()}
    blocks = zip(*(part.split(BLOCK) for part in sets.values()), strict=True)
    made = [
        model.compose(n=set_size, temperature=temperature, **dict(zip(sets, block, strict=True))) for block in blocks
    ]
    return torch.cat([part.cpu().flatten(0, 1) for part in made])
