"""Extended Yale B: a fifth of the pairs of person and light held out, and drawn from the others."""

from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from torch import Tensor

import coset.plots as plots
from coset.data import FactorTable
from coset.datasets import YaleB
from coset.experiments.shared.completing import complete_held_out, share_inside
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row
from coset.metrics import unseen_combinations
from coset.metrics.unseen import UnseenResult

FACTORS = ("identity", "light")
SHARE = 0.2
SPLITS = (0, 1, 2)
SEEDS = (0, 1, 2)
"""Seeds of the fit, for the first split."""
SHOWN = 8
"""Cells that the picture shows."""
RULES = ("truth", "ours", "low_rank", "additive")


class UnseenYaleB(Experiment):
    """Complete person × light with true photographs held out: PSNR in decibels, beside every simple rule."""

    label = "Extended Yale B, 20 % of person × light unseen"
    rows = (
        Row("unseen photographs, PSNR, dB", "psnr", headline=True),
        Row("the same, additive, dB", "psnr_additive"),
        Row("the same, low rank, dB", "psnr_low_rank", headline=True),
        Row("the same, kernel ridge, dB", "psnr_kernel_ridge"),
    )

    def run(self, request: Request) -> Outcome:
        """Complete, measure and draw."""
        table = _photographs(YaleB(height=48, width=42))
        results, inside = {}, {}
        for split in SPLITS:
            seen, held_out = divide(table, split)
            completion = complete_held_out(seen, held_out, FACTORS, request.seed)
            results[split] = unseen_combinations(completion.mean, seen, held_out, FACTORS)
            inside[split] = share_inside(completion, held_out, seen)
        first = results[SPLITS[0]]
        seen, held_out = divide(table, SPLITS[0])
        refitted = [complete_held_out(seen, held_out, FACTORS, seed).mean for seed in SEEDS if seed != request.seed]
        psnr = [first.scores["ours"]["psnr"], *(_psnr(mean, first.means["truth"]) for mean in refitted)]
        figures: dict[str, Any] = {"psnr": mean(psnr), "psnr_sd": stdev(psnr), "psnr_by_seed": psnr}
        figures |= {f"psnr_{rule}": scores["psnr"] for rule, scores in first.scores.items() if rule != "ours"}
        figures |= {"r2": first.scores["ours"]["r2"], "r2_interval": first.scores["ours"]["r2_interval"]}
        figures |= {f"r2_{rule}": scores["r2"] for rule, scores in first.scores.items() if rule != "ours"}
        figures["by_split"] = [{"split": split, **_of_split(found, inside[split])} for split, found in results.items()]
        pictures = {"cells": _picture(first)}
        return request.write(figures, pictures, [], first.table(), seeds=SEEDS)


def divide(table: FactorTable, seed: int) -> tuple[FactorTable, FactorTable]:
    """The photographs of seen pairs, and those of pairs of which each was held out with a probability of a fifth."""
    people, lights = (len(table.values[name]) for name in FACTORS)
    out = torch.from_numpy(np.random.default_rng(seed).random((people, lights)) < SHARE)
    here = out[table.factors["identity"], table.factors["light"]]
    return table[~here], table[here]


def _photographs(data: YaleB) -> FactorTable:
    """All photographs, people and lights in alphabetical order."""
    train, test = data.load()
    values = {name: sorted({*train.values[name], *test.values[name]}) for name in FACTORS}
    parts = [part.recode(**values) for part in (train, test)]
    factors = {name: parts[0].column(name) + parts[1].column(name) for name in FACTORS}
    return FactorTable(torch.cat([part.items for part in parts]), **factors).recode(**values)


def _of_split(result: UnseenResult, inside: float) -> dict[str, Any]:
    return {"inside_90_percent_intervals": inside, **{rule: scores["psnr"] for rule, scores in result.scores.items()}}


def _psnr(mean: Tensor, truth: Tensor) -> float:
    return float(-10 * (mean - truth).square().mean().log10())


def _picture(result: UnseenResult) -> Any:
    """Cells evenly spaced among the held-out ones: the true photograph and what is predicted."""
    rows = torch.linspace(0, len(result.cells) - 1, SHOWN).long()
    images = torch.stack([result.means[rule][rows] for rule in RULES])
    return plots.grid(images, row_labels=["true", "ours", "low rank", "additive"])
