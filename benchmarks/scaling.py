"""Cost of a training step against items in a set and number of contexts: `python benchmarks/scaling.py`."""

import argparse
import json
import statistics
import time

import torch

import coset
from coset.training import set_terms


def seconds(items: int, contexts: int, total: int, repeats: int, penalties: bool) -> list[float]:
    """Seconds of some training steps on `total` random items."""
    torch.manual_seed(0)
    names = [f"context{index}" for index in range(contexts)]
    model = coset.ContextAwareLearner((784,), names, context_dim=16, features=256, hidden=128)
    sets = max(2, total // items)
    a = torch.eye(contexts)[torch.arange(sets) % contexts]
    batch = coset.SetBatch(torch.rand(sets, items, 784), a, None)
    found = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        bound, penalised = set_terms(model, batch)
        (-(penalised if penalties else bound).value.mean()).backward()
        found.append((time.perf_counter() - start) / (sets * items))
    return found[1:]


def main() -> None:
    """Measure both and print seconds per item, relative to the smallest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total", type=int, default=1000, help="items in a batch")
    parser.add_argument("--repeats", type=int, default=9, help="steps of each kind; the median counts")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    found = {}
    for label, penalties in (("bound", False), ("with penalties", True)):
        by_items = {n: seconds(n, 2, given.total, given.repeats, penalties) for n in (5, 10, 20, 50, 100, 200)}
        by_contexts = {k: seconds(10, k, given.total, given.repeats, penalties) for k in (1, 2, 4, 8)}
        for name, table, first in (("items in a set", by_items, 20), ("contexts", by_contexts, 1)):
            base = statistics.median(table[first])
            found[f"{label}, {name}"] = {
                str(key): round(statistics.median(part) / base, 3) for key, part in table.items()
            }
    if given.json:
        print(json.dumps(found))
    else:
        for name, row in found.items():
            print(f"{name:<32} " + "  ".join(f"{key}: {value:.2f}" for key, value in row.items()))


if __name__ == "__main__":
    main()
