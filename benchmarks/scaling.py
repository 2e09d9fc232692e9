"""Cost of a training step against items in a set and number of contexts: `python benchmarks/scaling.py`."""

import argparse
import json
import time
from collections.abc import Callable

import torch

import coset
from coset.objectives import EvidenceLowerBound
from coset.programs import Programs
from coset.training import default_objective


def prepare(items: int, contexts: int, given: argparse.Namespace) -> Callable[[], float]:
    """A training step on random sets, which returns its seconds per item."""
    torch.manual_seed(0)
    names = [f"context{index}" for index in range(contexts)]
    options = {"context_dim": 16, "features": 256, "hidden": 128, "architecture": given.architecture}
    model = coset.ContextAwareLearner((28, 28), names, **options)
    sets = max(2, given.total // items)
    a = torch.eye(contexts)[torch.arange(sets) % contexts]
    batch = coset.SetBatch(torch.rand(sets, items, 28, 28), a, None)
    objective = default_objective(model) if given.penalties else EvidenceLowerBound()

    def step() -> float:
        start = time.perf_counter()
        (-objective(Programs(model, batch)).weighted({}).mean()).backward()
        return (time.perf_counter() - start) / (sets * items)

    return step


def main() -> None:
    """Measure both and print seconds per item, relative to 20 items and to one context."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total", type=int, default=400, help="items in a batch")
    parser.add_argument("--repeats", type=int, default=7, help="rounds through all sizes; the fastest step counts")
    parser.add_argument("--architecture", choices=("convolutional", "dense"), default="convolutional")
    parser.add_argument("--penalties", action="store_true", help="with those that training subtracts from the bound")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    tables = {
        "items in a set": ({n: prepare(n, 2, given) for n in (5, 10, 20, 50, 100, 200)}, 20),
        "contexts": ({k: prepare(10, k, given) for k in (1, 2, 4, 8)}, 1),
    }
    found = {}
    for name, (steps, first) in tables.items():
        rounds = [{key: step() for key, step in steps.items()} for _ in range(given.repeats + 1)]
        fastest = {key: min(row[key] for row in rounds[1:]) for key in steps}
        found[name] = {str(key): round(value / fastest[first], 3) for key, value in fastest.items()}
    if given.json:
        print(json.dumps(found))
    else:
        for name, row in found.items():
            print(f"{name:<32} " + "  ".join(f"{key}: {value:.2f}" for key, value in row.items()))


if __name__ == "__main__":
    main()
