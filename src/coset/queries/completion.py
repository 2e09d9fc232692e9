"""What would be in the empty cells of a table: a mean, a spread, and how much there is to go by."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from coset.arguments import check_memory
from coset.cells import Cells, cell_moments, find_cells, name_cells
from coset.errors import ConfigurationError, DataError, nearest
from coset.queries.interaction import Prediction, predict_by_interaction
from coset.writing import whole

Way = Literal["composition", "interaction"]
"""How an empty cell is completed: with what a model composes of sets of its levels, or by main effects plus
interaction over the means of seen cells."""

THIN = 3
"""Seen cells of a level below which little can be said of it."""


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
        feature_names: of the numbers of an item, where the table has such.
    """

    factors: list[str]
    cells: list[dict[str, Any]]
    mean: Tensor
    spread: Tensor
    support: Tensor
    warnings: list[str]
    action: str
    feature_names: Sequence[str] = ()

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

    def as_dict(self) -> dict[str, Any]:
        """Cells with their support and warnings, ready for JSON; means and spreads as numbers of each item."""
        return {
            "action": self.action,
            "cells": [
                {
                    "levels": cell,
                    "mean": mean.flatten().tolist(),
                    "spread": spread.flatten().tolist(),
                    "support": support.tolist(),
                    "warning": warning,
                }
                for cell, mean, spread, support, warning in zip(
                    self.cells, self.mean, self.spread, self.support, self.warnings, strict=True
                )
            ],
        }

    def save(self, path: Path) -> None:
        """Write a line for each cell (`.csv`), or arrays (`.npz`), whole or not at all.

        A line has the levels, what shares them, the warning, and mean and spread of every number of the item, by its
        name if it has one; the arrays are called mean, spread and support, and after the factors, which hold levels.

        Raises:
            ConfigurationError: The name ends otherwise.
        """
        if path.suffix not in (".csv", ".npz"):
            raise ConfigurationError(f"{path}: expected a name ending in .csv or .npz")
        levels = {name: [cell[name] for cell in self.cells] for name in self.factors}
        with whole(path) as partial:
            if path.suffix == ".npz":
                arrays = {"mean": self.mean, "spread": self.spread, "support": self.support}
                numbers: dict[str, Any] = {name: part.numpy() for name, part in arrays.items()}
                with partial.open("wb") as file:
                    np.savez(file, **levels, **numbers)
                return
            numbered = self.feature_names or range(self.mean[0].numel())
            with partial.open("w", newline="", encoding="utf-8") as file:
                lines = csv.writer(file)
                names = [f"{word}_{index}" for word in ("mean", "spread") for index in numbered]
                lines.writerow([*self.factors, *(f"seen_{name}" for name in self.factors), "warning", *names])
                for index, cell in enumerate(self.cells):
                    both = torch.cat([self.mean[index].flatten(), self.spread[index].flatten()])
                    lines.writerow(
                        [*cell.values(), *self.support[index].tolist(), self.warnings[index], *both.tolist()]
                    )


def complete_cells(
    model: Any, table: Any, cells: Sequence[Mapping[str, Any]] | None, samples: int, set_size: int, seed: int
) -> Completion:
    """Complete the empty cells of a table, see `SetQueries.complete`.

    Raises:
        ConfigurationError: The model has a single context.
        DataError: There is no empty cell.
    """
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
    mean, spread = found.mean.view(shape), found.spread.view(shape)
    warnings, names = _warn(named, support), getattr(table, "feature_names", ())
    return Completion(factors, named, mean, spread, support, warnings, found.action, names)


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


def _by_interaction(model: Any, table: Any, known: Cells, wanted: Tensor, seed: int) -> Prediction:
    means, _, counts = cell_moments(table, known)
    unit = model.likelihood.scale.detach().cpu().double()
    unit = (unit if unit.ndim == 0 else unit.flatten()).expand(means.shape[1])
    found = predict_by_interaction(known.levels, means / unit, counts, wanted, known.sizes, seed)
    mean = found.mean * unit
    mean = mean.clamp(model.likelihood.low, model.likelihood.high)
    return Prediction(mean, found.spread * unit, found.action)


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
