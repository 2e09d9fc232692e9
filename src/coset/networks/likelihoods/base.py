"""What every likelihood is: p(x | what a decoder gives), and how its items are to be read."""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Independent, LogNormal

from coset.discovery import find_named, hyphenated
from coset.distributions import at_least_single
from coset.errors import ConfigurationError, nearest
from coset.networks.likelihoods.reading import Reading
from coset.networks.units import Units

LikelihoodName = str | Mapping[str, Any]
"""A likelihood's name, such as `negative-binomial`, or `{"class": "NegativeBinomial", option: value}`."""

Blocks = Callable[[], Iterator[Tensor]]
"""Gives the items of some data anew, block by block, `[n, *item_shape]`."""


class Likelihood(nn.Module, ABC):
    """p(x | parameters) for items of a given shape.

    Attributes:
        item_shape: event axes of an item.
        each: P, how many numbers the decoder gives for each number of an item.
        parameter_shape: what a decoder gives for an item: `item_shape`, its first axis P times as long.
        reading: how encoders see items.
        library: where the total of an item is given, and not modelled.
        low: the least number that an item may hold.
        high: the greatest.
        counts: whether items must be whole numbers.
        remedy: what to do with items that it does not take, in words.
        columns: which columns of vectors each of `parts` tells, where a likelihood is made of such.
        parts: likelihoods of some columns each.

    Args:
        item_shape: event axes of an item.
        reading: how encoders see items.
        each: P.

    Raises:
        ConfigurationError: Items without a number.
    """

    low: float = -math.inf
    high: float = math.inf
    counts: bool = False
    remedy: str = ""
    library: "Library | None"
    columns: Sequence[Sequence[int]]
    parts: Any

    def __init__(self, item_shape: Sequence[int], reading: Reading, each: int = 1):
        super().__init__()
        if not item_shape or min(item_shape) < 1:
            raise ConfigurationError(f"item_shape: expected sizes from 1 up, such as (28, 28), got {tuple(item_shape)}")
        self.item_shape, self.reading, self.each = tuple(item_shape), reading, each
        self.library, self.columns, self.parts = None, (), ()
        # pictures without channels get some where a decoder gives several numbers for each of theirs
        first, *rest = (1, *self.item_shape) if len(self.item_shape) == 2 and each > 1 else self.item_shape
        self.parameter_shape: tuple[int, ...] = (each * first, *rest)

    @classmethod
    @abstractmethod
    def complete(cls, options: Mapping[str, Any], blocks: Blocks, item_shape: tuple[int, ...]) -> dict[str, Any]:
        """Options, with those added that follow from the data a model is built for, such as `units`."""

    @abstractmethod
    def forward(self, parameters: Tensor, library: Tensor | None = None) -> Independent:
        """Map decoder outputs `[..., *parameter_shape]` to a distribution over items.

        Args:
            parameters: what the decoder says.
            library: `[...]`, totals of the items, for likelihoods that have them given.
        """

    @property
    def kind(self) -> str:
        """Its name as a user gives it, such as `negative-binomial`."""
        return hyphenated(type(self).__name__)

    @property
    def scale(self) -> Tensor:
        """What a difference of 1 is in the units of the data, a number or `[*item_shape]`."""
        return getattr(self.reading, "scale", torch.ones(()))

    def split(self, parameters: Tensor) -> list[Tensor]:
        """The P numbers that a decoder gives for each of an item's, each `[..., *item_shape]`."""
        lead = parameters.shape[: parameters.ndim - len(self.parameter_shape)]
        return list(at_least_single(parameters).reshape(*lead, self.each, *self.item_shape).unbind(len(lead)))

    def sizes(self, x: Tensor) -> dict[str, Tensor]:
        """What items tell of their own decoding: `library`, where that is given."""
        return {} if self.library is None else {"library": self.library.of(x, len(self.item_shape))}

    def check(self, x: Tensor) -> str | None:
        """Say what is wrong with some of the items `[..., *item_shape]`, if anything is."""
        for columns, part in zip(self.columns, self.parts, strict=True):
            if fault := part.check(x[..., list(columns)]):
                return f"columns {list(columns)}: {fault}"
        low, high = (float(bound) for bound in torch.aminmax(x))
        name = type(self).__name__
        if low < self.low or high > self.high:
            span = f"in [{self.low:g}, {self.high:g}]" if self.high < math.inf else f"from {self.low:g} up"
            return f"a {name} likelihood takes values {span}, got [{low:g}, {high:g}]; {self.remedy}"
        if self.counts and bool((x != x.round()).any()):
            odd = float(x[x != x.round()][0])
            return f"a {name} likelihood takes whole numbers, got {odd:g}; {self.remedy}"
        return None


class Library(nn.Module):
    """The total of an item's counts, which says how much was looked at rather than what is there.

    It is given where there is an item, and drawn from a log-normal distribution where there is none.

    Args:
        totals: mean and standard deviation of the logarithms of the totals.

    Raises:
        ConfigurationError: These are no such numbers.
    """

    location: Tensor
    deviation: Tensor

    def __init__(self, totals: Sequence[float]):
        super().__init__()
        if len(totals) != 2 or not all(math.isfinite(value) for value in totals) or totals[1] <= 0:
            raise ConfigurationError(
                f"library: expected mean and deviation of the logarithms of totals, such as (8.0, 0.5), got {totals}"
            )
        for name, value in zip(("location", "deviation"), totals, strict=True):
            self.register_buffer(name, torch.tensor(float(value)), persistent=False)

    def forward(self, shape: Sequence[int]) -> LogNormal:
        """The distribution of totals, with batch axes `shape`."""
        return LogNormal(self.location.expand(*shape), self.deviation.expand(*shape), validate_args=False)

    @staticmethod
    def of(x: Tensor, event_dims: int) -> Tensor:
        """The totals of items `[..., *item_shape]`, at least 1: `[...]`."""
        return x.flatten(x.ndim - event_dims).sum(-1).clamp_min(1.0)


def find_likelihood(given: LikelihoodName) -> tuple[type[Likelihood], dict[str, Any]]:
    """The class of a likelihood and its options, from its name or its class and options.

    Raises:
        ConfigurationError: Nothing is called so.

    >>> find_likelihood("negative-binomial")[0].__name__
    'NegativeBinomial'
    """
    return find_named(given, "coset.networks.likelihoods", Likelihood, "likelihood")


def build_likelihood(
    given: LikelihoodName, item_shape: Sequence[int], units: Units = (0.0, 1.0), width: float | None = None
) -> Likelihood:
    """A likelihood from its name, or from its class and options.

    Args:
        given: such as `bernoulli`, `gaussian`, `negative-binomial`, or `{"class": "Gaussian", "scale": "item"}`.
        item_shape: event axes of an item.
        units: location and scale, for likelihoods of real values; others are in units of their own.
        width: where a learned width begins, for likelihoods that have one.

    Raises:
        ConfigurationError: Nothing is called so, or an option does not fit.

    >>> build_likelihood("gaussian", (3,))(torch.zeros(5, 3)).batch_shape
    torch.Size([5])
    """
    kind, options = find_likelihood(given)
    parameters = inspect.signature(kind).parameters
    if width is not None and "width" not in parameters:
        raise ConfigurationError(f"width: {kind.__name__} has none; leave it out, or take a Gaussian likelihood")
    shared = {"units": units, "width": width}
    options = {name: value for name, value in shared.items() if name in parameters} | options
    if unknown := [name for name in options if name not in parameters or name == "item_shape"]:
        raise ConfigurationError(
            f"likelihood: {kind.__name__} has no option {unknown[0]!r}; {nearest(unknown[0], list(parameters)[1:])}"
        )
    return kind(item_shape, **options)
