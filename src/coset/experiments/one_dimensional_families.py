"""One-dimensional families: what the context of a set of numbers tells about their distribution (thesis 5.3.1)."""

from dataclasses import dataclass
from typing import Any

import torch
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from torch import Tensor

import coset.plots as plots
from coset.datasets.families import FAMILIES, draw_families
from coset.datasets.families_posterior import exact_posterior
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves

SIZES = (5, 20, 200, 1000)
TRAINING_SETS, TEST_SETS = 4000, 1000
CELLS = 64
"""Of the grid on which Bayes' rule is computed."""
MOMENTS = ("mean", "variance")
OF = {"drawn": "", "sample": "_sample"}
"""Endings of figures about the distribution that a set was drawn from, and about the set itself."""


@dataclass(frozen=True)
class Sets:
    """Sets of numbers with what they were drawn from, and the contexts a model reads from them."""

    numbers: Tensor
    context: Tensor
    width: float
    family: Tensor
    drawn: dict[str, Tensor]
    sample: dict[str, Tensor]


class OneDimensionalFamilies(Experiment):
    """Family by nearest neighbours, mean and variance by linear regression, from contexts; on sets of other sizes too.

    Neighbours and regressions know sets of the training size only. R² is given against the mean and variance of the
    distribution that a set was drawn from, and against those of the set itself (`*_sample`). Beside it stand the sample
    mean and variance (`best_*`, for who knows the family), the posterior's mean of who knows all distributions
    (`bayes_*`), which bounds what anything can reach, and a regression of third degree (`*_cubic`), which tells what
    the contexts hold from how straight they hold it.
    """

    aliases = ("thesis-figure-5.3", "thesis-figure-5.4")
    label = "one-dimensional families"
    rows = (
        Row("family named right, %", "family_accuracy"),
        Row("R² of the mean", "mean_r2"),
        Row("R² of the mean, by Bayes' rule from all distributions", "bayes_mean_r2"),
        Row("R² of the set's own mean", "mean_r2_sample"),
        Row("R² of the variance", "variance_r2"),
        Row("R² of the variance, by Bayes' rule from all distributions", "bayes_variance_r2"),
        Row("R² of the set's own variance", "variance_r2_sample"),
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        run = request.run(request.name)
        items = run.recipe.data().items
        known = _read(run.model, TRAINING_SETS, items, seed=request.seed + 10_001)
        neighbours = KNeighborsClassifier(5).fit(known.context, known.family)
        regressions = {
            (kind, moment, degree): _Regression(known, getattr(known, kind)[moment], degree)
            for kind in OF
            for moment in MOMENTS
            for degree in (1, 3)
        }
        figures: dict[str, Any] = {"by_size": {}}
        read = {size: _read(run.model, TEST_SETS, size, seed=request.seed + 20_001) for size in SIZES}
        for size in SIZES:
            unseen = read[size]
            evidence, *exact = exact_posterior(unseen.numbers, CELLS)
            row: dict[str, Any] = {
                "family_accuracy": 100 * float(neighbours.score(unseen.context, unseen.family)),
                "bayes_family_accuracy": 100 * float((evidence.argmax(1) == unseen.family).float().mean()),
                "context_width": unseen.width,
            }
            for moment, expected in zip(MOMENTS, exact, strict=True):
                truth = unseen.drawn[moment]
                for kind, ending in OF.items():
                    target = getattr(unseen, kind)[moment]
                    found = {degree: regressions[kind, moment, degree](unseen) for degree in (1, 3)}
                    row[f"{moment}_r2{ending}"] = _within(target, found[1], unseen.family)
                    row[f"{moment}_r2{ending}_cubic"] = _within(target, found[3], unseen.family)
                estimates = {
                    "": regressions["drawn", moment, 1](unseen),
                    "best_": unseen.sample[moment],
                    "bayes_": expected.gather(1, unseen.family[:, None])[:, 0],
                }
                for who, estimate in estimates.items():
                    row[f"{who}{moment}_error"] = float((estimate - truth).square().mean().sqrt())
                    row[f"{who}{moment}_r2"] = _within(truth, estimate, unseen.family)
            figures["by_size"][str(size)] = row
        figures |= figures["by_size"][str(items)]
        unseen = read[items]
        names = [FAMILIES[code] for code in unseen.family]
        pictures = {
            "families": plots.space(unseen.context, names, title="family"),
            "means": plots.space(unseen.context, unseen.drawn["mean"], title="mean"),
            "variances": plots.space(unseen.context, unseen.drawn["variance"], title="variance"),
            "curves": curves(run),
        }
        header = "items  family % (Bayes)   mean R² (Bayes; set's own)  variance R² (Bayes; set's own)"
        lines = [
            f"{size:>5}  {row['family_accuracy']:8.1f} ({row['bayes_family_accuracy']:.1f})  "
            + "  ".join(
                f"{row[f'{moment}_r2']:8.3f} ({row[f'bayes_{moment}_r2']:.3f}; {row[f'{moment}_r2_sample']:.3f})   "
                for moment in MOMENTS
            )
            for size, row in figures["by_size"].items()
        ]
        return request.write(figures, pictures, [run], "\n".join([header, *lines]))


class _Regression:
    """Within each family, a polynomial of the context."""

    def __init__(self, known: Sets, target: Tensor, degree: int):
        self.fits = [
            make_pipeline(PolynomialFeatures(degree), LinearRegression()).fit(
                known.context[known.family == code], target[known.family == code]
            )
            for code in range(len(FAMILIES))
        ]

    def __call__(self, sets: Sets) -> Tensor:
        found = torch.empty(len(sets.family))
        for code, fit in enumerate(self.fits):
            rows = sets.family == code
            found[rows] = torch.as_tensor(fit.predict(sets.context[rows])).float()
        return found


def _read(model: Any, sets: int, items: int, seed: int) -> Sets:
    x, family, mean, variance = draw_families(sets, items, seed)
    posteriors = [model.posterior(part) for part in x.split(max(1, 100_000 // items))]
    numbers = x.squeeze(-1)
    return Sets(
        numbers=x,
        context=torch.cat([each.mean for each in posteriors]).cpu(),
        width=float(torch.cat([each.stddev for each in posteriors]).mean()),
        family=family,
        drawn={"mean": mean, "variance": variance},
        sample={"mean": numbers.mean(1), "variance": numbers.var(1)},
    )


def _within(truth: Tensor, found: Tensor, family: Tensor) -> float:
    """R² inside a family, averaged over families."""
    values = []
    for code in range(len(FAMILIES)):
        rows = family == code
        rest = (truth[rows] - found[rows]).square().sum()
        values.append(1 - rest / (truth[rows] - truth[rows].mean()).square().sum())
    return float(torch.stack(values).mean())
