"""Combinations of factors that training never showed: how well they are reconstructed, and how well put together."""

from collections.abc import Mapping, Sequence
from itertools import product
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.cells import find_cells
from coset.data import FactorTable
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
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
    levels = torch.stack([torch.as_tensor(out.factors[name]) for name in data.factors], 1)
    return {
        "error": _error(run, out),
        "error_seen": _error(run, seen),
        "composed": _right(readers, *_compose(run, seen, out, seed)),
        "real": _right(readers, out.x(), levels),
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


def _right(readers: Mapping[str, ImageClassifier], x: Tensor, levels: Tensor) -> float:
    """Percentage of items `[n, ...]` of which every factor is read as it should be, `[n, F]`."""
    read = torch.stack([torch.as_tensor(reader.predict(x)) for reader in readers.values()], 1)
    return 100 * float((read == levels).all(1).double().mean())


def _compose(run: Run, seen: FactorTable, out: FactorTable, seed: int) -> tuple[Tensor, Tensor]:
    """Items of the combinations that are left out, and their levels `[n, F]`, made from items that are not."""
    factors = run.recipe.data().factors
    levels = find_cells(out, factors).levels
    make = _compose_contexts if run.model.contexts else _compose_codes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = make(run, seen, dict(zip(factors, levels.T, strict=True)))
    return made, levels.repeat_interleave(EACH, 0)


def _compose_codes(run: Run, seen: FactorTable, wanted: Mapping[str, Tensor]) -> Tensor:
    """Codes of seen items, moved by what distinguishes the levels of each wanted cell from those that they have.

    The mean code of each level is a main effect; this is what can be done with a code whose dimensions have no names.
    """
    train = run.splits["train"]
    codes = run.model.embed(train.x()).cpu()
    shown = torch.randint(len(seen), (EACH * len(next(iter(wanted.values()))),))
    moved = run.model.embed(seen.x(shown)).cpu()
    for name, column in wanted.items():
        levels = torch.as_tensor(train.factors[name])
        means = torch.stack([codes[levels == level].mean(0) for level in range(len(train.values[name]))])
        moved = moved + means[column.repeat_interleave(EACH)] - means[torch.as_tensor(seen.factors[name])[shown]]
    return run.model.decode_codes(moved).cpu()


def _compose_contexts(run: Run, seen: FactorTable, wanted: Mapping[str, Tensor]) -> Tensor:
    """Contexts of sets that hold one factor constant each, put together for each wanted cell."""
    made = []
    for levels in zip(*(column.tolist() for column in wanted.values()), strict=True):
        sets = {}
        for name, level in zip(wanted, levels, strict=True):
            rows = (torch.as_tensor(seen.factors[name]) == level).nonzero()[:, 0]
            sets[name] = seen.x(rows[torch.randint(len(rows), (EACH,))])
        made.append(run.model.compose(n=EACH, **sets).cpu())
    return torch.cat(made)


def _report(figures: Mapping[str, Any]) -> str:
    lines = []
    for label in (_label(*which) for which in product(TABLES, WAYS, SHARES)):
        told = {name: figures[f"{name}_{label}"] for name in ("error", "error_seen", "composed", "real")}
        lines.append(f"{label:<22}" + ", ".join(f"{name} {value:.2f}" for name, value in told.items()))
    return "\n".join(lines)
