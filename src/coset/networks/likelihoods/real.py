"""Likelihoods of real values: Gaussian, and Student's t for those with outliers."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from torch.distributions import StudentT as TorchStudentT

from coset.batch import moments_of
from coset.distributions import SCALE_FLOOR
from coset.errors import ConfigurationError
from coset.networks.likelihoods.base import Blocks, Likelihood
from coset.networks.likelihoods.reading import InUnits
from coset.networks.units import Units, units_of

Scale = Literal["element", "shared", "item"]


class Real(Likelihood):
    """A location and a width, in the units of the data.

    Args:
        item_shape: event axes of an item.
        units: location and scale of the data: what the parameters' 0 and 1 stand for.
        scale: whose the width is: learned for each `element` of an item, or one for all, `shared`; said by the decoder
            for each element of each `item`; or a number, in the units of the data, which is not learned.
        width: where a learned width begins, in the units of the data; at their scale where None. One that is large for
            the data says that nothing can be known of an item, and latent variables that tell nothing at first are
            given up.

    Raises:
        ConfigurationError: Another scale, or a width that is not above the floor of all widths.
    """

    shift: Tensor

    def __init__(
        self,
        item_shape: Sequence[int],
        units: Units = (0.0, 1.0),
        scale: Scale | float = "element",
        width: float | None = None,
    ):
        reading = InUnits(item_shape, units)
        super().__init__(item_shape, reading, each=2 if scale == "item" else 1)
        self.learned = scale if isinstance(scale, str) else None
        if self.learned is not None and self.learned not in get_args(Scale):
            raise ConfigurationError(f"scale: expected a number, or one of {get_args(Scale)}, got {scale!r}")
        if self.learned is None and width is not None:
            raise ConfigurationError(f"width: begins one that is learned, but scale is fixed at {scale}; give one")
        begin = width if self.learned else float(scale)
        share = torch.ones_like(reading.scale) if begin is None else begin / reading.scale
        if not bool((share > SCALE_FLOOR).all()):
            least = SCALE_FLOOR * float(reading.scale.max())
            name = "width" if self.learned else "scale"
            raise ConfigurationError(f"{name}: expected a number above {least:g}, got {begin}")
        raw = (share.double() - SCALE_FLOOR).expm1().log()  # what softplus makes this of
        self.register_buffer("shift", raw.to(share.dtype), persistent=False)
        if self.learned in ("element", "shared"):
            self.raw_scale = nn.Parameter(torch.zeros(self.item_shape if self.learned == "element" else ()))

    @classmethod
    def complete(cls, options: Mapping[str, Any], blocks: Blocks, item_shape: tuple[int, ...]) -> dict[str, Any]:
        """The units in which items have mean 0 and deviation 1."""
        if "units" in options:
            return dict(options)
        return {"units": units_of(*moments_of(blocks(), item_shape)), **options}

    def forward(self, parameters: Tensor, library: Tensor | None = None) -> Independent:
        """Map locations `[..., *item_shape]`, perhaps with widths, to a distribution over items."""
        location, *said = self.split(parameters)
        raw = said[0] if said else getattr(self, "raw_scale", 0.0)
        width = F.softplus(raw + self.shift) + SCALE_FLOOR
        unit: Any = self.reading
        base = self.around(unit.location + unit.scale * location, unit.scale * width)
        return Independent(base, len(self.item_shape))

    @abstractmethod
    def around(self, location: Tensor, width: Tensor) -> Distribution:
        """The distribution of each number, in the units of the data."""


class Gaussian(Real):
    """N(location, width²); arguments as of `Real`."""

    def around(self, location: Tensor, width: Tensor) -> Distribution:
        """N(location, width²)."""
        return Normal(location, width, validate_args=False)


class StudentT(Real):
    """Student's t, for values with outliers; arguments as of `Real`.

    Its degrees of freedom, above 2 so that there is a variance, are learned for each element of an item.
    """

    def __init__(
        self,
        item_shape: Sequence[int],
        units: Units = (0.0, 1.0),
        scale: Scale | float = "element",
        width: float | None = None,
    ):
        super().__init__(item_shape, units, scale, width)
        self.raw_freedom = nn.Parameter(torch.full(self.item_shape, 2.0))

    def around(self, location: Tensor, width: Tensor) -> Distribution:
        """Student's t about the location."""
        return TorchStudentT(2 + F.softplus(self.raw_freedom), location, width, validate_args=False)
