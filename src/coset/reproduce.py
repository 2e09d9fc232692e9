"""Experiments of the papers: train what is missing, measure, and write `results/`."""

import json
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.data import FactorTable
from coset.errors import ConfigurationError, nearest
from coset.metrics import (
    CompositionResult,
    ImageClassifier,
    agreement,
    agreement_of,
    composition_accuracy,
    conditional_accuracy,
    load_or_train_classifier,
    read_background,
    without_background,
)
from coset.metrics.classifier import STEPS
from coset.runs import Run, open_run, train_run

TEMPERATURES = (0.0, 0.5, 1.0)


@dataclass
class Outcome:
    """What an experiment found: `figures` for machines, `report` for people, and the files it wrote."""

    figures: dict[str, Any]
    report: str
    files: list[Path] = field(default_factory=list)


def reproduce_target(target: str, runs: Path, results: Path, seed: int = 0) -> Outcome:
    """Run one experiment by name; see `TARGETS` and `ALIASES`.

    Raises:
        ConfigurationError: an unknown name.
    """
    name = ALIASES.get(target, target)
    if name == "readme":
        return renew_readme(Path("README.md"), results)
    if name not in TARGETS:
        raise ConfigurationError(f"unknown experiment {target!r}; {nearest(target, [*TARGETS, *ALIASES, 'readme'])}")
    return TARGETS[name](name, runs, results, seed)


def run_demo(output: Path) -> Outcome:
    """Train on scikit-learn's digits at four angles and compose every digit with every angle."""
    started = time.monotonic()
    if (output / "recipe.yaml").is_file():
        shutil.rmtree(output)
    run, _ = train_run("demo", output)
    result = score_composition(run, temperature=1.0, samples=250, runs=1, seed=0)
    picture = output / "composition.png"
    plots.save(composition_picture(run, digit=3, rotation=90, seed=0), picture)
    report = (
        f"{result.table()}\n\npicture: {picture}\ntook {time.monotonic() - started:.0f} s\n"
        f"composition accuracy: mean {result.mean:.1f} %, worst cell {result.worst:.1f} %"
    )
    return Outcome(result.as_dict() | {"picture": str(picture)}, report, [picture])


def score_composition(run: Run, temperature: float, samples: int, runs: int, seed: int) -> CompositionResult:
    """Table 1 of the 2018 paper for a trained run, on its held-out items."""
    return composition_accuracy(
        run.model,
        run.splits["test"],
        upright_reader(run).predict,
        samples=samples,
        runs=runs,
        temperature=temperature,
        seed=seed,
    )


def upright_reader(run: Run) -> ImageClassifier:
    """A classifier of upright digits, trained on training items only, kept beside the run."""
    train = run.splits["train"].where(rotation=0)
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


def plot_curves(folder: Path, output: Path) -> None:
    """Training curves of a run, finished or not, from its record or else its last checkpoint."""
    record, last = folder / "record.json", folder / "checkpoints" / "last.ckpt"
    if record.is_file():
        history = json.loads(record.read_text())["history"]
    elif last.is_file():
        history = torch.load(last, map_location="cpu", weights_only=True)["coset"]["history"]
    else:
        raise ConfigurationError(f"{folder}: expected the folder of a run, found neither record.json nor a checkpoint")
    plots.save(plots.curves(history), output)


# The experiments.


def rotated(name: str, runs: Path, results: Path, seed: int) -> Outcome:
    """Rotated MNIST: Table 1 of 2018, and thesis figures 6.5-6.7 or paper figures 2 and 3."""
    started = time.monotonic()
    run, paper = (_finished(recipe, runs) for recipe in (name, f"{name}-paper-small"))
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
        "sets": plots.grid(_training_sets(run, seed)),
        "sampled": _neither_and_both(run, seed),
        "curves": _curves(run),
        "paper-design-composed": composition_picture(paper, digit=5, rotation=90, seed=seed),
    }
    return _write(name, figures, pictures, [run, paper], started, results, seed, full.table())


def black_white(name: str, runs: Path, results: Path, seed: int) -> Outcome:
    """Black & white MNIST: thesis section 6.4.1, figures 6.2-6.4."""
    started = time.monotonic()
    run = _finished(name, runs)
    train, test = run.splits["train"], run.splits["test"]
    classifier = load_or_train_classifier(train.where(background="black"), "digit", cache=runs / "classifiers")

    def read_digit(x: Tensor) -> Tensor:
        return classifier.predict(without_background(x))

    readers = {"digit": read_digit, "background": read_background}
    digit, ground = (
        conditional_accuracy(run.model, test, factor, readers, seed=seed) for factor in ("digit", "background")
    )
    figures = {
        "digit_right": digit.right,
        "background_right": ground.right,
        "black_share": digit.shares["background"]["black"],
        "digit_entropy_bits": ground.entropy_bits["digit"],
        "classifier_held_out": classifier.accuracy(test.where(background="black"), "digit"),
        "given_digit": digit.as_dict(),
        "given_background": ground.as_dict(),
    }
    pictures = {
        "sets": plots.grid(_training_sets(run, seed)),
        "sampled": _each_constant(run, seed),
        "conditioned": _conditioned(run, seed),
        "curves": _curves(run),
    }
    report = "\n".join(f"{key}: {value:.2f}" for key, value in figures.items() if isinstance(value, float))
    return _write(name, figures, pictures, [run], started, results, seed, report)


TARGETS: dict[str, Callable[[str, Path, Path, int], Outcome]] = {
    "rotated-mnist-4": rotated,
    "rotated-mnist-8": rotated,
    "black-white-mnist": black_white,
}
ALIASES = {
    "table1": "rotated-mnist-4",
    "paper-figure-2": "rotated-mnist-4",
    "paper-figure-3": "rotated-mnist-4",
    "thesis-figure-6.2": "black-white-mnist",
    "thesis-figure-6.3": "black-white-mnist",
    "thesis-figure-6.4": "black-white-mnist",
    "thesis-figure-6.5": "rotated-mnist-8",
    "thesis-figure-6.6": "rotated-mnist-8",
    "thesis-figure-6.7": "rotated-mnist-8",
}


# Their pictures.


def _pick(table: FactorTable, items: int) -> Tensor:
    return table.x(torch.randint(len(table), (items,)))


def _training_sets(run: Run, seed: int, sets: int = 5, items: int = 5) -> Tensor:
    """Thesis figures 6.2 and 6.5: five sets of five."""
    options = {**run.recipe.sections["sets"], "items": items, "batch": sets, "batches": 1}
    return run.splits["train"].sets(run.model.contexts, seed=seed, **options).draw(0).x


def _neither_and_both(run: Run, seed: int) -> Any:
    """Thesis figure 6.6, paper figure 2: patterns of constancy that no training set had."""
    torch.manual_seed(seed)
    left, right = (run.model.sample(n=8, sets=8, constant=names).cpu() for names in ([], run.model.contexts))
    return plots.pair(left, right, titles=("neither constant", "both constant"))


def _each_constant(run: Run, seed: int) -> Any:
    """Thesis figure 6.3: sets sampled given which context is constant."""
    torch.manual_seed(seed)
    first, second = run.model.contexts
    left, right = (run.model.sample(n=10, sets=10, constant=[name]).cpu() for name in (first, second))
    return plots.pair(left, right, titles=(f"constant {first}", f"constant {second}"))


def _conditioned(run: Run, seed: int) -> Any:
    """Thesis figure 6.4: held-out sets, and samples given each."""
    torch.manual_seed(seed)
    options = {**run.recipe.sections["sets"], "items": 10, "batch": 10, "batches": 1}
    batch = run.splits["test"].sets(run.model.contexts, seed=seed, **options).draw(0)
    return plots.conditioning(batch.x, run.model.condition(batch.x, constant=batch.constant, n=10).cpu())


def _curves(run: Run) -> Any:
    return plots.curves(json.loads((run.folder / "record.json").read_text())["history"])


# Their files.


def _finished(recipe: str, runs: Path) -> Run:
    """The run of a bundled recipe in `runs`: as it stands if finished, else trained or resumed."""
    folder = runs / recipe
    if (folder / "record.json").is_file():
        return open_run(folder)
    return train_run(recipe, folder, resume=(folder / "recipe.yaml").is_file())[0]


def _write(
    name: str,
    figures: dict[str, Any],
    pictures: dict[str, Any],
    runs: list[Run],
    started: float,
    results: Path,
    seed: int,
    report: str,
) -> Outcome:
    results.mkdir(parents=True, exist_ok=True)
    files = [results / f"{name}-{label}.png" for label in pictures]
    for file, picture in zip(files, pictures.values(), strict=True):
        plots.save(picture if not isinstance(picture, Tensor) else plots.grid(picture), file)
    trained = sum(json.loads((run.folder / "record.json").read_text())["seconds"] for run in runs)
    outcome = {
        "command": f"coset reproduce {name}" + (f" --seed {seed}" if seed else ""),
        "commit": _commit(),
        "seeds": {"training": [run.recipe.sections["training"].get("seed", 0) for run in runs], "measurement": seed},
        "hardware": _hardware(runs[0].model.device),
        "wall_seconds": round(trained + time.monotonic() - started),
        "figures": _rounded(figures),
        "recipes": {run.recipe.name: run.recipe.sections for run in runs},
        "pictures": [file.name for file in files],
    }
    target = results / f"{name}.json"
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(outcome, indent=1) + "\n")
    os.replace(partial, target)
    return Outcome(outcome["figures"], f"{report}\n\nwritten: {target}", [target, *files])


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def _commit() -> str:
    """The commit of the sources that ran, or the installed version where there is no repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    from importlib.metadata import version

    return f"version {version('coset')}"


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file() and (found := re.search(r"model name\s*: (.*)", information.read_text())):
        model = found.group(1)
    return f"{os.cpu_count()} x {model}, torch {torch.__version__}"


# The README's tables.


def results_table(results: Path) -> str:
    """The table paper / ours, in Markdown, from the JSON files in `results`."""
    rows = ["| experiment | measure | published | the papers' design here | coset |", "|---|---|---|---|---|"]

    def add(experiment: str, measure: str, published: Any, design: Any, ours: Any) -> None:
        cells = ("" if value is None else f"{value:.1f}" for value in (published, design, ours))
        rows.append(f"| {experiment} | {measure} | {' | '.join(cells)} |")

    for angles in (4, 8):
        file = results / f"rotated-mnist-{angles}.json"
        if file.is_file():
            found = json.loads(file.read_text())["figures"]
            label = f"rotated MNIST, {angles} angles"
            add(label, "composition, mean %", found["published_mean"], found["paper_design_mean"], found["mean"])
            add(
                label,
                "composition, worst cell %",
                found["published_worst"],
                found["paper_design_worst"],
                found["worst"],
            )
    file = results / "black-white-mnist.json"
    if file.is_file():
        found = json.loads(file.read_text())["figures"]
        for measure, key in (
            ("digit kept, %", "digit_right"),
            ("background kept, %", "background_right"),
            ("black backgrounds given a digit, %", "black_share"),
            ("entropy of digits given a background, bits", "digit_entropy_bits"),
        ):
            add("black & white MNIST", measure, None, None, found[key])
    return "\n".join(rows)


def renew_readme(readme: Path, results: Path) -> Outcome:
    """Write the table between the README's markers anew."""
    begin, end = "<!-- results: written by `coset reproduce readme` -->", "<!-- end of results -->"
    text = readme.read_text()
    if begin not in text or end not in text:
        raise ConfigurationError(f"{readme}: expected the markers {begin!r} and {end!r}")
    table = results_table(results)
    head, tail = text.split(begin)[0], text.split(end)[1]
    partial = readme.with_suffix(".partial")
    partial.write_text(f"{head}{begin}\n{table}\n{end}{tail}")
    os.replace(partial, readme)
    return Outcome({"readme": str(readme)}, table, [readme])
