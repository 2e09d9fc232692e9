"""Items as pictures of one or three channels, so that whatever shows pictures shows them: series as lines."""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from coset.shapes import flatten_items, is_series

COLOURS = ("#2e6fb7", "#e4572e", "#3a9d6b", "#8b5fbf", "#e0a526", "#2aa5b0", "#c94f8c")
"""Of the channels, of which a series has no more."""
FINER = 3
"""Lines are drawn as many times larger and then reduced, so that they are smooth."""


def drawable(items: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    """Items as pictures: series as lines, a colour for each channel; pictures of other channels by their first three.

    Args:
        items: `[..., *item_shape]` with two leading axes, `[rows, columns, ...]`.
        low: number at the lower edge; the least of all items where None.
        high: number at the upper edge; the largest where None.

    Returns:
        Of series, `[rows, columns, 3, 64, 96]` in [0, 1]; otherwise what can be a picture is one, in its own numbers.
    """
    if items.ndim == 5 and items.shape[2] not in (1, 3):
        return F.pad(items[:, :, :3], (0, 0, 0, 0, 0, max(0, 3 - items.shape[2])))
    if not is_series(items.shape[2:]):
        return items
    low, high = float(items.min()) if low is None else low, float(items.max()) if high is None else high
    flat, lead = flatten_items(items, 2)
    return torch.stack([draw_series(series, low, high) for series in flat]).view(*lead, 3, 64, 96)


def draw_series(series: Tensor, low: float, high: float, height: int = 64, width: int = 96) -> Tensor:
    """One series `[C, L]` as a picture `[3, height, width]` in [0, 1], from `low` at the bottom to `high` at the top.

    Steps that are missing (NaN) leave a gap.

    >>> draw_series(torch.tensor([[0.0, 1.0, 0.0]]), 0, 1).shape
    torch.Size([3, 64, 96])
    """
    across, up = width * FINER, height * FINER
    image = Image.new("RGB", (across, up), "white")
    pen = ImageDraw.Draw(image)
    share = (series.detach().float().cpu() - low) / max(high - low, 1e-12)
    rows = (0.95 - 0.9 * share.clamp(0, 1)) * up  # a margin of one part in twenty
    columns = torch.linspace(0.03 * across, 0.97 * across, series.shape[1])
    for colour, channel in zip(COLOURS, rows, strict=False):
        points = list(zip(columns.tolist(), channel.tolist(), strict=True))
        for start, end in pairwise(points):
            if start[1] == start[1] and end[1] == end[1]:
                pen.line([start, end], fill=colour, width=FINER + 1)
    small = image.resize((width, height), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1) / 255
