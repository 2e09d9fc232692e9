"""Composition: the demonstration, and rotated MNIST (2018, Table 1; thesis 6.4.2)."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.data import FactorTable
from coset.errors import ConfigurationError
from coset.experiments.shared.outcome import Outcome, Request, Row, curves
from coset.metrics import (
    CompositionResult,
    ImageClassifier,
    LinearClassifier,
    agreement,
    agreement_of,
    composition_accuracy,
    load_or_train_classifier,
)
from coset.metrics.classifier import STEPS
from coset.recipes import load_recipe
from coset.runs import Run, train_run

TEMPERATURES = (0.0, 0.5, 1.0)

MADE = ("model", "checkpoints", "logs", "record.json", "composition.png", "recipe.yaml")
"""What a demo leaves in its folder, in the order in which it is removed: the recipe tells that it is one."""

COMPOSITION = (
    Row("composition, mean %", "mean", published="published_mean", design="paper_design_mean", headline=True),
    Row("composition, worst cell %", "worst", published="published_worst", design="paper_design_worst"),
)
"""What the table says of an experiment that composes."""

DIVERSITY = (
    Row("pixel variance of what is composed, of real items'", "diversity_ratio"),
    Row("pixel variance of reconstructions, of real items'", "reconstructed_diversity_ratio"),
    Row("coverage, of that of real items", "coverage"),
)
"""The same of one that measures how much what it composes varies."""


def run_demo(output: Path) -> Outcome:
    """Train on scikit-learn's digits at four angles and compose every digit with every angle."""
    started = time.monotonic()
    _remove_demo(output)
    run, _ = train_run("demo", output)
    result = score_composition(run, temperature=1.0, samples=250, runs=1, seed=0)
    picture = output / "composition.png"
    plots.save(composition_picture(run, 3, 90, seed=0), picture)
    report = (
        f"{result.table()}\n\npicture: {picture}\ntook {time.monotonic() - started:.0f} s\n"
        f"composition accuracy: mean {result.mean:.1f} %, worst cell {result.worst:.1f} %"
    )
    return Outcome(result.as_dict() | {"picture": str(picture)}, report, [picture])


def _remove_demo(output: Path) -> None:
    """Remove what an earlier demo wrote into a folder, and nothing else.

    Raises:
        ConfigurationError: The folder holds a run of another recipe.
    """
    if not (output / "recipe.yaml").is_file():
        return
    name = load_recipe(output / "recipe.yaml").name
    if name != "demo":
        raise ConfigurationError(
            f"{output} holds a run of {name}, which a demo does not replace; give another --output"
        )
    for made in MADE:
        shutil.rmtree(output / made) if (output / made).is_dir() else (output / made).unlink(missing_ok=True)


def score_composition(run: Run, temperature: float, samples: int, runs: int, seed: int) -> CompositionResult:
    """Table 1 of the 2018 paper for a trained run of two contexts, on its held-out items.

    Items are read by a classifier of the first context: turned upright where the second is a rotation, and as they are
    otherwise.
    """
    first, second = run.model.contexts
    train = run.splits["train"]
    if second == "rotation":
        reader = upright_reader(run)
    elif len(train.item_shape) > 1:
        known = train[train.factors[first] >= 0]
        cache = run.folder.parent / "classifiers"
        reader = load_or_train_classifier(known, first, cache=cache, steps=500, augment=False)
    else:
        reader = LinearClassifier(train, first)
    return composition_accuracy(
        run.model,
        run.splits["test"].recode(),
        reader.predict,
        factors=(first, second),
        incomplete="skip",
        features=reader.features,
        samples=samples,
        runs=runs,
        temperature=temperature,
        seed=seed,
    )


def upright_reader(run: Run, table: FactorTable | None = None) -> ImageClassifier:
    """A classifier of upright digits, trained on the run's training items or another table, kept beside the run."""
    train = (run.splits["train"] if table is None else table).where(rotation=0)
    steps = 500 if len(train) < 10_000 else STEPS
    return load_or_train_classifier(train, "digit", cache=run.folder.parent / "classifiers", steps=steps)


def _rotated_readers(run: Run) -> dict[str, Callable[[Tensor], Tensor]]:
    """Readers of digit and angle for items at any angle: one classifier of all pairs, trained on training items."""
    train = run.splits["train"]
    angles = len(train.values["rotation"])
    pairs = FactorTable(train.items, pair=train.factors["digit"] * angles + train.factors["rotation"])
    classifier = load_or_train_classifier(pairs, "pair", cache=run.folder.parent / "classifiers")
    return {
        "digit": lambda x: classifier.predict(x) // angles,
        "rotation": lambda x: classifier.predict(x) % angles,
    }


def composition_picture(run: Run, *values: Any, seed: int, rows: int = 8, width: int = 10) -> Any:
    """Thesis figure 6.7, paper figure 3: a set with each context at its value, and sets that combine them."""
    torch.manual_seed(seed)
    table = run.splits["test"]
    shown = {
        name: _pick(table.where(**{name: value}), width) for name, value in zip(run.model.contexts, values, strict=True)
    }
    drawn = run.model.compose(**shown, n=rows * width).cpu()
    return plots.composition(*shown.values(), drawn.view(rows, width, *drawn.shape[1:]))


def rotated_mnist(request: Request, seeds: Sequence[int] = (0,)) -> Outcome:
    """Rotated MNIST: Table 1 of 2018, and thesis figures 6.5-6.7 or paper figures 2 and 3.

    Args:
        request: what is asked for.
        seeds: of our training; what is not said to be over seeds, and all pictures, are of the first.
    """
    name, seed = request.name, request.seed
    _, *others = seeds
    run, paper = (request.run(recipe) for recipe in (name, f"{name}-paper-small"))
    more = [request.run(name, label=str(one), overrides=[f"--training.seed={one}"]) for one in others]
    classifier = upright_reader(run)
    test = run.splits["test"]
    tables = {t: _table(request, run, t) for t in TEMPERATURES}
    design = {t: _table(request, paper, t) for t in TEMPERATURES}
    readers = _rotated_readers(run)
    neither, both = (agreement(run.model, readers, constant, seed=seed) for constant in ([], ["digit", "rotation"]))
    real = {
        pattern: agreement_of(test.sets(run.model.contexts, pattern, items=10, batch=500, seed=seed).draw(0).x, readers)
        for pattern in (0, 2)
    }
    figures = _over_seeds([tables[1.0], *(_table(request, one, 1.0) for one in more)], [run, *more], seed) | {
        "standard_deviation": tables[1.0]["sd"],
        "paper_design_mean": design[1.0]["mean"],
        "paper_design_worst": design[1.0]["worst"],
        "published_mean": 60.5 if name.endswith("4") else None,
        "published_worst": 0.0 if name.endswith("4") else None,
        "ceiling_mean": tables[1.0]["ceiling_mean"],
        "ceiling_worst": tables[1.0]["ceiling_worst"],
        "classifier_held_out": classifier.accuracy(test.where(rotation=0), "digit"),
        "both_constant_agreement": both,
        "neither_constant_agreement": neither,
        "real_both_constant_agreement": real[2],
        "real_neither_constant_agreement": real[0],
        "by_temperature": {str(t): table for t, table in tables.items()},
        "paper_design_by_temperature": {str(t): table for t, table in design.items()},
    }
    full = tables[1.0]
    pictures = {
        "table": plots.heatmap(full["cells"], full["rows"], full["columns"], title="composition accuracy, %"),
        "composed": composition_picture(run, 5, 90, seed=seed),
        "sets": plots.grid(training_sets(run, seed)),
        "sampled": _neither_and_both(run, seed),
        "curves": curves(run),
        "paper-design-composed": composition_picture(paper, 5, 90, seed=seed),
    }
    return request.write(figures, pictures, [run, *more, paper], _line(figures))


def _table(request: Request, run: Run, temperature: float) -> dict[str, Any]:
    """Table 1 at a temperature of p(z | c), with coverage in the features of the classifier that reads it."""

    def score() -> dict[str, Any]:
        reader = upright_reader(run)
        options: dict[str, Any] = {"features": reader.features, "samples": 250, "runs": 5, "seed": request.seed}
        return composition_accuracy(
            run.model, run.splits["test"], reader.predict, temperature=temperature, **options
        ).as_dict()

    return request.once(run, f"composition-{temperature:g}", score)


def _over_seeds(tables: Sequence[dict[str, Any]], runs: Sequence[Run], seed: int) -> dict[str, Any]:
    """Means over training seeds: accuracy, and with it how diverse what is composed is, beside real items."""
    varied = [table["diversity"] / table["real_diversity"] for table in tables]
    rebuilt = [_rebuilt(run, seed) / table["real_diversity"] for run, table in zip(runs, tables, strict=True)]
    return {
        "mean": mean(table["mean"] for table in tables),
        "mean_sd": stdev(table["mean"] for table in tables) if len(tables) > 1 else None,
        "worst": mean(table["worst"] for table in tables),
        "diversity_ratio": mean(varied),
        "reconstructed_diversity_ratio": mean(rebuilt),
        "coverage": mean(table["coverage"] / table["real_coverage"] for table in tables),
        "density": mean(table["density"] / table["real_density"] for table in tables),
        "by_seed": [{name: table[name] for name in ("mean", "worst", "diversity", "coverage")} for table in tables],
    }


def _rebuilt(run: Run, seed: int, items: int = 250) -> float:
    """Variance of a pixel within a cell, of held-out items as the model reconstructs them, mean over all."""
    test, generator, found = run.splits["test"], torch.Generator().manual_seed(seed), []
    for digit in test.values["digit"]:
        for angle in test.values["rotation"]:
            cell = test.where(digit=digit, rotation=angle)
            shown = cell.x(torch.randint(len(cell), (items,), generator=generator)).unflatten(0, (-1, 10))
            found.append(run.model.reconstruct(shown).flatten(0, 1).var(0).mean())
    return float(torch.stack(found).mean())


def _line(figures: dict[str, Any]) -> str:
    return (
        f"composition: mean {figures['mean']:.1f} %, worst cell {figures['worst']:.1f} %; pixel variance "
        f"{figures['diversity_ratio']:.2f} of real, of reconstructions {figures['reconstructed_diversity_ratio']:.2f}; "
        f"coverage {figures['coverage']:.2f} of real"
    )


def _pick(table: FactorTable, items: int) -> Tensor:
    return table.x(torch.randint(len(table), (items,)))


def training_sets(run: Run, seed: int, sets: int = 5, items: int = 5) -> Tensor:
    """Thesis figures 6.2 and 6.5: five sets of five."""
    options = {**run.recipe.sections["sets"], "items": items, "batch": sets, "batches": 1}
    return run.splits["train"].sets(run.model.contexts, seed=seed, **options).draw(0).x


def _neither_and_both(run: Run, seed: int) -> Any:
    """Thesis figure 6.6, paper figure 2: patterns of constancy that no training set had."""
    torch.manual_seed(seed)
    left, right = (run.model.sample(n=8, sets=8, constant=names).cpu() for names in ([], run.model.contexts))
    return plots.pair(left, right, titles=("neither constant", "both constant"))
