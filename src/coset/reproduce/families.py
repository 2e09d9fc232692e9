"""One-dimensional families: what the context of a set of numbers tells about their distribution (thesis 5.3.1)."""

from dataclasses import dataclass
from typing import Any

import torch
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

import coset.plots as plots
from coset.data.families import FAMILIES, draw_families
from coset.reproduce.outcome import Outcome, Request, curves

SIZES = (5, 20, 200, 1000)
TRAINING_SETS, TEST_SETS = 4000, 1000
OF = {"drawn": "", "sample": "_sample"}
"""Endings of figures about the distribution that a set was drawn from, and about the set itself."""


@dataclass(frozen=True)
class Sets:
    """Sets of numbers with what they were drawn from, and the contexts a model reads from them."""

    context: Tensor
    family: Tensor
    drawn: dict[str, Tensor]
    sample: dict[str, Tensor]


def one_dimensional_families(request: Request) -> Outcome:
    """Family by nearest neighbours, mean and variance by linear regression, from contexts; on sets of other sizes too.

    Neighbours and regressions know sets of the training size only. R² is given against the mean and variance of the
    distribution that a set was drawn from, and against those of the set itself: no estimator, not even the best that
    knows the family, tells the former from 200 numbers as well as R² = 0.99 and 0.95; see `best_*`.
    """
    run = request.run(request.name)
    items = run.recipe.data().items
    known = _read(run.model, TRAINING_SETS, items, seed=request.seed + 10_001)
    neighbours = KNeighborsClassifier(5).fit(known.context, known.family)
    regressions = {
        (kind, moment, code): LinearRegression().fit(
            known.context[known.family == code], getattr(known, kind)[moment][known.family == code]
        )
        for kind in ("drawn", "sample")
        for moment in ("mean", "variance")
        for code in range(len(FAMILIES))
    }
    figures: dict[str, Any] = {"by_size": {}}
    for size in SIZES:
        unseen = _read(run.model, TEST_SETS, size, seed=request.seed + 20_001)
        row: dict[str, Any] = {
            "family_accuracy": 100 * float(neighbours.score(unseen.context, unseen.family)),
            "context_width": float(unseen.sample["width"].mean()),
        }
        for moment in ("mean", "variance"):
            truth, best = unseen.drawn[moment], unseen.sample[moment]
            for kind in ("drawn", "sample"):
                found = torch.empty(len(truth))
                for code in range(len(FAMILIES)):
                    rows = unseen.family == code
                    predicted = regressions[kind, moment, code].predict(unseen.context[rows])
                    found[rows] = torch.as_tensor(predicted).float()
                target = getattr(unseen, kind)[moment]
                row[f"{moment}_r2{OF[kind]}"] = _within(target, found, unseen.family)
                if kind == "drawn":
                    row[f"{moment}_error"] = float((found - truth).square().mean().sqrt())
            row[f"best_{moment}_error"] = float((best - truth).square().mean().sqrt())
            row[f"best_{moment}_r2"] = _within(truth, best, unseen.family)
        figures["by_size"][str(size)] = row
    figures |= {key: value for key, value in figures["by_size"][str(items)].items()}
    unseen = _read(run.model, TEST_SETS, items, seed=request.seed + 20_001)
    names = [FAMILIES[code] for code in unseen.family]
    pictures = {
        "families": plots.space(unseen.context, names, title="family"),
        "means": plots.space(unseen.context, unseen.drawn["mean"], title="mean"),
        "variances": plots.space(unseen.context, unseen.drawn["variance"], title="variance"),
        "curves": curves(run),
    }
    header = "items  family %  mean R² (set's own)  variance R² (set's own)  mean error (best)  variance error (best)"
    lines = [
        f"{size:>5}  {row['family_accuracy']:8.1f}  {row['mean_r2']:7.3f} ({row['mean_r2_sample']:.3f})  "
        f"{row['variance_r2']:15.3f} ({row['variance_r2_sample']:.3f})  "
        f"{row['mean_error']:13.3f} ({row['best_mean_error']:.3f})  "
        f"{row['variance_error']:13.3f} ({row['best_variance_error']:.3f})"
        for size, row in figures["by_size"].items()
    ]
    return request.write(figures, pictures, [run], "\n".join([header, *lines]))


def _read(model: Any, sets: int, items: int, seed: int) -> Sets:
    x, family, mean, variance = draw_families(sets, items, seed)
    posteriors = [model.posterior(part) for part in x.split(max(1, 100_000 // items))]
    width = torch.cat([each.base_dist.scale.mean(-1) for each in posteriors]).cpu()
    numbers = x.squeeze(-1)
    return Sets(
        context=torch.cat([each.mean for each in posteriors]).cpu(),
        family=family,
        drawn={"mean": mean, "variance": variance},
        sample={"mean": numbers.mean(1), "variance": numbers.var(1), "width": width},
    )


def _within(truth: Tensor, found: Tensor, family: Tensor) -> float:
    """R² inside a family, averaged over families."""
    values = []
    for code in range(len(FAMILIES)):
        rows = family == code
        rest = (truth[rows] - found[rows]).square().sum()
        values.append(1 - rest / (truth[rows] - truth[rows].mean()).square().sum())
    return float(torch.stack(values).mean())
