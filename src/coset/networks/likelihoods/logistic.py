"""The likelihood of pictures whose intensities are bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent

from coset.distributions import SCALE_FLOOR, DiscretizedLogistic
from coset.errors import ConfigurationError
from coset.networks.likelihoods.base import Blocks, Likelihood
from coset.networks.likelihoods.reading import InUnits
from coset.networks.units import Units


class Logistic(Likelihood):
    """Intensities from 0 to 1 of so many levels, about a location that the decoder gives by its logit.

    Its width is learned, one for each channel of pictures with channels, or one for all (Kingma et al. 2016; it is the
    likelihood of the auxiliary-task model's paper, section 3.1).

    Args:
        item_shape: event axes of an item.
        levels: of intensities; 256 for bytes.
        width: where the learned width begins.
        units: in which encoders see items.

    Raises:
        ConfigurationError: Fewer levels than two, or a width that is not above the floor of all widths.
    """

    low, high = 0.0, 1.0
    remedy = "rescale them, or build the model with likelihood='gaussian'"

    def __init__(
        self, item_shape: Sequence[int], levels: int = 256, width: float | None = None, units: Units = (0.0, 1.0)
    ):
        super().__init__(item_shape, InUnits(item_shape, units))
        begin = 0.1 if width is None else width
        if levels < 2 or not begin > SCALE_FLOOR:
            raise ConfigurationError(
                f"Logistic: expected 2 levels or more and a width above {SCALE_FLOOR:g}, got {levels} and {begin}"
            )
        self.levels = levels
        channels = (item_shape[0], 1, 1) if len(item_shape) == 3 else ()
        raw = torch.tensor(begin - SCALE_FLOOR, dtype=torch.float64).expm1().log()  # what softplus makes this of
        self.raw_scale = nn.Parameter(raw.to(torch.get_default_dtype()).expand(channels).clone())

    @classmethod
    def complete(cls, options: Mapping[str, Any], blocks: Blocks, item_shape: tuple[int, ...]) -> dict[str, Any]:
        """As they are: 0 and 1 are its units."""
        return dict(options)

    def forward(self, parameters: Tensor, library: Tensor | None = None) -> Independent:
        """Map logits of locations `[..., *item_shape]` to a distribution over items."""
        width = F.softplus(self.raw_scale) + SCALE_FLOOR
        location = self.split(parameters)[0].sigmoid()
        return Independent(DiscretizedLogistic(location, width, self.levels), len(self.item_shape))
