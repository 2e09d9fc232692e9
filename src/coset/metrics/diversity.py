"""Is what a model makes as varied as the real thing, and is it like it? Density and coverage."""

import torch
from torch import Tensor

from coset.arguments import checked
from coset.errors import ConfigurationError, ShapeError


@checked
def density_and_coverage(real: Tensor, made: Tensor, neighbours: int = 5) -> dict[str, float]:
    """How densely made items lie where real ones do, and which share of the real ones they cover (Naeem et al. 2020).

    With r_i the distance of real item i to its k-th nearest other real one, and M made items::

        density = 1 / (k M) Σ_j Σ_i [ |made_j − real_i| < r_i ]
        coverage = 1 / n Σ_i [ min_j |made_j − real_i| < r_i ]

    Density counts how typical what is made is, and can be above 1; coverage falls where some kinds are never made. One
    perfect item made over and over has a high density and a coverage near 0. Compare with what real items reach among
    themselves, one half beside the other, in equal numbers: coverage grows with M.

    Args:
        real: features of real items, `[n, F]`, such as `ImageClassifier.features` gives.
        made: of made items, `[M, F]`.
        neighbours: k, from 1 up to n − 1.

    Returns:
        `density` and `coverage`.

    Raises:
        ShapeError: These are no features of one size.
        ConfigurationError: As many neighbours as there are no other items.

    >>> _ = torch.manual_seed(0)
    >>> real, same = torch.randn(300, 2), torch.randn(300, 2)
    >>> found, stuck = density_and_coverage(real, same), density_and_coverage(real, torch.zeros(300, 2))
    >>> round(found["density"], 1), found["coverage"] > 0.9, stuck["coverage"] < 0.1
    (1.0, True, True)
    """
    if real.ndim != 2 or made.ndim != 2 or real.shape[1] != made.shape[1] or not len(made):
        shapes = f"{list(real.shape)}, {list(made.shape)}"
        raise ShapeError(f"density_and_coverage: expected [n, F] and [M, F], got {shapes}")
    if not 1 <= neighbours < len(real):
        raise ConfigurationError(
            f"neighbours: expected 1 to {len(real) - 1}, one fewer than the real items, got {neighbours}"
        )
    real, made = real.double(), made.double()
    among = torch.cdist(real, real, compute_mode="donot_use_mm_for_euclid_dist")
    among.fill_diagonal_(torch.inf)
    radius = among.kthvalue(neighbours, dim=1).values  # [n]
    near = torch.cdist(made, real, compute_mode="donot_use_mm_for_euclid_dist") < radius  # [M, n]
    return {
        "density": float(near.sum()) / (neighbours * len(made)),
        "coverage": float(near.any(0).double().mean()),
    }
