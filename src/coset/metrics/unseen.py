"""How well are combinations predicted that nobody observed? Beside every simple rule that could do it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coset.arguments import checked
from coset.cells import Cells, cell_moments, find_cells, find_held_out, name_cells
from coset.data import FactorTable
from coset.errors import ConfigurationError, DataError
from coset.metrics.reading import Reader, read
from coset.metrics.simple_rules import predict_by_rules
from coset.queries.completion import compose_cells

RESAMPLES = 1000
"""Bootstrap samples of cells."""


@dataclass(frozen=True)
class UnseenResult:
    """Scores of predictions of held-out cells.

    Attributes:
        factors: names of the factors.
        cells: the held-out cells, a mapping of factor → level each.
        scores: rule → score → number, or the ends of its interval; `ours` is the model. `r2` of the means against the
            mean of all seen items, `psnr` in decibels, `r2_deviation` of what differs from the additive prediction,
            and for rules that draw items `r2_variance`, `energy` (the energy distance to the true items, mean of the
            cells) and `accuracy` (percent of what is drawn that a reader reads right), with `worst_accuracy`.
            `NAME_interval` has the ends of a 95 % bootstrap interval over cells.
        errors: rule → mean squared error of each cell.
        means: rule → predicted means `[cells, *item_shape]`; `truth` has the true ones.
    """

    factors: list[str]
    cells: list[dict[str, Any]]
    scores: dict[str, dict[str, Any]]
    errors: dict[str, list[float]]
    means: dict[str, Tensor]

    def table(self) -> str:
        """The scores, a line a rule, the best first."""
        columns = ["r2", "psnr", "r2_deviation", "r2_variance", "energy", "accuracy", "worst_accuracy"]
        used = [name for name in columns if any(name in scores for scores in self.scores.values())]
        lines = [f"{len(self.cells)} unseen combinations of {' × '.join(self.factors)}"]
        lines.append(f"{'rule':<24}" + "".join(f"{name:>16}" for name in used) + "   95 % of r2")
        for rule, scores in sorted(self.scores.items(), key=lambda pair: -pair[1]["r2"]):
            numbers = "".join(f"{scores[name]:>16.3f}" if name in scores else f"{'':>16}" for name in used)
            low, high = scores["r2_interval"]
            lines.append(f"{rule:<24}{numbers}   {low:.3f} to {high:.3f}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Scores and cells, ready for JSON."""
        return {"factors": self.factors, "cells": self.cells, "scores": self.scores, "errors": self.errors}


@checked
def unseen_combinations(
    model: Any,
    seen: FactorTable,
    held_out: FactorTable,
    factors: Sequence[str],
    *,
    readers: Mapping[str, Reader] | None = None,
    samples: int = 64,
    set_size: int = 16,
    temperature: float = 1.0,
    seed: int = 0,
) -> UnseenResult:
    """Score a model's predictions of held-out cells beside those of simple rules, all from the same seen cells.

    For a cell the model composes sets of its levels, of items of seen cells. Where it completes tables in another way
    (see `SetQueries.complete`), what is composed is moved to the mean that it completes the cell with.

    Args:
        model: what has `compose({factor: sets}, n=…, temperature=…)`; or means `[cells, *item_shape]`, in the order of
            `find_cells(held_out, factors)`; or None, for the rules alone.
        seen: the training table.
        held_out: the table of the cells that were taken out of it.
        factors: whose combinations.
        readers: factor → reader, for factors that can be read in an item.
        samples: items composed for each cell.
        set_size: items in each conditioning set.
        temperature: of p(z | c).
        seed: of sets, draws and intervals.

    Raises:
        DataError: The tables do not fit each other, share a cell, or a level of a held-out cell is in no seen cell.
        ConfigurationError: A reader of another factor, or fewer than two samples.
    """
    _check_options(factors, readers or {}, samples, set_size)
    held_out, asked = find_held_out(seen, held_out, factors)
    known = find_cells(seen, factors)
    _check(seen, held_out, known, asked, factors)
    means, _, counts = cell_moments(seen, known)
    truth, variance, _ = cell_moments(held_out, asked)
    predicted = predict_by_rules(known.levels, means, asked.levels, factors, seed)
    made: Tensor | None = None
    if isinstance(model, Tensor | np.ndarray):
        predicted = {"ours": _read_means(model, truth)} | predicted
    elif model is not None:
        made = compose_cells(model, seen, known, asked, factors, samples, set_size, temperature, seed)
        made = _moved(made, model, seen, name_cells(asked.levels, held_out, factors), seed)
        predicted = {"ours": made.mean(1)} | predicted
    apart = {"centre": (means * counts[:, None]).sum(0) / counts.sum(), **predicted}
    errors = {rule: (mean - truth).square().mean(1) for rule, mean in apart.items()}  # [cells]
    scores = {rule: _mean_scores(errors, rule, _peak(seen), seed) for rule in predicted}
    if made is not None:
        scores["ours"] |= _drawn_scores(made, held_out, asked, variance, factors, readers or {})
    shape = (-1, *held_out.item_shape)
    return UnseenResult(
        factors=list(factors),
        cells=name_cells(asked.levels, held_out, factors),
        scores=scores,
        errors={rule: errors[rule].tolist() for rule in predicted},
        means={rule: mean.view(shape) for rule, mean in {"truth": truth, **predicted}.items()},
    )


def _moved(made: Tensor, model: Any, seen: FactorTable, cells: list[dict[str, Any]], seed: int) -> Tensor:
    """Composed items `[cells, samples, D]`, with the means that the model completes the cells with."""
    if getattr(model, "completion", "composition") == "composition":
        return made
    completed = model.complete(seen, cells, seed=seed).mean.flatten(1)
    return made + (completed - made.mean(1)).unsqueeze(1)


def _check_options(factors: Sequence[str], readers: Mapping[str, Reader], samples: int, set_size: int) -> None:
    if wrong := [name for name in readers if name not in factors]:
        raise ConfigurationError(f"unseen_combinations: a reader of {wrong[0]!r}, which is none of {list(factors)}")
    if samples < 2 or set_size < 1:
        raise ConfigurationError(f"unseen_combinations: needs 2 samples and 1 item a set, got {samples} and {set_size}")


def _check(seen: FactorTable, held_out: FactorTable, known: Cells, asked: Cells, factors: Sequence[str]) -> None:
    if tuple(seen.item_shape) != tuple(held_out.item_shape):
        raise DataError(
            f"unseen_combinations: seen items are {list(seen.item_shape)}, held-out ones {list(held_out.item_shape)}"
        )
    cells = {tuple(cell) for cell in known.levels.tolist()}
    if both := [cell for cell in asked.levels.tolist() if tuple(cell) in cells]:
        named = ", ".join(f"{name}={seen.values[name][code]!r}" for name, code in zip(factors, both[0], strict=True))
        raise DataError(
            f"unseen_combinations: {named} is in both tables, and {len(both) - 1} more cells are; take whole cells out "
            "(hold_out_combinations), or nothing is unseen"
        )


def _read_means(given: Any, truth: Tensor) -> Tensor:
    means = torch.as_tensor(given).double().flatten(1)
    if means.shape != truth.shape:
        raise DataError(f"unseen_combinations: expected means of {len(truth)} cells, got {list(np.shape(given))}")
    return means


def _peak(table: FactorTable) -> float:
    """The range of the data, which PSNR is measured against: 1 for intensities."""
    low, high = table.range()
    return 1.0 if low >= 0 and high <= 1 else high - low


def _mean_scores(errors: Mapping[str, Tensor], rule: str, peak: float, seed: int) -> dict[str, Any]:
    """R², PSNR and R² of the deviation from additive, with bootstrap intervals, from mean squares of each cell."""

    def scores(rows: Any) -> dict[str, float]:
        wrong, centre, additive = (float(errors[name][rows].mean()) for name in (rule, "centre", "additive"))
        return {
            "r2": 1 - wrong / max(centre, 1e-300),
            "psnr": 10 * math.log10(peak**2 / max(wrong, 1e-300)),
            "r2_deviation": 1 - wrong / max(additive, 1e-300),
        }

    count = len(errors[rule])
    found: dict[str, Any] = scores(slice(None))
    generator = torch.Generator().manual_seed(seed)
    again = [scores(torch.randint(count, (count,), generator=generator)) for _ in range(RESAMPLES)]
    for name in list(found):
        ends = np.quantile([one[name] for one in again], [0.025, 0.975])
        found[f"{name}_interval"] = [float(end) for end in ends]
    return found


def _drawn_scores(
    made: Tensor,
    held_out: FactorTable,
    asked: Cells,
    variance: Tensor,
    factors: Sequence[str],
    readers: Mapping[str, Reader],
) -> dict[str, float]:
    """Scores of drawn items `[cells, samples, D]` beside the true ones."""
    found: dict[str, float] = {}
    count = torch.bincount(asked.row_cell[asked.row_cell >= 0], minlength=len(asked))
    if int(count.min()) > 1:
        spread = (made.var(1, correction=0) - variance).square().sum()
        found["r2_variance"] = 1 - float(spread / (variance - variance.mean(0)).square().sum().clamp_min(1e-300))
        distances = []
        for cell in range(len(asked)):
            rows = (asked.row_cell == cell).nonzero()[:, 0][: made.shape[1]]
            distances.append(
                energy_distance(made[cell], held_out.x(rows.to(held_out.device)).flatten(1).cpu().double())
            )
        found["energy"] = float(np.mean(distances))
    for name, reader in readers.items():
        items = made.flatten(0, 1).view(-1, *held_out.item_shape).to(torch.get_default_dtype())
        codes = read(reader, items, held_out, name).view(made.shape[:2])
        right = 100 * (codes == asked.levels[:, [list(factors).index(name)]]).double().mean(1)  # [cells]
        prefix = "" if len(readers) == 1 else f"{name}_"
        found |= {f"{prefix}accuracy": float(right.mean()), f"{prefix}worst_accuracy": float(right.min())}
    return found


def energy_distance(one: Tensor, other: Tensor) -> float:
    """The energy distance between two samples `[n, D]` and `[m, D]`, 0 where they are of one distribution.

        2 E|X − Y| − E|X − X'| − E|Y − Y'|      (Székely & Rizzo 2013), over distinct pairs

    >>> round(energy_distance(torch.zeros(3, 4), torch.ones(5, 4)), 6)
    4.0
    """

    def within(sample: Tensor) -> float:
        return float(torch.pdist(sample).mean()) if len(sample) > 1 else 0.0

    return 2 * float(torch.cdist(one, other).mean()) - within(one) - within(other)
