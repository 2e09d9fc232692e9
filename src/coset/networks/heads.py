"""Networks whose outputs are distributions."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from zuko.flows import NSF

from coset.distributions import (
    MixtureNormal,
    at_least_single,
    diagonal_normal,
    linear_parameter,
)
from coset.networks.mlp import MLP
from coset.networks.normalization import Normalization
from coset.shapes import for_present


class GaussianHead(nn.Module):
    """A diagonal Gaussian, or `count` of them at once, given a vector: thesis 6.3.

    All `count` distributions come from one pass with one output layer, not from a loop over contexts.

    Args:
        inputs: size of the vector it is conditioned on.
        hidden: units of its three layers; None for a linear map alone, where a whole network stands before it.
        dim: dimensions of each Gaussian.
        count: how many; None for a single one without that axis.
        norm: `batch`, `layer` or `none`.

    >>> import torch
    >>> GaussianHead(8, 16, dim=3, count=2)(torch.ones(4, 5, 8)).batch_shape
    torch.Size([4, 5, 2])
    """

    def __init__(
        self, inputs: int, hidden: int | None, dim: int, count: int | None = None, norm: Normalization = "batch"
    ):
        super().__init__()
        self.dim, self.count = dim, count
        outputs = 2 * dim * (count or 1)
        self.network = nn.Linear(inputs, outputs) if hidden is None else MLP(inputs, hidden, outputs, norm)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Independent:
        """Map `[..., inputs]` to a Gaussian with batch axes `[...]`, or `[..., count]`, and event `[dim]`."""
        shape = (self.dim,) if self.count is None else (self.count, self.dim)
        location, raw_scale = for_present(self.network, x, mask).chunk(2, -1)
        return diagonal_normal(
            location.reshape(*x.shape[:-1], *shape), raw_scale.reshape(*x.shape[:-1], *shape)
        )  # [..., count, dim]


class FlowHead(nn.Module):
    """A normalizing flow given a vector, in the place of a Gaussian: zuko's neural spline flow (Durkan et al. 2019).

    Args:
        inputs: size of the vector it is conditioned on.
        hidden: units of the two layers of each of its networks.
        dim: dimensions of its draws.
        transforms: how many are chained.

    >>> import torch
    >>> flow = FlowHead(8, 16, dim=3)(torch.ones(4, 5, 8))
    >>> flow.batch_shape, flow.rsample().shape, flow.log_prob(torch.zeros(4, 5, 3)).shape
    (torch.Size([4, 5]), torch.Size([4, 5, 3]), torch.Size([4, 5]))
    """

    def __init__(self, inputs: int, hidden: int, dim: int, transforms: int = 3):
        super().__init__()
        self.dim = dim
        self.flow = NSF(dim, inputs, transforms=transforms, hidden_features=(hidden, hidden))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Distribution:
        """Map `[..., inputs]` to a flow with batch axes `[...]` and event `[dim]`; it has no statistics of a batch."""
        return self.flow(at_least_single(x))


class MixtureHead(nn.Module):
    """A mixture of diagonal Gaussians given a vector, in the place of a single one; its draws carry gradient.

    Args:
        inputs: size of the vector it is conditioned on.
        hidden: units of its three layers; None for a linear map alone.
        dim: dimensions of each Gaussian.
        components: J.
        norm: `batch`, `layer` or `none`.

    >>> import torch
    >>> MixtureHead(8, 16, dim=3, components=5)(torch.ones(4, 5, 8)).rsample().shape
    torch.Size([4, 5, 3])
    """

    def __init__(self, inputs: int, hidden: int | None, dim: int, components: int = 4, norm: Normalization = "batch"):
        super().__init__()
        self.dim, self.components = dim, components
        outputs = components * (2 * dim + 1)
        self.network = nn.Linear(inputs, outputs) if hidden is None else MLP(inputs, hidden, outputs, norm)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> MixtureNormal:
        """Map `[..., inputs]` to a mixture with batch axes `[...]` and event `[dim]`."""
        sizes = [self.components, self.components * self.dim, self.components * self.dim]
        logits, location, raw_scale = at_least_single(for_present(self.network, x, mask)).split(sizes, -1)
        location, raw_scale = (part.unflatten(-1, (self.components, self.dim)) for part in (location, raw_scale))
        each = diagonal_normal(location, raw_scale)  # [..., J], event [dim]
        return MixtureNormal(logits, each.mean, each.stddev)


class NaturalHead(nn.Module):
    """What each item says about its contexts: natural parameters of a Gaussian likelihood, beside the prior N(0, I).

    An item contributes a factor ψ(c) ∝ exp(η c − τ c² / 2) with precision τ ≥ 0. Under the prior N(0, I), the posterior
    given any number of items is

        q(c | x_1 … x_N) ∝ N(c; 0, I) Π_n ψ_n(c)  =  N( Σ_n η_n / (1 + Σ_n τ_n),  1 / (1 + Σ_n τ_n) )

    which is exact Bayes for conditionally independent items. It equals the product of experts of the N single-item
    posteriors with the prior counted once rather than N times (Bouchacourt et al. 2017): a dimension about which the
    items say nothing keeps the width of the prior, whatever the size of the set.

    Args:
        inputs: size of an item's features.
        hidden: units of its three layers.
        dim: dimensions C of each context.
        count: how many contexts.
        norm: `batch`, `layer` or `none`.
    """

    def __init__(self, inputs: int, hidden: int, dim: int, count: int, norm: Normalization = "batch"):
        super().__init__()
        self.dim, self.count = dim, count
        self.network = MLP(inputs, hidden, 2 * dim * count, norm)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map `[..., inputs]` to the linear parameter η and the precision τ, each `[..., count, dim]`."""
        location, raw = (
            at_least_single(part.reshape(*x.shape[:-1], self.count, self.dim))
            for part in for_present(self.network, x, mask).chunk(2, -1)
        )  # [..., count, dim]
        precision = F.softplus(raw) + 1e-6  # the derivative of a square root is infinite at 0
        return linear_parameter(location, precision), precision
