"""A page for a colleague: one HTML file with everything in it, which asks no server."""

import base64
import html
import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from coset.drawing import draw_series, drawable
from coset.errors import ConfigurationError
from coset.exploring.views import CodeMap, Exploration, Grid, Traversal, four_lines, most_telling, sentence
from coset.shapes import is_series
from coset.writing import whole

SIDE = 64
"""Pixels of a picture's longer side at most."""


def write_page(views: Exploration, output: Path) -> Path:
    """Write the page, whole or not at all: the grid with its holes, the map of codes, and what directions do.

    Raises:
        ConfigurationError: A name that does not end in `.html`, or items that are neither pictures nor vectors.
    """
    if output.suffix != ".html":
        raise ConfigurationError(f"--html {output}: expected a name that ends in .html")
    text = files("coset.exploring").joinpath("page.html").read_text("utf-8")
    data = json.dumps(describe_run(views), separators=(",", ":"))
    data = data.replace("<", "\\u003c")  # nothing in it ends the script
    title = html.escape(views.run.recipe.name)
    with whole(output) as partial:
        partial.write_text(text.replace("{{title}}", title).replace("{{data}}", data), "utf-8")
    return output


def describe_run(views: Exploration) -> dict[str, Any]:
    """All that the page shows, as JSON."""
    test = views.held_out
    drawer = Drawer(test.x(torch.arange(min(200, len(test)), device=test.device)).cpu(), test.feature_names or ())
    found: dict[str, Any] = {
        "run": views.run.recipe.name,
        "model": type(views.model).__name__,
        "held_out": len(test),
        "names": drawer.names,
        "map": _map(views.code_map(), drawer),
        "directions": [_direction(each, drawer) for each in views.traversals()],
    }
    if len(views.contexts()) > 1:
        grid = views.grid()
        found["grid"] = _grid(grid, views, drawer)
    return found


class Drawer:
    """Turns items into what the page draws: pictures and series into PNG, vectors into their most telling numbers.

    Args:
        items: some of them, `[n, *item_shape]`, from which scale and columns are taken.
        names: of the columns of vectors.

    Raises:
        ConfigurationError: Items that are neither.
    """

    def __init__(self, items: Tensor, names: Any):
        self.picture = items.ndim in (3, 4)
        if not self.picture and items.ndim != 2:
            raise ConfigurationError(f"explore: draws pictures and vectors, got items of shape {list(items.shape[1:])}")
        self.low, self.high = float(items.min()), float(items.max())
        self.columns, self.names = ([], []) if self.picture else most_telling(items, names)

    def draw(self, item: Tensor) -> Any:
        """One item: a data address, or a list of numbers."""
        if not self.picture:
            return [float(f"{value:.4g}") for value in item[self.columns].tolist()]
        if is_series(item.shape):
            image = _image(draw_series(item, self.low, self.high))
        else:
            shown = drawable(item[None, None])[0, 0].float()
            image = _image((shown - self.low) / max(1e-12, self.high - self.low))
        image.thumbnail((SIDE, SIDE))
        out = io.BytesIO()
        image.save(out, "PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()

    def draw_all(self, items: Tensor) -> list[Any]:
        """Several items `[n, *item_shape]`."""
        return [self.draw(item) for item in items]


def _image(item: Tensor) -> Image.Image:
    """A picture `[H, W]` or `[C, H, W]` of numbers in [0, 1]."""
    pixels = (255 * item.clamp(0, 1)).round().byte()
    if pixels.ndim == 3:
        pixels = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)
    return Image.fromarray(pixels.contiguous().numpy())


def _grid(grid: Grid, views: Exploration, drawer: Drawer) -> dict[str, Any]:
    (first, second), (rows, columns) = grid.factors, grid.levels
    cells = [
        [
            {
                "seen": int(grid.seen[r, c]),
                "composed": drawer.draw_all(grid.composed[r, c]),
                "real": drawer.draw_all(grid.real[r][c]),
                "python": four_lines(views.run.folder, {first: row, second: column}, len(grid.composed[r, c]), 1.0),
            }
            for c, column in enumerate(columns)
        ]
        for r, row in enumerate(rows)
    ]
    return {
        "factors": grid.factors,
        "rows": [str(row) for row in rows],
        "columns": [str(column) for column in columns],
        "left_out": grid.left_out,
        "says": sentence(grid),
        "cells": cells,
    }


def _map(found: CodeMap, drawer: Drawer) -> dict[str, Any]:
    points = (found.points / found.points.abs().max().clamp_min(1e-12)).tolist()
    return {
        "points": [[round(x, 4), round(y, 4)] for x, y in points],
        "share": round(found.share, 3),
        "items": drawer.draw_all(found.items),
        "levels": {name: [str(level) for level in levels] for name, levels in found.levels.items()},
        "factors": {name: [None if v is None else str(v) for v in levels] for name, levels in found.factors.items()},
    }


def _direction(found: Traversal, drawer: Drawer) -> dict[str, Any]:
    label = f"{found.site} {found.dimension}"
    return {"label": label, "nats": round(found.nats, 2), "items": drawer.draw_all(found.items)}
