"""Composition: the demonstration, and rotated MNIST (2018, Table 1; thesis 6.4.2)."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
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


def run_demo(output: Path) -> Outcome:
    """Train on scikit-learn's digits at four angles and compose every digit with every angle."""
    started = time.monotonic()
    _remove_demo(output)
    run, _ = train_run("demo", output)
    result = score_composition(run, temperature=1.0, samples=250, runs=1, seed=0)
    picture = output / "composition.png"
    plots.save(composition_picture(run, digit=3, rotation=90, seed=0), picture)
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


def composition_picture(run: Run, digit: int, rotation: int, seed: int, rows: int = 8, width: int = 10) -> Any:
    """Thesis figure 6.7, paper figure 3: a digit's set, an angle's set, and sets that combine them."""
    torch.manual_seed(seed)
    table = run.splits["test"]
    first, second = (
        _pick(table.where(**{name: value}), width) for name, value in (("digit", digit), ("rotation", rotation))
    )
    drawn = run.model.compose(digit=first, rotation=second, n=rows * width).cpu()
    return plots.composition(first, second, drawn.view(rows, width, *drawn.shape[1:]))


def rotated_mnist(request: Request) -> Outcome:
    """Rotated MNIST: Table 1 of 2018, and thesis figures 6.5-6.7 or paper figures 2 and 3."""
    name, seed = request.name, request.seed
    run, paper = (request.run(recipe) for recipe in (name, f"{name}-paper-small"))
    classifier = upright_reader(run)
    reader = classifier.predict
    test = run.splits["test"]
    options: dict[str, Any] = {"samples": 250, "runs": 5, "seed": seed}
    tables = {t: composition_accuracy(run.model, test, reader, temperature=t, **options) for t in TEMPERATURES}
    design = {t: composition_accuracy(paper.model, test, reader, temperature=t, **options) for t in TEMPERATURES}
    readers = _rotated_readers(run)
    neither, both = (agreement(run.model, readers, constant, seed=seed) for constant in ([], ["digit", "rotation"]))
    real = {
        pattern: agreement_of(test.sets(run.model.contexts, pattern, items=10, batch=500, seed=seed).draw(0).x, readers)
        for pattern in (0, 2)
    }
    full = tables[1.0]
    figures = {
        "mean": full.mean,
        "worst": full.worst,
        "standard_deviation": full.sd,
        "paper_design_mean": design[1.0].mean,
        "paper_design_worst": design[1.0].worst,
        "published_mean": 60.5 if name.endswith("4") else None,
        "published_worst": 0.0 if name.endswith("4") else None,
        "ceiling_mean": full.ceiling_mean,
        "ceiling_worst": full.ceiling_worst,
        "classifier_held_out": classifier.accuracy(test.where(rotation=0), "digit"),
        "both_constant_agreement": both,
        "neither_constant_agreement": neither,
        "real_both_constant_agreement": real[2],
        "real_neither_constant_agreement": real[0],
        "by_temperature": {str(t): table.as_dict() for t, table in tables.items()},
        "paper_design_by_temperature": {str(t): table.as_dict() for t, table in design.items()},
    }
    pictures = {
        "table": plots.heatmap(full.cells, full.rows, full.columns, title="composition accuracy, %"),
        "composed": composition_picture(run, digit=5, rotation=90, seed=seed),
        "sets": plots.grid(training_sets(run, seed)),
        "sampled": _neither_and_both(run, seed),
        "curves": curves(run),
        "paper-design-composed": composition_picture(paper, digit=5, rotation=90, seed=seed),
    }
    return request.write(figures, pictures, [run, paper], full.table())


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
