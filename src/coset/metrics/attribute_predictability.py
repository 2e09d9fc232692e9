"""Separated attribute predictability."""

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from coset.metrics.scoring import CodeScore, make_score, read_arrays, split_rows


def separated_attribute_predictability(
    codes: Any, factors: Any, held_out: float = 1 / 3, resamples: int = 0, seed: int = 0
) -> CodeScore:
    """By how much the best dimension of a code alone predicts a factor better than the second best (SAP).

    Kumar et al. 2018, section 3: with S `[d, f]` the share of held-out rows whose level a linear support vector machine
    reads from dimension d (C = 0.01, balanced classes), or the squared correlation for a factor with real numbers::

        SAP = mean over factors of S_1st − S_2nd

    The defaults are those of `disentanglement_lib`, which takes either measure for all factors.

    Args:
        codes: numbers, `[n, d]`.
        factors: `[n, f]`, or a mapping of names to columns.
        held_out: share of the rows on which levels are read.
        resamples: of rows, for the interval, each with machines of its own; 0 for none.
        seed: of the split and the resamples.

    Raises:
        DataError: No codes and factors, see `coset.metrics.scoring.read_arrays`.
        ConfigurationError: A share that leaves no rows.

    >>> factors = np.random.default_rng(0).integers(0, 2, (500, 2))
    >>> round(separated_attribute_predictability(factors, factors).value, 1)
    0.5
    """
    x, v = read_arrays(codes, factors)

    def measure(train: np.ndarray, test: np.ndarray) -> tuple[float, dict[str, Any]]:
        told = np.array([[_predict(code, factor, train, test) for factor in v.T] for code in x.T])
        best = np.sort(told, 0)[::-1]
        gaps = best[0] - (best[1] if len(best) > 1 else 0.0)
        return float(gaps.mean()), {"each": gaps.tolist(), "predictability": told.tolist()}

    settings = {"classifier": "linear support vector machine", "held out": held_out, "seed": seed, "rows": len(x)}
    return make_score("SAP", measure, split_rows(len(x), held_out, seed), settings, resamples, seed)


def _predict(code: np.ndarray, factor: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    if (factor != np.round(factor)).any():
        covariance = np.cov(code[train], factor[train])
        scale = covariance[0, 0] * covariance[1, 1]
        return float(covariance[0, 1] ** 2 / scale) if covariance[0, 0] > 1e-12 else 0.0
    machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # numbers far from 1 are scored as they stand
        return float(machine.fit(code[train, None], factor[train]).score(code[test, None], factor[test]))
