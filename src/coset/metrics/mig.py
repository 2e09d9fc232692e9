"""The mutual information gap."""

from typing import Any

import numpy as np

from coset.metrics.information import Binning, score_information
from coset.metrics.scoring import CodeScore


def mutual_information_gap(
    codes: Any, factors: Any, bins: int = 20, binning: Binning = "width", resamples: int = 200, seed: int = 0
) -> CodeScore:
    """By how much the best dimension of a code tells more of a factor than the second best (Chen et al. 2018, eq. 6).

        MIG = mean over factors of ( I(z_1st; v) − I(z_2nd; v) ) / H(v)

    The defaults are those of `disentanglement_lib`. Two dimensions that tell the same of a factor have no gap.

    Args:
        codes: numbers, `[n, d]`.
        factors: `[n, f]`, or a mapping of names to columns.
        bins: into which codes are sorted, and factors with real numbers.
        binning: of equal width, or of equally many.
        resamples: of rows, for the interval; 0 for none.
        seed: of these.

    Raises:
        DataError: No codes and factors, see `coset.metrics.scoring.read_arrays`.
        ConfigurationError: Bins that are none.

    >>> factors = np.random.default_rng(0).integers(0, 4, (500, 2))
    >>> mutual_information_gap(factors, factors).value > 0.99
    True
    """

    def gap(told: np.ndarray, entropy: np.ndarray) -> np.ndarray:
        best = np.sort(told, 0)[::-1]
        second = best[1] if len(best) > 1 else 0.0
        return (best[0] - second) / np.maximum(entropy, 1e-12)

    return score_information("MIG", gap, codes, factors, bins, binning, resamples, seed)
