"""The discretised logistic distribution: intensities of so many levels."""

from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, constraints


class DiscretizedLogistic(Distribution):
    """A logistic variable rounded to L levels from 0 to 1, the lowest and the highest taking all that lies beyond.

        P(x) = σ((x + w/2 − m) / s) − σ((x − w/2 − m) / s),   w = 1 / (L − 1)

    Kingma et al. 2016, "Improved Variational Inference with Inverse Autoregressive Flow", equation 14 and appendix.

    Args:
        location: m, before rounding.
        scale: s, likewise.
        levels: L.

    >>> levels = torch.arange(4) / 3
    >>> shares = DiscretizedLogistic(torch.tensor(0.3), torch.tensor(0.2), levels=4).log_prob(levels).exp()
    >>> round(float(shares.sum()), 4)
    1.0
    """

    arg_constraints: Any = MappingProxyType({})

    def __init__(self, location: Tensor, scale: Tensor, levels: int = 256):
        self.location, self.scale = torch.broadcast_tensors(location, scale)
        self.levels = levels
        super().__init__(self.location.shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """From 0 to 1."""
        return constraints.unit_interval

    @property
    def mean(self) -> Tensor:
        """Mean of the variable kept between 0 and 1, which rounding hardly moves: ∫ P(x > t) dt."""
        ends = F.softplus(self.location / self.scale) - F.softplus((self.location - 1) / self.scale)
        return (self.scale * ends).clamp(0, 1)

    @property
    def variance(self) -> Tensor:
        """Variance, from the probability of being at least as high as each level."""
        first, second = torch.zeros_like(self.location), torch.zeros_like(self.location)
        for level in range(1, self.levels):
            low, high = (level - 1) / (self.levels - 1), level / (self.levels - 1)
            above = torch.sigmoid((self.location - 0.5 * (low + high)) / self.scale)
            first, second = first + (high - low) * above, second + (high**2 - low**2) * above
        return (second - first.square()).clamp_min(0)

    def expand(self, batch_shape: torch.Size, _instance: Distribution | None = None) -> "DiscretizedLogistic":
        """The same distribution with further or longer batch axes."""
        shape = torch.Size(batch_shape)
        return DiscretizedLogistic(self.location.expand(shape), self.scale.expand(shape), self.levels)

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """Draw levels `[*sample_shape, *batch]`."""
        even = torch.rand(self._extended_shape(sample_shape), device=self.location.device).to(self.location)
        drawn = self.location + self.scale * torch.logit(even, eps=1e-6)
        return drawn.clamp(0, 1).mul(self.levels - 1).round().div(self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probabilities of levels; of what lies between two, that of the interval of one level about it."""
        half = 0.5 / (self.levels - 1)
        upper, lower = ((value + side - self.location) / self.scale for side in (half, -half))
        # σ(u) − σ(l) = σ(u) σ(−l) (1 − exp(l − u)), which does not vanish in the tails
        below, above = F.logsigmoid(upper), F.logsigmoid(-lower)
        inside = below + above + (-torch.expm1(-2 * half / self.scale)).log()
        return torch.where(value < half, below, torch.where(value > 1 - half, above, inside))
