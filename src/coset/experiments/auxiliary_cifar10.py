"""Shapes and colours of photographs in codes of their own, and exchanged (ICLR 2019 submission, 3.1 and 3.2.2)."""

import torch
from torch import Tensor

from coset.experiments.shared.exchanging import (
    exchanged,
    over_seeds,
    photographs_at_hand,
    pictures,
    with_colours_of,
)
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.metrics import colour_distance
from coset.networks.transforms.grey import luminance
from coset.runs import Run

SEEDS = (0, 1, 2)


class AuxiliaryCIFAR10(Experiment):
    """Exchange what shuffled patches keep, which is colours, and what they lose, which is shapes."""

    label = "photographs of CIFAR-10, shuffled patches"
    rows = (
        Row("colours of what is taken over with them, distance of histograms, % of the range", "colours_taken"),
        Row("the same by matching means and deviations of channels", "colours_taken_by_rule"),
        Row("colours of another item", "colours_of_others"),
        Row("shape of what is kept with it, correlation of luminance", "shape_taken"),
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        form = f"--data.form={photographs_at_hand()}"
        runs = [
            request.run(request.name, label=f"{seed}", overrides=[form, f"--training.seed={seed}"]) for seed in SEEDS
        ]
        items = runs[0].splits["test"].x()
        # They may lie class by class, where the item before is of the same kind.
        items = items[torch.randperm(len(items), generator=torch.Generator().manual_seed(request.seed))]
        figures = over_seeds([request.once(run, "exchanged", lambda run=run: measure(run, items)) for run in runs])
        drawn = pictures(runs[0], items, request.seed) | {"curves": curves(runs[0])}
        lines = [f"{name:<32} {value:6.2f}" for name, value in figures.items() if not name.endswith("_sd")]
        return request.write(figures, drawn, runs, "\n".join(lines))


def measure(run: Run, items: Tensor, seed: int = 0) -> dict[str, float]:
    """How far colours are from where they should come from, and how like shapes are to theirs."""
    made, before = exchanged(run, items, seed), items.roll(1, 0)
    ruled = with_colours_of(items, before)
    return {
        "colours_reconstructed": _colours(made["reconstructed"], items),
        "colours_taken": _colours(made["taken"], before),
        "colours_left": _colours(made["global_resampled"], items),
        "colours_given_up": _colours(made["taken"], items),
        "colours_taken_by_rule": _colours(ruled, before),
        "colours_of_others": _colours(items, before),
        "shape_reconstructed": _shape(made["reconstructed"], items),
        "shape_taken": _shape(made["taken"], items),
        "shape_given_up": _shape(made["taken"], before),
        "shape_left": _shape(made["local_resampled"], items),
        "shape_by_rule": _shape(ruled, items),
    }


def _colours(images: Tensor, others: Tensor) -> float:
    return 100 * float(colour_distance(images, others).mean())


def _shape(images: Tensor, others: Tensor) -> float:
    """Mean correlation of the luminance of images with that of others, pixel by pixel."""
    one, other = (luminance(x).flatten(1).double() for x in (images, others))
    one, other = (x - x.mean(1, keepdim=True) for x in (one, other))
    return float(torch.nn.functional.cosine_similarity(one, other, dim=1).mean())
