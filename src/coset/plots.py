"""Pictures: tensors in, matplotlib figures out. No global state; every function returns a figure for `save`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from coset.drawing import drawable
from coset.errors import ShapeError
from coset.writing import whole

INK = "#20304a"
RULE = "#e4572e"
COLOURS = ("#2e6fb7", "#e4572e", "#3a9d6b", "#8b5fbf", "#e0a526", "#2aa5b0", "#c94f8c", "#7a8450", "#8a5a3c", "#6b7280")
GROUND = 0.87
"""Grey between the images of a grid, against which black and white ones stand out alike."""


def save(figure: Figure, path: str | Path, dpi: int = 110) -> Path:
    """Write a figure as a PNG, whole or not at all."""
    with whole(path) as partial:
        figure.savefig(partial, format="png", dpi=dpi, bbox_inches="tight", facecolor="white")
    return Path(path)


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
    figure = _figure(_inches(images))
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
    figure = _figure((sum(width for width, _ in sizes) + 0.2 * len(sizes), max(height for _, height in sizes)))
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


def heatmap(cells: Any, rows: Sequence, columns: Sequence, title: str = "", most: float | None = 100) -> Figure:
    """A table of percentages, or of numbers up to `most` (the largest where None), coloured, and written out if few."""
    figure = _figure((min(14, 0.55 * len(columns) + 1), min(10, 0.42 * len(rows) + 0.8)))
    axes, most = figure.add_subplot(), most or max(1, *map(max, cells))
    axes.imshow(torch.as_tensor(cells).numpy(), cmap="YlGnBu", vmin=0, vmax=most, aspect="auto")
    for row, values in enumerate(cells if len(rows) * len(columns) <= 400 else ()):
        for column, value in enumerate(values):
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=("white", INK)[value <= 0.52 * most])
    for set_ticks, values, turn in ((axes.set_xticks, columns, 90 * (len(columns) > 20)), (axes.set_yticks, rows, 0)):
        places = range(0, len(values), -(-len(values) // 30))
        set_ticks(places, [str(values[place]) for place in places], rotation=turn)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title(title, color=INK, fontsize=10)
    return figure


def curves(history: Sequence[Mapping[str, float]]) -> Figure:
    """The bound and each of its terms over training, one panel each; `validation` joins the bound."""
    names = [name for name in history[0] if name not in ("epoch", "step", "validation")] if history else []
    names = sorted((name for name in names if any(row[name] for row in history)), key=lambda name: name != "bound")
    columns = min(4, max(1, len(names)))
    lines = max(1, -(-len(names) // columns))
    figure = _figure((3 * columns, 2.2 * lines))
    steps = [row["step"] for row in history]
    for axes, name in zip(figure.subplots(lines, columns, squeeze=False).flat, [*names, *[""] * columns], strict=False):
        if not name:
            axes.set_axis_off()
            continue
        axes.plot(steps, [row[name] for row in history], color=INK, linewidth=1.5)
        held_out = [row for row in history if "validation" in row]  # an epoch that was cut short has none
        if name == "bound" and held_out:
            points = [row["step"] for row in held_out], [row["validation"] for row in held_out]
            axes.plot(*points, color=RULE, linewidth=1.5, label="held out")
            axes.legend(frameon=False, fontsize=8)
        axes.set_title(f"{name}, nats per set", color=INK, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("steps", color=INK, fontsize=9)
    return figure


def embedding(points: Tensor, labels: Sequence[Any] | Tensor, title: str = "") -> Figure:
    """Points in the plane `[n, 2]`, each in the colour of its label; `None` or −1 means unknown, drawn in grey.

    Raises:
        ShapeError: If points are not in the plane, or have not one label each.
    """
    if points.ndim != 2 or points.shape[1] != 2 or len(labels) != len(points):
        raise ShapeError(
            f"embedding: expected points [n, 2] with a label each, got {list(points.shape)} and {len(labels)} labels; "
            "reduce codes of more dimensions before, for instance by sklearn.decomposition.PCA"
        )
    points = points.detach().float().cpu()
    given = labels.tolist() if isinstance(labels, Tensor) else list(labels)
    figure = _figure((5.2, 4))
    axes = figure.add_subplot()
    unknown = (None, -1)
    size = min(12, 30_000 / max(1, len(points)))  # many points hide one another
    names = sorted({label for label in given if label not in unknown}, key=lambda label: (str(type(label)), label))
    for index, name in enumerate([*names, None]):
        rows = [row for row, label in enumerate(given) if label == name or (name is None and label in unknown)]
        if rows:
            colour = COLOURS[index % len(COLOURS)] if name is not None else "#c8ccd2"
            # Beyond as many labels as there are colours, markers tell them apart.
            marker = "o^sDv"[index // len(COLOURS) % 5]
            label = "unknown" if name is None else str(name)
            axes.scatter(
                *points[rows].T.numpy(), s=size, color=colour, marker=marker, linewidths=0, alpha=0.8, label=label
            )
    axes.legend(frameon=False, fontsize=8, markerscale=5 / size**0.5, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c8ccd2")
    if title:
        axes.set_title(title, color=INK, fontsize=10)
    return figure


def space(points: Tensor, values: Sequence[str] | Tensor, title: str = "") -> Figure:
    """Points in space `[n, 3]` from two sides, coloured by their name, or by a number each `[n]`.

    Raises:
        ShapeError: If points are not in space, or have not one value each.
    """
    if points.ndim != 2 or points.shape[1] != 3 or len(values) != len(points):
        raise ShapeError(
            f"space: expected points [n, 3] with a value each, got {list(points.shape)} and {len(values)} values"
        )
    points = points.detach().float().cpu()
    figure = _figure((8.4, 3.9))
    for place, turn in enumerate((30, 120)):
        axes: Any = figure.add_subplot(1, 2, place + 1, projection="3d")
        axes.view_init(elev=22, azim=turn)
        if isinstance(values, Tensor):
            shown = axes.scatter(*points.T.numpy(), c=values.cpu().numpy(), s=7, cmap="viridis", linewidths=0)
            if place:
                figure.colorbar(shown, ax=axes, shrink=0.7, pad=0.08)
        else:
            for index, name in enumerate(sorted(set(values))):
                rows = [row for row, value in enumerate(values) if value == name]
                colour = COLOURS[index % len(COLOURS)]
                axes.scatter(*points[rows].T.numpy(), s=7, color=colour, linewidths=0, label=name)
            if place:
                axes.legend(frameon=False, fontsize=8, markerscale=2, loc="center left", bbox_to_anchor=(1.05, 0.5))
        axes.tick_params(labelsize=6)
    if title:
        figure.suptitle(title, color=INK, fontsize=10)
    return figure


def points(rows: Mapping[str, Tensor]) -> Figure:
    """Rows of sets of points in the plane, all on the square from -1 to 1.

    Args:
        rows: what a row shows → its sets `[columns, points, 2]`; all rows of as many columns.
    """
    columns = len(next(iter(rows.values())))
    figure = _figure((0.8 * columns + 1.2, 0.85 * len(rows)))
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, sets) in zip(panels, rows.items(), strict=True):
        for axes, places in zip(line, sets, strict=True):
            size = 5 if len(places) > 10 else 12
            axes.scatter(*places.detach().float().cpu().T.numpy(), s=size, color=INK, linewidths=0)
            axes.set_xlim(-1.1, 1.1)
            axes.set_ylim(-1.1, 1.1)
            axes.set_aspect("equal")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_color("#c8ccd2")
        line[0].set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center", color=INK)
    return figure


def against(truth: Tensor, predicted: Mapping[str, Tensor], unit: str = "") -> Figure:
    """Predicted numbers above the true ones, a panel for each way to predict them; on the line they are right.

    Args:
        truth: numbers of any shape.
        predicted: what predicts → its numbers, likewise.
        unit: of the numbers.

    >>> len(against(torch.rand(5), {"ours": torch.rand(5), "additive": torch.rand(5)}).axes)
    2
    """
    figure = _figure((2.6 * len(predicted), 2.8))
    ends = [float(truth.min()), float(truth.max())]
    for axes, (name, numbers) in zip(
        figure.subplots(1, len(predicted), squeeze=False, sharey=True)[0], predicted.items(), strict=True
    ):
        axes.scatter(truth.flatten().cpu(), numbers.flatten().cpu(), s=3, color=COLOURS[0], alpha=0.4, linewidths=0)
        axes.plot(ends, ends, color=INK, linewidth=0.8)
        axes.set_title(name, color=INK, fontsize=9)
        axes.set_xlabel(f"true {unit}".strip(), color=INK, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float] | None]], across: str, up: str
) -> Figure:
    """Lines through points, each with its spread.

    Args:
        series: name → places, heights and standard deviations, or None for the last.
        across: what the horizontal axis counts; a place of 0 stands left of all others.
        up: what the vertical axis measures.

    >>> lines({"ours": ([100, 1000], [2.0, 1.5], [0.2, 0.1])}, "labels", "error, %").axes[0].get_xlabel()
    'labels'
    """
    figure = _figure((5.2, 3.2))
    axes = figure.add_subplot()
    for index, (name, (places, heights, spread)) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        style = {"marker": "o", "markersize": 4, "linewidth": 1.5, "color": colour, "label": name}
        if spread is None:
            axes.plot(places, heights, linestyle="--", **style)
        else:
            axes.errorbar(places, heights, yerr=spread, capsize=3, **style)
    least = min(place for places, *_ in series.values() for place in places if place > 0)
    axes.set_xscale("symlog", linthresh=least)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(across, color=INK, fontsize=9)
    axes.set_ylabel(up, color=INK, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _figure(size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


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
