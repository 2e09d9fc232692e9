"""Modularity of a code."""

from typing import Any

import numpy as np

from coset.metrics.information import Binning, score_information
from coset.metrics.scoring import CodeScore


def modularity(
    codes: Any, factors: Any, bins: int = 20, binning: Binning = "width", resamples: int = 200, seed: int = 0
) -> CodeScore:
    """Whether each dimension of a code tells of one factor at most (Ridgeway & Mozer 2018, section 3).

        modularity = mean over dimensions of 1 − Σ_{f ≠ best} I(z_d; v_f)² / ( I(z_d; v_best)² (F − 1) )

    The defaults are those of `disentanglement_lib`; a dimension that tells nothing of any factor counts 0, as there.

    Args:
        codes: numbers, `[n, d]`.
        factors: `[n, f]`, two of them or more, or a mapping of names to columns.
        bins: into which codes are sorted, and factors with real numbers.
        binning: of equal width, or of equally many.
        resamples: of rows, for the interval; 0 for none.
        seed: of these.

    Raises:
        DataError: No codes and factors, see `coset.metrics.scoring.read_arrays`.
        ConfigurationError: Bins that are none.

    >>> factors = np.random.default_rng(0).integers(0, 4, (500, 2))
    >>> modularity(factors, factors).value > 0.99
    True
    """

    def of_one_factor(told: np.ndarray, entropy: np.ndarray) -> np.ndarray:
        squared = told**2
        best = squared.max(1)
        others = (squared.sum(1) - best) / np.maximum(best * max(1, squared.shape[1] - 1), 1e-300)
        return np.where(best == 0, 0.0, 1 - others)

    return score_information("modularity", of_one_factor, codes, factors, bins, binning, resamples, seed)
