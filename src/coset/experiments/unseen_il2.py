"""Responses to interleukin 2: one cell in ten held out in turn, and predicted from the others."""

from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.cells import cell_moments, find_cells
from coset.data import FactorTable
from coset.datasets import IL2
from coset.experiments.shared.completing import complete_held_out, share_inside
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row
from coset.metrics import unseen_combinations

FACTORS = ("ligand", "cell")
SEEDS = (0, 1, 2)
"""Of the parts that are held out in turn, and of the fit."""
PARTS = 10


class UnseenIL2(Experiment):
    """Complete ligand × kind of cell, each cell once from tables that lack it: R² over all numbers of all cells."""

    label = "IL-2 responses, ligand × cell, one in ten unseen"
    rows = (
        Row("R² of unseen responses", "r2", headline=True),
        Row("R², additive", "r2_additive"),
        Row("R², low rank", "r2_low_rank", headline=True),
        Row("R², kernel ridge", "r2_kernel_ridge"),
    )

    def run(self, request: Request) -> Outcome:
        """Complete, measure and draw."""
        table = IL2().load()
        truth = cell_moments(table, find_cells(table, FACTORS))[0]
        found = [_in_turn(table, truth, seed) for seed in SEEDS]
        r2 = {rule: [_r2(means[rule], truth) for means, _ in found] for rule in found[0][0]}
        inside = [share for _, share in found]
        figures: dict[str, Any] = {"r2": mean(r2["ours"]), "r2_sd": stdev(r2["ours"]), "r2_by_seed": r2}
        figures |= {f"r2_{rule}": mean(values) for rule, values in r2.items() if rule != "ours"}
        figures["inside_90_percent_intervals"] = mean(inside)
        report = "\n".join(f"{rule:<16} R² {mean(values):.3f} ± {stdev(values):.3f}" for rule, values in r2.items())
        shown = {"ours": "ours", "low_rank": "low rank", "additive": "additive"}
        picture = plots.against(truth, {label: found[0][0][rule] for rule, label in shown.items()}, "response")
        return request.write(figures, {"predicted": picture}, [], report, seeds=SEEDS)


def _in_turn(table: FactorTable, truth: Tensor, seed: int) -> tuple[dict[str, Tensor], float]:
    """What is predicted of each cell by tables that lack it, by rule `[cells, D]`; percentage in 90 % intervals."""
    cells, means, inside = find_cells(table, FACTORS), {}, 0.0
    order = torch.randperm(len(cells), generator=torch.Generator().manual_seed(seed))
    for part in order.chunk(PARTS):
        out = torch.isin(cells.row_cell, part)
        seen, held_out = table[~out], table[out]
        completion = complete_held_out(seen, held_out, FACTORS, seed)
        result = unseen_combinations(completion.mean, seen, held_out, FACTORS, seed=seed)
        for rule, predicted in result.means.items():
            means.setdefault(rule, torch.zeros_like(truth))[part.sort().values] = predicted.flatten(1)
        inside += share_inside(completion, held_out, seen) * len(part) / len(cells)
    assert bool((means.pop("truth") == truth).all())
    return means, inside


def _r2(predicted: Tensor, truth: Tensor) -> float:
    return 1 - float((predicted - truth).square().sum() / (truth - truth.mean(0)).square().sum())
