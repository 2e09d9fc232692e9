"""Explicitness of a code."""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from coset.errors import DataError
from coset.metrics.information import levels_of
from coset.metrics.scoring import CodeScore, make_score, read_arrays, split_rows


def explicitness(
    codes: Any,
    factors: Any,
    held_out: float = 1 / 3,
    bins: int = 20,
    resamples: int = 0,
    seed: int = 0,
) -> CodeScore:
    """How well a linear classifier of the whole code tells the levels of factors (Ridgeway & Mozer 2018, section 3).

        explicitness = mean over factors, and over their levels, of the area under the ROC curve on held-out rows

    of a logistic regression on standardised codes; chance is 0.5, as in `disentanglement_lib`. The paper's own, where
    chance is 0, is the part `above_chance`.

    Args:
        codes: numbers, `[n, d]`.
        factors: `[n, f]`, or a mapping of names to columns.
        held_out: share of the rows on which the classifier is judged.
        bins: of equal width, into which factors with real numbers are sorted.
        resamples: of rows, for the interval, each with a classifier of its own; 0 for none.
        seed: of the split and the resamples.

    Raises:
        DataError: No codes and factors, see `coset.metrics.scoring.read_arrays`, or a level that one side of the split
            lacks.
        ConfigurationError: A share that leaves no rows, or bins that are none.

    >>> factors = np.random.default_rng(0).integers(0, 2, (500, 2))
    >>> explicitness(factors, factors).value
    1.0
    """
    x, v = read_arrays(codes, factors)
    levels = levels_of(v, bins)

    def measure(train: np.ndarray, test: np.ndarray) -> tuple[float, dict[str, Any]]:
        scaler = StandardScaler().fit(x[train])
        learn, judge = (np.asarray(scaler.transform(x[rows])) for rows in (train, test))
        each = [_area(learn, level[train], judge, level[test], index) for index, level in enumerate(levels.T)]
        value = float(np.mean(each))
        return value, {"each": each, "above_chance": 2 * value - 1}

    settings = {"classifier": "logistic regression", "held out": held_out, "bins": bins, "seed": seed, "rows": len(x)}
    return make_score("explicitness", measure, split_rows(len(x), held_out, seed), settings, resamples, seed)


def _area(learn: np.ndarray, known: np.ndarray, judge: np.ndarray, asked: np.ndarray, index: int) -> float:
    if lacking := {*known.tolist()} ^ {*asked.tolist()}:
        raise DataError(
            f"explicitness: level {min(lacking)} of factor {index} is on one side of the split only; more rows, fewer "
            "levels or fewer bins mend it"
        )
    found = LogisticRegression().fit(learn, known).predict_proba(judge)
    if found.shape[1] == 2:
        return float(roc_auc_score(asked, found[:, 1]))
    return float(roc_auc_score(asked, found, multi_class="ovr"))
