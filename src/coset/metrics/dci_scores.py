"""Disentanglement, completeness and informativeness."""

from typing import Any, Literal, get_args

import numpy as np
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from coset.errors import ConfigurationError
from coset.metrics.scoring import CodeScore, make_score, read_arrays, split_rows

Regressor = Literal["gradient boosting", "random forest"]


def dci(
    codes: Any,
    factors: Any,
    regressor: Regressor = "gradient boosting",
    held_out: float = 0.5,
    resamples: int = 0,
    seed: int = 0,
) -> CodeScore:
    """Disentanglement, completeness and informativeness of a code (Eastwood & Williams 2018).

    Each factor is predicted from the code by trees, whose importances R are `[d, f]`::

        disentanglement = Σ_d w_d (1 − H_F(R_d· / Σ R_d·)),  w_d = Σ_f R_df / Σ R
        completeness    = Σ_f w_f (1 − H_D(R_·f / Σ R_·f))
        informativeness = share of held-out rows predicted right; R² of factors with real numbers

    with entropies in units of their largest, H_F in logarithms to base F. Trees are boosted by default, as in
    `disentanglement_lib`; the scores mean nothing without the regressor's name.

    Args:
        codes: numbers, `[n, d]`.
        factors: `[n, f]`, or a mapping of names to columns.
        regressor: what predicts.
        held_out: share of the rows that informativeness is of.
        resamples: of rows, for the interval, each with trees of its own; 0 for none.
        seed: of the split, the trees and the resamples.

    Raises:
        DataError: No codes and factors, see `coset.metrics.scoring.read_arrays`.
        ConfigurationError: Another regressor, or a share that leaves no rows.

    Returns:
        Its value is disentanglement; all three are parts.
    """
    if regressor not in get_args(Regressor):
        raise ConfigurationError(f"dci: expected a regressor of {get_args(Regressor)}, got {regressor!r}")
    x, v = read_arrays(codes, factors)

    def measure(train: np.ndarray, test: np.ndarray) -> tuple[float, dict[str, Any]]:
        importances, right = [], []
        for factor in v.T:
            model = _trees(regressor, bool((factor != np.round(factor)).any()), seed).fit(x[train], factor[train])
            importances.append(model.feature_importances_)
            right.append(float(model.score(x[test], factor[test])))
        weights = np.stack(importances, 1)  # [d, f]
        disentanglement = _weighted_certainty(weights)
        return disentanglement, {
            "disentanglement": disentanglement,
            "completeness": _weighted_certainty(weights.T),
            "informativeness": float(np.mean(right)),
            "importances": weights.tolist(),
        }

    settings = {"regressor": regressor, "held out": held_out, "seed": seed, "rows": len(x)}
    rows = split_rows(len(x), held_out, seed)
    return make_score("DCI disentanglement", measure, rows, settings, resamples, seed)


def _trees(regressor: Regressor, continuous: bool, seed: int) -> Any:
    kinds = {
        "gradient boosting": (GradientBoostingClassifier, GradientBoostingRegressor),
        "random forest": (RandomForestClassifier, RandomForestRegressor),
    }
    return kinds[regressor][continuous](random_state=seed)


def _weighted_certainty(weights: np.ndarray) -> float:
    """How far each row is concentrated on one column, from 0 to 1, weighed by how much it holds."""
    if weights.shape[1] == 1 or not weights.sum():
        return float(weights.sum() > 0)
    shares = (weights + 1e-11) / (weights + 1e-11).sum(1, keepdims=True)
    certain = 1 + (shares * np.log(shares)).sum(1) / np.log(weights.shape[1])
    return float((certain * weights.sum(1)).sum() / weights.sum())
