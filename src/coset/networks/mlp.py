"""Fully connected networks over the last axis, whatever axes stand before it."""

from collections.abc import Sequence

from torch import Tensor, nn

from coset.networks.normalization import Normalization, normalization
from coset.shapes import flatten_items


def layers(inputs: int, widths: Sequence[int], norm: Normalization = "batch") -> nn.Sequential:
    """A plain chain of fully connected layers, each with normalisation and ReLU: `[n, inputs] → [n, widths[-1]]`."""
    chain: list[nn.Module] = []
    for before, after in zip([inputs, *widths], widths, strict=False):
        chain += [nn.Linear(before, after, bias=norm == "none"), normalization(norm, after), nn.ReLU(inplace=True)]
    return nn.Sequential(*chain)


class MLP(nn.Module):
    """Three fully connected layers with a skip from the first to the last, then a linear output.

    Thesis 6.4.1: "3 layers", "skip connections between the first and last hidden layers", normalisation and ReLU on
    all but the output layer.

    Args:
        inputs: size of the last axis that comes in.
        hidden: units of each hidden layer.
        outputs: size of the last axis that goes out; None leaves out the output layer.
        norm: `batch`, `layer` or `none`.

    >>> import torch
    >>> MLP(8, 16, 4)(torch.ones(2, 5, 8)).shape
    torch.Size([2, 5, 4])
    """

    def __init__(self, inputs: int, hidden: int, outputs: int | None, norm: Normalization = "batch"):
        super().__init__()
        self.first = layers(inputs, [hidden], norm)
        self.middle = layers(hidden, [hidden], norm)
        self.last = nn.Sequential(nn.Linear(hidden, hidden, bias=norm == "none"), normalization(norm, hidden))
        self.output = nn.Identity() if outputs is None else nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., inputs]` to `[..., outputs]`."""
        flat, lead = flatten_items(x, event_dims=1)
        first = self.first(flat)
        out = self.output((first + self.last(self.middle(first))).relu_())
        return out.view(*lead, -1)


class ResidualMLP(nn.Module):
    """A linear map, `blocks` residual blocks of two layers, and normalisation and ReLU: `[n, inputs] → [n, hidden]`.

    The fully connected counterpart of the convolutional networks, some twenty times cheaper on small images.
    """

    def __init__(self, inputs: int, hidden: int, blocks: int = 2, norm: Normalization = "batch"):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(inputs, hidden), normalization(norm, hidden), nn.ReLU())
        self.blocks = nn.ModuleList(
            nn.Sequential(
                normalization(norm, hidden),
                nn.ReLU(),
                nn.Linear(hidden, hidden, bias=norm == "none"),
                normalization(norm, hidden),
                nn.ReLU(),
                nn.Linear(hidden, hidden),
            )
            for _ in range(blocks)
        )
        self.output = nn.Sequential(normalization(norm, hidden), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, inputs]` to `[n, hidden]`."""
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.output(x)
