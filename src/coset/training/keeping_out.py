"""Combinations kept out of training, by which it is stopped and the way to complete a table is chosen."""

from typing import Any

from coset.cells import cell_moments, find_held_out, name_cells
from coset.data import FactorTable, hold_out_combinations
from coset.errors import ConfigurationError

SHARE = 0.1
"""Of the combinations, what is kept out."""


def keep_out(model: Any, data: Any, seed: int) -> tuple[FactorTable, FactorTable]:
    """The table to train on, and that of the combinations of a model's contexts which are kept out of it.

    Raises:
        ConfigurationError: The data are no table, or the model has fewer than two contexts.
        DataError: The table is too small for that.
    """
    if not isinstance(data, FactorTable) or len(model.contexts) < 2:
        raise ConfigurationError(
            "validation='combinations' keeps combinations of factor levels out: it takes a FactorTable and a model of "
            f"two contexts or more, got {type(data).__name__} and the contexts {list(model.contexts)}"
        )
    return hold_out_combinations(data, model.contexts, SHARE, seed)


def choose_completion(model: Any, seen: FactorTable, held_out: FactorTable, seed: int) -> str:
    """Give a model the way to complete that has the smaller squared error on held-out cells, and say which and why."""
    factors = list(model.contexts)
    coded, asked = find_held_out(seen, held_out, factors)
    truth = cell_moments(coded, asked)[0]
    errors = {}
    for way in ("composition", "interaction"):
        model.completion = way
        found = model.complete(seen, name_cells(asked.levels, coded, factors), seed=seed)
        errors[way] = float((found.mean.flatten(1) - truth).square().mean())
    model.completion = min(errors, key=errors.__getitem__)
    listed = ", ".join(f"{way} {error:.4g}" for way, error in errors.items())
    return f"completion={model.completion!r}: mean squared errors of {len(asked)} combinations kept out: {listed}"
