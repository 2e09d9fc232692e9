"""Choosing among models by combinations that none of them was trained on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from coset.arguments import checked
from coset.cells import find_cells, find_held_out, name_cells
from coset.data import FactorTable, hold_out_combinations
from coset.errors import ConfigurationError
from coset.metrics.unseen import energy_distance
from coset.queries.completion import compose_cells
from coset.training.fitting import fit

SET_SIZE = 10
"""Items in the sets that are composed."""


@dataclass(frozen=True)
class Choice:
    """Which candidate composes combinations best that it was not trained on.

    Attributes:
        best: its name.
        distances: candidate → energy distance between what it composes and the true items, mean of the cells.
        cells: the combinations that were kept out, a mapping of factor → level each.
    """

    best: str
    distances: dict[str, float]
    cells: list[dict[str, Any]]

    def __str__(self) -> str:
        found = ", ".join(
            f"{name} {distance:.3f}" for name, distance in sorted(self.distances.items(), key=lambda one: one[1])
        )
        return (
            f"{self.best!r} composes {len(self.cells)} combinations best that were kept out; energy distances: {found}"
        )


@checked
def choose_by_combinations(
    candidates: Mapping[str, Callable[[FactorTable], Any]],
    table: FactorTable,
    *,
    share: float = 0.1,
    samples: int = 40,
    seed: int = 0,
    **options: Any,
) -> Choice:
    """Train candidates without some combinations, and see which composes these best; all with the same sets and seed.

    So actions, weights, or sizes can be chosen where nobody can say which holds. Train the best on everything then.

    Args:
        candidates: name → function that builds a model with contexts for a table.
        table: with the contexts as discrete factors.
        share: of the combinations that are kept out.
        samples: items composed for each of them.
        seed: of the combinations, and of training.
        options: of `fit`, such as `steps`.

    Raises:
        ConfigurationError: Fewer than two candidates, or models of different contexts.
        DataError: So many combinations cannot be kept out.
    """
    if len(candidates) < 2:
        raise ConfigurationError(f"choose_by_combinations: expected two candidates or more, got {list(candidates)}")
    models = {name: build(table) for name, build in candidates.items()}
    contexts = {name: list(model.contexts) for name, model in models.items()}
    factors = next(iter(contexts.values()))
    if wrong := [name for name, names in contexts.items() if set(names) != set(factors)]:
        raise ConfigurationError(
            f"choose_by_combinations: {wrong[0]!r} has the contexts {contexts[wrong[0]]}, others have {factors}"
        )
    seen, held_out = hold_out_combinations(table, factors, share, seed)
    held_out, asked = find_held_out(seen, held_out, factors)
    known = find_cells(seen, factors)
    distances = {}
    for name, model in models.items():
        fit(model, seen, seed=seed, **options)
        made = compose_cells(model, seen, known, asked, factors, samples, SET_SIZE, 1.0, seed)
        apart = [
            energy_distance(
                items, held_out.x((asked.row_cell == cell).nonzero()[:samples, 0]).flatten(1).cpu().double()
            )
            for cell, items in enumerate(made)
        ]
        distances[name] = float(torch.tensor(apart).mean())
    best = min(distances, key=distances.__getitem__)
    return Choice(best, distances, name_cells(asked.levels, held_out, factors))
