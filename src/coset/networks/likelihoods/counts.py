"""Likelihoods of counts: Poisson, negative binomial, and negative binomial with more zeros."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.distributions import NegativeBinomial as TorchNegativeBinomial
from torch.distributions import Poisson as TorchPoisson

from coset.batch import moments_of
from coset.distributions.composite import ZeroInflated
from coset.errors import ConfigurationError
from coset.networks.likelihoods.base import Blocks, Library, Likelihood
from coset.networks.likelihoods.reading import LogCounts

EVEN = 0.541324854612918
"""What softplus makes 1 of."""


class Counts(Likelihood):
    """Counts about a rate.

    Where the total of an item is given, the rates are its shares, of logits that the decoder gives:
    `rate = library · softmax(log rates + parameters)` (Lopez et al. 2018, section Methods). Otherwise they are the
    usual rates times what the decoder gives: `rate = rates · softplus(parameters + softplus⁻¹(1))`.

    Args:
        item_shape: event axes of an item.
        rates: usual counts of each element, all above 0, or one number for all; those of the data by `for_data`.
        library: mean and standard deviation of the logarithms of items' totals, which are then given; None where the
            total is part of what is modelled. Those of the data by `for_data`, unless it is told None.
        each: how many numbers the decoder gives for each count.

    Raises:
        ConfigurationError: Rates that are not above 0, or totals that are no such numbers.
    """

    rates: Tensor
    low, counts = 0.0, True
    remedy = "give counts as they were counted, or build the model with likelihood='gaussian'"

    def __init__(
        self,
        item_shape: Sequence[int],
        rates: float | Sequence = 1.0,
        library: Sequence[float] | None = None,
        each: int = 1,
    ):
        super().__init__(item_shape, LogCounts(item_shape), each)
        usual = torch.as_tensor(rates, dtype=torch.get_default_dtype())
        if usual.ndim and tuple(usual.shape) != self.item_shape:
            raise ConfigurationError(f"rates: expected a number, or one for each of {list(self.item_shape)}")
        if not bool((usual > 0).all()) or not bool(usual.isfinite().all()):
            raise ConfigurationError("rates: expected finite numbers above 0, such as the usual counts of each element")
        self.register_buffer("rates", usual, persistent=False)
        self.library = None if library is None else Library(library)

    @classmethod
    def complete(cls, options: Mapping[str, Any], blocks: Blocks, item_shape: tuple[int, ...]) -> dict[str, Any]:
        """Mean counts, and moments of the logarithms of totals; what never occurs gets a tenth of one count in all."""
        event = len(item_shape)
        items = sum(len(block) for block in blocks())
        rates = moments_of(blocks(), item_shape)[0].clamp_min(0.1 / max(1, items))
        totals = (Library.of(block.double(), event).log().unsqueeze(-1) for block in blocks())
        mean, deviation = moments_of(totals, (1,))
        return {"rates": rates.tolist(), "library": [float(mean), max(float(deviation), 1e-3)], **options}

    def forward(self, parameters: Tensor, library: Tensor | None = None) -> Independent:
        """Map decoder outputs `[..., *parameter_shape]`, and totals `[...]` if given, to a distribution over counts."""
        said, *more = self.split(parameters)
        if library is None:
            rate = self.rates * F.softplus(said + EVEN)
        else:
            logits = said + self.rates.log()
            event = len(self.item_shape)
            shares = logits.flatten(logits.ndim - event).softmax(-1)
            rate = (library.unsqueeze(-1) * shares).unflatten(-1, self.item_shape)
        return Independent(self.around(rate, *more), len(self.item_shape))

    @abstractmethod
    def around(self, rate: Tensor, *more: Tensor) -> Distribution:
        """The distribution of each count, given its rate and what else the decoder says of it."""


class Poisson(Counts):
    """Counts that vary as much as chance alone makes them; arguments as of `Counts`."""

    def around(self, rate: Tensor, *more: Tensor) -> Distribution:
        """Poisson of this rate."""
        return TorchPoisson(rate, validate_args=False)


class NegativeBinomial(Counts):
    """Counts that vary more than by chance: variance rate + rate² / θ; arguments as of `Counts`.

    θ is learned for each element of an item.
    """

    def __init__(
        self, item_shape: Sequence[int], rates: float | Sequence = 1.0, library: Sequence[float] | None = None
    ):
        super().__init__(item_shape, rates, library)
        self.raw_theta = nn.Parameter(torch.zeros(self.item_shape))

    def around(self, rate: Tensor, *more: Tensor) -> Distribution:
        """Negative binomial of this rate."""
        return _negative_binomial(rate, self.raw_theta)


class ZeroInflatedNegativeBinomial(Counts):
    """Negative binomial counts, some of which were lost: 0 with a probability that the decoder gives for each.

    Arguments as of `Counts`.
    """

    def __init__(
        self, item_shape: Sequence[int], rates: float | Sequence = 1.0, library: Sequence[float] | None = None
    ):
        super().__init__(item_shape, rates, library, each=2)
        self.raw_theta = nn.Parameter(torch.zeros(self.item_shape))

    def around(self, rate: Tensor, *more: Tensor) -> Distribution:
        """Negative binomial of this rate, or 0."""
        return ZeroInflated(_negative_binomial(rate, self.raw_theta), more[0])


def _negative_binomial(rate: Tensor, raw_theta: Tensor) -> TorchNegativeBinomial:
    logits = rate.clamp_min(torch.finfo(rate.dtype).tiny).log() - raw_theta
    return TorchNegativeBinomial(raw_theta.exp(), logits=logits, validate_args=False)
