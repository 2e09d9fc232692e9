"""Networks whose outputs are distributions."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal

from coset.distributions import SCALE_FLOOR, diagonal_normal
from coset.errors import ConfigurationError
from coset.networks.mlp import MLP, Normalization


class GaussianHead(nn.Module):
    """A diagonal Gaussian, or `count` of them at once, given a vector: thesis 6.3.

    All `count` distributions come from one pass with one output layer, not from a loop over contexts.

    Args:
        inputs: size of the vector it is conditioned on.
        hidden: units of its three layers; None for a linear map alone, where a whole network stands before it.
        dim: dimensions of each Gaussian.
        count: how many; None for a single one without that axis.
        norm: `batch`, `layer` or `none`.

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

    def forward(self, x: Tensor) -> Independent:
        """Map `[..., inputs]` to a Gaussian with batch axes `[...]`, or `[..., count]`, and event `[dim]`."""
        shape = (self.dim,) if self.count is None else (self.count, self.dim)
        location, raw_scale = self.network(x).chunk(2, -1)
        return diagonal_normal(
            location.reshape(*x.shape[:-1], *shape), raw_scale.reshape(*x.shape[:-1], *shape)
        )  # [..., count, dim]


class EvidenceHead(nn.Module):
    """What each item says about its contexts: natural parameters of Gaussian evidence beside a standard normal prior.

    An item contributes a factor ψ(c) ∝ exp(η c − τ c² / 2) with precision τ ≥ 0. Under the prior N(0, I), the posterior
    given any number of items is

        q(c | x_1 … x_N) ∝ N(c; 0, I) Π_n ψ_n(c)  =  N( Σ_n η_n / (1 + Σ_n τ_n),  1 / (1 + Σ_n τ_n) )

    which is exact Bayes for conditionally independent items. It equals the product of experts of the N single-item
    posteriors with the prior counted once rather than N times (Bouchacourt et al. 2017): a
    dimension about which the items say nothing keeps the width of the prior, whatever the size of the set.
    """

    def __init__(self, inputs: int, hidden: int, dim: int, count: int, norm: Normalization = "batch"):
        super().__init__()
        self.dim, self.count = dim, count
        self.network = MLP(inputs, hidden, 2 * dim * count, norm)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map `[..., inputs]` to the pull η and the precision τ, each `[..., count, dim]`."""
        location, raw = (
            part.reshape(*x.shape[:-1], self.count, self.dim).float()
            if part.dtype in (torch.bfloat16, torch.float16)
            else part.reshape(*x.shape[:-1], self.count, self.dim)
            for part in self.network(x).chunk(2, -1)
        )  # [..., count, dim]
        precision = F.softplus(raw) + 1e-6  # the derivative of a square root is infinite at 0
        return pull_towards(location, precision), precision


def pull_towards(location: Tensor, precision: Tensor) -> Tensor:
    """The pull of evidence whose posterior, alone beside the prior, has the mean `location` · √(τ / (1 + τ)).

    Its mean in units of its width is then `location` · √τ: a dimension of little precision is heard in proportion to
    the root of it, and can still become sure; in proportion to the precision itself it would fall silent for good.
    """
    return location * (precision * (1 + precision)).sqrt()


def posterior_from_evidence(pull: Tensor, precision: Tensor) -> Independent:
    """The Gaussian posterior under a standard normal prior, from summed evidence `[..., dim]`."""
    total = 1 + precision
    return Independent(Normal(pull / total, total.rsqrt(), validate_args=False), 1)


def evidence_behind(posterior: Independent) -> tuple[Tensor, Tensor]:
    """The evidence that gave a posterior under a standard normal prior, pull and precision `[..., dim]`."""
    total = posterior.base_dist.scale.pow(-2)
    return posterior.base_dist.loc * total, total - 1


class Likelihood(nn.Module):
    """p(x | parameters) for items of a given shape.

    Args:
        kind: `bernoulli` for intensities in [0, 1], `gaussian` for real values with one learned width per element.
        item_shape: event axes of an item, such as `(28, 28)`.
        width: where a learned width begins. One that is large for the data says that nothing can be known of an item,
            and latent variables that tell nothing at first are given up.

    Raises:
        ConfigurationError: another kind, or a width that is not above the floor of all widths.
    """

    def __init__(self, kind: Literal["bernoulli", "gaussian"], item_shape: tuple[int, ...], width: float = 1.0):
        super().__init__()
        if kind not in ("bernoulli", "gaussian"):
            raise ConfigurationError(f"unknown likelihood {kind!r}: bernoulli or gaussian")
        if not width > SCALE_FLOOR:
            raise ConfigurationError(f"width: expected a number above {SCALE_FLOOR}, got {width}")
        self.kind, self.item_shape = kind, tuple(item_shape)
        self.shift = math.log(math.expm1(width - SCALE_FLOOR))
        if kind == "gaussian":
            self.raw_scale = nn.Parameter(torch.zeros(self.item_shape))

    def forward(self, parameters: Tensor) -> Independent:
        """Map decoder outputs `[..., *item_shape]` to a distribution over items."""
        if parameters.dtype in (torch.bfloat16, torch.float16):
            parameters = parameters.float()
        if self.kind == "bernoulli":
            base = Bernoulli(logits=parameters, validate_args=False)
        else:
            base = Normal(parameters, F.softplus(self.raw_scale + self.shift) + SCALE_FLOOR, validate_args=False)
        return Independent(base, len(self.item_shape))
