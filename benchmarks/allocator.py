"""What a step asks the system for, with glibc's allocator as it is and as the command sets it.

`python benchmarks/allocator.py` trains the default model of small pictures in processes of their own, A B A B, and
prints medians: page faults of a step, its processor time, and the largest memory.
"""

import argparse
import json
import resource
import statistics
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

import coset
from coset.console import keep_memory


def measure(kept: bool, steps: int) -> tuple[float, float, float]:
    """Page faults and milliseconds of a step, and megabytes at most."""
    if kept and not keep_memory():
        raise SystemExit("this is not glibc, or MALLOC_MMAP_THRESHOLD_ or MALLOC_TRIM_THRESHOLD_ is set")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = torch.arange(2000)
    table = coset.FactorTable(torch.randint(256, (2000, 8, 8), dtype=torch.uint8), digit=rows % 10, rotation=rows % 7)
    model = coset.ContextAwareLearner.for_data(table, ["digit", "rotation"], architecture="dense")
    options = {"sets": {"items": 10, "batch": 32}, "enable_progress_bar": False, "accelerator": "cpu"}
    coset.fit(model, table, steps=3, **options)
    before = resource.getrusage(resource.RUSAGE_SELF)
    coset.fit(model, table, steps=steps, **options)
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (after.ru_minflt - before.ru_minflt) / steps, 1000 * seconds / steps, after.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        found = [pool.submit(measure, kept, given.steps).result() for _ in range(given.pairs) for kept in (False, True)]
    figures = {}
    for column, name in enumerate(("page_faults", "milliseconds", "peak_mb")):
        plain, kept = (statistics.median(one[column] for one in found[start::2]) for start in (0, 1))
        figures |= {name: round(plain, 2), f"{name}_kept": round(kept, 2), f"{name}_ratio": round(plain / kept, 3)}
    print(
        json.dumps(figures) if given.json else "\n".join(f"{name:<24} {value:10.2f}" for name, value in figures.items())
    )


if __name__ == "__main__":
    main()
