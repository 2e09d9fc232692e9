"""How encoders read items of a kind: numbers in units of their own, counts by their logarithm, codes one-hot."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coset.networks.units import Units, register_units


class Reading(nn.Module, ABC):
    """Turns items into what a network sees of them.

    Attributes:
        shape: of what is seen of an item.
    """

    shape: tuple[int, ...]

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map items `[..., *item_shape]` to `[..., *shape]`."""


class InUnits(Reading):
    """Numbers with a location taken from them, then divided by a scale: `(x − location) / scale`.

    Args:
        item_shape: event axes of an item.
        units: location and scale.

    >>> InUnits((2,), (1.0, [2.0, 4.0]))(torch.tensor([[3.0, 9.0]]))
    tensor([[1., 2.]])
    """

    location: Tensor
    scale: Tensor

    def __init__(self, item_shape: Sequence[int], units: Units = (0.0, 1.0)):
        super().__init__()
        self.shape = tuple(item_shape)
        self.changes = register_units(self, self.shape, units)

    def forward(self, x: Tensor) -> Tensor:
        """Map items to numbers in these units."""
        return (x - self.location) / self.scale if self.changes else x


class LogCounts(Reading):
    """Counts by log(1 + x), so that a network sees few and many alike."""

    def __init__(self, item_shape: Sequence[int]):
        super().__init__()
        self.shape = tuple(item_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Map counts to logarithms."""
        return x.log1p()


class OneHot(Reading):
    """Codes 0 to V − 1 as V numbers each, one after the other.

    >>> OneHot((2,), 3)(torch.tensor([[0.0, 2.0]]))
    tensor([[1., 0., 0., 0., 0., 1.]])
    """

    def __init__(self, item_shape: Sequence[int], values: int):
        super().__init__()
        self.event, self.values = len(item_shape), values
        self.shape = (math.prod(item_shape) * values,)

    def forward(self, x: Tensor) -> Tensor:
        """Map codes to ones and zeros."""
        shown = F.one_hot(x.flatten(x.ndim - self.event).long(), self.values)  # [..., D, V]
        return shown.flatten(-2).to(x.dtype)


class ByColumns(Reading):
    """Vectors of which some columns are read in one way and some in another."""

    def __init__(self, parts: Mapping[tuple[int, ...], Reading]):
        super().__init__()
        self.columns = [list(columns) for columns in parts]
        self.parts = nn.ModuleList(parts.values())
        self.shape = (sum(math.prod(part.shape) for part in parts.values()),)

    def forward(self, x: Tensor) -> Tensor:
        """Map vectors `[..., D]` to what each part sees, one after the other."""
        return torch.cat([part(x[..., columns]) for columns, part in zip(self.columns, self.parts, strict=True)], -1)
