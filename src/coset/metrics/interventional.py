"""The interventional robustness score."""

from typing import Any

import numpy as np

from coset.errors import ConfigurationError
from coset.metrics.information import levels_of
from coset.metrics.scoring import CodeScore, make_score, read_arrays


def interventional_robustness(
    codes: Any,
    factors: Any,
    quantile: float = 0.99,
    bins: int = 20,
    resamples: int = 0,
    seed: int = 0,
) -> CodeScore:
    """How little a dimension of a code moves while the factor stays that it follows (IRS, Suter et al. 2019).

    With m_d the largest distance of dimension d from its mean, and the same among rows with one level of a factor::

        IRS = Σ_d m_d max_f [ 1 − mean over levels l of f of Q( |z_d − E(z_d | l)| | l ) / m_d ] / Σ_d m_d

    Q is the quantile 0.99 by default, as in `disentanglement_lib`, and the largest in the paper. Dimensions that never
    change do not count. A dimension that follows no factor scores well above 0 where a quantile cuts off its tails, so
    look at useless codes beside. `disentanglement_lib` sorts discrete factors into bins as well, which joins levels
    where there are more than 20.

    Args:
        codes: numbers, `[n, d]`.
        factors: `[n, f]`, or a mapping of names to columns.
        quantile: of distances, above 0; 1 for the paper's.
        bins: of equal width, into which factors with real numbers are sorted.
        resamples: of rows, for the interval; 0 for none.
        seed: of these.

    Raises:
        DataError: No codes and factors, see `coset.metrics.scoring.read_arrays`.
        ConfigurationError: A quantile beyond 1, or bins that are none.

    >>> factors = np.random.default_rng(0).integers(0, 3, (500, 2))
    >>> interventional_robustness(factors, factors).value
    1.0
    """
    if not 0 < quantile <= 1:
        raise ConfigurationError(f"quantile: expected a number above 0 and up to 1, got {quantile}")
    x, v = read_arrays(codes, factors)
    levels = levels_of(v, bins)

    def measure(rows: np.ndarray) -> tuple[float, dict[str, Any]]:
        some, spread = x[rows], np.abs(x[rows] - x[rows].mean(0)).max(0)
        some, kept = some[:, spread > 0], spread[spread > 0]
        if not len(kept):
            return 0.0, {"each": [], "robustness": []}
        moved = np.stack([_moved(some, level, quantile) for level in levels[rows].T], 1)  # [d, f]
        robustness = 1 - moved / kept[:, None]
        each = robustness.max(1)
        return float(np.average(each, weights=kept)), {"each": each.tolist(), "robustness": robustness.tolist()}

    settings = {"quantile": quantile, "bins": bins, "rows": len(x)}
    return make_score("IRS", measure, [np.arange(len(x))], settings, resamples, seed)


def _moved(codes: np.ndarray, level: np.ndarray, quantile: float) -> np.ndarray:
    """How far codes with the same level are from their mean, the mean over levels: `[d]`."""
    parts = [codes[level == one] for one in np.unique(level)]
    return np.mean([np.quantile(np.abs(part - part.mean(0)), quantile, axis=0) for part in parts], 0)
