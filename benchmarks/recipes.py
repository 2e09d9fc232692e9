"""What a training step of each recipe costs, and how much of what this machine can do it uses.

`python benchmarks/recipes.py demo rotated-mnist-4` trains recipes for a few steps, on one thread or on `--threads`. Any
override that `coset train` takes can be tried, such as `--override=--trainer.precision=bf16-mixed`. Operations are
those of matrix products and convolutions, forwards and backwards, as `torch.utils.flop_counter` has them; the peak is
what a product of two matrices of 2,048 × 2,048 numbers reaches.
"""

import argparse
import json
import statistics
import time
from typing import Any

import lightning
import torch
from operations import peak
from torch.utils.flop_counter import FlopCounterMode

from coset.console import keep_memory
from coset.recipes import Recipe, load_recipe, recipe_names
from coset.training import fit

WARM = 3
"""Steps before any is counted: weights of a schedule rise in the first tenth, and memory is asked for."""


class Meter(lightning.Callback):
    """Counts the operations of one step, and takes the time of those after it."""

    def __init__(self) -> None:
        self.operations, self.seconds, self.counter, self.began = 0, [], FlopCounterMode(display=False), 0.0

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        """Begin."""
        if trainer.global_step == WARM:
            self.counter.__enter__()
        self.began = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """End, with the number of steps already raised by one."""
        if trainer.global_step == WARM + 1:
            self.counter.__exit__(None, None, None)
            self.operations = self.counter.get_total_flops()
        elif trainer.global_step > WARM + 1:
            self.seconds.append(time.perf_counter() - self.began)


def measure(recipe: Recipe, steps: int, most: float) -> dict[str, float]:
    """Cost of a step, and of the recipe."""
    meter, table, options = Meter(), recipe.splits()["train"], recipe.fit_options()
    torch.manual_seed(0)
    model = recipe.model(table)
    planned = options.get("steps") or options["epochs"] * len(table.sets(model.contexts, **options["sets"]))
    options |= {"epochs": None, "steps": WARM + 1 + steps, "enable_progress_bar": False, "callbacks": [meter]}
    fit(model, table, **options)
    seconds = statistics.median(meter.seconds)
    return {
        "gflop_a_step": meter.operations / 1e9,
        "milliseconds_a_step": 1e3 * seconds,
        "gflop_a_second": meter.operations / seconds / 1e9,
        "percent_of_peak": 100 * meter.operations / seconds / most,
        "hours": planned * seconds / 3600,
        "petaflop": planned * meter.operations / 1e15,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", nargs="*", default=recipe_names(), help="names; all by default")
    parser.add_argument("--steps", type=int, default=5, help="of which the time is taken")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--override", action="append", default=[], help="of every recipe")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_memory()
    most = peak()
    found: dict[str, Any] = {"peak_gflop_a_second": round(most / 1e9, 1)}
    for name in given.recipes:
        cost = measure(load_recipe(name, given.override), given.steps, most)
        found[name] = {key: round(value, 3) for key, value in cost.items()}
        if not given.json:
            print(f"{name:<32}" + "".join(f"{value:>12.3f} {key}" for key, value in found[name].items()), flush=True)
    print(json.dumps(found) if given.json else f"peak: {most / 1e9:.1f} GFLOP/s on {given.threads} thread(s)")


if __name__ == "__main__":
    main()
