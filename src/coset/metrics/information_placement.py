"""Where a model with a transform put what the transform destroys, and what it keeps."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from coset.data import FactorTable
from coset.errors import ConfigurationError, DataError
from coset.metrics.classifier import STEPS, train_classifier
from coset.metrics.reading import check_discrete
from coset.metrics.scoring import split_rows

TOLD = 0.05
"""Least share of a factor's entropy that items themselves have to tell, for it to count."""
SEEN = ("items", "transformed", "lost", "kept")


@dataclass(frozen=True)
class PlacementResult:
    """Where factors went: shares of their entropy, 0 to 1, that can be read.

    Attributes:
        told: factor → what is read (`items`, `transformed` items, the codes `lost` and `kept`) → share.
        wanted: factor → share that the transform destroys, 1 − transformed / items; NaN where items tell nothing.
        placed: factor → share that is found where it should be if all of it were destroyed, lost / (lost + kept).
        score: 1 − mean |placed − wanted| over the factors that items tell; 1 where each code knows what it should.
    """

    told: dict[str, dict[str, float]]
    wanted: dict[str, float]
    placed: dict[str, float]
    score: float

    def table(self) -> str:
        """The table as text."""
        width = max(map(len, self.told), default=0)
        lines = [" " * width + "".join(f"{name:>13}" for name in (*SEEN, "destroyed", "placed"))]
        for name, told in self.told.items():
            shares = [*(told[seen] for seen in SEEN), self.wanted[name], self.placed[name]]
            lines.append(f"{name:<{width}}" + "".join(f"{share:>13.2f}" for share in shares))
        return "\n".join([*lines, f"placement {self.score:.3f}"])

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)


def placement(
    model: Any, table: FactorTable, factors: Sequence[str] | None = None, held_out: float = 0.5, seed: int = 0
) -> PlacementResult:
    """Judge a transform, and what a model made of it, by what each code tells of known factors.

    The information about a factor is that of InfoE (Hsu et al. 2023, see `coset.metrics.infomec`), 1 − H(v | z) / H(v)
    on held-out rows, but by a network of one hidden layer, from which less can be hidden than from a linear reader. Of
    images, a classifier's last layer is read. What is random in a transform is drawn anew for each item.

    Args:
        model: a `coset.AuxiliaryTaskVAE` with a transform.
        table: items that the model was not trained on, a few thousand of them, with their factors.
        factors: discrete ones; all that there are where None.
        held_out: share of the rows on which the readers are judged.
        seed: of the split, the readers and the transform.

    Raises:
        ConfigurationError: The model has no transform, or a share that leaves no rows.
        DataError: No such factor, one that is continuous or unknown for some items, or none at all.
    """
    if getattr(model, "transform", None) is None:
        raise ConfigurationError("placement: the model has no transform, so that nothing was placed by one")
    names = list(table.values) if factors is None else list(factors)
    if not names:
        raise DataError("placement: the table has no discrete factor; give one that the transform may destroy")
    levels = {name: _levels(table, name) for name in names}
    rows = split_rows(len(table), held_out, seed)
    read = {"items": table.x(), **model.place(table.items, seed)}
    told = {name: {seen: _told(read[seen], level, rows, seed) for seen in SEEN} for name, level in levels.items()}
    wanted = {name: _share(one["items"] - one["transformed"], one["items"], TOLD) for name, one in told.items()}
    placed = {name: _share(one["lost"], one["lost"] + one["kept"], 0.0) for name, one in told.items()}
    known = [abs(placed[name] - wanted[name]) for name in names if not math.isnan(placed[name] + wanted[name])]
    return PlacementResult(told, wanted, placed, 1 - float(np.mean(known)) if known else math.nan)


def _share(part: float, whole: float, least: float) -> float:
    return min(max(part / whole, 0.0), 1.0) if whole > least else math.nan


def _levels(table: FactorTable, name: str) -> np.ndarray:
    check_discrete("placement", table, name)
    levels = torch.as_tensor(table.factors[name]).cpu().numpy()
    if (levels < 0).any():
        raise DataError(f"placement: {name!r} is unknown for {int((levels < 0).sum())} items; leave these out")
    return levels


def _told(values: Tensor, levels: np.ndarray, rows: Sequence[np.ndarray], seed: int) -> float:
    """Share of the entropy of levels `[n]` that items or codes `[n, ...]` tell about the second part of the rows."""
    learn, judge = rows
    values = values.cpu()
    if values.ndim > 2 and min(values.shape[-2:]) >= 8:
        table = FactorTable(values[learn], level=levels[learn].tolist())
        steps = 500 if len(learn) < 10_000 else STEPS
        values = train_classifier(table, "level", steps=steps, seed=seed, augment=False).features(values)
    x = values.flatten(1).double().numpy()
    reader = make_pipeline(
        StandardScaler(), MLPClassifier((64,), alpha=1.0, learning_rate_init=0.01, random_state=seed)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # weights that shrink are what keeps it from guessing
        reader.fit(x[learn], levels[learn])
    known = np.unique(levels[learn])
    asked = judge[np.isin(levels[judge], known)]  # of levels that were never learned nothing can be said
    often = np.bincount(np.searchsorted(known, levels[learn])) / len(learn)
    left = log_loss(levels[asked], reader.predict_proba(x[asked]), labels=known)
    entropy = log_loss(levels[asked], np.tile(often, (len(asked), 1)), labels=known)
    return max(0.0, float(1 - left / entropy))
