"""Figures: their canvas, their colours, and how they are written."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from coset.writing import whole

INK = "#20304a"
RULE = "#e4572e"
COLOURS = ("#2e6fb7", "#e4572e", "#3a9d6b", "#8b5fbf", "#e0a526", "#2aa5b0", "#c94f8c", "#7a8450", "#8a5a3c", "#6b7280")


def save(figure: Figure, path: str | Path, dpi: int = 110) -> Path:
    """Write a figure as a PNG, whole or not at all."""
    with whole(path) as partial:
        figure.savefig(partial, format="png", dpi=dpi, bbox_inches="tight", facecolor="white")
    return Path(path)


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure of so many inches across and up."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
