"""Rotated digits, of which each is never seen at one angle: composed, and read by a classifier of real ones."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.cells import cell_moments, find_cells
from coset.data import FactorTable
from coset.experiments.shared.composition import upright_reader
from coset.experiments.shared.outcome import Outcome, Request, Row, curves
from coset.metrics import CompositionResult, ImageClassifier, composition_accuracy, predict_by_rules
from coset.metrics.composition import turn_upright
from coset.recipes import load_recipe
from coset.runs import Run
from coset.training.choosing import choose_by_combinations

SEEDS = (0, 1, 2)
"""Training seeds."""

WAYS: Mapping[str, Sequence[str]] = {
    "told": ("--model.actions.rotation.turns=4", "--model.actions.rotation.first=0"),
    "grid": (),
    "free": ("--model.actions=null",),
    "digit": ("--model.actions={digit: {class: Warp, turns: 8, first: 20}}",),
}
"""What is said of how contexts act: by which angles the rotation turns; that it turns, with eight candidates, none of
them among the four; nothing; or that the digit turns, which is wrong."""

MEASURED = ("told", "grid", "free")
CANDIDATES = ("free", "grid", "digit")
"""Among which combinations kept out choose, where nothing is told."""

FACTORS = ("digit", "rotation")
SAME = {(6, 180), (9, 180)}
"""Cells that are each other, and are left out of the worst, but not of the mean."""

TOLD = (
    Row("unseen combinations, turns told, mean %", "unseen_mean_told"),
    Row("unseen combinations, turns told, worst cell %", "unseen_worst_told"),
)
"""What the table says where nothing but that was tried."""

UNSEEN = (
    Row("unseen combinations, nothing told, mean %", "unseen_mean", headline=True),
    Row("unseen combinations, nothing told, worst cell %", "unseen_worst"),
    *TOLD,
    Row("unseen combinations, no context acts, mean %", "unseen_mean_free"),
)
"""What the table says of an experiment on combinations that were not seen."""


def unseen_rotated(request: Request, steps: int, choosing: int = len(SEEDS)) -> Outcome:
    """Train in every way and with every seed, choose among the ways by combinations kept out, and measure.

    Args:
        request: what is asked for.
        steps: of the candidates that are chosen among.
        choosing: for how many of the seeds a choice is made; those left take the last one.
    """
    runs = {way: [_run(request, way, seed) for seed in SEEDS] for way in MEASURED}
    results = {way: [_measure(request, run) for run in found] for way, found in runs.items()}
    figures: dict[str, Any] = {}
    for way, found in results.items():
        figures |= {f"{name}_{way}": value for name, value in _summary(found).items()}
    choices = [request.once(run, "choice", lambda run=run: _choose(run, steps)) for run in runs["grid"][:choosing]]
    best = [_run(request, choices[min(seed, choosing - 1)]["best"], seed) for seed in SEEDS]
    chosen = [_measure(request, run) for run in best]
    figures |= _summary(chosen) | {"choices": choices, "ceiling_mean": mean(one["ceiling_mean"] for one in chosen)}
    cells = {way: [one["cells"] for one in found] for way, found in results.items()}
    figures |= {"rules": _read_rules(runs["grid"][0]), "cells": cells}
    first = best[0]
    pictures = {
        "holes": _picture(first, request.seed),
        "curves": curves(first),
        **{f"table-{way}": _heatmap(found, first) for way, found in results.items()},
    }
    ways = {"nothing told": "", "turns told": "_told", "that it turns": "_grid", "free": "_free"}
    report = "\n".join(_line(label, key, figures) for label, key in ways.items())
    return request.write(figures, pictures, [run for found in runs.values() for run in found], report)


def unseen_told(request: Request) -> Outcome:
    """Train a recipe that tells how contexts act, with every seed, and measure."""
    runs = [request.run(request.name, label=str(seed), overrides=[f"--training.seed={seed}"]) for seed in SEEDS]
    results = [_measure(request, run) for run in runs]
    figures = {f"{name}_told": value for name, value in _summary(results).items()}
    figures |= {
        "ceiling_mean": mean(one["ceiling_mean"] for one in results),
        "cells": [one["cells"] for one in results],
    }
    first = runs[0]
    pictures = {"holes": _picture(first, request.seed), "curves": curves(first), "table": _heatmap(results, first)}
    return request.write(figures, pictures, runs, _line("turns told", "_told", figures))


def _run(request: Request, way: str, seed: int) -> Run:
    overrides = [*WAYS[way], f"--training.seed={seed}"]
    return request.run(request.name, label=f"{way}-{seed}", overrides=overrides)


def _choose(run: Run, steps: int) -> dict[str, Any]:
    """Which way composes combinations best that were kept out besides."""
    builds = {way: load_recipe(run.recipe.name, WAYS[way]).model for way in CANDIDATES}
    choice = choose_by_combinations(builds, run.splits["train"], **{**run.recipe.fit_options(), "steps": steps})
    return {"best": choice.best, "distances": choice.distances, "cells": choice.cells}


def _reader(run: Run) -> ImageClassifier:
    """Reads upright digits; it was trained on all combinations."""
    return upright_reader(run, run.recipe.data().of.load_splits()["train"])


def _measure(request: Request, run: Run) -> dict[str, Any]:
    """Accuracy of seen and of unseen cells, as the composition table has it."""

    def score() -> dict[str, Any]:
        test, reader = run.splits["test"], _reader(run)
        seen = run.recipe.data().divide(test)[0]
        options: dict[str, Any] = {"features": reader.features, "seen": seen, "runs": 1, "seed": request.seed}
        result = composition_accuracy(run.model, test, reader.predict, **options)
        return _by_cell(result, run)

    return request.once(run, "unseen", score)


def _by_cell(result: CompositionResult, run: Run) -> dict[str, Any]:
    unseen, seen = {}, {}
    out = _left_out(run)
    for row, angle in enumerate(result.rows):
        for column, digit in enumerate(result.columns):
            (unseen if (digit, angle) in out else seen)[digit, angle] = result.cells[row][column]
    return {
        "unseen_mean": mean(unseen.values()),
        "unseen_worst": min(value for cell, value in unseen.items() if cell not in SAME),
        "seen_mean": mean(seen.values()),
        "seen_worst": min(value for cell, value in seen.items() if cell not in SAME),
        "diversity_ratio": result.diversity / result.real_diversity,
        "coverage": (result.coverage or 0.0) / (result.real_coverage or 1.0),
        "ceiling_mean": result.ceiling_mean,
        "cells": result.cells,
    }


def _left_out(run: Run) -> set[tuple[Any, ...]]:
    return set(zip(*(run.recipe.data().cells[name] for name in FACTORS), strict=True))


def _line(label: str, key: str, figures: Mapping[str, Any]) -> str:
    return (
        f"{label}: unseen {figures['unseen_mean' + key]:.1f} ± {figures['unseen_mean_sd' + key]:.1f} %, worst cell "
        f"{figures['unseen_worst' + key]:.1f} %; seen {figures['seen_mean' + key]:.1f} %; pixel variance "
        f"{figures['diversity_ratio' + key]:.2f} of real, coverage {figures['coverage' + key]:.2f} of real"
    )


def _summary(found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over training seeds, and the deviation of the first."""
    names = ("unseen_mean", "unseen_worst", "seen_mean", "seen_worst", "diversity_ratio", "coverage")
    return {name: mean(one[name] for one in found) for name in names} | {
        "unseen_mean_sd": stdev(one["unseen_mean"] for one in found),
        "unseen_worst_sd": stdev(one["unseen_worst"] for one in found),
    }


def _read_rules(run: Run) -> dict[str, float]:
    """Percentage of unseen cells whose mean, as a simple rule predicts it, is read as the digit that it should show."""
    train, test = run.splits["train"], run.splits["test"]
    out = run.recipe.data().divide(test)[1]
    known, asked = find_cells(train, FACTORS), find_cells(out, FACTORS)
    reader, right = _reader(run).predict, {}
    for rule, means in predict_by_rules(known.levels, cell_moments(train, known)[0], asked.levels, FACTORS).items():
        upright = torch.stack(
            [
                turn_upright(picture.view(train.item_shape).float().clamp(0, 1), train.values["rotation"][angle])
                for picture, (_, angle) in zip(means, asked.levels.tolist(), strict=True)
            ]
        )
        right[rule] = 100 * float((reader(upright) == asked.levels[:, 0]).double().mean())
    return right


def _heatmap(found: Sequence[Mapping[str, Any]], run: Run) -> Any:
    table = run.splits["test"]
    cells = torch.tensor([one["cells"] for one in found]).mean(0).tolist()
    return plots.heatmap(cells, table.values["rotation"], table.values["digit"], title="composed, read right, %")


def _picture(run: Run, seed: int) -> Any:
    """A table with holes, the same with what is composed in the holes, and what is truly there."""
    test = run.splits["test"]
    seen, _ = run.recipe.data().divide(test)
    generator = torch.Generator().manual_seed(seed)
    shape = (len(test.values["rotation"]), len(test.values["digit"]), *test.item_shape)
    true, holes, made = torch.zeros(shape), torch.full(shape, torch.nan), torch.zeros(shape)
    for row, angle in enumerate(test.values["rotation"]):
        for column, digit in enumerate(test.values["digit"]):
            true[row, column] = _pick(test.where(digit=digit, rotation=angle), 1, generator)[0]
            if (digit, angle) not in _left_out(run):
                holes[row, column] = made[row, column] = true[row, column]
                continue
            given = {"digit": _pick(seen.where(digit=digit), 10, generator)}
            given["rotation"] = _pick(seen.where(rotation=angle), 10, generator)
            torch.manual_seed(seed)
            made[row, column] = run.model.compose(n=1, **given)[0].cpu()
    return plots.side_by_side([holes, made, true], ["what was seen", "holes filled by composing", "what is there"])


def _pick(table: FactorTable, count: int, generator: torch.Generator) -> Tensor:
    return table.x(torch.randint(len(table), (count,), generator=generator))
