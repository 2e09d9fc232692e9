"""Sprites of combinations that were never seen, put together from others: to an element, and to a range."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.cells import find_cells
from coset.data import FactorTable
from coset.datasets import Sprites
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.experiments.shared.recombining import recombine, right
from coset.metrics import ImageClassifier, load_or_train_classifier
from coset.models.context_aware import TIED
from coset.runs import Run

SEEDS = (0, 1, 2)
"""Training seeds."""
SPLITS = ("element", "range")
"""What is left out: one combination, or a range of one factor for a value of another (Montero et al. 2021)."""
CELLS = 200
"""Combinations that are asked for, drawn at random where more are left out."""
EACH = 8
"""Items composed for each combination, and in a set that is shown."""
ALIKE = {"square": 90, "ellipse": 180, "heart": 360}
"""Degrees after which a shape looks the same."""

FREE = (
    "--model.actions=null",
    "--model.z_dim=10",
    *(f"--schedule.{end}={TIED['schedule'][end]}" for end in ("first", "last")),
)
"""The learner without actions, with the weights that are its default."""

WAYS: Mapping[str, tuple[str, Sequence[str]]] = {
    "acting": ("unseen-sprites", ()),
    "free": ("unseen-sprites", FREE),
    "vae": ("unseen-sprites-codes", ()),
    "beta_vae": ("unseen-sprites-codes", ("--objective.name=beta-vae",)),
}
"""Name → recipe, and overrides: contexts that act, contexts that do not, and codes without names."""


class UnseenSprites(Experiment):
    """Leave combinations of five factors out, compose them, and read all factors."""

    label = "sprites, combinations never seen"
    rows = tuple(
        Row(f"factors read right, {split} left out, {name}, %", f"read_{way}_{split}")
        for split in SPLITS
        for name, way in (
            ("contexts act", "acting"),
            ("no context acts", "free"),
            ("VAE", "vae"),
            ("β-VAE", "beta_vae"),
            ("nearest seen item", "nearest"),
        )
    )

    def run(self, request: Request) -> Outcome:
        """Train, compose and read."""
        figures: dict[str, Any] = {}
        pictures: dict[str, Any] = {}
        every: list[Run] = []
        for split in SPLITS:
            runs = {way: [_run(request, split, way, seed) for seed in SEEDS] for way in WAYS}
            every += [run for each in runs.values() for run in each]
            for way, each in runs.items():
                found = [request.once(run, "read", lambda run=run: _measure(run, request.seed)) for run in each]
                for name in found[0]:
                    values, label = [one[name] for one in found], f"{name}_{way}_{split}"
                    figures |= {label: mean(values), f"{name}_sd_{way}_{split}": stdev(values)}
            first = runs["acting"][0]
            figures |= {f"{name}_{split}": value for name, value in _limits(first, request.seed).items()}
            pictures[split] = _picture({way: each[0] for way, each in runs.items()}, request.seed)
            pictures[f"{split}-curves"] = curves(first)
        return request.write(figures, pictures, every, _report(figures))


def _run(request: Request, split: str, way: str, seed: int) -> Run:
    recipe, overrides = WAYS[way]
    told = [*overrides, f"--data.split={split}", f"--training.seed={seed}"]
    return request.run(recipe, label=f"{way}-{split}-{seed}", overrides=told)


def _measure(run: Run, seed: int) -> dict[str, float]:
    """Percentages of factors that are read as they should be in what is composed."""
    wanted = _wanted(run, seed)
    made = recombine(run, run.splits["validation"], wanted, EACH, seed)
    return _scores(run, made, {name: levels.repeat_interleave(EACH) for name, levels in wanted.items()})


def _limits(run: Run, seed: int) -> dict[str, float]:
    """The same of the true items, and of the nearest that was seen: with one factor as it may be, all others right."""
    test, train, wanted = run.splits["test"], run.splits["train"], _wanted(run, seed)
    found, levels = _levels(test), _levels(train)
    asked = torch.stack(list(wanted.values()), 1)
    same = (asked[:, None] == levels[None]).sum(-1)  # [cells, n]
    real = _scores(run, test.x(), dict(zip(wanted, found.T, strict=True)))
    nearest = _scores(run, train.x(same.argmax(1)), wanted)
    return {f"{name}_real": value for name, value in real.items()} | {
        f"{name}_nearest": value for name, value in nearest.items()
    }


def _levels(table: FactorTable) -> Tensor:
    return torch.stack([torch.as_tensor(codes) for codes in table.factors.values()], 1)


def _wanted(run: Run, seed: int) -> dict[str, Tensor]:
    """Factor → level in each of some combinations that are left out."""
    test = run.splits["test"]
    levels = find_cells(test, list(test.factors)).levels
    chosen = torch.randperm(len(levels), generator=torch.Generator().manual_seed(seed))[:CELLS]
    return dict(zip(test.factors, levels[chosen].T, strict=True))


def _scores(run: Run, x: Tensor, levels: Mapping[str, Tensor]) -> dict[str, float]:
    """Percentages that are read right: of each factor, of all factors taken one by one, and of whole items."""
    readers, values = _readers(run), run.splits["test"].values
    shapes, angles = ([values[name][level] for level in levels[name].tolist()] for name in ("shape", "orientation"))
    seen = torch.tensor([readers["orientation"].values.index(angle) for angle in _visible(shapes, angles)])
    hits = right(readers, x, {**levels, "orientation": seen}).double()
    each = dict(zip(readers, (100 * hits.mean(0)).tolist(), strict=True))
    return each | {"read": mean(each.values()), "whole": 100 * float(hits.all(1).double().mean())}


def _visible(shapes: Sequence[str], angles: Sequence[int]) -> list[int]:
    """The smallest angle at which each shape looks as it does."""
    return [angle % ALIKE[shape] for shape, angle in zip(shapes, angles, strict=True)]


def _readers(run: Run) -> dict[str, ImageClassifier]:
    """Classifiers of each factor, trained on all combinations."""
    data: Sprites = run.recipe.data()
    table, cache = data.load(), run.folder.parent / "classifiers"
    factors = {name: table.column(name) for name in table.factors}
    factors["orientation"] = _visible(factors["shape"], factors["orientation"])
    looks = FactorTable(table.x(), **factors)
    return {name: load_or_train_classifier(looks, name, cache=cache, steps=2000, augment=False) for name in factors}


def _picture(runs: Mapping[str, Run], seed: int) -> Any:
    """What was asked for, and below it what each way made."""
    first = runs["acting"]
    test, wanted = first.splits["test"], {name: levels[:10] for name, levels in _wanted(first, seed).items()}
    asked = torch.stack(list(wanted.values()), 1)
    true = test.x((asked[:, None] == _levels(test)[None]).all(-1).int().argmax(1))
    rows = [recombine(run, run.splits["validation"], wanted, EACH, seed)[::EACH] for run in runs.values()]
    return plots.grid(torch.stack([true, *rows]), row_labels=["true", *runs])


def _report(figures: Mapping[str, Any]) -> str:
    lines = []
    for split in SPLITS:
        for way in WAYS:
            told = ", ".join(f"{name} {figures[f'{name}_{way}_{split}']:.1f}" for name in ("read", "whole", "shape"))
            lines.append(f"{split:<10}{way:<10}{told}")
        limits = (f"{name} {figures[f'{name}_{split}']:.1f}" for name in ("read_real", "read_nearest", "whole_nearest"))
        lines.append(f"{split:<20}" + ", ".join(limits))
    return "\n".join(lines)
