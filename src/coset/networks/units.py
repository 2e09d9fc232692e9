"""Units of items: what a network's 0 and 1 stand for."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from coset.errors import ConfigurationError

Units = Sequence[float | Sequence[float]]
"""Location and scale: what 0 and 1 stand for, one number for all elements of an item, or one for each of a vector's."""

CONSTANT = 1e-6
"""Elements whose deviation is below this share of the largest count as constant, and have no unit of their own."""


def register_units(module: nn.Module, item_shape: Sequence[int], units: Units) -> bool:
    """Give a module the buffers `location` and `scale`; return whether they do anything.

    Raises:
        ConfigurationError: They are no numbers of this shape, or a scale is not above 0.
    """
    if isinstance(units, str) or len(units) != 2:
        raise ConfigurationError(f"units: expected location and scale, such as (0.0, 1.0), got {units!r}")
    for name, value in zip(("location", "scale"), units, strict=True):
        buffer = torch.as_tensor(value, dtype=torch.get_default_dtype())
        if buffer.ndim and tuple(buffer.shape) != tuple(item_shape):
            raise ConfigurationError(
                f"units, {name}: expected a number, or one for each of {list(item_shape)}, got {value!r}"
            )
        if not bool(buffer.isfinite().all()) or (name == "scale" and not bool((buffer > 0).all())):
            raise ConfigurationError(f"units, {name}: expected finite numbers, of a scale above 0, got {value!r}")
        module.register_buffer(name, buffer, persistent=False)  # an argument of the model, which is saved with it
    return bool((module.location != 0).any() or (module.scale != 1).any())  # type: ignore[union-attr]


def units_of(mean: Tensor, deviation: Tensor) -> Units:
    """The units in which items `[*item_shape]` with these moments have mean 0 and deviation 1.

    The elements of a vector may be in units of their own, and get one each; pictures and series have one for all.

    >>> units_of(torch.tensor([5.0, 1.0]), torch.tensor([2.0, 0.0]))
    ([5.0, 1.0], [2.0, 2.0])
    """
    if mean.ndim == 1:
        usual = float(deviation.max()) or 1.0
        return mean.tolist(), torch.where(deviation > CONSTANT * usual, deviation, usual).tolist()
    total = (deviation.square() + (mean - mean.mean()).square()).mean().sqrt()
    return float(mean.mean()), float(total) or 1.0
