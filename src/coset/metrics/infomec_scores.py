"""InfoM, InfoE and InfoC: modularity, explicitness and compactness by information."""

from typing import Any, Literal, get_args

import numpy as np
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from coset.errors import ConfigurationError
from coset.metrics.information import discretise, entropies, levels_of, mutual_informations
from coset.metrics.scoring import CodeScore, make_score, read_arrays, split_rows

MutualInformation = Literal["neighbours", "bins"]
NEIGHBOURS = 10


def infomec(
    codes: Any,
    factors: Any,
    information: MutualInformation = "neighbours",
    active: float = 0.05,
    held_out: float = 0.5,
    bins: int = 20,
    resamples: int = 0,
    seed: int = 0,
) -> CodeScore:
    """Modularity, explicitness and compactness of a code by information (InfoMEC; Hsu et al. 2023, section 4).

    With R `[d, f]` the mutual information of a dimension and a factor over the factor's entropy::

        InfoM = ( mean_d max_f R_df / Σ_f R_df − 1/F ) / (1 − 1/F)
        InfoC = ( mean_f max_d R_df / Σ_d R_df − 1/D ) / (1 − 1/D)
        InfoE = mean_f 1 − H(v_f | z) / H(v_f)

    over the D dimensions whose range is above `active` of the widest, so that InfoM and InfoC depend on the units of
    dimensions unless it is 0. H(v_f | z) is the cross-entropy of a logistic regression with balanced classes, and
    H(v_f) that of one that sees nothing. The published script reads both from the rows that it learned from, where more
    dimensions always tell more; here they are of rows held out, and below 0 where what was learned does not hold.

    Args:
        codes: numbers, `[n, d]`.
        factors: `[n, f]`, or a mapping of names to columns.
        information: from a code's 10 nearest neighbours (the published way), or from bins of equal width.
        active: range of the dimensions that count, as a share of the widest.
        held_out: share of the rows that InfoE is of.
        bins: into which codes are sorted, if they are, and factors with real numbers.
        resamples: of rows, for the interval, each with all estimates of its own; 0 for none.
        seed: of the split, the resamples, and of ties between neighbours.

    Raises:
        DataError: No codes and factors, see `coset.metrics.scoring.read_arrays`.
        ConfigurationError: Another way to tell information, bins that are none, or a share that leaves no rows.

    Returns:
        Its value is InfoM; `infom`, `infoe` and `infoc` are parts.
    """
    if information not in get_args(MutualInformation):
        raise ConfigurationError(f"information: expected one of {get_args(MutualInformation)}, got {information!r}")
    x, v = read_arrays(codes, factors)
    levels = levels_of(v, bins)

    def measure(train: np.ndarray, test: np.ndarray) -> tuple[float, dict[str, Any]]:
        rows = np.concatenate([train, test])
        ranges = np.ptp(x[rows], 0)
        some, known = x[rows][:, ranges > active * ranges.max()], levels[rows]
        told = _told(some, known, information, bins, seed) / np.maximum(entropies(known), 1e-12)
        infom = _concentrated(told)
        return infom, {
            "infom": infom,
            "infoe": float(np.mean([_explicit(x[train], one[train], x[test], one[test]) for one in levels.T])),
            "infoc": _concentrated(told.T),
            "information": told.tolist(),
        }

    settings = {"information": information, "active": active, "held out": held_out, "seed": seed, "rows": len(x)}
    return make_score("InfoM", measure, split_rows(len(x), held_out, seed), settings, resamples, seed)


def _told(codes: np.ndarray, levels: np.ndarray, information: MutualInformation, bins: int, seed: int) -> np.ndarray:
    """Mutual information, in nats: `[d, f]`."""
    if information == "bins":
        return mutual_informations(discretise(codes, bins), levels)
    scaled = StandardScaler().fit_transform(codes)
    options: dict[str, Any] = {"discrete_features": False, "n_neighbors": NEIGHBOURS, "random_state": seed}
    return np.stack([mutual_info_classif(scaled, level, **options) for level in levels.T], 1)


def _concentrated(told: np.ndarray) -> float:
    """How much of what a row tells stands in one column: 0 where all tell the same, or where none tells a thing."""
    columns = told.shape[1]
    if columns == 1:
        return 1.0
    shares = told.max(1) / np.maximum(told.sum(1), 1e-300)
    return float((np.where(told.sum(1) > 0, shares, 1 / columns).mean() - 1 / columns) / (1 - 1 / columns))


def _explicit(learn: np.ndarray, known: np.ndarray, judge: np.ndarray, asked: np.ndarray) -> float:
    scaler, labels = StandardScaler().fit(learn), np.unique(known)
    model = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=1000)
    model.fit(scaler.transform(learn), known)
    seen = np.isin(asked, labels)  # of levels that were never learned nothing can be said
    left = log_loss(asked[seen], model.predict_proba(scaler.transform(judge[seen])), labels=labels)
    return float(1 - left / np.log(len(labels)))
