"""Mixtures of diagonal Gaussians: one with reparametrised draws, and the aggregate posterior of many sets."""

import math
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal, constraints


class MixtureNormal(Distribution):
    """A mixture of J diagonal Gaussians, whose draws carry the gradient of all its parameters.

        p(c) = Σ_j w_j N(c; m_j, s_j²)

    A draw chooses a component, which has no gradient. The gradient follows from the conditional distribution functions
    instead, dimension after dimension (implicit reparametrisation: Graves 2016; Figurnov et al. 2018):

        ∂c_d / ∂θ = − ∂F_d(c_d | c_<d; θ) / ∂θ  /  p_d(c_d | c_<d)

    Args:
        logits: unnormalised log-weights `[*batch, J]`.
        location: means `[*batch, J, C]`.
        scale: standard deviations, likewise.

    >>> logits = torch.zeros(4, 3, requires_grad=True)
    >>> draw = MixtureNormal(logits, torch.randn(4, 3, 2), torch.ones(4, 3, 2)).rsample()
    >>> draw.shape, draw.requires_grad
    (torch.Size([4, 2]), True)
    """

    has_rsample = True
    arg_constraints: Any = MappingProxyType({})

    def __init__(self, logits: Tensor, location: Tensor, scale: Tensor):
        self.log_weight = logits.log_softmax(-1)
        self.location, self.scale = location, scale
        super().__init__(location.shape[:-2], location.shape[-1:], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Every vector."""
        return constraints.real_vector

    @property
    def mean(self) -> Tensor:
        """Mean of the mixture `[*batch, C]`."""
        return (self.log_weight.exp().unsqueeze(-1) * self.location).sum(-2)

    @property
    def variance(self) -> Tensor:
        """Variance of each dimension `[*batch, C]`."""
        square = self.scale.square() + self.location.square()
        return (self.log_weight.exp().unsqueeze(-1) * square).sum(-2) - self.mean.square()

    def expand(self, batch_shape: torch.Size, _instance: Distribution | None = None) -> "MixtureNormal":
        """The same mixture with further or longer batch axes."""
        shape = torch.Size(batch_shape)
        wide = (*shape, *self.location.shape[-2:])
        return MixtureNormal(self.log_weight.expand(*shape, -1), self.location.expand(wide), self.scale.expand(wide))

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """Draw `[*sample_shape, *batch, C]`, with the gradient of weights, means and widths."""
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            drawn = _draw_component(self.log_weight, self.location, self.scale, shape)
        if not any(part.requires_grad for part in (self.log_weight, self.location, self.scale)):
            return drawn
        log_weight, columns = self.log_weight.expand(*shape[:-1], -1), []  # of the components given c_<d
        for dimension in range(shape[-1]):
            base = Normal(self.location[..., dimension], self.scale[..., dimension], validate_args=False)
            value = drawn[..., dimension]
            weight = log_weight.softmax(-1)
            function = (weight * base.cdf(value.unsqueeze(-1))).sum(-1)
            density = (weight * base.log_prob(value.unsqueeze(-1)).exp()).sum(-1)
            value = value - (function - function.detach()) / density.detach().clamp_min(1e-12)
            log_weight = log_weight + base.log_prob(value.unsqueeze(-1))
            columns.append(value)
        return torch.stack(columns, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of values `[..., C]`."""
        each = Normal(self.location, self.scale, validate_args=False).log_prob(value.unsqueeze(-2)).sum(-1)
        return (self.log_weight + each).logsumexp(-1)


class AggregateNormal(Distribution):
    """An even mixture of J diagonal Gaussians, drawn by choosing one of them: the aggregate posterior of J sets.

        p(c) = 1/J Σ_j N(c; m_j, s_j²)

    `torch.distributions.MixtureSameFamily` draws from all J components to keep one, which at J in the hundreds costs
    hundreds of times the memory.

    Args:
        location: means `[*batch, J, C]`; may be expanded.
        scale: standard deviations, likewise.

    >>> AggregateNormal(torch.zeros(5, 2, 256, 3), torch.ones(5, 2, 256, 3)).sample().shape
    torch.Size([5, 2, 3])
    """

    arg_constraints: Any = MappingProxyType({})

    def __init__(self, location: Tensor, scale: Tensor):
        self.location, self.scale = location, scale
        super().__init__(location.shape[:-2], location.shape[-1:], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Every vector."""
        return constraints.real_vector

    @property
    def mean(self) -> Tensor:
        """Mean of the components' means `[*batch, C]`."""
        return self.location.mean(-2)

    def expand(self, batch_shape: torch.Size, _instance: Distribution | None = None) -> "AggregateNormal":
        """The same mixture with further or longer batch axes."""
        wide = (*batch_shape, *self.location.shape[-2:])
        return AggregateNormal(self.location.expand(wide), self.scale.expand(wide))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """Draw `[*sample_shape, *batch, C]`."""
        shape = self._extended_shape(sample_shape)
        chosen = torch.randint(self.location.shape[-2], (*shape[:-1], 1, 1), device=self.location.device)
        return _draw_chosen(chosen, self.location, self.scale, shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of values `[..., C]`."""
        each = Normal(self.location, self.scale, validate_args=False).log_prob(value.unsqueeze(-2)).sum(-1)
        return each.logsumexp(-1) - math.log(self.location.shape[-2])


def _draw_component(log_weight: Tensor, location: Tensor, scale: Tensor, shape: torch.Size) -> Tensor:
    """Draw `shape` by choosing components with their weights."""
    choice = torch.distributions.Categorical(logits=log_weight, validate_args=False)
    chosen = choice.expand(shape[:-1]).sample()[..., None, None]
    return _draw_chosen(chosen, location, scale, shape)


def _draw_chosen(chosen: Tensor, location: Tensor, scale: Tensor, shape: torch.Size) -> Tensor:
    """Draw from the chosen components `[*shape[:-1], 1, 1]`."""
    wide = (*shape[:-1], *location.shape[-2:])
    index = chosen.expand(*shape[:-1], 1, shape[-1])  # [..., 1, C]
    location, scale = (part.expand(wide).gather(-2, index).squeeze(-2) for part in (location, scale))
    return location + scale * torch.randn_like(location)
