"""Residual convolutional encoder and its mirror image, for images and series of any length from 8 up."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from coset.errors import ConfigurationError
from coset.networks.normalization import Normalization, normalization


def _convolution(axes: int, inputs: int, outputs: int, **options: Any) -> nn.Module:
    """A convolution of width 3 along one axis or two, that keeps the sides unless it strides."""
    return (nn.Conv1d if axes == 1 else nn.Conv2d)(inputs, outputs, 3, padding=1, **options)


def _sides(side: int, groups: int) -> list[int]:
    """Side of a picture, or length of a series, within each group: halved, rounding up, from one group to the next."""
    sides = [side]
    for _ in range(groups - 1):
        sides.append((sides[-1] + 1) // 2)
    return sides


class ResidualBlock(nn.Module):
    """Two convolutions of width 3 added to their input, each after normalisation and ReLU (He et al. 2016)."""

    def __init__(self, channels: int, norm: Normalization = "batch", axes: int = 2):
        super().__init__()
        self.layers = nn.Sequential(
            normalization(norm, channels, image=True),
            nn.ReLU(),
            _convolution(axes, channels, channels, bias=norm == "none"),
            normalization(norm, channels, image=True),
            nn.ReLU(),
            _convolution(axes, channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, channels, H, W]`, or `[n, channels, L]`, to the same shape."""
        return x + self.layers(x)


class ConvolutionalEncoder(nn.Module):
    """Groups of one convolution and one residual block each; all groups but the first begin by halving the side.

    Three convolutions a group, so `channels=(16, 32, 64)` has the nine convolutional layers of thesis 6.4.1, with the
    residual blocks and strided downsampling of the 2018 paper (section 5.1). Convolutions of a series run along its
    length.

    Args:
        item_shape: `(channels, height, width)` of an image, or `(channels, length)` of a series.
        features: size of the feature vector that comes out.
        channels: channels of each group.
        norm: `batch`, `layer` or `none`.

    Raises:
        ConfigurationError: A side or length is below 8.
    """

    def __init__(
        self,
        item_shape: Sequence[int],
        features: int,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
    ):
        super().__init__()
        colours, *sides = item_shape
        axes = len(sides)
        if min(sides) < 8:
            raise ConfigurationError(
                f"convolutions: expected sides of 8 or more, got {' x '.join(map(str, sides))}; architecture='dense' "
                "takes any items"
            )
        layers: list[nn.Module] = []
        for group, width_out in enumerate(channels):
            width_in = colours if group == 0 else channels[group - 1]
            layers += [_convolution(axes, width_in, width_out, stride=1 if group == 0 else 2)]
            layers += [ResidualBlock(width_out, norm, axes)]
        last = channels[-1] * math.prod(_sides(side, len(channels))[-1] for side in sides)
        self.layers = nn.Sequential(*layers, normalization(norm, channels[-1], image=True), nn.ReLU(), nn.Flatten())
        self.output = nn.Sequential(nn.Linear(last, features), normalization(norm, features), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, channels, H, W]`, or `[n, channels, L]`, to `[n, features]`."""
        return self.output(self.layers(x))


def strided(
    item_shape: Sequence[int], features: int, channels: Sequence[int], norm: Normalization, residual: bool = False
) -> nn.Sequential:
    """A plain chain: a 3 × 3 convolution of stride 2 for each of `channels`, then one linear layer.

    With `residual` there is a residual block before that, where maps are smallest. Maps images `[n, channels, H, W]` to
    `[n, features]`.
    """
    colours, height, width = item_shape
    last = channels[-1] * _sides(height, len(channels) + 1)[-1] * _sides(width, len(channels) + 1)[-1]
    body = [*convolutions(colours, channels, norm=norm)]
    if residual:
        body += [ResidualBlock(channels[-1], norm), normalization(norm, channels[-1], image=True), nn.ReLU()]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(last, features), normalization(norm, features), nn.ReLU())


def convolutions(
    colours: int, channels: Sequence[int], further: int = 0, norm: Normalization = "batch"
) -> nn.Sequential:
    """3 × 3 convolutions, one of stride 2 for each of `channels` and `further` ones that keep the side.

    Maps images `[n, colours, H, W]` to maps `[n, channels[-1], h, w]`.
    """
    widths = [*channels, *[channels[-1]] * further]
    chain: list[nn.Module] = []
    for index, (before, after) in enumerate(zip([colours, *widths], widths, strict=False)):
        stride = 2 if index < len(channels) else 1
        chain += [
            _convolution(2, before, after, stride=stride, bias=norm == "none"),
            normalization(norm, after, image=True),
        ]
        chain += [nn.ReLU()]
    return nn.Sequential(*chain)


def widening(inputs: int, item_shape: Sequence[int], channels: Sequence[int], norm: Normalization) -> nn.Sequential:
    """The mirror of `strided` with a residual block: that block, then a 3 × 3 convolution for each doubling of sides.

    Maps vectors `[n, inputs]` to images `[n, channels, H, W]`. Sides grow linearly, against checkerboard patterns;
    convolutions come before that, where they cost a quarter, but for the last one.
    """
    outputs, height, width = item_shape
    (first, *sizes) = zip(*(_sides(side, len(channels) + 1)[::-1] for side in (height, width)), strict=True)
    body: list[nn.Module] = [
        nn.Linear(inputs, channels[-1] * math.prod(first)),
        nn.Unflatten(1, (channels[-1], *first)),
    ]
    body += [ResidualBlock(channels[-1], norm)]
    for (before, after), size in zip(pairwise([*reversed(channels), outputs]), sizes, strict=True):
        grow = [_convolution(2, before, after), nn.Upsample(size=size, mode="bilinear", align_corners=False)]
        body += [normalization(norm, before, image=True), nn.ReLU(), *(grow if size != sizes[-1] else grow[::-1])]
    return nn.Sequential(*body)


class ConvolutionalDecoder(nn.Module):
    """The encoder's mirror: linear upsampling in place of strides, against checkerboard patterns (2018, 5.1).

    Args:
        inputs: size of the vector that comes in, already passed through fully connected layers.
        item_shape: `(channels, height, width)` or `(channels, length)` of what comes out; `channels` counts
            distribution parameters too.
        channels: channels of the encoder's groups; used in reverse order.
        norm: `batch`, `layer` or `none`.
    """

    def __init__(
        self,
        inputs: int,
        item_shape: Sequence[int],
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
    ):
        super().__init__()
        outputs, *sides = item_shape
        axes, groups = len(sides), list(reversed(channels))
        sizes = list(zip(*(_sides(side, len(channels))[::-1] for side in sides), strict=True))
        self.input = nn.Linear(inputs, groups[0] * math.prod(sizes[0]))
        layers: list[nn.Module] = [nn.Unflatten(1, (groups[0], *sizes[0])), ResidualBlock(groups[0], norm, axes)]
        for group in range(1, len(groups)):
            layers += [
                nn.Upsample(size=sizes[group], mode="linear" if axes == 1 else "bilinear", align_corners=False),
                _convolution(axes, groups[group - 1], groups[group]),
                ResidualBlock(groups[group], norm, axes),
            ]
        self.layers = nn.Sequential(*layers, normalization(norm, groups[-1], image=True), nn.ReLU())
        self.output = _convolution(axes, groups[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, inputs]` to `[n, channels, H, W]`, or `[n, channels, L]`."""
        return self.output(self.layers(self.input(x)))
