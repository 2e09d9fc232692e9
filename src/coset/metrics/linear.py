"""A linear classifier of vectors, which reads what models generate."""

from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from coset.codes import coded, plain
from coset.data import FactorTable
from coset.errors import DataError, nearest


class LinearClassifier:
    """Reads one factor of items of any shape: logistic regression on their standardised numbers.

    Args:
        table: items; must not contain what is later scored.
        factor: a discrete factor; items for which it is unknown are left out.

    Raises:
        DataError: No such factor, or one with fewer than two known levels.

    >>> x = torch.randn(200, 3)
    >>> reader = LinearClassifier(FactorTable(x, side=(x[:, 0] > 0).tolist()), "side")
    >>> reader.predict(torch.tensor([[-2.0, 0.0, 0.0], [2.0, 0.0, 0.0]])).tolist()
    [0, 1]
    """

    def __init__(self, table: FactorTable, factor: str):
        if factor not in table.values:
            raise DataError(f"LinearClassifier: no discrete factor {factor!r}; {nearest(factor, table.values)}")
        self.values: list[Any] = list(table.values[factor])
        codes = plain(table.factors[factor]).cpu()
        known = (codes >= 0).nonzero()[:, 0]
        if len(codes[known].unique()) < 2:
            raise DataError(f"LinearClassifier: {factor!r} has fewer than two known levels: there is nothing to tell")
        self._scale = StandardScaler()
        self._model = make_pipeline(self._scale, LogisticRegression(max_iter=2000))
        self._model.fit(table.x(known.to(table.device)).cpu().flatten(1).numpy(), codes[known].numpy())

    def predict(self, x: Tensor) -> Tensor:
        """Codes `[n]`, over `values`, of items `[n, ...]`."""
        return coded(torch.from_numpy(self._model.predict(x.cpu().flatten(1).numpy())).long(), self.values)

    def features(self, x: Tensor) -> Tensor:
        """Standardised numbers of items `[n, ...]`: `[n, D]`."""
        return torch.from_numpy(self._scale.transform(x.cpu().flatten(1).numpy()))
