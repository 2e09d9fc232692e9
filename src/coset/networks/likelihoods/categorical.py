"""The likelihood of codes: one of V values each, without an order."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent

from coset.distributions.composite import Codes
from coset.errors import ConfigurationError
from coset.networks.likelihoods.base import Blocks, Likelihood
from coset.networks.likelihoods.reading import OneHot


class Categorical(Likelihood):
    """Codes 0 to V − 1, of which the decoder gives logits; the mean of an item is its most probable codes.

    Args:
        item_shape: event axes of an item.
        values: V, of all elements; those that occur in the data by `for_data`.

    Raises:
        ConfigurationError: Fewer than 2 values.
    """

    low, counts = 0.0, True
    remedy = "number the values from 0 up, without a gap, or give `values` for those that may come"

    def __init__(self, item_shape: Sequence[int], values: int):
        if values < 2:
            raise ConfigurationError(f"values: expected 2 or more, got {values}")
        super().__init__(item_shape, OneHot(item_shape, values), each=values)
        self.high = float(values - 1)

    @classmethod
    def complete(cls, options: Mapping[str, Any], blocks: Blocks, item_shape: tuple[int, ...]) -> dict[str, Any]:
        """How many values there are."""
        return {"values": max(2, 1 + int(max(float(block.max()) for block in blocks()))), **options}

    def forward(self, parameters: Tensor, library: Tensor | None = None) -> Independent:
        """Map logits `[..., *parameter_shape]` to a distribution over items."""
        logits = torch.stack(self.split(parameters), -1)  # [..., *item_shape, V]
        return Independent(Codes(logits=logits, validate_args=False), len(self.item_shape))
