"""Charts of numbers: figures in, matplotlib figures out."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from coset.errors import ShapeError
from coset.plots.figures import COLOURS, INK, RULE, new_figure


def heatmap(cells: Any, rows: Sequence, columns: Sequence, title: str = "", most: float | None = 100) -> Figure:
    """A table of percentages, or of numbers up to `most` (the largest where None), coloured, and written out if few."""
    figure = new_figure((min(14, 0.55 * len(columns) + 1), min(10, 0.42 * len(rows) + 0.8)))
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
    figure = new_figure((3 * columns, 2.2 * lines))
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
    figure = new_figure((5.2, 4))
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
    figure = new_figure((8.4, 3.9))
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
    figure = new_figure((0.8 * columns + 1.2, 0.85 * len(rows)))
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
    figure = new_figure((2.6 * len(predicted), 2.8))
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

    >>> axes = lines({"ours": ([20, 50], [2.0, 1.5], [0.2, 0.1])}, "labels", "error, %").axes[0]
    >>> axes.get_xlabel(), [label.get_text() for label in axes.get_xticklabels()]
    ('labels', ['20', '50'])
    """
    figure = new_figure((5.2, 3.2))
    axes = figure.add_subplot()
    for index, (name, (places, heights, spread)) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        style = {"marker": "o", "markersize": 4, "linewidth": 1.5, "color": colour, "label": name}
        if spread is None:
            axes.plot(places, heights, linestyle="--", **style)
        else:
            axes.errorbar(places, heights, yerr=spread, capsize=3, **style)
    told = sorted({place for places, *_ in series.values() for place in places})
    axes.set_xscale("symlog", linthresh=min(place for place in told if place > 0))
    axes.set_xticks(told, [f"{place:g}" for place in told])
    axes.set_xticks([], minor=True)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(across, color=INK, fontsize=9)
    axes.set_ylabel(up, color=INK, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def bars(heights: Mapping[str, Sequence[float]], up: str) -> Figure:
    """A panel of bars for each name, the tallest first, each with its place in the order that was given.

    Args:
        heights: name → heights.
        up: what the vertical axis measures.

    >>> [label.get_text() for label in bars({"vae": [0.1, 2.0]}, "nats").axes[0].get_xticklabels()]
    ['1', '0']
    """
    figure = new_figure((max(2.4, 0.24 * max(map(len, heights.values()))) * len(heights), 2.4))
    panels = figure.subplots(1, len(heights), squeeze=False, sharey=True)[0]
    for axes, (name, values) in zip(panels, heights.items(), strict=True):
        order = sorted(range(len(values)), key=lambda index: -values[index])
        axes.bar(range(len(order)), [values[index] for index in order], color=COLOURS[0])
        axes.set_xticks(range(len(order)), [str(index) for index in order], fontsize=7)
        axes.set_title(name, color=INK, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(up, color=INK, fontsize=8)
    return figure
