"""A page on the user's own machine: choose or upload sets, compose, walk through the map of codes."""

import html
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio  # pyright: ignore[reportMissingImports]  # the extra `explore`
import numpy as np
import torch
from gradio.themes import Default  # pyright: ignore[reportMissingImports]
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from coset.errors import ConfigurationError, CosetError, DataError
from coset.exploring.page import Drawer
from coset.exploring.views import Exploration, four_lines, sentence

STYLE = """
.row { display: flex; flex-wrap: wrap; gap: 4px } .tile { width: 72px; height: 72px; object-fit: contain;
image-rendering: pixelated; background: #fff } svg.tile { width: 150px; background: none; color: #1f6f8b }
td, th { padding: 2px; font-weight: 500; font-size: .8rem }
table, tr, td, th { border: none !important } table { border-collapse: collapse; display: block; overflow-x: auto }
button.cell { border: 2px solid transparent; border-radius: 6px; padding: 1px; cursor: pointer; background: none }
button.cell.hole { border: 2px dashed #c2571a } button.cell .tile { width: 46px; height: 46px }
circle { cursor: pointer } circle:focus { outline: none; stroke: currentColor; stroke-width: .03 } .map { display: flex;
flex-wrap: wrap; gap: 1rem; align-items: flex-start }
.map svg.plane { width: min(100%, 30rem); border: 1px solid #8885 }
"""
POINTED = """
const say = (target) => {
  const circle = target.closest("circle");
  if (!circle) return null;
  const item = props.value.items[circle.dataset.index];
  element.querySelector(".under").innerHTML = item.tile + "<div>" + item.words + "</div>";
  return Number(circle.dataset.index);
};
element.addEventListener("pointerover", (event) => say(event.target));
element.addEventListener("focusin", (event) => say(event.target));
const pick = (event) => {
  const index = say(event.target);
  if (index !== null) trigger("click", {index});
};
element.addEventListener("click", pick);
element.addEventListener("keydown", (event) => { if (event.key === "Enter") pick(event); });
"""
CHOSEN = """
element.addEventListener("click", (event) => {
  const cell = event.target.closest("button.cell");
  if (cell) trigger("click", {row: Number(cell.dataset.row), column: Number(cell.dataset.column)});
});
"""
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#e07b39", "#7a68a6", "#44aa99", "#999933")


class Page:
    """The page of a run: what its buttons do, apart from how it looks.

    Args:
        views: of the run.

    Raises:
        ConfigurationError: The model has no contexts of which sets could be chosen.
    """

    def __init__(self, views: Exploration):
        if not views.contexts():
            raise ConfigurationError(
                "explore: this model has no contexts with levels to choose; write --html page.html"
            )
        self.views, self.names = views, views.contexts()
        test = views.held_out
        some = test.x(torch.arange(min(200, len(test)), device=test.device)).cpu()
        self.drawer = Drawer(some, test.feature_names or ())
        self.map = views.code_map()
        self.grid = views.grid() if len(self.names) > 1 else None

    def tile(self, item: Tensor, words: str = "") -> str:
        """An item as HTML."""
        drawn = self.drawer.draw(item)
        if isinstance(drawn, str):
            return f'<img class="tile" src="{drawn}" alt="{words}">'
        low, high = self.drawer.low, self.drawer.high
        step = 200 / max(1, len(drawn) - 1)
        line = " ".join(
            f"{index * step:.1f},{90 - 80 * (v - low) / max(1e-12, high - low):.1f}" for index, v in enumerate(drawn)
        )
        titles = ", ".join(f"{name} {value:g}" for name, value in zip(self.drawer.names, drawn, strict=True))
        return (
            f'<svg class="tile" viewBox="0 0 200 100" role="img" aria-label="{words}"><title>{titles}</title>'
            f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="3"/></svg>'
        )

    def read_uploads(self, paths: Sequence[str]) -> Tensor:
        """A set `[N, *item_shape]` from pictures, or from one file of an array (.npy, .csv).

        Raises:
            DataError: A file that is neither, or items of another shape.
        """
        shape = self.views.model.item_shape
        items = []
        for path in map(Path, paths):
            if path.suffix == ".npy":
                items += list(np.load(path, allow_pickle=False))
            elif path.suffix == ".csv":
                items += list(np.loadtxt(path, delimiter=",", ndmin=2))
            else:
                items.append(_read_picture(path, shape))
        found = [np.asarray(item) for item in items]
        if wrong := [item.shape for item in found if item.shape != tuple(shape)]:
            raise DataError(f"upload: expected items of shape {list(shape)}, got {list(wrong[0])}")
        return torch.from_numpy(np.stack(found)).float()

    def compose(
        self,
        given: Mapping[str, Any],
        uploads: Mapping[str, Any],
        picked: Mapping[str, list[int]],
        n: int,
        temperature: float,
    ) -> Tensor:
        """What is composed of chosen levels; of uploaded or picked items where there are some."""
        sets = {}
        for name in self.names:
            if uploads.get(name):
                sets[name] = self.read_uploads(uploads[name])
            elif picked.get(name):
                sets[name] = self.map.items[picked[name]]
            elif given.get(name) is not None:
                sets[name] = self.views.draw_set(name, given[name])
        return self.views.compose(sets, n=n, temperature=temperature)

    def grid_html(self) -> str:
        """The grid of combinations as a table of buttons, those never seen outlined."""
        assert self.grid is not None
        (first, second), (rows, columns) = self.grid.factors, self.grid.levels
        head = "".join(f"<th>{_escape(column)}</th>" for column in columns)
        lines = [f"<tr><th>{_escape(first)} \\ {_escape(second)}</th>{head}</tr>"]
        for r, row in enumerate(rows):
            cells = []
            for c, column in enumerate(columns):
                seen = bool(self.grid.seen[r, c])
                words = _escape(f"{first} {row}, {second} {column}" + ("" if seen else ", never seen"))
                tile = self.tile(self.grid.composed[r, c, 0], words)
                kind = "cell" if seen else "cell hole"
                cells.append(
                    f'<td><button class="{kind}" title="{words}" data-row="{r}" data-column="{c}">{tile}</button></td>'
                )
            lines.append(f"<tr><th>{_escape(row)}</th>{''.join(cells)}</tr>")
        return f"<table>{''.join(lines)}</table>"

    def map_value(self, colour: str) -> dict[str, Any]:
        """The map of codes as SVG, and of each item its tile and what is known of it."""
        levels = self.map.factors.get(colour, [None] * len(self.map.points))
        known = self.map.levels.get(colour, [])
        points = (self.map.points / self.map.points.abs().max().clamp_min(1e-12)).tolist()
        circles, items = [], []
        for index, ((x, y), level) in enumerate(zip(points, levels, strict=True)):
            fill = "#9a9a9a" if level is None else COLOURS[known.index(level) % len(COLOURS)]
            words = _escape(", ".join(f"{name} {column[index]}" for name, column in self.map.factors.items()))
            circles.append(
                f'<circle tabindex="0" data-index="{index}" cx="{x:.3f}" cy="{-y:.3f}" r=".018" fill="{fill}">'
                f"<title>{words}</title></circle>"
            )
            items.append({"tile": self.tile(self.map.items[index], words), "words": words})
        return {"circles": "".join(circles), "items": items}

    def composed(self, picked: Mapping[str, list[int]], number: float, temperature: float, *given: Any) -> tuple:
        """What the button shows: tiles, a word, two files and the lines of Python."""
        count = len(self.names)
        levels = {
            name: None if index is None else self.views.levels(name)[int(index)]
            for name, index in zip(self.names, given[:count], strict=True)
        }
        uploads = dict(zip(self.names, given[count:], strict=True))
        try:
            items = self.compose(levels, uploads, picked, int(number), float(temperature))
        except (CosetError, ValueError, OSError) as reason:
            raise gradio.Error(str(reason), print_exception=False) from reason
        words = " × ".join(f"{name} {level}" for name, level in levels.items())
        own = [name for name in self.names if uploads.get(name) or picked.get(name)]
        words += f", with a set of your own for {' and '.join(own)}" if own else ""
        tiles = _row(self.tile(item, _escape(words)) for item in items)
        folder = Path(tempfile.mkdtemp(prefix="coset-"))
        picture, table = _save(self.drawer.picture, items, folder)
        lines = "" if own else four_lines(self.views.run.folder, levels, len(items), float(temperature))
        return tiles, words, picture, table, lines

    def chosen(self, event: gradio.EventData) -> list[int]:
        """The levels of the cell that was clicked, as the dropdowns have them; other contexts keep their first."""
        assert self.grid is not None
        clicked = dict(zip(self.grid.factors, (event.row, event.column), strict=True))  # type: ignore[attr-defined]
        return [clicked.get(name, 0) for name in self.names]

    def pick(self, picked: dict[str, list[int]], name: str, event: gradio.EventData) -> tuple[dict, str]:
        """Add an item of the map to a set, and show the sets."""
        now = {**picked, name: [*picked[name], int(event.index)]}  # type: ignore[attr-defined]
        rows = [
            f"<div>{_escape(each)}</div>{_row(self.tile(self.map.items[index]) for index in chosen)}"
            for each, chosen in now.items()
            if chosen
        ]
        return now, "".join(rows)


def build(views: Exploration) -> Any:
    """The page, as an application of Gradio that can be launched or mounted."""
    page = Page(views)
    with gradio.Blocks(title=f"{views.run.recipe.name} · coset", analytics_enabled=False) as app:
        about = sentence(page.grid) if page.grid is not None else ""
        gradio.Markdown(f"# {views.run.recipe.name}\n{type(views.model).__name__}. {about}")
        picked = gradio.State({name: [] for name in page.names})
        with gradio.Row():
            with gradio.Column(scale=1, min_width=260):
                levels, uploads = [], []
                for name in page.names:
                    choices = [(str(level), index) for index, level in enumerate(views.levels(name))]
                    levels.append(gradio.Dropdown(choices, value=0, label=name, elem_id=f"level-{name}"))
                    uploads.append(
                        gradio.File(label=f"or your own set that shares its {name}", file_count="multiple", height=130)
                    )
                number = gradio.Slider(1, 32, value=8, step=1, label="items")
                temperature = gradio.Slider(0, 1.5, value=1.0, step=0.1, label="temperature")
                button = gradio.Button("Compose", variant="primary", elem_id="compose")
            with gradio.Column(scale=2, min_width=300):
                made = _tiles("", "made")
                said = gradio.Markdown("")
                with gradio.Row():
                    picture, table = gradio.DownloadButton("Save picture"), gradio.DownloadButton("Save CSV")
                lines = gradio.Code("", language="python", label="the same in Python")
        asked = [picked, number, temperature, *levels, *uploads]
        told = [made, said, picture, table, lines]
        button.click(page.composed, asked, told, api_name="compose")
        if page.grid is not None:
            gradio.Markdown("## Combinations\nThose that training never saw are outlined. A click composes one.")
            grid = _tiles(page.grid_html(), "grid", CHOSEN)
            grid.click(page.chosen, None, levels).then(page.composed, asked, told)
        _add_map(page, picked)
        _add_directions(page)
    return app


def _add_map(page: Page, picked: Any) -> None:
    share = round(100 * page.map.share)
    gradio.Markdown(
        f"## Map of codes\nHeld-out items, in the plane that holds {share} % of the variance of their codes. A click "
        "makes an item part of a set, which then stands for the level chosen above."
    )
    with gradio.Row():
        names = list(page.map.factors)
        colour = gradio.Dropdown(names, value=names[0] if names else None, label="coloured by")
        goes_to = gradio.Radio(page.names, value=page.names[0], label="a click adds to the set of")
        clear = gradio.Button("Empty these sets")
    value = page.map_value(names[0] if names else "")
    shown = gradio.HTML(
        value,
        html_template='<div class="map"><svg class="plane" viewBox="-1.08 -1.08 2.16 2.16">${value.circles}</svg>'
        '<div class="under" aria-live="polite"></div></div>',
        css_template=STYLE,
        js_on_load=POINTED,
        elem_id="map",
    )
    sets = _tiles("", "picked")
    colour.change(page.map_value, colour, shown)
    shown.click(page.pick, [picked, goes_to], [picked, sets])
    clear.click(lambda: ({name: [] for name in page.names}, ""), None, [picked, sets])


def _add_directions(page: Page) -> None:
    gradio.Markdown("## Directions\nOne number of a code is moved from two deviations below its mean to two above.")
    rows = [
        f"<tr><th>{_escape(each.site)} {each.dimension} · {each.nats:.2f} nats</th>"
        + "".join(f"<td>{page.tile(item)}</td>" for item in each.items)
        + "</tr>"
        for each in page.views.traversals()
    ]
    _tiles(f"<table>{''.join(rows)}</table>", "directions")


def _tiles(value: str, name: str, script: str | None = None) -> Any:
    return gradio.HTML(value, css_template=STYLE, js_on_load=script, elem_id=name)


def _save(picture: bool, items: Tensor, folder: Path) -> tuple[str | None, str]:
    """The files of the two buttons; vectors have no picture."""
    table = folder / "composed.csv"
    np.savetxt(table, items.flatten(1).double().numpy(), delimiter=",", fmt="%.6g")
    if not picture:
        return None, str(table)
    from coset.plots import save_rows

    return str(save_rows(items.unsqueeze(0), folder / "composed.png")), str(table)


def _read_picture(path: Path, shape: Sequence[int]) -> np.ndarray:
    """A picture as an item of a shape, `[H, W]` or `[C, H, W]`, in [0, 1].

    Raises:
        DataError: A file that is no picture, or a model whose items are none.
    """
    if len(shape) not in (2, 3):
        raise DataError(
            f"upload: {path.name} would be a picture, and this model's items are vectors; give .csv or .npy"
        )
    try:
        with Image.open(path) as image:
            grey = len(shape) == 2 or shape[0] == 1
            pixels = np.asarray(image.convert("L" if grey else "RGB").resize((shape[-1], shape[-2])), dtype=np.float32)
    except (UnidentifiedImageError, OSError) as reason:
        raise DataError(f"upload: {path.name} is no picture that can be read ({reason})") from reason
    pixels = pixels / 255
    return pixels.reshape(shape) if grey else pixels.transpose(2, 0, 1)


def _row(tiles: Iterable[str]) -> str:
    return f'<div class="row">{"".join(tiles)}</div>'


def _escape(words: Any) -> str:
    return html.escape(str(words))


def serve(views: Exploration, host: str, port: int) -> None:
    """Serve the page until it is stopped."""
    app = build(views)
    print(f"http://{host}:{port}  (Ctrl-C stops it)", flush=True)
    launch(app, host, port)


def launch(app: Any, host: str, port: int | None, **options: Any) -> Any:
    """Launch a page that asks no other host, not even for its letters."""
    theme = Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    return app.launch(
        server_name=host, server_port=port, quiet=True, share=False, theme=theme, footer_links=[], **options
    )
