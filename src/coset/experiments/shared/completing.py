"""Cells held out of a table, completed from those that were seen."""

from collections.abc import Sequence

from torch import Tensor

from coset.cells import cell_moments, find_held_out, name_cells
from coset.data import FactorTable
from coset.models import ContextAwareLearner
from coset.queries.completion import Completion
from coset.queries.interaction import NINETY


def complete_held_out(seen: FactorTable, held_out: FactorTable, factors: Sequence[str], seed: int) -> Completion:
    """Complete the cells of a held-out table, in the order of `find_cells`, by main effects plus interaction.

    These are fitted to the seen cells when they are asked for; the networks of the model have no part in it.
    """
    coded, asked = find_held_out(seen, held_out, factors)
    model = ContextAwareLearner.for_data(seen, list(factors), completion="interaction", architecture="plain")
    return model.complete(seen, name_cells(asked.levels, coded, factors), seed=seed)


def share_inside(completion: Completion, held_out: FactorTable, seen: FactorTable) -> float:
    """Percentage of the true numbers that lie inside of 90 % intervals."""
    truth: Tensor = cell_moments(*find_held_out(seen, held_out, completion.factors))[0].view(completion.mean.shape)
    return 100 * float(((truth - completion.mean).abs() <= NINETY * completion.spread).double().mean())
