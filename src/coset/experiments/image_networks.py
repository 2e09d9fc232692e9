"""Networks for images: what the default one composes, beside the published one and cheaper ones, after equal steps."""

import copy
import json
from collections.abc import Mapping
from statistics import mean, stdev
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import coset.plots as plots
from coset.cells import find_cells
from coset.experiments.shared.composition import composition_picture
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.experiments.shared.recombining import recombine, right
from coset.metrics import load_or_train_classifier
from coset.networks.items import default_architecture
from coset.programs import Programs
from coset.runs import Run
from coset.training import default_objective

SEEDS = (0, 1, 2)
NETWORKS = ("compact", "convolutional", "strided", "dense")
TIMES, EACH = 25, 10
"""How often each combination is composed, and from sets of how many items; each time makes as many."""


class ImageNetworks(Experiment):
    """Train the context-aware learner with each of our networks for images, and the default to the end on clothes."""

    label = "networks for images, 2,000 steps of rotated MNIST"
    rows = (
        *(Row(f"composed right in both factors, {name}, %", f"mean_{name}") for name in NETWORKS),
        *(Row(f"operations of a step, {name}, thousand million", f"gflop_{name}") for name in NETWORKS),
        Row("clothes in 2,500 steps of the default, composed right, %", "mean_fashion"),
        Row("the same, worst cell", "worst_fashion"),
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        figures: dict[str, Any] = {"default": default_architecture((28, 28))}
        every: list[Run] = []
        for name in NETWORKS:
            override = f"--model.architecture={name}"
            runs = [_run(request, request.name, f"{name}-{seed}", seed, override) for seed in SEEDS]
            figures |= _over_seeds(request, runs, name) | {f"gflop_{name}": _operations(runs[0]) / 1e9}
            every += runs
        clothes = [_run(request, f"{request.name}-fashion", f"{seed}", seed) for seed in SEEDS]
        figures |= _over_seeds(request, clothes, "fashion")
        shown = every[0], every[len(SEEDS)], clothes[0]
        pictures = {
            **{
                f"composed-{name}": composition_picture(run, level, 90, seed=request.seed)
                for name, run, level in zip((*NETWORKS[:2], "fashion"), shown, (5, 5, 1), strict=True)
            },
            "fashion-cells": plots.heatmap(
                figures["cells_fashion"],
                *(clothes[0].splits["test"].values[name] for name in clothes[0].model.contexts),
                title="composed right in both factors, %",
            ),
            "fashion-curves": curves(clothes[0]),
        }
        return request.write(figures, pictures, [*every, *clothes], _report(figures))


def _run(request: Request, recipe: str, label: str, seed: int, *overrides: str) -> Run:
    return request.run(recipe, label=label, overrides=[*overrides, f"--training.seed={seed}"])


def _over_seeds(request: Request, runs: list[Run], label: str) -> dict[str, Any]:
    """Percentages composed right in both factors, beside real items; and what training took."""
    found = [request.once(run, "composed", lambda run=run: _measure(run, request.seed)) for run in runs]
    cells = torch.tensor([one["cells"] for one in found], dtype=torch.float64)  # [seeds, cells]
    means = cells.mean(1).tolist()
    records = [json.loads((run.folder / "record.json").read_text()) for run in runs]
    return {
        f"mean_{label}": mean(means),
        f"mean_sd_{label}": stdev(means),
        f"worst_{label}": cells.min(1).values.mean().item(),
        f"real_{label}": found[0]["real"],
        f"cells_{label}": cells.mean(0).view(-1, len(runs[0].splits["test"].values["rotation"])).tolist(),
        f"minutes_{label}": mean(record["seconds"] for record in records) / 60,
    }


def _measure(run: Run, seed: int) -> dict[str, Any]:
    """Percentages by cell of what is composed, and over all of held-out items, that are read right in all factors."""
    train, test = (run.splits[part].recode() for part in ("train", "test"))
    cache = run.folder.parent / "classifiers"
    readers = {name: load_or_train_classifier(train, name, cache=cache, augment=False) for name in run.model.contexts}
    levels = find_cells(test, run.model.contexts).levels.T  # [factors, cells]
    wanted = dict(zip(run.model.contexts, levels.repeat_interleave(TIMES, 1), strict=True))
    composed = recombine(run, test, wanted, EACH, seed)
    asked = {name: column.repeat_interleave(EACH) for name, column in wanted.items()}
    real = {name: torch.as_tensor(test.factors[name]) for name in readers}
    cells = right(readers, composed, asked).all(1).double().view(levels.shape[1], -1).mean(1)
    return {
        "cells": (100 * cells).tolist(),
        "real": 100 * right(readers, test.x(), real).all(1).double().mean().item(),
    }


def _operations(run: Run) -> int:
    """Floating-point operations of a step, of products and convolutions."""
    model = copy.deepcopy(run.model).train()
    batch = run.splits["train"].sets(model.contexts, **run.recipe.sections["sets"]).draw(0).to(model.device)
    with FlopCounterMode(display=False) as counter:
        default_objective(model)(Programs(model, batch)).value.mean().backward()
    return counter.get_total_flops()


def _report(figures: Mapping[str, Any]) -> str:
    lines = []
    for name in (*NETWORKS, "fashion"):
        lines.append(
            f"{name:<14} {figures[f'mean_{name}']:.1f} ± {figures[f'mean_sd_{name}']:.1f} %, worst "
            f"{figures[f'worst_{name}']:.1f} %, real {figures[f'real_{name}']:.1f} %, "
            f"{figures[f'minutes_{name}']:.1f} min"
        )
    return "\n".join(lines)
