"""Pictures of items: tensors in, matplotlib figures out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coset.drawing import drawable
from coset.errors import ShapeError
from coset.plots.figures import INK, RULE, new_figure, save
from coset.writing import whole

GROUND = 0.87
"""Grey between the images of a grid, against which black and white ones stand out alike."""


def save_rows(items: Tensor, output: Path, separators: Sequence[int] = ()) -> Path:
    """Write rows of items `[rows, columns, ...]` as a picture, or any items as an array where the name ends in `.npy`.

    Args:
        items: the items.
        output: where to, whole or not at all.
        separators: numbers of rows after which a coloured rule is drawn.
    """
    if output.suffix != ".npy":
        return save(grid(drawable(items.cpu()), separators=separators), output)
    with whole(output) as partial, partial.open("wb") as file:
        np.save(file, items.cpu().numpy())
    return output


def grid(
    images: Tensor,
    *,
    row_labels: Sequence[Any] = (),
    column_labels: Sequence[Any] = (),
    title: str = "",
    separators: Sequence[int] = (),
) -> Figure:
    """Rows of images.

    Args:
        images: `[rows, columns, H, W]` or `[rows, columns, C, H, W]`, values in [0, 1].
        row_labels: one beside each row, or none.
        column_labels: one above each column, or none.
        title: above the grid.
        separators: numbers of rows after which a coloured rule is drawn.

    Raises:
        ShapeError: If images have other axes, or another number of rows or columns than there are labels.

    >>> grid(torch.rand(2, 3, 8, 8), row_labels=["shown", "made"]).axes[0].images[0].get_array().shape
    (17, 26, 3)
    """
    figure = new_figure(_inches(images))
    axes = figure.add_subplot()
    _tiles(axes, images, title, separators)
    gap = _gap(images.shape[-2])
    _label(axes.set_yticks, "row_labels", row_labels, images.shape[0], images.shape[-2] + gap)
    _label(axes.set_xticks, "column_labels", column_labels, images.shape[1], images.shape[-1] + gap)
    return figure


def pair(left: Tensor, right: Tensor, titles: tuple[str, str] = ("", "")) -> Figure:
    """Two grids side by side (thesis figures 6.3 and 6.6, figure 2 of 2018)."""
    return side_by_side((left, right), titles)


def side_by_side(panels: Sequence[Tensor], titles: Sequence[str]) -> Figure:
    """Grids of images side by side, a title above each; images of NaN are holes."""
    sizes = [_inches(images) for images in panels]
    figure = new_figure((sum(width for width, _ in sizes) + 0.2 * len(sizes), max(height for _, height in sizes)))
    spaces = figure.subplots(1, len(panels), width_ratios=[images.shape[1] for images in panels], squeeze=False)[0]
    for axes, images, title in zip(spaces, panels, titles, strict=True):
        _tiles(axes, images, title)
    return figure


def conditioning(sets: Tensor, samples: Tensor) -> Figure:
    """Sets that the model was shown `[B, N, H, W]`, and what it made of each `[B, n, H, W]` (thesis figure 6.4)."""
    return pair(sets, samples, titles=("shown", "drawn given the row on the left"))


def composition(first: Tensor, second: Tensor, samples: Tensor) -> Figure:
    """Two sets above a rule, and rows of items that combine them (thesis figure 6.7, figure 3 of 2018).

    Args:
        first: `[N, H, W]`, constant in one factor.
        second: `[N, H, W]`, constant in another.
        samples: `[rows, N, H, W]`.
    """
    return grid(torch.cat([first[None], second[None], samples]), separators=(2,))


def _inches(images: Tensor) -> tuple[float, float]:
    if images.ndim not in (4, 5) or not images.numel() or (images.ndim == 5 and images.shape[2] not in (1, 3)):
        raise ShapeError(
            f"plots: images should be [rows, columns, H, W], or [rows, columns, C, H, W] with 1 or 3 channels, got "
            f"{list(images.shape)}"
        )
    rows, columns = images.shape[:2]
    return 0.42 * columns + 0.1, 0.42 * rows + 0.1


def _tiles(axes: Axes, images: Tensor, title: str = "", separators: Sequence[int] = ()) -> None:
    images = images.detach().float().cpu().clamp(0, 1).nan_to_num(GROUND)
    images = images.unsqueeze(2) if images.ndim == 4 else images  # [rows, columns, C, H, W]
    rows, columns, channels, height, width = images.shape
    gap = _gap(height)
    canvas = torch.full((rows, height + gap, columns, width + gap, channels), GROUND)
    canvas[:, :height, :, :width] = images.permute(0, 3, 1, 4, 2)
    canvas = canvas.reshape(rows * (height + gap), columns * (width + gap), channels)[:-gap, :-gap]
    axes.imshow(canvas.expand(-1, -1, 3).numpy(), interpolation="nearest")
    for row in separators:
        axes.axhline(row * (height + gap) - gap / 2 - 0.5, color=RULE, linewidth=2)
    axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0, labelsize=8, labelcolor=INK, bottom=False, labelbottom=False, top=True, labeltop=True)
    for side in axes.spines.values():
        side.set_visible(False)
    if title:
        axes.set_title(title, color=INK, fontsize=9)


def _gap(height: int) -> int:
    """Pixels between images: as many more as the images are larger."""
    return max(1, round(height / 14))


def _label(set_ticks: Callable[..., Any], what: str, labels: Sequence[Any], count: int, pitch: int) -> None:
    """Write one label beside each of `count` images, which stand `pitch` pixels apart along an axis."""
    if not len(labels):
        return
    if len(labels) != count:
        raise ShapeError(f"plots: expected {count} {what}, one for each, got {len(labels)}")
    set_ticks([(index + 0.5) * pitch - 1 for index in range(count)], [str(label) for label in labels])
