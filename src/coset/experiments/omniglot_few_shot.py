"""Few-shot classification of characters of alphabets never trained on (Edwards & Storkey 2016, section 5.4)."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.data import FactorTable
from coset.datasets.mnist import MNIST
from coset.datasets.omniglot import one_shot_runs
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.metrics import context_accuracy, draw_episodes, neighbour_accuracy
from coset.runs import Run

NUMBERS = {1: "one", 5: "five", 10: "ten", 20: "twenty"}
RECIPES = ("omniglot", "omniglot-vae")
TASKS = ((5, 1), (5, 5), (20, 1), (20, 5))
"""Ways and shots."""
EPISODES = 1000
DIGITS = 1000
"""Digits of each class that episodes are drawn from."""
PUBLISHED = {"five_way_one_shot": 98.1, "twenty_way_one_shot": 93.2}
"""With all thirty alphabets of training data."""


class OmniglotFewShot(Experiment):
    """Train on five alphabets and test on five others, then the other way round; digits of MNIST besides."""

    label = "Omniglot, unseen alphabets (published: trained on 30 alphabets, ours on 5)"
    rows = (
        Row("5-way 1-shot, %", "five_way_one_shot", published="published_five_way_one_shot", headline=True),
        Row("5-way 5-shot, %", "five_way_five_shot"),
        Row("20-way 1-shot, %", "twenty_way_one_shot", published="published_twenty_way_one_shot"),
        Row("20-way 5-shot, %", "twenty_way_five_shot"),
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        pairs = []
        for half, other in ((1, 2), (2, 1)):
            split = [f"--data.train=small{half}", f"--data.test=small{other}"]
            context, autoencoder = (request.run(name, label=str(half), overrides=split) for name in RECIPES)
            pairs.append((context, autoencoder))
        halves: list[dict[str, Any]] = []
        for run, autoencoder in pairs:
            found = _score(run, autoencoder, run.splits["test"], "character", TASKS, request.seed)
            found["digits"] = _score(
                run, autoencoder, _digits(), "digit", ((5, 1), (5, 5), (10, 1), (10, 5)), request.seed
            )
            found["published_runs_twenty_way_one_shot"] = _published_runs(run)
            halves.append(found)
        figures: dict[str, Any] = {"first_to_second": halves[0], "second_to_first": halves[1]}
        for ways, shots in TASKS:
            task = _task(ways, shots)
            for method in ("context", "pixels", "vae"):
                name = task if method == "context" else f"{task}_{method}"
                figures[name] = sum(half[task][method]["mean"] for half in halves) / 2
        figures |= {f"published_{task}": value for task, value in PUBLISHED.items()}
        run = pairs[0][0]
        torch.manual_seed(request.seed)
        sets = run.splits["test"].sets(["character"], items=10, batch=10, seed=request.seed).draw(0).x
        chosen = run.model.summarise(sets, keep=3).cpu()
        summary = torch.stack([part[rows] for part, rows in zip(sets, chosen, strict=True)])
        pictures = {
            "conditioned": plots.conditioning(sets, run.model.condition(sets, n=10).cpu()),
            "summarised": plots.pair(sets, summary, titles=("sets", "three items that say the same")),
            "curves": curves(run),
        }
        lines = [
            f"{half}  {task:<21} "
            + ", ".join(f"{method} {found['mean']:.1f} ± {found['interval']:.1f} %" for method, found in row.items())
            for half, table in (("1 → 2", halves[0]), ("2 → 1", halves[1]))
            for task, row in [*table.items(), *((f"digits {task}", row) for task, row in table["digits"].items())]
            if isinstance(row, dict) and "context" in row
        ]
        return request.write(figures, pictures, [each for pair in pairs for each in pair], "\n".join(lines))


def _task(ways: int, shots: int) -> str:
    return f"{NUMBERS[ways]}_way_{NUMBERS[shots]}_shot"


def _score(
    run: Run, autoencoder: Run, table: FactorTable, factor: str, tasks: tuple[tuple[int, int], ...], seed: int
) -> dict[str, Any]:
    x = table.x()
    codes = {"pixels": x.flatten(1), "vae": _embed(autoencoder.model, x)}
    found: dict[str, Any] = {}
    for ways, shots in tasks:
        episodes = draw_episodes(table, factor, ways, shots, episodes=EPISODES, seed=seed)
        row = {"context": asdict(context_accuracy(run.model, table, episodes))}
        row |= {name: asdict(neighbour_accuracy(each, episodes)) for name, each in codes.items()}
        found[_task(ways, shots)] = row
    return found


def _embed(model: Any, x: Tensor) -> Tensor:
    return torch.cat([model.embed(part).cpu() for part in x.split(1000)])


def _digits() -> FactorTable:
    """Test digits of MNIST, equally many of each."""
    test = MNIST().load()[1]
    rows = [(test.factors["digit"] == code).nonzero()[:, 0] for code in range(10)]
    return test[torch.cat([part[: min(DIGITS, *(len(other) for other in rows))] for part in rows])]


def _published_runs(run: Run) -> float:
    """Percentage right in the 20 published runs, whose characters are of one alphabet each."""
    classes, items, answers = one_shot_runs(side=run.model.item_shape[-1])
    right = [
        (run.model.classify(asked, known.unsqueeze(1)).cpu() == answer).double().mean()
        for known, asked, answer in zip(classes, items, answers, strict=True)
    ]
    return 100 * float(torch.stack(right).mean())
