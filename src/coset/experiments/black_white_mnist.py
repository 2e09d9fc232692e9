"""Black & white MNIST: thesis section 6.4.1, figures 6.2-6.4."""

from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.datasets.black_white import read_background, without_background
from coset.experiments.shared.composition import training_sets
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.metrics import conditional_accuracy, load_or_train_classifier
from coset.runs import Run


class BlackWhiteMNIST(Experiment):
    """Black & white MNIST: thesis section 6.4.1, figures 6.2-6.4."""

    aliases = ("thesis-figure-6.2", "thesis-figure-6.3", "thesis-figure-6.4")
    label = "black & white MNIST"
    rows = (
        Row("digit kept, %", "digit_right"),
        Row("background kept, %", "background_right"),
        Row("black backgrounds given a digit, %", "black_share"),
        Row("entropy of digits given a background, bits", "digit_entropy_bits"),
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        run, seed = request.run(request.name), request.seed
        train, test = run.splits["train"], run.splits["test"]
        classifier = load_or_train_classifier(
            train.where(background="black"), "digit", cache=request.runs / "classifiers"
        )

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
            "sets": plots.grid(training_sets(run, seed)),
            "sampled": _each_constant(run, seed),
            "conditioned": _conditioned(run, seed),
            "curves": curves(run),
        }
        report = "\n".join(f"{key}: {value:.2f}" for key, value in figures.items() if isinstance(value, float))
        return request.write(figures, pictures, [run], report)


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
