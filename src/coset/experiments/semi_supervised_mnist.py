"""Digits from a few labels (Siddharth et al. 2017, section 4.1): error, and how far class and style come apart."""

from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.data import FactorTable
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.metrics import ImageClassifier, load_or_train_classifier
from coset.runs import Run

LABELS = (100, 600, 1000, 3000)
SEEDS = range(5)
RATES = (0.0, 0.0025, 0.02, 0.2, 1.0)
"""Shares of batches that are supervised, with 100 labels."""
FEW_SEEDS = range(2)
RATE_STEPS = "--training.steps=400"
PLAIN = ("--model.architecture=plain", "--model.channels=[256]")
"""The fully connected network beside the convolutional one."""
BOUND_ALONE = ("--objective.penalties=[]", "--schedule.weights={}")

PUBLISHED = {100: 12.2, 600: 5.28, 1000: 4.23, 3000: 3.94}
PUBLISHED_M2 = {100: 11.97, 600: 4.94, 1000: 3.60, 3000: 3.92}
"""Siddharth et al. (2017) and Kingma et al. (2014), percent."""


class SemiSupervisedMNIST(Experiment):
    """Classification error by number of labels and by supervision rate; class and style of a longer training."""

    label = "MNIST, class and style (published: Siddharth et al. 2017)"
    rows = (
        Row("error with 100 labels, %", "error_100", published="published_100", headline=True),
        Row("error with 600 labels, %", "error_600", published="published_600"),
        Row("error with 1,000 labels, %", "error_1000", published="published_1000"),
        Row("error with 3,000 labels, %", "error_3000", published="published_3000"),
        Row("class kept when the style is another digit's, %", "class_kept_borrowed_style"),
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""

        def few(label: str, *own: str, seeds: range = FEW_SEEDS) -> list[Run]:
            """Runs of the recipe over a few seeds, with overrides."""
            return [request.run(request.name, label=f"{label}-{seed}", overrides=_with(own, seed)) for seed in seeds]

        by_labels = {labels: few(f"{labels}", f"--labels.digit={labels}", seeds=SEEDS) for labels in LABELS}
        plain, bound = few("plain", *PLAIN), few("bound", *BOUND_ALONE)
        by_rate = {
            rate: few(f"rate-{rate}", f"--sets.supervision={{factors: [digit], rate: {rate}}}", RATE_STEPS)
            for rate in RATES
        }
        apart = request.run("class-style-mnist")
        flat = request.run("class-style-mnist", label="2d", overrides=("--model.style_dim=2", "--training.steps=2000"))
        columns = {labels: [_error(run) for run in runs] for labels, runs in by_labels.items()}
        rates = {rate: [_error(run) for run in runs] for rate, runs in by_rate.items()}
        figures = _errors(columns)
        figures["error_100_plain"], figures["error_100_plain_sd"] = _spread([_error(run) for run in plain])
        figures["error_100_without_agreement"] = _spread([_error(run) for run in bound])[0]
        figures["error_by_rate"] = {str(rate): _spread(errors)[0] for rate, errors in rates.items()}
        digits = apart.recipe.data().load_splits()["train"]
        classifier = load_or_train_classifier(digits, "digit", cache=request.runs / "classifiers")
        torch.manual_seed(request.seed)
        figures |= _apart(apart.model, classifier, apart.splits["test"]) | {"class_style_error": _error(apart)}
        pictures = _pictures(apart, flat.model) | {
            "errors": _error_lines(columns),
            "rates": plots.lines(
                {"100 labels": (list(RATES), *_columns(rates))}, "share of supervised batches", "error, %"
            ),
            "curves": curves(apart),
        }
        few_labels = [run for runs in by_labels.values() for run in runs]
        return request.write(figures, pictures, [*bound, *plain, *few_labels, flat, apart], _report(figures))


def _errors(columns: dict[int, list[float]]) -> dict[str, Any]:
    """Mean and standard deviation of the errors for each number of labels, beside the published ones."""
    figures: dict[str, Any] = {}
    for labels, errors in columns.items():
        mean, deviation = _spread(errors)
        figures |= {f"error_{labels}": mean, f"error_{labels}_sd": deviation, f"error_{labels}_runs": errors}
        figures |= {f"published_{labels}": PUBLISHED[labels], f"published_m2_{labels}": PUBLISHED_M2[labels]}
    return figures


def _error_lines(columns: dict[int, list[float]]) -> Any:
    """Errors against the number of labels, ours and those published."""
    lines = {
        "coset": (list(LABELS), *_columns(columns)),
        "Siddharth et al.": (list(LABELS), [PUBLISHED[labels] for labels in LABELS], None),
        "Kingma et al., M2": (list(LABELS), [PUBLISHED_M2[labels] for labels in LABELS], None),
    }
    return plots.lines(lines, "labels", "error, %")


def _pictures(apart: Run, flat: Any) -> dict[str, Tensor]:
    """Analogies of a digit of each class, and the plane of styles of two classes."""
    shown = _one_of_each(apart.splits["test"])
    axis = torch.linspace(-2.5, 2.5, 12)
    places = torch.cartesian_prod(-axis, axis).flip(1)  # rows from top to bottom, columns from left to right
    planes = [flat.decode_styles(code, places).cpu().unflatten(0, (12, 12)) for code in (2, 4)]
    return {
        "analogies": torch.cat([shown.unsqueeze(1), apart.model.analogies(shown).cpu()], 1),
        "styles": torch.cat(planes, 1),
    }


def _report(figures: dict[str, Any]) -> str:
    lines = [
        f"{labels:>5} labels: {figures[f'error_{labels}']:.2f} ± {figures[f'error_{labels}_sd']:.2f} % "
        f"(published {PUBLISHED[labels]}, M2 {PUBLISHED_M2[labels]})"
        for labels in LABELS
    ]
    lines.append(
        f"style drawn anew, the class read: {figures['class_kept_prior_style']:.1f} %, style of another digit: "
        f"{figures['class_kept_borrowed_style']:.1f} %; style moved by {figures['style_moved']:.2f} of chance"
    )
    return "\n".join(lines)


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
