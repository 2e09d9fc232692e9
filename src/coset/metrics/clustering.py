"""Clusters beside known classes."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from coset.errors import DataError


@dataclass(frozen=True)
class ClusteringResult:
    """Agreement of clusters and classes.

    Attributes:
        one_to_one: share of items, in percent, whose class is that of their cluster where each class goes with one
            cluster at most, in the best way: the accuracy of the literature on clustering.
        many_to_one: the same where each cluster goes with its most frequent class, also called purity; it grows with
            the number of clusters, up to 100 with one for each item.
        nmi: mutual information over the mean entropy, 0 to 1.
        ari: adjusted Rand index; 0 for chance, 1 for equal partitions.
        clusters: how many there are.
        classes: how many there are.
        counts: items by cluster and class, `[clusters][classes]`, both in ascending order.
    """

    one_to_one: float
    many_to_one: float
    nmi: float
    ari: float
    clusters: int
    classes: int
    counts: list[list[int]]

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.clusters} clusters, {self.classes} classes: one-to-one {self.one_to_one:.1f} %, many-to-one "
            f"{self.many_to_one:.1f} %, NMI {self.nmi:.3f}, ARI {self.ari:.3f}"
        )


def clustering_accuracy(clusters: Any, classes: Any) -> ClusteringResult:
    """Compare a partition into clusters with one into known classes.

    Args:
        clusters: of each item, `[n]`, whole numbers or words.
        classes: of each item, `[n]`, likewise.

    Raises:
        DataError: Other shapes, no item, or real numbers.

    >>> print(clustering_accuracy([0, 0, 1, 2], ["a", "a", "b", "b"]))
    3 clusters, 2 classes: one-to-one 75.0 %, many-to-one 100.0 %, NMI 0.800, ARI 0.571
    """
    found, known = np.asarray(clusters), np.asarray(classes)
    if found.ndim != 1 or found.shape != known.shape or not len(found):
        raise DataError(f"clustering_accuracy: expected two lists [n], got {list(found.shape)}, {list(known.shape)}")
    for name, each in (("clusters", found), ("classes", known)):
        if each.dtype.kind == "f" and len(odd := each[~np.isfinite(each) | (each != np.round(each))]):
            raise DataError(f"{name}: expected whole numbers or words, got {odd[0]}")
    rows, columns = np.unique(found, return_inverse=True)[1], np.unique(known, return_inverse=True)[1]
    counts = np.zeros((rows.max() + 1, columns.max() + 1), dtype=int)
    np.add.at(counts, (rows, columns), 1)
    best = counts[linear_sum_assignment(counts, maximize=True)].sum()
    return ClusteringResult(
        one_to_one=100 * float(best / len(found)),
        many_to_one=100 * float(counts.max(1).sum() / len(found)),
        nmi=float(normalized_mutual_info_score(columns, rows)),
        ari=float(adjusted_rand_score(columns, rows)),
        clusters=len(counts),
        classes=counts.shape[1],
        counts=counts.tolist(),
    )
