"""The one diagonal Gaussian used everywhere, and its natural parameters."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Independent, Normal

SCALE_FLOOR = 1e-3
"""Standard deviations that networks give are larger than this."""


def diagonal_normal(location: Tensor, raw_scale: Tensor) -> Independent:
    """A diagonal Gaussian over the last axis, with standard deviation `softplus(raw_scale + c) + 0.001`.

    The constant `c` makes the standard deviation 1 at `raw_scale = 0`. Softplus grows linearly and the floor is part
    of the parametrisation, so neither end of the range can overflow as an exponentiated log-variance does. Both
    tensors `[..., C]` are read in at least single precision: densities are never computed in bfloat16.

    >>> diagonal_normal(torch.zeros(2, 3), torch.zeros(2, 3)).stddev
    tensor([[1.0000, 1.0000, 1.0000],
            [1.0000, 1.0000, 1.0000]])
    """
    location, raw_scale = at_least_single(location), at_least_single(raw_scale)
    return Independent(Normal(location, F.softplus(raw_scale + raw_width(1.0)) + SCALE_FLOOR, validate_args=False), 1)


def raw_width(width: float) -> float:
    """What becomes the standard deviation `width` through `softplus(·) + SCALE_FLOOR`."""
    return math.log(math.expm1(width - SCALE_FLOOR))


def standard_normal(like: Tensor) -> Independent:
    """A standard Gaussian over the last axis, with the shape, dtype and device of `like`."""
    return Independent(Normal(torch.zeros_like(like), torch.ones_like(like), validate_args=False), 1)


def normal_from_natural(linear: Tensor, precision: Tensor) -> Independent:
    """The posterior under a standard normal prior, given summed natural parameters `[..., C]` of a Gaussian likelihood.

        N(c; 0, I) exp( η c − τ c² / 2 )  ∝  N( η / (1 + τ), 1 / (1 + τ) )

    Args:
        linear: η.
        precision: τ ≥ 0.
    """
    total = 1 + precision
    return Independent(Normal(linear / total, total.rsqrt(), validate_args=False), 1)


def natural_parameters(posterior: Independent) -> tuple[Tensor, Tensor]:
    """The linear parameter η and the precision τ, `[..., C]`, that gave a posterior of `normal_from_natural`."""
    total = posterior.base_dist.scale.pow(-2)
    return posterior.base_dist.loc * total, total - 1


def linear_parameter(location: Tensor, precision: Tensor) -> Tensor:
    """The linear natural parameter η of a likelihood, scaled by its precision.

    The posterior under a standard normal prior then has the mean `location` · √(τ / (1 + τ)), which is `location` · √τ
    in units of its width. A dimension of little precision counts in proportion to the root of it and can still become
    sure; in proportion to the precision itself its gradient would vanish for good.
    """
    return location * (precision * (1 + precision)).sqrt()


def at_least_single(value: Tensor) -> Tensor:
    """The same numbers in float32 where they came in half precision."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
