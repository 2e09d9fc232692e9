"""Reading a table of many rows and grouping them: seconds, and the most memory beside that of the codes.

python benchmarks/large_tables.py

A factor costs a code of eight bytes for each row, a pattern of sets four more. `seconds_sorting` is what NumPy takes to
find where each value is among those that occur in its column, without grouping.
"""

import argparse
import json
import resource
import time

import numpy as np

import coset


def measure(rows: int, factors: int, values: int) -> dict[str, float]:
    """Seconds of each step, and the growth of memory over both as a multiple of the codes."""
    generator = np.random.default_rng(0)
    columns = {f"factor{index}": generator.integers(0, values, rows) for index in range(factors)}
    items = np.zeros((rows, 1), dtype=np.uint8)
    coset.FactorTable(items[:4], factor0=[0, 0, 1, 1]).sets(["factor0"], items=2)  # whatever is done once only
    before = _peak()
    started = time.perf_counter()
    table = coset.FactorTable(items, **columns)
    read = time.perf_counter()
    table.sets(list(columns), patterns="exactly-one", items=10)
    grouped = time.perf_counter()
    after = _peak()
    for column in columns.values():
        np.unique(column, return_inverse=True)
    return {
        "seconds_read": read - started,
        "seconds_group": grouped - read,
        "seconds_together": grouped - started,
        "seconds_sorting": time.perf_counter() - grouped,
        "memory_over_codes": (after - before) / (8 * rows * factors),
    }


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--factors", type=int, default=3)
    parser.add_argument("--values", type=int, default=1000, help="of each factor")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures = measure(options.rows, options.factors, options.values)
    lines = [f"{key:<20} {value:.2f}" for key, value in figures.items()]
    print(json.dumps(figures) if options.json else "\n".join(lines))


if __name__ == "__main__":
    main()
