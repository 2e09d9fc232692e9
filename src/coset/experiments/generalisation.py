"""Combinations of factors that training never showed: how well they are reconstructed, and how well put together."""

from collections.abc import Mapping, Sequence
from itertools import product
from statistics import mean, stdev
from typing import Any

import torch

import coset.plots as plots
from coset.cells import find_cells
from coset.data import FactorTable
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.experiments.shared.recombining import recombine, right
from coset.metrics import ImageClassifier, load_or_train_classifier
from coset.runs import Run

SEEDS = (0, 1, 2)
SHARES = (0.2, 0.5)
"""Of the combinations that training lacks."""
TABLES = ("sprites", "mnist")
"""What is looked at, each with recipes that say whose combinations are left out."""
EACH = 10
"""Items composed for each combination, and in a set that is shown."""

WAYS: Mapping[str, tuple[str, Sequence[str]]] = {
    "vae": ("", ()),
    "beta_vae": ("", ("--objective.name=beta-vae",)),
    "hfvae": ("", ("--objective.name=hfvae", "--objective.settings={groups: ['z[:5]', 'z[5:]']}")),
    "contexts": ("-contexts", ()),
}
"""Name → how the name of the recipe ends, and overrides."""


class Generalisation(Experiment):
    """Prune combinations, train, and look at those that were pruned, for three codes and the context-aware learner."""

    label = "half of all combinations unseen"
    rows = tuple(
        Row(f"composed right of unseen ones of {table}, {name}, %", f"composed_{table}_{way}_50")
        for table in TABLES
        for name, way in (("VAE", "vae"), ("β-VAE", "beta_vae"), ("HFVAE", "hfvae"), ("contexts", "contexts"))
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        figures: dict[str, Any] = {}
        pictures: dict[str, Any] = {}
        every: list[Run] = []
        for table in TABLES:
            series: dict[str, dict[str, Any]] = {"error": {}, "composed": {}}
            for way in WAYS:
                heights: dict[str, list[list[float]]] = {name: [] for name in series}
                for share in SHARES:
                    runs = [_run(request, table, way, share, seed) for seed in SEEDS]
                    found = [request.once(run, "unseen", lambda run=run: _measure(run, request.seed)) for run in runs]
                    every += runs
                    for name in found[0]:
                        values, label = [one[name] for one in found], _label(table, way, share)
                        figures |= {f"{name}_{label}": mean(values), f"{name}_sd_{label}": stdev(values)}
                        if name in heights:
                            heights[name].append(values)
                places = [100 * share for share in SHARES]
                for name, values in heights.items():
                    series[name][way.replace("_", "-")] = (places, [*map(mean, values)], [*map(stdev, values)])
            across = "combinations that training lacks, %"
            pictures[f"{table}-error"] = plots.lines(
                series["error"], across, "squared error of unseen ones, thousandths"
            )
            pictures[f"{table}-composed"] = plots.lines(series["composed"], across, "composed right, %")
        pictures["curves"] = curves(every[-1])
        return request.write(figures, pictures, every, _report(figures))


def _label(table: str, way: str, share: float) -> str:
    return f"{table}_{way}_{round(100 * share)}"


def _run(request: Request, table: str, way: str, share: float, seed: int) -> Run:
    ending, overrides = WAYS[way]
    overrides = [*overrides, f"--data.share={share}", f"--training.seed={seed}"]
    label = f"{way}-{round(100 * share)}-{seed}"
    return request.run(f"{request.name}-{table}{ending}", label=label, overrides=overrides)


def _measure(run: Run, seed: int) -> dict[str, float]:
    """Errors of reconstruction in thousandths of squared intensity, and percentages of what is read right."""
    data = run.recipe.data()
    (seen, out), readers = data.divide(run.splits["test"]), _readers(run)
    wanted = dict(zip(data.factors, find_cells(out, data.factors).levels.T, strict=True))
    composed = recombine(run, seen, wanted, EACH, seed)
    asked = {name: levels.repeat_interleave(EACH) for name, levels in wanted.items()}
    real = {name: torch.as_tensor(out.factors[name]) for name in data.factors}
    return {
        "error": _error(run, out),
        "error_seen": _error(run, seen),
        "composed": 100 * float(right(readers, composed, asked).all(1).double().mean()),
        "real": 100 * float(right(readers, out.x(), real).all(1).double().mean()),
    }


def _readers(run: Run) -> dict[str, ImageClassifier]:
    """Classifiers of each factor, trained on all combinations."""
    data = run.recipe.data()
    table, cache = data.of.load_splits()["train"], run.folder.parent / "classifiers"
    return {
        name: load_or_train_classifier(table, name, cache=cache, steps=1000, augment=False) for name in data.factors
    }


def _error(run: Run, table: FactorTable) -> float:
    x = table.x()
    made = run.model.reconstruct(x.unsqueeze(1))[:, 0] if run.model.contexts else run.model.reconstruct(x)
    return 1000 * float((made.cpu() - x).square().mean())


def _report(figures: Mapping[str, Any]) -> str:
    lines = []
    for label in (_label(*which) for which in product(TABLES, WAYS, SHARES)):
        told = {name: figures[f"{name}_{label}"] for name in ("error", "error_seen", "composed", "real")}
        lines.append(f"{label:<22}" + ", ".join(f"{name} {value:.2f}" for name, value in told.items()))
    return "\n".join(lines)
