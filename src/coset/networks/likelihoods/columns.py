"""The likelihood of tables whose columns are of different kinds, such as age, sex and counts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.distributions import Independent

from coset.distributions.composite import SideBySide
from coset.errors import ConfigurationError, nearest
from coset.networks.likelihoods.base import Blocks, Likelihood, LikelihoodName, build_likelihood, find_likelihood
from coset.networks.likelihoods.reading import ByColumns


class Columns(Likelihood):
    """Vectors of which each column has a likelihood of its own.

    Args:
        item_shape: `(D,)`.
        parts: likelihoods as `{"class": NAME, "columns": [0, 3], option: value}`; each column in one of them.

    Raises:
        ConfigurationError: Items that are no vectors, or a column in no part or in several.
    """

    def __init__(self, item_shape: Sequence[int], parts: Sequence[Mapping[str, Any]]):
        if len(item_shape) != 1:
            raise ConfigurationError(f"Columns: expected vectors, items of shape (D,), got {tuple(item_shape)}")
        columns = [tuple(part.get("columns", ())) for part in parts]
        named = sorted(column for part in columns for column in part)
        if named != list(range(item_shape[0])):
            raise ConfigurationError(
                f"Columns: expected each of the columns 0 to {item_shape[0] - 1} in one part, got {named}"
            )
        made = [
            build_likelihood({name: value for name, value in part.items() if name != "columns"}, (len(one),))
            for part, one in zip(parts, columns, strict=True)
        ]
        reading = ByColumns({one: part.reading for one, part in zip(columns, made, strict=True)})
        super().__init__(item_shape, reading)
        self.columns, self.parts = columns, nn.ModuleList(made)
        self.sizes_of = [math.prod(part.parameter_shape) for part in made]
        self.parameter_shape = (sum(self.sizes_of),)

    @classmethod
    def complete(cls, options: Mapping[str, Any], blocks: Blocks, item_shape: tuple[int, ...]) -> dict[str, Any]:
        """Options of all parts; totals of some columns are not told apart from the rest."""
        parts = []
        for part in options["parts"]:
            kind, own = find_likelihood({name: value for name, value in part.items() if name != "columns"})
            columns = list(part["columns"])
            found = kind.complete(own, lambda columns=columns: (x[:, columns] for x in blocks()), (len(columns),))
            found.pop("library", None)
            parts.append({"class": kind.__name__, "columns": columns, **found})
        return {"parts": parts}

    def forward(self, parameters: Tensor, library: Tensor | None = None) -> Independent:
        """Map decoder outputs `[..., *parameter_shape]` to a distribution over vectors."""
        said = parameters.split(self.sizes_of, -1)
        made = [part(own) for part, own in zip(self.parts, said, strict=True)]
        return Independent(SideBySide(made, self.columns), 0)


def by_name(kinds: Mapping[str, LikelihoodName], names: Sequence[str]) -> dict[str, Any]:
    """The likelihood of a table whose columns are told by name; columns of the same kind make one part.

    Args:
        kinds: column → likelihood, as in `{"age": "gaussian", "sex": "categorical"}`.
        names: of all columns, in their order.

    Raises:
        ConfigurationError: A name that no column has, or a column without a likelihood.

    >>> by_name({"age": "gaussian", "sex": "categorical"}, ["sex", "age"])["parts"]
    [{'class': 'Categorical', 'columns': [0]}, {'class': 'Gaussian', 'columns': [1]}]
    """
    if unknown := [name for name in kinds if name not in names]:
        raise ConfigurationError(f"likelihood: items have no column {unknown[0]!r}; {nearest(unknown[0], names)}")
    if missing := [name for name in names if name not in kinds]:
        raise ConfigurationError(f"likelihood: column {missing[0]!r} has none; give one for each of {list(names)}")
    parts: list[dict[str, Any]] = []
    for column, name in enumerate(names):
        kind, options = find_likelihood(kinds[name])
        wanted = {"class": kind.__name__, **options}
        like = next((part for part in parts if {**part, "columns": None} == {**wanted, "columns": None}), None)
        # values of codes differ from column to column
        if like is None or kind.__name__ == "Categorical":
            like = wanted | {"columns": []}
            parts.append(like)
        like["columns"].append(column)
    return {"class": "Columns", "parts": parts}
