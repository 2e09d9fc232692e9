"""From the items of a set to one vector, or one posterior, for the set."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent

from coset.distributions import at_least_single, diagonal_normal, linear_parameter, normal_from_natural
from coset.errors import ConfigurationError
from coset.networks.heads import NaturalHead
from coset.networks.mlp import MLP
from coset.networks.normalization import Normalization
from coset.shapes import for_present, join, masked_mean


class StatisticNetwork(nn.Module):
    """Pre-pooling network, mean over the present items, post-pooling network (Edwards & Storkey 2016; thesis 6.4.1).

    Args:
        features: size of an item's features.
        hidden: units of both networks.
        outputs: size of the set's vector.
        extra: size of a vector per set that joins the pooled features, such as `a`.
        norm: `batch`, `layer` or `none`.
        dispersion: also pool the standard deviation over the set. The mean alone cannot tell a set whose items agree
            from one whose items differ, which is what q(a | D) has to decide.
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        outputs: int,
        extra: int = 0,
        norm: Normalization = "batch",
        dispersion: bool = False,
    ):
        super().__init__()
        self.dispersion = dispersion
        self.before = MLP(features, hidden, hidden, norm)
        self.after = MLP(hidden * (2 if dispersion else 1) + extra, hidden, outputs, norm)

    def forward(self, features: Tensor, mask: Tensor | None, extra: Tensor | None = None) -> Tensor:
        """Map item features `[B, N, F]`, mask `[B, N]` and extra `[B, E]` to `[B, outputs]`."""
        items = for_present(self.before, features, mask)
        parts = [masked_mean(items, mask, dim=1)]
        if self.dispersion:
            variance = masked_mean((items - parts[0].unsqueeze(1)).square(), mask, dim=1)
            parts.append((variance + 1e-6).sqrt())  # the derivative of a square root is infinite at 0
        if extra is not None:
            parts.append(extra)
        return self.after(join(*parts))


class SetPosterior(nn.Module):
    """q(c | D): a diagonal Gaussian over a set's context, from a sum over its items of any number.

    Each item is mapped to a vector, the vectors are summed, and the sum s and the number of items N give the posterior:

    - `mean`: a network of s / N alone (Edwards & Storkey 2016; thesis 5.2). It cannot know how many items there were.
    - `size`: the network of s / N gives a location m and, for each dimension, the precision τ that one item
      contributes; with the prior N(0, I) beside them,  q = N( m √(N τ / (1 + N τ)), 1 / (1 + N τ) ).
      The posterior narrows as that of a parameter does, at sizes no training set had.
    - `product`: s holds the summed natural parameters of the items, a product of experts; see `NaturalHead`.

    Because items enter through a sum, leaving one out is a subtraction: see `NeuralStatistician.summarise`.

    Args:
        features: size of an item's features.
        hidden: units of its networks.
        dim: dimensions C of the context.
        kind: `mean`, `size` or `product`.
        norm: `batch`, `layer` or `none`.

    Raises:
        ConfigurationError: Another kind of pooling.

    >>> pool = SetPosterior(8, 16, dim=3, kind="size").eval()
    >>> few, many = (pool(torch.ones(1, items, 8), None).stddev for items in (5, 500))
    >>> bool((many < few).all())
    True
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        dim: int,
        kind: Literal["mean", "size", "product"] = "product",
        norm: Normalization = "batch",
    ):
        super().__init__()
        if kind not in ("mean", "size", "product"):
            raise ConfigurationError(f"unknown pooling {kind!r}: mean, size or product")
        self.kind, self.dim = kind, dim
        if kind == "product":
            self.natural = NaturalHead(features, hidden, dim, 1, norm)
        else:
            # A linear output layer here would commute with the mean, and merge with the first layer of `after`.
            self.before = MLP(features, hidden, None, norm)
            self.after = MLP(hidden, hidden, 2 * dim, norm)

    def encode(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """What each item adds to the sum: `[..., F] → [..., P]`; absent ones anything."""
        if self.kind == "product":
            return torch.cat(self.natural(features, mask), -1).squeeze(-2)  # [..., 2·C]
        return for_present(self.before, features, mask)

    def of_sum(self, total: Tensor, count: Tensor) -> Independent:
        """The posterior of sets with summed vectors `[..., P]` and `[...]` items."""
        if self.kind == "product":
            return normal_from_natural(*total.chunk(2, -1))
        location, raw = self.after(total / count.unsqueeze(-1)).chunk(2, -1)
        if self.kind == "mean":
            return diagonal_normal(location, raw)
        location, raw = at_least_single(location), at_least_single(raw)
        precision = count.unsqueeze(-1) * (F.softplus(raw) + 1e-6)  # the derivative of a square root is infinite at 0
        return normal_from_natural(linear_parameter(location, precision), precision)

    def forward(self, features: Tensor, mask: Tensor | None) -> Independent:
        """Map item features `[B, N, F]` and mask `[B, N]` to a Gaussian with batch axes `[B]` and event `[C]`."""
        return self.of_sum(*pooled(self.encode(features, mask), mask))


def pooled(items: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Sum over the present items, and their number: `[B, N, P]`, `[B, N]` → `[B, P]`, `[B]`."""
    if mask is None:
        return items.sum(-2), items.new_full(items.shape[:-2], items.shape[-2])
    weight = mask.unsqueeze(-1).to(items.dtype)
    # `where` before the sum: padding may hold anything, and 0 · NaN is NaN.
    return torch.where(weight > 0, items * weight, 0.0).sum(-2), weight.sum((-2, -1))
