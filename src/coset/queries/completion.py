"""What would be in the empty cells of a table: a mean, a spread, and how much there is to go by."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from coset.arguments import check_memory
from coset.cells import Cells, cell_moments, find_cells, name_cells
from coset.distributions.interaction import InteractionProcess
from coset.errors import ConfigurationError, DataError, nearest

Way = Literal["composition", "interaction"]
"""How an empty cell is completed: with what a model composes of sets of its levels, or by main effects plus
interaction over the means of seen cells."""

FOLDS = 5
"""Parts of the seen cells, each left out once, by which the scale of the effects and their shrinkage are chosen."""

FEW = 500
"""Seen cells up to which every part is left out once; of more, the first alone."""

THIN = 3
"""Seen cells of a level below which little can be said of it."""

NINETY = 1.6449
"""Standard deviations to either side that hold 90 % of a normal distribution."""


@dataclass(frozen=True)
class Completion:
    """Empty cells of a table, completed.

    Attributes:
        factors: names of the factors.
        cells: a mapping of factor → level for each.
        mean: of the items that would be there, `[cells, *item_shape]`.
        spread: standard deviation of what is not known of them, likewise.
        support: how many seen cells share each of their levels, `[cells, K]`.
        warnings: what to beware of in each cell, in words; empty where nothing stands out.
        action: how the factors act, in words.
    """

    factors: list[str]
    cells: list[dict[str, Any]]
    mean: Tensor
    spread: Tensor
    support: Tensor
    warnings: list[str]
    action: str

    def table(self) -> str:
        """A line a cell: its levels, the range of its mean, the typical spread, the support, and warnings."""
        lines = [f"{len(self.cells)} empty cells of {' × '.join(self.factors)}: {self.action}"]
        flat, spread = self.mean.flatten(1), self.spread.flatten(1).square().mean(1).sqrt()
        for index, cell in enumerate(self.cells):
            named = ", ".join(f"{name}={level!r}" for name, level in cell.items())
            low, high = float(flat[index].min()), float(flat[index].max())
            line = f"  {named}: mean {low:.4g} to {high:.4g}, spread {float(spread[index]):.3g}"
            seen = " and ".join(str(int(count)) for count in self.support[index])
            lines.append(f"{line}, {seen} seen cells{'; ' * bool(self.warnings[index])}{self.warnings[index]}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Prediction:
    """Means of wanted cells `[m, D]`, the standard deviation of what is not known of them, and how factors act."""

    mean: Tensor
    spread: Tensor
    action: str


def complete_cells(
    model: Any, table: Any, cells: Sequence[Mapping[str, Any]] | None, samples: int, set_size: int, seed: int
) -> Completion:
    """Complete the empty cells of a table, see `SetQueries.complete`."""
    factors = list(model.contexts)
    if len(factors) < 2:
        raise ConfigurationError(f"complete: takes a model of two contexts or more, this one has {factors}")
    known = find_cells(table, factors)
    wanted = _empty(known) if cells is None else _read_cells(cells, table, factors, known)
    if not len(wanted):
        raise DataError(f"complete: the table has no empty cell of {' × '.join(factors)}")
    check_memory(f"{len(wanted)} empty cells", len(wanted) * math.prod(table.item_shape))
    asked = Cells(wanted, known.sizes, torch.empty(0, dtype=torch.long))
    if model.completion == "composition":
        made = compose_cells(model, table, known, asked, factors, samples, set_size, 1.0, seed)
        found = Prediction(made.mean(1), made.std(1), "composed of sets of their levels")
    else:
        found = _by_interaction(model, table, known, wanted, seed)
    support = torch.stack(
        [(known.levels[None, :, column] == wanted[:, None, column]).sum(1) for column in range(len(factors))], 1
    )
    named = name_cells(wanted, table, factors)
    shape = (-1, *table.item_shape)
    return Completion(
        factors, named, found.mean.view(shape), found.spread.view(shape), support, _warn(named, support), found.action
    )


def compose_cells(
    model: Any,
    seen: Any,
    known: Cells,
    asked: Cells,
    factors: Sequence[str],
    samples: int,
    set_size: int,
    temperature: float,
    seed: int,
) -> Tensor:
    """What a model makes of sets of the levels of wanted cells, drawn from seen ones: `[cells, samples, D]`.

    The samples of a cell come from as many conditioning sets as there are samples in a set, so that what is found does
    not hang on one of them.
    """
    draws = max(1, samples // set_size)
    each = math.ceil(samples / draws)
    made = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for cell in asked.levels:
            given = {}
            for column, name in enumerate(factors):
                rows = torch.isin(known.row_cell, (known.levels[:, column] == cell[column]).nonzero()[:, 0])
                rows = rows.nonzero()[:, 0]
                picked = rows[torch.randint(len(rows), (draws, set_size))]
                given[name] = seen.x(picked.to(seen.device))
            out = model.compose(given, n=each, temperature=temperature).cpu()  # [draws, each, ...]
            made.append(out.flatten(0, 1)[:samples].flatten(1).double())
    return torch.stack(made)


def predict_by_interaction(
    levels: Tensor, means: Tensor, counts: Tensor, wanted: Tensor, sizes: Sequence[int], seed: int = 0
) -> Prediction:
    """Main effects plus interaction, on the scale and with the shrinkage that cells left out inside ask for.

    The effects add up on the scale of the means, or in the logarithm where these are not negative, whichever predicts
    left-out cells better. What is predicted is shrunk towards the mean of all cells by the slope of left-out cells on
    their predictions, so that where levels tell nothing the mean is said; and the spread is widened, or narrowed, until
    nine of ten left-out numbers lie within 1.64 of it.

    Args:
        levels: of the seen cells, `[cells, K]`.
        means: of the items in them, `[cells, D]`.
        counts: how many these are, `[cells]`.
        wanted: levels of the cells to predict, `[m, K]`.
        sizes: how many levels each factor has.
        seed: of the parts that are left out.
    """
    shift = means.mean().clamp_min(1e-12) / 100
    scales: dict[str, _Same] = {"adding up": _Same()}
    if bool((means >= 0).all()):
        scales["adding up in the logarithm"] = _Logarithm(shift)
    part = torch.randperm(len(levels), generator=torch.Generator().manual_seed(seed)) % FOLDS
    folds = [part == fold for fold in range(FOLDS if len(levels) <= FEW else 1)]
    left = torch.stack(folds).any(0)
    inside = {}
    for name, scale in scales.items():
        mean, spread = torch.zeros_like(means), torch.ones_like(means)
        for out in folds:
            mean[out], spread[out], _ = _predict(
                levels[~out], means[~out], counts[~out], levels[out], sizes, scale, seed
            )
        inside[name] = (mean[left], spread[left])
    errors = {name: float((mean - means[left]).square().mean()) for name, (mean, _) in inside.items()}
    name = min(errors, key=errors.__getitem__)
    centre, (mean, spread) = means.mean(0), inside[name]
    slope = _slope(mean - centre, means[left] - centre)
    missed = (centre + slope * (mean - centre) - means[left]).abs() / spread
    widening = float(missed.flatten().kthvalue(max(1, round(0.9 * missed.numel()))).values) / NINETY
    mean, spread, shares = _predict(levels, means, counts, wanted, sizes, scales[name], seed)
    effects = f"main effects {shares['main']:.0%}, interaction {shares['interaction']:.0%} of the variance, {name}"
    if slope < 0.999:
        effects += f"; shrunk to {slope:.2f} of what they say"
    return Prediction(centre + slope * (mean - centre), spread * widening, effects)


def _by_interaction(model: Any, table: Any, known: Cells, wanted: Tensor, seed: int) -> Prediction:
    means, _, counts = cell_moments(table, known)
    unit = model.likelihood.scale.detach().cpu().double()
    unit = (unit if unit.ndim == 0 else unit.flatten()).expand(means.shape[1])
    found = predict_by_interaction(known.levels, means / unit, counts, wanted, known.sizes, seed)
    mean = found.mean * unit
    if model.likelihood.kind == "bernoulli":
        mean = mean.clamp(0, 1)
    return Prediction(mean, found.spread * unit, found.action)


def _predict(
    levels: Tensor, means: Tensor, counts: Tensor, wanted: Tensor, sizes: Sequence[int], scale: Any, seed: int
) -> tuple[Tensor, Tensor, dict[str, float]]:
    process = InteractionProcess(levels, scale(means), counts, sizes, seed)
    mean, variance = process.predict(wanted)
    mean, slope = scale.back(mean)
    return mean, variance.sqrt() * slope, process.shares


def _slope(predicted: Tensor, true: Tensor) -> float:
    """How much of a predicted deviation is there: the slope through 0, from 0 to 1."""
    square = float(predicted.square().sum())
    return min(1.0, max(0.0, float((predicted * true).sum()) / square)) if square > 0 else 1.0


def _empty(known: Cells) -> Tensor:
    """Levels of the cells that hold no item, `[m, K]`."""
    used = [known.levels[:, column].unique() for column in range(len(known.sizes))]
    check_memory("the cells of this table", math.prod(len(levels) for levels in used) * len(used))
    every = torch.cartesian_prod(*used)
    size = torch.tensor(known.sizes)
    place = torch.cat([size.flip(0).cumprod(0).flip(0)[1:], torch.ones(1, dtype=torch.long)])
    return every[~torch.isin((every * place).sum(1), (known.levels * place).sum(1))]


def _read_cells(cells: Sequence[Mapping[str, Any]], table: Any, factors: Sequence[str], known: Cells) -> Tensor:
    """Codes of the cells that are asked for, `[m, K]`."""
    taken = {tuple(cell) for cell in known.levels.tolist()}
    codes = []
    for cell in cells:
        if not isinstance(cell, Mapping) or set(cell) != set(factors):
            raise DataError(f"complete: expected a cell as a mapping with a level of each of {factors}, got {cell!r}")
        row = []
        for name in factors:
            values = list(table.values[name])
            if cell[name] not in values:
                raise DataError(
                    f"complete: {name} has no level {cell[name]!r} in the table; {nearest(cell[name], values)}"
                )
            row.append(values.index(cell[name]))
        if tuple(row) in taken:
            raise DataError(f"complete: the cell {dict(cell)} is not empty; leave it out, or take its items out")
        codes.append(row)
    wanted = torch.tensor(codes, dtype=torch.long).view(-1, len(factors))
    for column, name in enumerate(factors):
        if unseen := set(wanted[:, column].tolist()) - set(known.levels[:, column].tolist()):
            raise DataError(
                f"complete: {name}={table.values[name][min(unseen)]!r} is in no seen cell: nothing is known"
            )
    return wanted


def _warn(cells: Sequence[Mapping[str, Any]], support: Tensor) -> list[str]:
    return [
        ", ".join(
            f"{name}={level!r} is seen in {int(seen)} cell{'s' * (int(seen) > 1)} only"
            for (name, level), seen in zip(cell.items(), counts, strict=True)
            if seen < THIN
        )
        for cell, counts in zip(cells, support, strict=True)
    ]


class _Same:
    """Effects that add up as they are."""

    def __call__(self, means: Tensor) -> Tensor:
        return means

    def back(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """A mean on the scale of the data, and how it changes with the mean on this scale."""
        return mean, torch.ones_like(mean)


@dataclass(frozen=True)
class _Logarithm(_Same):
    """Effects that multiply, once `shift` has been added to everything."""

    shift: Tensor

    def __call__(self, means: Tensor) -> Tensor:
        return (means + self.shift).log()

    def back(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        raised = mean.clamp_max(math.log(1e300)).exp()
        return raised - self.shift, raised
