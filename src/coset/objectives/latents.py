"""The latent variables of all items of a batch, side by side: what objectives of the aggregate posterior look at."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from coset.batch import SetBatch
from coset.errors import ConfigurationError
from coset.programs import Programs
from coset.sites import Site
from coset.trace import Trace


def latent_sites(q: Trace) -> list[Site]:
    """Those that have to be inferred, of all items or of some."""
    return [site for site in q if site.distribution is not None and site.provenance != "observed"]


def item_sites(q: Trace) -> list[Site]:
    """Latent vectors that every item has one of.

    Raises:
        ConfigurationError: There is none.
    """
    sites = [site for site in latent_sites(q) if site.axes == "BN" and site.value.ndim == 3]
    if not sites:
        raise ConfigurationError(
            f"expected latent vectors of items, found none among {', '.join(site.name for site in q)}"
        )
    return sites


def side_by_side(q: Trace, of: Callable[[Site], Tensor]) -> Tensor:
    """What sites of items have `[B, N, D_s]`, such as their values, of the items that are present: `[M, D]`."""
    parts = torch.cat([of(site) for site in item_sites(q)], -1).flatten(0, 1)
    return parts if q.mask is None else parts[q.mask.flatten() > 0]


def posterior_moments(q: Trace) -> tuple[Tensor, Tensor]:
    """Means and variances of the posteriors of items, `[M, D]` each."""

    def mean(site: Site) -> Tensor:
        of: Any = site.distribution
        return of.mean

    def variance(site: Site) -> Tensor:
        of: Any = site.distribution
        return of.variance

    return side_by_side(q, mean), side_by_side(q, variance)


def count_latents(model: Any) -> int:
    """Dimensions D of all latent vectors of an item."""
    like = next(model.parameters())
    varies = like.new_zeros(1, len(model.contexts)) if model.contexts else None
    batch = SetBatch(like.new_zeros(1, 1, *model.item_shape), varies)
    with torch.no_grad():
        q = Programs(model, batch).held().infer()
    return sum(math.prod(site.value.shape[2:]) for site in item_sites(q))
