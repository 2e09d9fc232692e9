"""Likelihoods of intensities, numbers from 0 to 1."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli
from torch.distributions import Independent

from coset.distributions import at_least_single
from coset.networks.likelihoods.base import Blocks, Likelihood
from coset.networks.likelihoods.reading import InUnits
from coset.networks.units import Units


class Bernoulli(Likelihood):
    """Bits, or intensities in [0, 1] scored as the expected score of bits; the decoder gives logits.

    Args:
        item_shape: event axes of an item.
        units: in which encoders see items.
    """

    low, high = 0.0, 1.0
    remedy = "rescale them, or build the model with likelihood='gaussian'"

    def __init__(self, item_shape: Sequence[int], units: Units = (0.0, 1.0)):
        super().__init__(item_shape, InUnits(item_shape, units))

    @classmethod
    def complete(cls, options: Mapping[str, Any], blocks: Blocks, item_shape: tuple[int, ...]) -> dict[str, Any]:
        """As they are: 0 and 1 are its units."""
        return dict(options)

    def forward(self, parameters: Tensor, library: Tensor | None = None) -> Independent:
        """Map logits `[..., *item_shape]` to a distribution over items."""
        base = TorchBernoulli(logits=at_least_single(parameters), validate_args=False)
        return Independent(base, len(self.item_shape))


class ContinuousBernoulli(Likelihood):
    """Intensities in [0, 1] with a density that integrates to 1 (Loaiza-Ganem & Cunningham 2019); logits as above.

    Args:
        item_shape: event axes of an item.
    """

    low, high = 0.0, 1.0
    remedy = "rescale them, or build the model with likelihood='gaussian'"

    def __init__(self, item_shape: Sequence[int]):
        super().__init__(item_shape, InUnits(item_shape))

    @classmethod
    def complete(cls, options: Mapping[str, Any], blocks: Blocks, item_shape: tuple[int, ...]) -> dict[str, Any]:
        """As they are: 0 and 1 are its units."""
        return dict(options)

    def forward(self, parameters: Tensor, library: Tensor | None = None) -> Independent:
        """Map logits `[..., *item_shape]` to a distribution over items."""
        base = TorchContinuousBernoulli(logits=at_least_single(parameters), validate_args=False)
        return Independent(base, len(self.item_shape))
