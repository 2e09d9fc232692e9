"""Tables made by formulas: is what is predicted of their empty cells ever worse than the best simple rule?"""

from collections.abc import Iterator
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.data import FactorTable, hold_out_combinations
from coset.experiments.shared.completing import complete_held_out, share_inside
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row
from coset.metrics import unseen_combinations

FACTORS = ("row", "column")
ROWS, COLUMNS, SIZE, ITEMS = 12, 10, 12, 5
"""Levels of the factors, numbers of an item, and items of a cell."""
NOISE = 0.1
SEEDS = (0, 1, 2)
KINDS = ("additive", "multiplicative", "rank 1", "rank 2", "rank 3", "rank 2 over additive", "interaction", "noise")
TABLES = (
    *((kind, 0.3) for kind in KINDS),
    *((kind, share) for share in (0.1, 0.6) for kind in ("additive", "multiplicative")),
    ("rank 2 over additive", 0.5),
)
"""What a table is made by, and the share of its cells that is left out."""


class UnseenTables(Experiment):
    """R² of empty cells of tables that add, multiply, interact or do nothing, beside every simple rule."""

    label = "tables made by formulas, 10 to 60 % of the cells unseen"
    rows = (
        Row("R² above that of the best simple rule, worst table", "worst_gap"),
        Row("R² above that of the best simple rule, mean", "mean_gap"),
        Row("true numbers inside of 90 % intervals, %", "inside_90_percent_intervals"),
    )

    def run(self, request: Request) -> Outcome:
        """Complete, measure and draw."""
        tables, example = [], None
        for kind, share in TABLES:
            found = list(_over_seeds(kind, share))
            gaps = [ours - best for ours, best, *_ in found]
            tables.append(
                {
                    "table": f"{kind}, {share:.0%} of the cells left out",
                    "r2": mean(ours for ours, *_ in found),
                    "best_rule_r2": mean(best for _, best, *_ in found),
                    "best_rules": [rule for _, _, rule, *_ in found],
                    "gap": mean(gaps),
                    "gap_sd": stdev(gaps),
                    "inside_90_percent_intervals": mean(inside for *_, inside, _, _ in found),
                    "actions": [action for *_, action, _ in found],
                }
            )
            example = found[0][-1] if kind == "rank 2 over additive" else example
        figures: dict[str, Any] = {
            "worst_gap": min(table["gap"] for table in tables),
            "mean_gap": mean(table["gap"] for table in tables),
            "inside_90_percent_intervals": mean(table["inside_90_percent_intervals"] for table in tables),
            "tables": tables,
        }
        assert example is not None
        truth = example.pop("truth")
        lines = [
            f"{table['table']:<46} ours {table['r2']:.3f}, best rule {table['best_rule_r2']:.3f}" for table in tables
        ]
        picture = plots.against(
            truth, {rule.replace("_", " "): example[rule] for rule in ("ours", "low_rank", "additive")}
        )
        return request.write(figures, {"predicted": picture}, [], "\n".join(lines), seeds=SEEDS)


def _over_seeds(kind: str, share: float) -> Iterator[tuple[float, float, str, float, str, dict[str, Tensor]]]:
    """For each seed R² of ours, of the best rule, its name, percentage in 90 % intervals, the action, and means."""
    for seed in SEEDS:
        seen, held_out = hold_out_combinations(make_table(kind, seed), FACTORS, share, seed)
        completion = complete_held_out(seen, held_out, FACTORS, seed)
        result = unseen_combinations(completion.mean, seen, held_out, FACTORS, seed=seed)
        r2 = {rule: scores["r2"] for rule, scores in result.scores.items()}
        ours = r2.pop("ours")
        best = max(r2, key=r2.__getitem__)
        inside = share_inside(completion, held_out, seen)
        yield ours, r2[best], best, inside, completion.action, dict(result.means)


def make_table(kind: str, seed: int) -> FactorTable:
    """A table of 12 × 10 cells with five items of twelve numbers each, made by a formula and a tenth of noise."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    a, b = draw(ROWS, 1, SIZE), draw(1, COLUMNS, SIZE)
    rank = next((int(word) for word in kind.split() if word.isdigit()), 1)
    product = torch.einsum("adr,br->abd", draw(ROWS, SIZE, rank), draw(COLUMNS, rank))
    free = draw(ROWS, COLUMNS, SIZE)
    nothing = torch.zeros(ROWS, COLUMNS, SIZE)
    made = {"additive": a + b, "multiplicative": (a / 2).exp() * (b / 2).exp(), "interaction": free, "noise": nothing}
    means = made.get(kind, product + (a + b if "additive" in kind else 0))
    items = means.flatten(0, 1).repeat_interleave(ITEMS, 0)
    items = items + NOISE * draw(*items.shape)
    if kind == "multiplicative":
        items = items.clamp_min(0)  # as what multiplies is: amounts
    cell = torch.arange(ROWS * COLUMNS).repeat_interleave(ITEMS)
    return FactorTable(items, row=cell // COLUMNS, column=cell % COLUMNS)
