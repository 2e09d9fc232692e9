"""Distributions of items' numbers that torch lacks: counts with more zeros, codes, and columns of several kinds."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical, Distribution, constraints


class ZeroInflated(Distribution):
    """Counts of which some were lost: 0 with probability σ(logits), otherwise as `base` has them.

        log p(0) = log(σ(l) + σ(−l) base(0)),   log p(x) = log σ(−l) + log base(x)

    Args:
        base: a distribution over counts.
        logits: of being lost, with the batch axes of `base`.

    >>> from torch.distributions import Poisson
    >>> ZeroInflated(Poisson(torch.tensor(3.0)), torch.tensor(0.0)).mean
    tensor(1.5000)
    """

    arg_constraints: Any = MappingProxyType({})

    def __init__(self, base: Distribution, logits: Tensor):
        self.base, self.logits = base, logits
        super().__init__(base.batch_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Counts."""
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Tensor:
        """σ(−l) E[base]."""
        return torch.sigmoid(-self.logits) * self.base.mean

    @property
    def variance(self) -> Tensor:
        """With π = σ(l): (1 − π) (Var[base] + π E[base]²)."""
        lost = torch.sigmoid(self.logits)
        return (1 - lost) * (self.base.variance + lost * self.base.mean.square())

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw counts `[*sample_shape, *batch_shape]`."""
        with torch.no_grad():
            drawn = self.base.sample(torch.Size(sample_shape))
            return drawn * torch.bernoulli(torch.sigmoid(-self.logits).expand_as(drawn))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probabilities of counts."""
        kept = F.logsigmoid(-self.logits) + self.base.log_prob(value)
        return torch.where(value == 0, torch.logaddexp(F.logsigmoid(self.logits), kept), kept)


class Codes(Categorical):
    """One of V codes, as a number; the mean is the most probable one, for codes have no other centre.

    >>> Codes(logits=torch.tensor([0.0, 3.0, 1.0])).mean
    tensor(1.)
    """

    @property
    def mean(self) -> Tensor:
        """The mode."""
        return self.logits.argmax(-1).to(self.logits.dtype)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw codes `[*sample_shape, *batch_shape]`."""
        return super().sample(torch.Size(sample_shape)).to(self.logits.dtype)


class SideBySide(Distribution):
    """Vectors of which some columns have one distribution and some another, independently.

    Args:
        parts: distributions with the same batch axes, each over vectors.
        columns: which columns of the whole each of them tells.

    >>> from torch.distributions import Independent, Normal
    >>> ones = Independent(Normal(torch.ones(4, 2), 1.0), 1)
    >>> zeros = Independent(Normal(torch.zeros(4, 1), 1.0), 1)
    >>> SideBySide([ones, zeros], [[0, 2], [1]]).mean[0]
    tensor([1., 0., 1.])
    """

    arg_constraints: Any = MappingProxyType({})

    def __init__(self, parts: Sequence[Distribution], columns: Sequence[Sequence[int]]):
        self.parts, self.columns = list(parts), [list(one) for one in columns]
        self._back = torch.tensor([column for one in columns for column in one]).argsort()
        shape = torch.broadcast_shapes(*(part.batch_shape for part in parts))
        super().__init__(shape, torch.Size([len(self._back)]), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Every vector."""
        return constraints.real_vector

    def _join(self, values: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(values), -1)[..., self._back.to(values[0].device)]

    @property
    def mean(self) -> Tensor:
        """Means of all columns, `[*batch_shape, D]`."""
        return self._join([part.mean for part in self.parts])

    @property
    def variance(self) -> Tensor:
        """Variances of all columns, `[*batch_shape, D]`."""
        return self._join([part.variance for part in self.parts])

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw vectors `[*sample_shape, *batch_shape, D]`."""
        return self._join([part.sample(torch.Size(sample_shape)) for part in self.parts])

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-densities of vectors, `[*batch_shape]`."""
        scores = [part.log_prob(value[..., one]) for part, one in zip(self.parts, self.columns, strict=True)]
        return torch.stack(torch.broadcast_tensors(*scores)).sum(0)
