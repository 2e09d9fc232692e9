"""Counting digits on canvases (Siddharth et al. 2017, section 4.3)."""

from typing import Any

import torch

import coset.plots as plots
from coset.datasets.multi_mnist import ink_baseline
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.runs import Run

ROWS = ((500, 1), (500, 10), (1000, 1), (1000, 10))
"""Canvases with a known count, and the percentage of canvases shown with it."""
QUIET = "--trainer.enable_progress_bar=false"
PUBLISHED = {"unsupervised": 32.25, "500_1": 6.42, "500_10": 4.21, "1000_1": 4.72, "1000_10": 2.98}


class MultiMNISTCounts(Experiment):
    """Count error by number of labels and supervision rate, on canvases whose ink does not tell the count.

    Theirs are 0 to 3 digits of any ink; in ours all canvases with digits have ink of one distribution, so that
    `ink_baseline` is at chance on them, and blank canvases, which anything tells apart, are a quarter as in theirs.
    `*_with_digits` is the error on canvases of 1 to 3.
    """

    label = "multi-MNIST, digits counted"
    rows = tuple(
        Row(
            f"error, {labels} labels at {rate} %",
            f"count_error_{labels}_{rate}",
            published=f"published_{labels}_{rate}",
        )
        for labels, rate in ((500, 1), (500, 10), (1000, 1), (1000, 10))
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        digits = request.run("class-style-mnist")
        runs: dict[str, Run] = {}
        for labels, percent in ROWS:
            own = row_overrides(labels, percent)
            runs[f"{labels}_{percent}"] = request.run(request.name, {"digit": digits}, f"{labels}-{percent}", own)
        none = ("--sets.supervision={factors: [count], rate: 0}", "--training.steps=300")
        runs["unsupervised"] = request.run(request.name, {"digit": digits}, "unsupervised", (*none, QUIET))
        test = runs["1000_10"].splits["test"]
        x, counts = test.x(), test.factors["count"]
        figures: dict[str, Any] = {}
        for name, run in runs.items():
            read = torch.cat([run.model.count(part).argmax(-1).cpu() for part in x.split(500)])
            figures[f"count_error_{name}"] = 100 * float((read != counts).double().mean())
            some = counts > 0
            figures[f"count_error_{name}_with_digits"] = 100 * float((read != counts)[some].double().mean())
            figures[f"published_{name}"] = PUBLISHED[name]
        figures["ink_baseline_error"] = 100 * (1 - ink_baseline(test))
        figures["ink_baseline_error_with_digits"] = 100 * (1 - ink_baseline(test[counts > 0]))
        best = runs["1000_10"].model
        torch.manual_seed(request.seed)
        shown = torch.stack([x[counts == count][:10] for count in range(4)])  # [4, 10, side, side]
        again = torch.stack([best.reconstruct(row).cpu() for row in shown])
        pictures = {
            "reconstructed": plots.pair(shown, again, titles=("canvases", "counted and drawn again")),
            "sampled": torch.stack([best.sample(10, count=count).cpu() for count in range(4)]),
            "curves": curves(runs["1000_10"]),
        }
        report = "\n".join(
            f"{name:>13}: {figures[f'count_error_{name}']:.2f} % (published {PUBLISHED[name]}), on canvases with "
            f"digits {figures[f'count_error_{name}_with_digits']:.2f} %"
            for name in runs
        )
        report += (
            f"\nby ink alone: {figures['ink_baseline_error']:.2f} %, {figures['ink_baseline_error_with_digits']:.2f} %"
        )
        return request.write(figures, pictures, list(runs.values()), report)


def row_overrides(labels: int, percent: int) -> tuple[str, ...]:
    """What a row changes of the recipe: the more rarely a label is shown, the more it counts."""
    supervision = f"{{factors: [count], rate: {percent / 100}, mixed: true}}"
    shown = (f"--labels.count={labels}", f"--sets.supervision={supervision}")
    weighed = (f"--objective.bound.weight={20_000 // percent}", f"--training.steps={1000 if percent >= 10 else 1500}")
    return (*shown, *weighed, QUIET)
