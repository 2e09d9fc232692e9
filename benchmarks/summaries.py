"""Choosing 6 of 50 images that say of a set what all do, beside one pass of the network for every candidate.

python benchmarks/summaries.py
"""

import argparse
import json
import time

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from coset.models import NeuralStatistician


def one_pass_per_candidate(model: NeuralStatistician, x: Tensor, keep: int) -> list[int]:
    """The same greedy choice, each candidate's rest read anew."""
    left = list(range(len(x)))
    whole = model.posterior(x)
    while len(left) > keep:
        losses = [
            float(kl_divergence(whole, model.posterior(x[[other for other in left if other != item]]))) for item in left
        ]
        left.pop(losses.index(min(losses)))
    return left


def main() -> None:
    """Time both on the same set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=50)
    parser.add_argument("--keep", type=int, default=6)
    parser.add_argument("--side", type=int, default=28, help="of the images")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = NeuralStatistician((options.side, options.side), channels=[4, 8, 16], features=64, hidden=64).eval()
    x = torch.rand(options.items, options.side, options.side)
    model.summarise(x, keep=options.keep)  # whatever is done once only
    started = time.perf_counter()
    fast = model.summarise(x, keep=options.keep).tolist()
    between = time.perf_counter()
    slow = one_pass_per_candidate(model, x, options.keep)
    figures = {
        "seconds": between - started,
        "seconds_one_pass_per_candidate": time.perf_counter() - between,
        "ratio": (time.perf_counter() - between) / (between - started),
        "same_items": fast == slow,
    }
    print(json.dumps(figures) if options.json else "\n".join(f"{key:<32} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
