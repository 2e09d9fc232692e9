"""Residual convolutional encoder and its mirror image, for images of any side from 8 up."""

from collections.abc import Sequence

from torch import Tensor, nn

from coset.errors import ConfigurationError
from coset.networks.normalization import Normalization, normalization


def _sides(side: int, groups: int) -> list[int]:
    """Side of the picture within each group: halved, rounding up, from one group to the next."""
    sides = [side]
    for _ in range(groups - 1):
        sides.append((sides[-1] + 1) // 2)
    return sides


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions added to their input, each after normalisation and ReLU (He et al. 2016)."""

    def __init__(self, channels: int, norm: Normalization = "batch"):
        super().__init__()
        self.layers = nn.Sequential(
            normalization(norm, channels, image=True),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=norm == "none"),
            normalization(norm, channels, image=True),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, channels, H, W]` to the same shape."""
        return x + self.layers(x)


class ConvolutionalEncoder(nn.Module):
    """Groups of one convolution and one residual block each; all groups but the first begin by halving the side.

    Three convolutions a group, so `channels=(16, 32, 64)` has the nine convolutional layers of thesis 6.4.1, with the
    residual blocks and strided downsampling of the 2018 paper (section 5.1).

    Args:
        item_shape: `(channels, height, width)` of an image.
        features: size of the feature vector that comes out.
        channels: channels of each group.
        norm: `batch`, `layer` or `none`.

    Raises:
        ConfigurationError: A side of the images is below 8.
    """

    def __init__(
        self,
        item_shape: Sequence[int],
        features: int,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
    ):
        super().__init__()
        colours, height, width = item_shape
        if min(height, width) < 8:
            raise ConfigurationError(f"image sides must be 8 or more for convolutions, got {height} x {width}")
        layers: list[nn.Module] = []
        for group, width_out in enumerate(channels):
            width_in = colours if group == 0 else channels[group - 1]
            layers += [nn.Conv2d(width_in, width_out, 3, stride=1 if group == 0 else 2, padding=1)]
            layers += [ResidualBlock(width_out, norm)]
        last = channels[-1] * _sides(height, len(channels))[-1] * _sides(width, len(channels))[-1]
        self.layers = nn.Sequential(*layers, normalization(norm, channels[-1], image=True), nn.ReLU(), nn.Flatten())
        self.output = nn.Sequential(nn.Linear(last, features), normalization(norm, features), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, channels, H, W]` to `[n, features]`."""
        return self.output(self.layers(x))


def strided(item_shape: Sequence[int], features: int, channels: Sequence[int], norm: Normalization) -> nn.Sequential:
    """A plain chain: a 3 × 3 convolution of stride 2 for each of `channels`, then one linear layer.

    Maps images `[n, channels, H, W]` to `[n, features]`.
    """
    colours, height, width = item_shape
    last = channels[-1] * _sides(height, len(channels) + 1)[-1] * _sides(width, len(channels) + 1)[-1]
    body = convolutions(colours, channels, norm=norm)
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
            nn.Conv2d(before, after, 3, stride, padding=1, bias=norm == "none"),
            normalization(norm, after, image=True),
        ]
        chain += [nn.ReLU()]
    return nn.Sequential(*chain)


class ConvolutionalDecoder(nn.Module):
    """The encoder's mirror: bilinear upsampling in place of strides, against checkerboard patterns (2018, 5.1).

    Args:
        inputs: size of the vector that comes in, already passed through fully connected layers.
        item_shape: `(channels, height, width)` of what comes out; `channels` counts distribution parameters too.
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
        outputs, height, width = item_shape
        groups = list(reversed(channels))
        heights, widths = (_sides(side, len(channels))[::-1] for side in (height, width))
        self.input = nn.Linear(inputs, groups[0] * heights[0] * widths[0])
        layers: list[nn.Module] = [nn.Unflatten(1, (groups[0], heights[0], widths[0])), ResidualBlock(groups[0], norm)]
        for group in range(1, len(groups)):
            size = (heights[group], widths[group])
            layers += [
                nn.Upsample(size=size, mode="bilinear", align_corners=False),
                nn.Conv2d(groups[group - 1], groups[group], 3, padding=1),
                ResidualBlock(groups[group], norm),
            ]
        self.layers = nn.Sequential(*layers, normalization(norm, groups[-1], image=True), nn.ReLU())
        self.output = nn.Conv2d(groups[-1], outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, inputs]` to `[n, channels, H, W]`."""
        return self.output(self.layers(self.input(x)))
