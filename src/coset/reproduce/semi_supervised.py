"""Digits from a few labels (Siddharth et al. 2017, section 4.1): error, and how far class and style come apart."""

from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.data import FactorTable
from coset.metrics import ImageClassifier, load_or_train_classifier
from coset.reproduce.outcome import Outcome, Request, curves

LABELS = (100, 600, 1000, 3000)
SEEDS = range(5)
RATES = (0.0, 0.0025, 0.02, 0.2, 1.0)
"""Shares of batches that are supervised, with 100 labels."""
FEW_SEEDS = range(2)
RATE_STEPS = 400
PLAIN = ("--model.architecture=plain", "--model.channels=[256]")
"""The fully connected network beside the convolutional one."""

PUBLISHED = {100: 12.2, 600: 5.28, 1000: 4.23, 3000: 3.94}
PUBLISHED_M2 = {100: 11.97, 600: 4.94, 1000: 3.60, 3000: 3.92}
"""Siddharth et al. (2017) and Kingma et al. (2014), percent."""


def semi_supervised_mnist(request: Request) -> Outcome:
    """Classification error by number of labels and by supervision rate; class and style of a longer training."""
    figures: dict[str, Any] = {}
    columns, few = {}, []
    for labels in LABELS:
        own = (f"--labels.digit={labels}",)
        runs = [request.run(request.name, label=f"{labels}-{seed}", overrides=_with(own, seed)) for seed in SEEDS]
        columns[labels] = [_error(run) for run in runs]
        few += runs
        mean, deviation = _spread(columns[labels])
        figures |= {f"error_{labels}": mean, f"error_{labels}_sd": deviation, f"error_{labels}_runs": columns[labels]}
        figures |= {f"published_{labels}": PUBLISHED[labels], f"published_m2_{labels}": PUBLISHED_M2[labels]}
    plain = [request.run(request.name, label=f"plain-{seed}", overrides=_with(PLAIN, seed)) for seed in FEW_SEEDS]
    figures["error_100_plain"], figures["error_100_plain_sd"] = _spread([_error(run) for run in plain])
    bound = [
        request.run(request.name, label=f"bound-{seed}", overrides=_with(("--model.agreement=0",), seed))
        for seed in FEW_SEEDS
    ]
    figures["error_100_without_agreement"] = _spread([_error(run) for run in bound])[0]
    by_rate = {}
    for rate in RATES:
        supervised = f"--sets.supervision={{factors: [digit], rate: {rate}}}"
        own = (supervised, f"--training.steps={RATE_STEPS}")
        runs_at = [
            request.run(request.name, label=f"rate-{rate}-{seed}", overrides=_with(own, seed)) for seed in FEW_SEEDS
        ]
        by_rate[rate] = [_error(run) for run in runs_at]
    figures["error_by_rate"] = {str(rate): _spread(errors)[0] for rate, errors in by_rate.items()}

    apart = request.run("class-style-mnist")
    flat = request.run("class-style-mnist", label="2d", overrides=("--model.style_dim=2", "--training.steps=2000"))
    classifier = load_or_train_classifier(
        apart.recipe.data().load_splits()["train"], "digit", cache=request.runs / "classifiers"
    )
    torch.manual_seed(request.seed)
    test = apart.splits["test"]
    figures |= _apart(apart.model, classifier, test) | {"class_style_error": _error(apart)}
    shown = _one_of_each(test)
    axis = torch.linspace(-2.5, 2.5, 12)
    places = torch.cartesian_prod(-axis, axis).flip(1)  # rows from top to bottom, columns from left to right
    lines = {
        "coset": (list(LABELS), *_columns(columns)),
        "Siddharth et al.": (list(LABELS), [PUBLISHED[labels] for labels in LABELS], None),
        "Kingma et al., M2": (list(LABELS), [PUBLISHED_M2[labels] for labels in LABELS], None),
    }
    pictures = {
        "analogies": torch.cat([shown.unsqueeze(1), apart.model.analogies(shown).cpu()], 1),
        "styles": torch.cat(
            [flat.model.decode_styles(code, places).cpu().unflatten(0, (12, 12)) for code in (2, 4)], 1
        ),
        "errors": plots.lines(lines, "labels", "error, %"),
        "rates": plots.lines(
            {"100 labels": (list(RATES), *_columns(by_rate))}, "share of supervised batches", "error, %"
        ),
        "curves": curves(apart),
    }
    report = "\n".join(
        f"{labels:>5} labels: {figures[f'error_{labels}']:.2f} ± {figures[f'error_{labels}_sd']:.2f} % "
        f"(published {PUBLISHED[labels]}, M2 {PUBLISHED_M2[labels]})"
        for labels in LABELS
    )
    report += (
        f"\nstyle drawn anew, the class read: {figures['class_kept_prior_style']:.1f} %, style of another digit: "
        f"{figures['class_kept_borrowed_style']:.1f} %; style moved by {figures['style_moved']:.2f} of chance"
    )
    return request.write(figures, pictures, [*bound, *plain, *few, flat, apart], report)


def _with(overrides: tuple[str, ...], seed: int) -> tuple[str, ...]:
    return (*overrides, f"--training.seed={seed}", "--trainer.enable_progress_bar=false")


def _error(run: Any) -> float:
    """Percentage of test digits that are read wrong."""
    test = run.splits["test"]
    codes = torch.cat([run.model.classify(part).argmax(-1).cpu() for part in test.x().split(1000)])
    return 100 * float((codes != test.factors["digit"]).double().mean())


def _spread(values: list[float]) -> tuple[float, float]:
    found = torch.tensor(values, dtype=torch.float64)
    return float(found.mean()), float(found.std())


def _columns(runs: dict[Any, list[float]]) -> tuple[list[float], list[float]]:
    means, deviations = zip(*(_spread(errors) for errors in runs.values()), strict=True)
    return list(means), list(deviations)


def _apart(model: Any, classifier: ImageClassifier, test: FactorTable, digits: int = 1000) -> dict[str, float]:
    """Whether the class stays when the style changes, and the style when the class does.

    `class_kept_*`: percentage of decoded digits that a classifier, trained on real ones, reads as the class that was
    asked for, with styles from the prior and with those of other digits. `style_moved`: distance between the style of a
    digit and the style read from its analogy of another class, over the mean distance between styles of two digits.
    """
    classes = model.discrete["class"]
    drawn = [(classifier.predict(model.sample(digits, code=code).cpu()) == code).double() for code in range(classes)]
    x = test.x()[:digits]
    analogies = model.analogies(x).cpu()  # [n, V, H, W]
    read = classifier.predict(analogies.flatten(0, 1)).view(len(x), classes)
    style = model.embed(x)
    moved = torch.stack([(model.embed(analogies[:, code]) - style).norm(dim=-1) for code in range(classes)])
    return {
        "class_kept_prior_style": 100 * float(torch.cat(drawn).mean()),
        "class_kept_prior_style_worst": 100 * min(float(part.mean()) for part in drawn),
        "class_kept_borrowed_style": 100 * float((read == torch.arange(classes)).double().mean()),
        "style_moved": float(moved.mean() / torch.pdist(style).mean()),
        "classifier_right": classifier.accuracy(test, "digit"),
    }


def _one_of_each(table: FactorTable) -> Tensor:
    """The first item of each digit, `[10, H, W]`."""
    return torch.stack([table.x()[table.factors["digit"] == code][0] for code in range(10)])
