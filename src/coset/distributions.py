"""What `torch.distributions` lacks: straight-through discrete variables, and the one Gaussian used everywhere."""

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Distribution,
    Independent,
    Normal,
    OneHotCategorical,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    constraints,
)

from coset.errors import ConfigurationError, nearest

SCALE_FLOOR = 1e-3


def diagonal_normal(location: Tensor, raw_scale: Tensor) -> Independent:
    """A diagonal Gaussian over the last axis, with standard deviation `softplus(raw_scale + c) + 0.001`.

    The constant `c` makes the standard deviation 1 at `raw_scale = 0`. Softplus grows linearly and the floor is part
    of the parametrisation, so neither end of the range can overflow as an exponentiated log-variance does. Both
    tensors `[..., C]` are read in at least single precision: densities are never computed in bfloat16.

    >>> diagonal_normal(torch.zeros(2, 3), torch.zeros(2, 3)).base_dist.scale
    tensor([[1.0000, 1.0000, 1.0000],
            [1.0000, 1.0000, 1.0000]])
    """
    if location.dtype in (torch.bfloat16, torch.float16):
        location, raw_scale = location.float(), raw_scale.float()
    shift = math.log(math.expm1(1.0 - SCALE_FLOOR))
    return Independent(Normal(location, F.softplus(raw_scale + shift) + SCALE_FLOOR, validate_args=False), 1)


def standard_normal(like: Tensor) -> Independent:
    """A standard Gaussian over the last axis, with the shape, dtype and device of `like`."""
    return Independent(Normal(torch.zeros_like(like), torch.ones_like(like), validate_args=False), 1)


class AggregateNormal(Distribution):
    """An even mixture of J diagonal Gaussians, drawn by choosing one of them.

        p(c) = 1/J Σ_j N(c; m_j, s_j²)

    `torch.distributions.MixtureSameFamily` draws from all J components to keep one, which at J in the hundreds costs
    hundreds of times the memory.

    Args:
        location: means `[*batch, J, C]`; may be expanded.
        scale: standard deviations, likewise.

    >>> AggregateNormal(torch.zeros(5, 2, 256, 3), torch.ones(5, 2, 256, 3)).sample().shape
    torch.Size([5, 2, 3])
    """

    def __init__(self, location: Tensor, scale: Tensor):
        self.location, self.scale = location, scale
        super().__init__(location.shape[:-2], location.shape[-1:], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Every vector."""
        return constraints.real_vector

    @property
    def mean(self) -> Tensor:
        """Mean of the components' means."""
        return self.location.mean(-2)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """Draw `[*sample_shape, *batch, C]`."""
        shape = self._extended_shape(sample_shape)
        chosen = torch.randint(self.location.shape[-2], (*shape[:-1], 1, 1), device=self.location.device)
        wide = (*shape[:-1], *self.location.shape[-2:])
        index = chosen.expand(*shape[:-1], 1, shape[-1])  # [..., 1, C]
        location, scale = (part.expand(wide).gather(-2, index).squeeze(-2) for part in (self.location, self.scale))
        return location + scale * torch.randn_like(location)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of values `[..., C]`."""
        each = Normal(self.location, self.scale, validate_args=False).log_prob(value.unsqueeze(-2)).sum(-1)
        return each.logsumexp(-1) - math.log(self.location.shape[-2])


def centre(distribution: Distribution) -> Tensor:
    """The single most representative value: the mean of a continuous distribution, the mode of a discrete one."""
    if not getattr(distribution.support, "is_discrete", False):
        return distribution.mean
    return distribution.mode.nan_to_num(0.0)  # torch calls the mode of a fair coin NaN


Discrete = Literal["sample", "enumerate", "plug-in", "relaxed", "straight-through"]
"""How a trace draws a one-hot variable, which decides how its parameters learn.

| choice             | value                                      | gradient                                      |
|--------------------|--------------------------------------------|-----------------------------------------------|
| `sample`           | a draw                                     | none by itself, hence `ScoreFunction`         |
| `enumerate`        | every value, weighted by its probability   | exact                                         |
| `plug-in`          | the vector of probabilities, its mean      | biased, without noise (Siddharth et al. 2017) |
| `relaxed`          | a point inside the simplex, Gumbel-softmax | biased, less so at low temperature            |
| `straight-through` | a draw                                     | that of the relaxed one                       |

(Maddison et al. 2017 and Jang et al. 2017 for the relaxations.)
"""


def draw_discrete(distribution: OneHotCategorical, how: Discrete, temperature: float, shape: torch.Size) -> Tensor:
    """Draw a one-hot variable `[*shape, *batch, V]` as `how` says: `plug-in`, `relaxed` or `straight-through`.

    Raises:
        ConfigurationError: another way to draw, or a temperature that is not above 0.
    """
    if temperature <= 0:
        raise ConfigurationError(f"relaxation: expected a temperature above 0, got {temperature}")
    if how == "plug-in":
        return distribution.probs.expand(*shape, *distribution.probs.shape)
    if how not in ("relaxed", "straight-through"):
        raise ConfigurationError(f"discrete: no way to draw is called {how!r}; {nearest(how, get_args(Discrete))}")
    drawn = StraightThroughOneHot(temperature, logits=distribution.logits)
    return (drawn.relaxed if how == "relaxed" else drawn).rsample(shape)


class StraightThroughBernoulli(Bernoulli):
    """Bits whose samples are exactly 0 or 1, while gradients flow through the relaxed (Concrete) sample.

    The forward value is the rounded sample of a relaxed Bernoulli, the gradient that of the relaxed one (Jang et al.
    2017; thesis 6.4.3). Log-probabilities and divergences are those of the implied Bernoulli (thesis A.4).

    >>> _ = torch.manual_seed(0)
    >>> bits = StraightThroughBernoulli(temperature=0.5, logits=torch.zeros(3, requires_grad=True))
    >>> value = bits.rsample(); value.detach().unique().tolist(), value.requires_grad
    ([0.0, 1.0], True)
    """

    has_rsample = True

    def __init__(self, temperature: float | Tensor, logits: Tensor, validate_args: bool | None = False):
        self.relaxed = RelaxedBernoulli(torch.as_tensor(temperature).to(logits), logits=logits, validate_args=False)
        super().__init__(logits=logits, validate_args=validate_args)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """Draw hard bits with soft gradients."""
        soft = self.relaxed.rsample(sample_shape)
        return (soft > 0.5).to(soft.dtype) + (soft - soft.detach())  # in this order the sum is exact


class StraightThroughOneHot(OneHotCategorical):
    """A one-hot choice, exact in the forward pass, with the gradient of the Gumbel-softmax (Jang et al. 2017).

    For "exactly one context is constant": one choice over `K`, instead of `K` independent bits.
    """

    has_rsample = True

    def __init__(self, temperature: float | Tensor, logits: Tensor, validate_args: bool | None = False):
        self.relaxed = RelaxedOneHotCategorical(
            torch.as_tensor(temperature).to(logits), logits=logits, validate_args=False
        )
        super().__init__(logits=logits, validate_args=validate_args)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """Draw a hard one-hot vector with soft gradients."""
        soft = self.relaxed.rsample(sample_shape)
        hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
        return hard + (soft - soft.detach())
