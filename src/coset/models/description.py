"""What a model has to know of the data it is built for."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from coset.batch import as_numbers, as_tensor, full_scale_of
from coset.errors import DataError, nearest
from coset.networks.likelihoods.base import LikelihoodName, find_likelihood
from coset.networks.likelihoods.columns import by_name
from coset.networks.units import Units

OVERSHOOT = 0.05
"""How far beyond [0, 1] numbers may lie that were probably meant to be in it, as after resampling pictures."""


@dataclass(frozen=True)
class SizeFromLabel:
    """An option of a model that follows from the values of a discrete factor of the data, the option `label`.

    Attributes:
        option: the option's name.
        usual: the factor where none is named; the first discrete one where the data has none of this name.
        counts: whether the values count from 0 up without a gap, and the option is the largest; otherwise it is how
            many values there are.
    """

    option: str
    usual: str
    counts: bool = False


@dataclass(frozen=True)
class Description:
    """Data, described.

    Attributes:
        item_shape: of one item.
        bounds: smallest and largest number of any item.
        names: of what sets may hold constant.
        values: of discrete factors.
        full_scale: the byte that stands for 1; None where items are no bytes.
        blocks: gives the items anew, as numbers, block by block, `[n, *item_shape]`.
        feature_names: of the numbers of an item, where the data has such.
    """

    item_shape: tuple[int, ...]
    bounds: tuple[float, float]
    names: list[str]
    values: Mapping[str, list]
    full_scale: int | None
    blocks: Callable[[], Iterator[Tensor]]
    feature_names: Sequence[str] = ()

    def range(self) -> tuple[float, float]:
        """Smallest and largest number of any item."""
        return self.bounds


def describe(data: Any) -> Description:
    """Describe a table, a collection of sets, a list of sets or an array of items.

    Raises:
        DataError: These are no items, or there are none.
    """
    if hasattr(data, "range"):
        names = list(getattr(data, "contexts", None) or data.factors)
        values = getattr(data, "values", None)
        known = values if isinstance(values, dict) else {}
        columns = tuple(getattr(getattr(data, "table", data), "feature_names", None) or ())
        return Description(tuple(data.item_shape), data.range(), names, known, data.full_scale, data.blocks, columns)
    listed = isinstance(data, Sequence) and not isinstance(data, str)
    parts = [as_tensor(part) for part in (data if listed else [data])]
    if (
        not parts
        or len({part.shape[1:] for part in parts}) > 1
        or not all(part.ndim > 1 and part.numel() for part in parts)
    ):
        shapes = [list(part.shape) for part in parts[:5]]
        raise DataError(f"data: expected items, or sets of items of one shape, at least one in each, got {shapes}")
    full_scale, shape = full_scale_of(parts), parts[0].shape[1:]
    bounds = [part.aminmax() for part in parts]
    low, high = min(float(b.min) for b in bounds), max(float(b.max) for b in bounds)

    def blocks() -> Iterator[Tensor]:
        return (as_numbers(part, torch.float64, full_scale) for part in parts)

    scale, names = full_scale or 1, ["context"] if listed else []
    return Description(tuple(shape), (low / scale, high / scale), names, {}, full_scale, blocks)


def measure_likelihood(given: LikelihoodName | None, found: Description, units: Units | None) -> dict[str, Any]:
    """The options `likelihood` and `units` of a model, with what follows from its data.

    Args:
        given: a likelihood; column → likelihood, for vectors with named columns; or None, to be chosen.
        found: the data.
        units: those that a user gave.

    Raises:
        DataError: Items are not finite.
        ConfigurationError: Nothing is called so, or columns are named that the data does not have.
    """
    if not all(math.isfinite(bound) for bound in found.bounds):
        raise DataError("items: contain NaN or infinity; drop or fill those items first")
    if given is None:
        given = likelihood_for(*found.bounds)
    elif isinstance(given, Mapping) and not isinstance(given.get("class"), str):
        given = by_name(given, found.feature_names)
    kind, options = find_likelihood(given)
    told = {} if units is None else {"units": units}
    measured = kind.complete(told | options, found.blocks, found.item_shape)
    units = measured.pop("units", None)
    likelihood = given if measured == options else {"class": kind.__name__, **measured}
    return {"likelihood": likelihood} | ({} if units is None else {"units": units})


def likelihood_for(low: float, high: float) -> Literal["bernoulli", "gaussian"]:
    """The likelihood of items with these bounds: Bernoulli within [0, 1], and Gaussian otherwise."""
    if low >= 0 and high <= 1:
        return "bernoulli"
    if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        warnings.warn(
            f"items lie in [{low:.3g}, {high:.3g}], a little beyond [0, 1], and get a Gaussian likelihood; if they are "
            "intensities, clip them (x.clip(0, 1)) or give likelihood='bernoulli', otherwise likelihood='gaussian'",
            stacklevel=4,
        )
    return "gaussian"


def size_from(rule: SizeFromLabel | None, data: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options `label` and its size, from the factor of the data that tells a one-hot site.

    Raises:
        DataError: The factor is not there or continuous, or its values don't count from 0 up.
    """
    values = getattr(data, "values", None)
    values = values if isinstance(values, dict) else {}
    if rule is None or (rule.option in options and (not values or rule.counts)):
        return {}
    label = options.get("label", rule.usual if rule.usual in values or rule.counts else next(iter(values), rule.usual))
    if label not in values:
        if rule.counts:
            return {}
        raise DataError(f"label: no discrete factor {label!r} in the data; {nearest(label, values)}")
    if rule.counts and values[label] != list(range(len(values[label]))):
        raise DataError(f"label: {label!r} should count from 0 up without a gap, its values are {values[label]}")
    found = {"label": label, rule.option: len(values[label]) - rule.counts}
    return {name: value for name, value in found.items() if name not in options}
