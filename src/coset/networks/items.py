"""The two ends of every model: items to features, and latent vectors to the parameters of a likelihood."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn

from coset.errors import ConfigurationError
from coset.networks.convolutional import ConvolutionalDecoder, ConvolutionalEncoder, strided, widening
from coset.networks.likelihoods.reading import InUnits, Reading
from coset.networks.mlp import MLP, ResidualMLP, layers
from coset.networks.normalization import Normalization, normalization
from coset.shapes import for_present, is_series

Architecture = Literal["convolutional", "compact", "series", "strided", "dense", "plain", "none"]


def _as_image(item_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Read `(H, W)` or `(C, H, W)` as channels, height, width."""
    match item_shape:
        case (height, width):
            return 1, height, width
        case (channels, height, width):
            return channels, height, width
        case _:
            raise ConfigurationError(
                f"convolutions take images [H, W] or [C, H, W], got items of shape {list(item_shape)}; "
                "use architecture='dense' for other items"
            )


def _as_series(item_shape: tuple[int, ...]) -> tuple[int, int]:
    """Read `(C, L)` as channels, length."""
    if len(item_shape) != 2:
        raise ConfigurationError(
            f"architecture 'series' takes items [channels, length], got items of shape {list(item_shape)}; "
            "put one channel before a vector (items[:, None]), or use architecture='dense'"
        )
    return item_shape[0], item_shape[1]


def default_architecture(item_shape: Sequence[int]) -> Architecture:
    """Convolutions for images, and for series that are long enough, dense layers for vectors."""
    if is_series(item_shape):
        return "series" if item_shape[1] >= 8 else "dense"
    return "dense" if len(item_shape) == 1 else "compact"


def _check_sizes(item_shape: Sequence[int], architecture: str, channels: Sequence[int]) -> None:
    if not item_shape or min(item_shape) < 1:
        raise ConfigurationError(f"item_shape: expected sizes from 1 up, such as (28, 28), got {tuple(item_shape)}")
    needed = architecture in ("convolutional", "compact", "series", "strided")
    if any(width < 1 for width in channels) or (needed and not len(channels)):
        raise ConfigurationError(f"channels: expected one number from 1 up for each group, got {list(channels)}")


class ItemEncoder(nn.Module):
    """Features of each item, in one pass over all items of all sets.

    Args:
        item_shape: `(D,)`, `(C, L)`, `(H, W)` or `(C, H, W)`.
        features: size of the feature vector.
        architecture: for images `compact`, a convolution of stride 2 for each of `channels` and a residual block, with
            a decoder that is its mirror; `convolutional`, the published residual blocks at all sizes, seven times
            dearer; or `strided`, convolutions of stride 2 alone, with a plain decoder of `features` units. For
            `[channels, length]` `series`, residual blocks along the length. For anything `dense`, residual blocks of
            `features` units, `plain`, a chain of layers of `channels` and then `features` units, or `none`, items as
            they are.
        channels: channels of the convolutional groups, or units of the plain layers before the last.
        norm: `batch`, `layer` or `none`.
        reading: what it sees of items, such as numbers in units of their own; items as they are where None.

    Attributes:
        features: size of the feature vector; of the item itself with `none`.

    Raises:
        ConfigurationError: An unknown architecture, a size below 1, or convolutions of what is no image or series.
    """

    def __init__(
        self,
        item_shape: Sequence[int],
        features: int,
        architecture: Architecture,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
        reading: Reading | None = None,
    ):
        super().__init__()
        self.item_shape, self.features = tuple(item_shape), features
        self.reading = reading or InUnits(self.item_shape)
        _check_sizes(self.item_shape, architecture, channels)
        size = math.prod(self.reading.shape)
        self.input_shape: tuple[int, ...] = (size,)
        match architecture:
            case "convolutional":
                self.input_shape = _as_image(self.reading.shape)
                self.network: nn.Module = ConvolutionalEncoder(self.input_shape, features, channels, norm)
            case "series":
                self.input_shape = _as_series(self.reading.shape)
                self.network = ConvolutionalEncoder(self.input_shape, features, channels, norm)
            case "strided" | "compact":
                self.input_shape = _as_image(self.reading.shape)
                self.network = strided(self.input_shape, features, channels, norm, architecture == "compact")
            case "dense":
                self.network = ResidualMLP(size, features, norm=norm)
            case "plain":
                self.network = layers(size, [*channels, features], norm)
            case "none":
                self.network, self.features = nn.Identity(), size
            case _:
                raise ConfigurationError(f"unknown architecture {architecture!r}: {', '.join(get_args(Architecture))}")

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map items `[..., *item_shape]` to features `[..., features]`, of those that the mask `[...]` leaves."""
        # Images may be transposed in memory.
        return for_present(
            lambda rows: self.network(rows.reshape(-1, *self.input_shape)),
            self.reading(x),
            mask,
            event_dims=len(self.reading.shape),
        )


class ItemDecoder(nn.Module):
    """Parameters of an item's likelihood from a latent vector: the mirror image of `ItemEncoder`."""

    def __init__(
        self,
        inputs: int,
        item_shape: Sequence[int],
        hidden: int,
        architecture: Architecture,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
    ):
        super().__init__()
        self.item_shape = tuple(item_shape)
        size = math.prod(self.item_shape)
        match architecture:
            case "convolutional" | "series" | "compact":
                body = [MLP(inputs, hidden, hidden, norm), normalization(norm, hidden), nn.ReLU()]
                made = (_as_series if architecture == "series" else _as_image)(self.item_shape)
                mirror = widening if architecture == "compact" else ConvolutionalDecoder
                self.network = nn.Sequential(*body, mirror(hidden, made, channels, norm))
            case "dense":
                self.network = nn.Sequential(ResidualMLP(inputs, hidden, norm=norm), nn.Linear(hidden, size))
            case "plain" | "strided":
                widths = [hidden, *(reversed(channels) if architecture == "plain" else ())]
                self.network = nn.Sequential(layers(inputs, widths, norm), nn.Linear(widths[-1], size))
            case _:
                self.network = nn.Sequential(MLP(inputs, hidden, size, norm))

    def forward(self, latent: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map `[..., inputs]` to `[..., *item_shape]`, for the items that the mask `[...]` leaves."""
        return for_present(self.network, latent, mask).view(*latent.shape[:-1], *self.item_shape)
