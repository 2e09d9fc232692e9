"""Does a model put factors together? Items that it composes are read by classifiers of real ones."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from coset.data import FactorTable
from coset.data.groups import Incomplete
from coset.data.rotation import rotate
from coset.errors import ConfigurationError, DataError
from coset.metrics.diversity import density_and_coverage
from coset.metrics.reading import BLOCK, Reader, check_discrete, draw_rows, read, rows_with

NEIGHBOURS = 5
"""Among the real items of a cell, for coverage and density; cells of fewer items are left out of these."""

Upright = Callable[[Tensor, Any], Tensor]


@dataclass(frozen=True)
class CompositionResult:
    """Percentages by cell: rows are values of the second factor, columns of the first; NaN for cells left out.

    Attributes:
        rows: the values of the second factor.
        columns: the values of the first.
        cells: share of samples read as their cell's first factor, mean over runs `[rows][columns]`.
        cell_sds: standard deviation over runs of each cell `[rows][columns]`; 0 for a single one.
        run_means: the mean over cells, for each run.
        temperature: of p(z | c).
        diversity: variance of a pixel within a cell, averaged over pixels and cells.
        real_diversity: the same for held-out items of the cell, treated alike.
        ceiling: share of held-out items of each cell that are read right in the same protocol `[rows][columns]`.
        coverage: share of a cell's real items that composed ones cover in a reader's features (see
            `density_and_coverage`), mean over cells; None where no features were given.
        density: how typical composed items are, likewise.
        real_coverage: what real items of the cell reach, one half beside the other.
        real_density: likewise.
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
    coverage: float | None = None
    density: float | None = None
    real_coverage: float | None = None
    real_density: float | None = None

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
        return min(_known(self.cells))

    @property
    def ceiling_mean(self) -> float:
        """What real items reach, mean over cells."""
        return sum(_known(self.ceiling)) / len(_known(self.ceiling))

    @property
    def ceiling_worst(self) -> float:
        """What real items reach, worst cell."""
        return min(_known(self.ceiling))

    def table(self) -> str:
        """The table as text."""
        first = max(8, *(len(str(row)) for row in self.rows))
        widths = [max(7, len(str(value)) + 2) for value in self.columns]
        lines = [" " * first + "".join(map(str.rjust, map(str, self.columns), widths))]
        for row, cells in zip(self.rows, self.cells, strict=True):
            said = ("·" if math.isnan(cell) else f"{cell:.1f}" for cell in cells)
            lines.append(f"{row!s:>{first}}" + "".join(map(str.rjust, said, widths)))
        lines.append(
            f"mean {self.mean:.1f} ± {self.sd:.1f} %, worst cell {self.worst:.1f} %, temperature {self.temperature:g};"
            f" real items {self.ceiling_mean:.1f} % / {self.ceiling_worst:.1f} %; pixel variance {self.diversity:.4f}, "
            f"of real items {self.real_diversity:.4f}"
        )
        if self.coverage is not None:
            lines.append(
                f"coverage {self.coverage:.2f}, of real items by others {self.real_coverage:.2f}; density "
                f"{self.density:.2f}, of real items {self.real_density:.2f}"
            )
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; percentages with two decimals."""
        nearness = {
            name: round(getattr(self, name), 4)
            for name in ("coverage", "density", "real_coverage", "real_density")
            if getattr(self, name) is not None
        }
        return nearness | {
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
            **{name: _rounded(getattr(self, name)) for name in ("cells", "cell_sds", "ceiling")},
        }


def composition_accuracy(
    model: Any,
    table: FactorTable,
    reader: Reader,
    *,
    factors: tuple[str, str] = ("digit", "rotation"),
    upright: Upright | None = None,
    seen: FactorTable | None = None,
    features: Callable[[Tensor], Tensor] | None = None,
    samples: int = 250,
    runs: int = 5,
    set_size: int = 10,
    temperature: float = 1.0,
    seed: int = 0,
    incomplete: Incomplete = "error",
) -> CompositionResult:
    """Table 1 of the 2018 paper: compose every value of one factor with every value of another.

    For each cell and run, sets of held-out items are drawn that are constant in the first factor, and others that are
    constant in the second; the model composes as many items from each pair as a set has, about `samples` in all.

    Args:
        model: anything with `compose(n=…, temperature=…, **{factor: sets})`.
        table: held-out items with both factors.
        reader: reads the first factor, from upright items where the second is a rotation.
        factors: what is read, and what it is combined with.
        upright: undoes the second factor: items `[n, ...]` and its value → items; by default turns a `rotation` back.
        seen: items that conditioning sets are drawn from, if not all of the table's may be shown.
        features: upright items → vectors `[n, F]`, such as `ImageClassifier.features`, for coverage and density.
        samples: items scored in each cell and run.
        runs: repetitions with sets drawn afresh.
        set_size: items in a conditioning set, and composed from each pair.
        temperature: of p(z | c).
        seed: of sets and samples.
        incomplete: whether a cell without held-out items is an "error", or left out by "skip".

    Raises:
        DataError: A factor that the table lacks, or a cell without items.
        ConfigurationError: Fewer samples than a set has items, or an empty set.

    >>> class Copier:  # gives back the set that shows the digit, whatever the angle should be
    ...     def compose(self, *, digit, rotation, n, temperature):
    ...         return digit[:, :n]
    >>> x = torch.zeros(8, 2, 2)
    >>> x[:4, 0], x[4:, 1] = 1.0, 1.0
    >>> table = FactorTable(x, digit=[0] * 4 + [1] * 4, rotation=[0, 180] * 4)
    >>> composition_accuracy(Copier(), table, lambda x: (x[:, 1, 0] > 0.5).long(), runs=2, set_size=2).cells
    [[100.0, 100.0], [0.0, 0.0]]
    """
    for factor in factors:
        check_discrete("composition_accuracy", table, factor)
    _check_counts(samples, runs, set_size)
    shown = table if seen is None else seen.recode(**{name: table.values[name] for name in factors})
    turn_back = upright or (turn_upright if factors[1] == "rotation" else leave)
    compose = partial(_compose, model, set_size=set_size, temperature=temperature)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cells, counts = _cells(table, factors, incomplete), (samples, runs, set_size)
        return _score(compose, table, cells, shown, factors, reader, turn_back, features, counts, temperature)


def _check_counts(samples: int, runs: int, set_size: int) -> None:
    if not 1 <= set_size <= samples or runs < 1:
        raise ConfigurationError(
            "composition_accuracy: expected runs and set_size from 1 up, and samples from set_size up, got "
            f"runs={runs}, set_size={set_size}, samples={samples}"
        )


def _score(
    compose: Callable[[Mapping[str, Tensor]], Tensor],
    table: FactorTable,
    cells: list[list[Tensor]],
    shown: FactorTable,
    factors: tuple[str, str],
    reader: Reader,
    turn_back: Upright,
    features: Callable[[Tensor], Tensor] | None,
    counts: tuple[int, int, int],
    temperature: float,
) -> CompositionResult:
    """Read compositions of every value of one factor with every value of the other, and real items of each cell."""
    (first, second), (samples, runs, set_size) = factors, counts
    columns, rows = table.values[first], table.values[second]
    drawn = runs * (samples // set_size) * set_size
    by_column = [rows_with(shown, first, code) for code in range(len(columns))]
    by_row = [rows_with(shown, second, code) for code in range(len(rows))]
    scores = torch.full((runs, len(rows), len(columns)), torch.nan, dtype=torch.float64)
    ceiling = torch.full((len(rows), len(columns)), torch.nan, dtype=torch.float64)
    spread, real_spread, near, real_near = [], [], [], []
    generator = torch.Generator().manual_seed(0)  # of its own: what is composed does not depend on what is measured
    for column, owners in enumerate(by_column):
        for row, others in enumerate(by_row):
            if not len(cells[row][column]):
                continue
            real = turn_back(table.x(draw_rows(cells[row][column], samples)).cpu(), rows[row])
            ceiling[row, column] = (read(reader, real, table, first) == column).double().mean() * 100
            real_spread.append(real.var(0).mean())
            given = {first: shown.x(draw_rows(owners, drawn)), second: shown.x(draw_rows(others, drawn))}
            made = turn_back(compose(given), rows[row])
            scores[:, row, column] = (read(reader, made, table, first) == column).double().view(runs, -1).mean(1) * 100
            spread.append(made.var(0).mean())
            if features is not None:
                real, other = _halves(cells[row][column], samples, generator)
                real, other = (turn_back(table.x(part.to(table.device)).cpu(), rows[row]) for part in (real, other))
                some = made[torch.randperm(len(made), generator=generator)[: len(other)]]
                if len(real) > NEIGHBOURS:
                    near.append(density_and_coverage(features(real), features(some), NEIGHBOURS))
                    real_near.append(density_and_coverage(features(real), features(other), NEIGHBOURS))
    return CompositionResult(
        rows=list(rows),
        columns=list(columns),
        cells=scores.mean(0).tolist(),
        cell_sds=(scores.std(0) if runs > 1 else 0 * ceiling).tolist(),
        run_means=scores.nanmean((1, 2)).tolist(),
        temperature=temperature,
        diversity=float(torch.stack(spread).mean()),
        real_diversity=float(torch.stack(real_spread).mean()),
        ceiling=ceiling.tolist(),
        **_means(near),
        **{f"real_{name}": value for name, value in _means(real_near).items()},
    )


def _known(cells: list[list[float]]) -> list[float]:
    return [cell for row in cells for cell in row if not math.isnan(cell)]


def _rounded(cells: list[list[float]]) -> list[list[float | None]]:
    return [[None if math.isnan(cell) else round(cell, 2) for cell in row] for row in cells]


def _halves(rows: Tensor, most: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two halves of some rows, equal in number, at most so many each."""
    order = rows.cpu()[torch.randperm(len(rows), generator=generator)]
    size = min(most, len(rows) // 2)
    return order[:size], order[size : 2 * size]


def _means(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(one[name] for one in found) / len(found) for name in (found[0] if found else ())}


def turn_upright(x: Tensor, degrees: float) -> Tensor:
    """Turn images back by the angle that they show."""
    return rotate(x, -float(degrees))


def leave(x: Tensor, value: Any) -> Tensor:
    """Give items back as they are."""
    return x


def _cells(table: FactorTable, factors: tuple[str, str], incomplete: Incomplete) -> list[list[Tensor]]:
    """Rows of the items of each cell `[rows][columns]`; none where that is to be passed over."""
    first, second = (table.factors[name] for name in factors)
    columns, rows = (table.values[name] for name in factors)
    cells = [
        [torch.nonzero((first == column) & (second == row))[:, 0] for column in range(len(columns))]
        for row in range(len(rows))
    ]
    for row, column in product(range(len(rows)), range(len(columns))):
        if not len(cells[row][column]) and incomplete == "error":
            cell = f"{factors[0]}={columns[column]!r}, {factors[1]}={rows[row]!r}"
            raise DataError(f"no held-out item with {cell}; leave such cells out with incomplete='skip'")
    return cells


def _compose(model: Any, given: Mapping[str, Tensor], set_size: int, temperature: float) -> Tensor:
    """Compose sets given as rows of items, a block at a time: `[pairs · set_size, ...]`."""
    sets = {name: x.view(-1, set_size, *x.shape[1:]) for name, x in given.items()}
    blocks = zip(*(part.split(BLOCK) for part in sets.values()), strict=True)
    made = [
        model.compose(n=set_size, temperature=temperature, **dict(zip(sets, block, strict=True))) for block in blocks
    ]
    return torch.cat([part.cpu().flatten(0, 1) for part in made])
