"""Discrete variables: the ways to draw them, and their values one by one."""

from itertools import product
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Distribution,
    Independent,
    OneHotCategorical,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
)

from coset.errors import ConfigurationError, nearest

Discrete = Literal["sample", "enumerate", "tempered", "plug-in", "relaxed", "straight-through"]
"""How a trace draws a discrete variable, a one-hot one or bits, which decides how its parameters learn.

| choice             | value                                      | gradient                                      |
|--------------------|--------------------------------------------|-----------------------------------------------|
| `sample`           | a draw                                     | none by itself, hence `ScoreFunction`         |
| `enumerate`        | every value, weighted by its probability   | exact                                         |
| `tempered`         | the same, of probabilities ∝ p^(1/T)       | exact; at T > 1 no value is given up early    |
| `plug-in`          | the vector of probabilities, its mean      | biased, without noise (Siddharth et al. 2017) |
| `relaxed`          | a point inside the simplex, Gumbel-softmax | biased, less so at low temperature            |
| `straight-through` | a draw                                     | that of the relaxed one                       |

(Maddison et al. 2017 and Jang et al. 2017 for the relaxations.)
"""

ENUMERATED = frozenset({"enumerate", "tempered"})
"""Those that take every value."""


def is_enumerable(distribution: Distribution) -> bool:
    """Whether the values of a distribution can be listed: a one-hot variable, or a vector of bits."""
    return isinstance(distribution, OneHotCategorical) or _bits(distribution) is not None


def support_values(distribution: Distribution) -> Tensor:
    """All values of a one-hot variable or of a vector of bits, one after another: `[V, *event]`.

    >>> support_values(Independent(Bernoulli(torch.tensor([0.5, 0.5])), 1))
    tensor([[0., 0.],
            [0., 1.],
            [1., 0.],
            [1., 1.]])
    """
    probabilities = probability_vector(distribution)
    size = probabilities.shape[-1]
    if isinstance(distribution, OneHotCategorical):
        return torch.eye(size, dtype=probabilities.dtype, device=probabilities.device)
    return probabilities.new_tensor(list(product((0.0, 1.0), repeat=size)))


def probability_vector(distribution: Distribution) -> Tensor:
    """Probability of each class of a one-hot variable, or of each bit: `[*batch, *event]`."""
    bits = _bits(distribution)
    return (distribution if bits is None else bits).probs  # type: ignore[union-attr]


def entropy_of(probabilities: Tensor) -> Tensor:
    """Entropy of probabilities along the last axis, in nats: `[..., C] → [...]`.

    >>> round(float(entropy_of(torch.tensor([0.5, 0.5, 0.0]))), 4)
    0.6931
    """
    tiny = torch.finfo(probabilities.dtype).tiny  # the logarithm of 0 has no gradient
    return -torch.xlogy(probabilities, probabilities.clamp_min(tiny)).sum(-1)


def probability_of(distribution: Distribution, value: Tensor, probabilities: Tensor) -> Tensor:
    """Probability `[...]` of values `[..., *event]`, with `probabilities` in place of those of the distribution."""
    if isinstance(distribution, OneHotCategorical):
        return (value * probabilities).sum(-1)
    return (value * probabilities + (1 - value) * (1 - probabilities)).prod(-1)


def tempered(distribution: Distribution, temperature: float) -> Distribution:
    """The distribution with probabilities ∝ p^(1/T): of a one-hot variable, or of each bit.

    Raises:
        ConfigurationError: A temperature that is not above 0.

    >>> tempered(OneHotCategorical(logits=torch.tensor([0.0, 4.0])), 2.0).logits.diff()
    tensor([2.])
    """
    _check_temperature(temperature)
    bits = _bits(distribution)
    if bits is None:
        return OneHotCategorical(logits=distribution.logits / temperature, validate_args=False)  # type: ignore[attr-defined]
    return Independent(Bernoulli(logits=bits.logits / temperature, validate_args=False), 1)


def _check_temperature(temperature: float) -> None:
    if temperature <= 0:
        raise ConfigurationError(f"relaxation: expected a temperature above 0, got {temperature}")


def draw_discrete(distribution: Distribution, how: Discrete, temperature: float, shape: torch.Size) -> Tensor:
    """Draw a discrete variable `[*shape, *batch, *event]` as `how` says: `plug-in`, `relaxed` or `straight-through`.

    Raises:
        ConfigurationError: Another way to draw, or a temperature that is not above 0.
    """
    _check_temperature(temperature)
    if how == "plug-in":
        probabilities = probability_vector(distribution)
        return probabilities.expand(*shape, *probabilities.shape)
    if how not in ("relaxed", "straight-through"):
        raise ConfigurationError(f"discrete: no way to draw is called {how!r}; {nearest(how, get_args(Discrete))}")
    bits = _bits(distribution)
    if bits is None:
        drawn = StraightThroughOneHot(temperature, logits=distribution.logits)  # type: ignore[attr-defined]
    else:
        drawn = StraightThroughBernoulli(temperature, logits=bits.logits)
    return (drawn.relaxed if how == "relaxed" else drawn).rsample(shape)


def _bits(distribution: Distribution) -> Bernoulli | None:
    """The bits of a vector of independent ones."""
    base = distribution.base_dist if isinstance(distribution, Independent) else None
    return base if isinstance(base, Bernoulli) and len(distribution.event_shape) == 1 else None


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
    """A one-hot choice, exact in the forward pass, with the gradient of the Gumbel-softmax (Jang et al. 2017)."""

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
