"""Combinations of factors that training never showed: how well they are reconstructed, and how well put together."""

from collections.abc import Mapping, Sequence
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
SHARES = (0.1, 0.3, 0.5, 0.7)
"""Of the combinations of shape, scale and place that training lacks."""
FACTORS = ("shape", "scale", "x")
EACH = 10
"""Sprites composed for each combination, and in a set that is shown."""

WAYS: Mapping[str, tuple[str, Sequence[str]]] = {
    "vae": ("generalisation", ()),
    "beta_vae": ("generalisation", ("--objective.name=beta-vae",)),
    "hfvae": (
        "generalisation",
        ("--objective.name=hfvae", "--objective.settings={groups: ['z[:5]', 'z[5:]']}"),
    ),
    "contexts": ("generalisation-contexts", ()),
}
"""Name → recipe and overrides."""


class Generalisation(Experiment):
    """Prune combinations, train, and look at those that were pruned, for three codes and the context-aware learner."""

    label = "sprites, half of all combinations of shape, scale and place unseen"
    rows = tuple(
        Row(f"unseen combinations composed right, {name}, %", f"composed_{way}_50")
        for name, way in (("VAE", "vae"), ("β-VAE", "beta_vae"), ("HFVAE", "hfvae"), ("contexts", "contexts"))
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        figures: dict[str, Any] = {}
        series: dict[str, dict[str, Any]] = {"error": {}, "composed": {}}
        every: list[Run] = []
        for way in WAYS:
            heights: dict[str, list[list[float]]] = {"error": [], "composed": []}
            for share in SHARES:
                runs = [_run(request, way, share, seed) for seed in SEEDS]
                found = [request.once(run, "unseen", lambda run=run: _measure(run, request.seed)) for run in runs]
                every += runs
                label = f"{way}_{round(100 * share)}"
                for name in found[0]:
                    values = [one[name] for one in found]
                    figures |= {f"{name}_{label}": mean(values), f"{name}_sd_{label}": stdev(values)}
                heights["error"].append([one["error"] for one in found])
                heights["composed"].append([one["composed"] for one in found])
            places = [100 * share for share in SHARES]
            for name, values in heights.items():
                series[name][way.replace("_", "-")] = (places, [*map(mean, values)], [*map(stdev, values)])
        across = "combinations that training lacks, %"
        pictures = {
            "error": plots.lines(series["error"], across, "squared error of unseen ones, thousandths"),
            "composed": plots.lines(series["composed"], across, "composed right, %"),
            "curves": curves(every[-1]),
        }
        return request.write(figures, pictures, every, _report(figures))


def _run(request: Request, way: str, share: float, seed: int) -> Run:
    recipe, overrides = WAYS[way]
    overrides = [*overrides, f"--data.share={share}", f"--training.seed={seed}"]
    return request.run(recipe, label=f"{way}-{round(100 * share)}-{seed}", overrides=overrides)


def _measure(run: Run, seed: int) -> dict[str, float]:
    """Errors of reconstruction in thousandths of squared intensity, and percentages of what is read right."""
    seen, out = run.recipe.data().divide(run.splits["test"])
    readers = _readers(run)
    composed = (_compose_contexts if run.model.contexts else _compose_codes)(run, seen, out, seed)
    return {
        "error": _error(run, out),
        "error_seen": _error(run, seen),
        "composed": _right(readers, *composed),
        "real": _right(readers, out.x(), torch.stack([torch.as_tensor(out.factors[name]) for name in FACTORS], 1)),
    }


def _readers(run: Run) -> dict[str, ImageClassifier]:
    """Classifiers of each factor, trained on all combinations."""
    table = run.recipe.data().of.load_splits()["train"]
    cache = run.folder.parent / "classifiers"
    return {name: load_or_train_classifier(table, name, cache=cache, steps=1000, augment=False) for name in FACTORS}


def _error(run: Run, table: FactorTable) -> float:
    x = table.x()
    made = run.model.reconstruct(x.unsqueeze(1))[:, 0] if run.model.contexts else run.model.reconstruct(x)
    return 1000 * float((made.cpu() - x).square().mean())


def _right(readers: Mapping[str, ImageClassifier], x: Tensor, levels: Tensor) -> float:
    """Percentage of items `[n, ...]` of which every factor is read as it should be, `[n, 3]`."""
    read = torch.stack([torch.as_tensor(readers[name].predict(x)) for name in FACTORS], 1)
    return 100 * float((read == levels).all(1).double().mean())


def _compose_codes(run: Run, seen: FactorTable, out: FactorTable, seed: int) -> tuple[Tensor, Tensor]:
    """Codes of seen sprites, moved by what distinguishes the levels that are wanted from those that they have.

    The mean code of each level is a main effect; this is what can be done with a code whose dimensions have no names.
    """
    train, cells = run.splits["train"], find_cells(out, FACTORS)
    codes = run.model.embed(train.x()).cpu()
    wanted = cells.levels.repeat_interleave(EACH, 0)
    generator = torch.Generator().manual_seed(seed)
    shown = torch.randint(len(seen), (len(wanted),), generator=generator)
    moved = run.model.embed(seen.x(shown)).cpu()
    for column, name in enumerate(FACTORS):
        levels = torch.as_tensor(train.factors[name])
        means = torch.stack([codes[levels == level].mean(0) for level in range(len(train.values[name]))])
        moved = moved + means[wanted[:, column]] - means[torch.as_tensor(seen.factors[name])[shown]]
    return run.model.decode_codes(moved).cpu(), wanted


def _compose_contexts(run: Run, seen: FactorTable, out: FactorTable, seed: int) -> tuple[Tensor, Tensor]:
    """Contexts of sets that hold one factor constant each, put together."""
    cells, made = find_cells(out, FACTORS), []
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for levels in cells.levels.tolist():
            sets = {}
            for name, level in zip(FACTORS, levels, strict=True):
                rows = (torch.as_tensor(seen.factors[name]) == level).nonzero()[:, 0]
                sets[name] = seen.x(rows[torch.randint(len(rows), (EACH,), generator=generator)])
            made.append(run.model.compose(n=EACH, **sets).cpu())
    return torch.cat(made), cells.levels.repeat_interleave(EACH, 0)


def _report(figures: Mapping[str, Any]) -> str:
    lines = []
    for way in WAYS:
        for share in SHARES:
            label = f"{way}_{round(100 * share)}"
            told = {name: figures[f"{name}_{label}"] for name in ("error", "error_seen", "composed", "real")}
            lines.append(f"{label:<14}" + ", ".join(f"{name} {value:.2f}" for name, value in told.items()))
    return "\n".join(lines)
