"""What there is to see of a run, and the page that shows it without a server."""

import base64
import csv
import io
import json
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from coset.cli import main
from coset.drawing import draw_series, drawable
from coset.errors import ConfigurationError
from coset.exploring.page import Drawer, write_page
from coset.exploring.views import Exploration, four_lines, sentence
from coset.runs import open_run, train_run

pytestmark = pytest.mark.usefixtures("single")

TINY = ["--training.steps=2", "--model.features=8", "--model.hidden=8", "--model.context_dim=2", "--model.z_dim=2"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run of digits at four angles with ten holes."""
    folder = tmp_path_factory.mktemp("exploring") / "digits"
    train_run("unseen-rotated-digits", folder, TINY)
    return folder


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """A run of a data frame whose columns have names."""
    folder = tmp_path_factory.mktemp("exploring")
    random = np.random.default_rng(0)
    with (folder / "doses.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["drug", "cell", "growth", "<death>"])
        for row in range(120):
            drug, cell = "abc"[row % 3], "xy"[row // 3 % 2]
            if (drug, cell) != ("c", "y"):
                lines.writerow([drug, cell, row % 3 + random.normal(), random.normal() / 10])
    main(["train", str(folder / "doses.csv"), "--contexts", "drug", "cell", "-o", str(folder / "run"), *TINY])
    return folder / "run"


def read_page(path):
    text = path.read_text("utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return text, json.loads(found.group(1))


def test_the_grid_tells_what_was_never_seen_and_repeats(digits):
    views = Exploration(open_run(digits))
    grid = views.grid(n=3)
    assert grid.factors == ("digit", "rotation") and grid.levels == (list(range(10)), [0, 90, 180, 270])
    assert grid.composed.shape == (10, 4, 3, 8, 8) and len(grid.real[3][1]) == 3
    holes = {(row, grid.levels[1][column]) for row, column in (grid.seen == 0).nonzero().tolist()}
    assert holes == {(digit, 90 * (digit % 4)) for digit in range(10)}
    assert "10 of 40 combinations" in sentence(grid)
    assert torch.equal(grid.composed, Exploration(open_run(digits)).grid(n=3).composed)
    assert views.grid("rotation", "digit", n=1).composed.shape == (4, 10, 1, 8, 8)


def test_sets_come_from_seen_combinations_only(digits):
    views = Exploration(open_run(digits))
    cells = set(zip(views.shown.column("digit"), views.shown.column("rotation"), strict=True))
    assert len(cells) == 30 and (0, 0) not in cells
    everything = set(zip(views.held_out.column("digit"), views.held_out.column("rotation"), strict=True))
    assert len(everything) == 40


def test_the_lines_of_python_compose_what_is_shown(digits):
    views = Exploration(open_run(digits))
    given = {"digit": 3, "rotation": 90}
    shown = views.compose({name: views.draw_set(name, level) for name, level in given.items()}, n=5, temperature=0.5)
    names = {}
    exec(four_lines(digits, given, 5, 0.5), names)
    assert torch.equal(names["items"], shown)


def test_directions_come_in_the_order_of_what_they_tell(digits):
    found = Exploration(open_run(digits)).traversals(directions=4, steps=5)
    assert [each.nats for each in found] == sorted((each.nats for each in found), reverse=True)
    assert all(each.items.shape == (5, 8, 8) for each in found) and len(found) == 4


def test_names_that_are_not_there_are_refused(digits):
    views = Exploration(open_run(digits))
    with pytest.raises(ConfigurationError, match=r"no context 'angle' with levels.*rotation"):
        views.grid("angle")


def test_the_page_holds_what_the_model_composed_and_asks_nobody(digits, tmp_path):
    views = Exploration(open_run(digits))
    page = write_page(views, tmp_path / "page.html")
    text, data = read_page(page)
    assert page.stat().st_size < 3_000_000
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//|url\(|@import|fetch\(|XMLHttpRequest""", text)
    cells = data["grid"]["cells"]
    assert sum(cell["seen"] == 0 for line in cells for cell in line) == 10
    shown = Image.open(io.BytesIO(base64.b64decode(cells[3][1]["composed"][0].split(",")[1])))
    expected = views.grid().composed[3, 1, 0]
    low, high = views.held_out.x(torch.arange(200)).aminmax()
    np.testing.assert_allclose(np.asarray(shown) / 255, (expected - low) / (high - low), atol=1 / 255)
    assert len(data["map"]["points"]) == 400 and set(data["map"]["factors"]) == {"digit", "rotation"}
    assert [each["label"].split()[0] for each in data["directions"]].count("z") == 2  # the choice of a turn has none


def test_vectors_are_profiles_with_the_names_of_their_columns(vectors, tmp_path):
    text, data = read_page(write_page(Exploration(open_run(vectors)), tmp_path / "page.html"))
    assert data["names"] == ["growth", "<death>"] and "<death>" not in text  # no name is read as HTML
    cells = data["grid"]["cells"]
    assert [[cell["seen"] > 0 for cell in line] for line in cells] == [[True, True], [True, True], [True, False]]
    assert all(len(cell["composed"][0]) == 2 for line in cells for cell in line) and cells[2][1]["real"] == []


def test_many_columns_are_cut_to_those_that_vary_most():
    items = torch.randn(50, 300) * torch.linspace(0.1, 2, 300)
    drawer = Drawer(items, [f"gene {index}" for index in range(300)])
    assert len(drawer.columns) == 40 and min(drawer.columns) > 150 and drawer.names[-1].startswith("gene ")
    assert len(drawer.draw(items[0])) == 40


def test_series_are_pictures_of_lines(tmp_path):
    """From an array of series to a page and to the picture that `coset compose` writes."""
    wave = np.sin(np.arange(20) / 3 + np.arange(2)[:, None])
    items = np.stack([wave * (1 + row % 3) + row // 3 % 2 for row in range(60)]).astype("float32")
    np.savez(tmp_path / "waves.npz", items=items, height=np.arange(60) % 3, level=np.arange(60) // 3 % 2)
    options = [*TINY, "--model.channels=[2, 3]"]
    main(["train", str(tmp_path / "waves.npz"), "--contexts", "height", "level", "-o", str(tmp_path / "run"), *options])
    run = open_run(tmp_path / "run")
    assert run.model.sample(n=2, sets=1, constant=[]).shape == (1, 2, 2, 20)
    assert type(run.model.encoder.network).__name__ == "ConvolutionalEncoder"
    _, data = read_page(write_page(Exploration(run), tmp_path / "page.html"))
    shown = data["grid"]["cells"][0][0]["composed"][0]
    assert Image.open(io.BytesIO(base64.b64decode(shown.split(",")[1]))).mode == "RGB"
    main(["compose", str(tmp_path / "run"), "height=2", "level=0", "-o", str(tmp_path / "composed.png")])
    with Image.open(tmp_path / "composed.png") as image:
        assert image.size[0] > 100


def test_a_series_is_drawn_from_low_to_high_with_a_colour_for_each_channel_and_gaps():
    series = torch.tensor([[0.0] * 9, [1.0] * 9])
    series[1, 3:6] = torch.nan
    drawn = draw_series(series, 0, 1)
    dark = (drawn.min(0).values < 0.7).float()
    assert dark[:16].sum() > 20 and dark[-16:].sum() > 60 and dark[20:44].sum() == 0
    assert dark[:16, 45:51].sum() == 0  # where steps are missing
    assert drawn[2, 60, 48] > drawn[0, 60, 48] and drawn[0, 3, 10] > drawn[2, 3, 10]  # blue below, red above
    assert drawable(series[None, None]).shape == (1, 1, 3, 64, 96)


def test_pictures_of_many_channels_show_the_first_three():
    pictures = torch.rand(2, 3, 5, 9, 9)
    assert torch.equal(drawable(pictures), pictures[:, :, :3])
    assert torch.equal(drawable(pictures[:, :, :2])[:, :, 2], torch.zeros(2, 3, 9, 9))
    assert torch.equal(drawable(pictures[:, :, :1]), pictures[:, :, :1])


def test_a_model_without_contexts_has_a_map_and_no_grid(tmp_path):
    train_run("demo", tmp_path / "run", ["--training.steps=2", "--model.features=8", "--model.hidden=8"])
    from coset import VAE

    run = open_run(tmp_path / "run")
    VAE.for_data(run.splits["train"], z_dim=3, features=8, architecture="dense").save_pretrained(
        tmp_path / "run" / "model"
    )
    _, data = read_page(write_page(Exploration(open_run(tmp_path / "run")), tmp_path / "page.html"))
    assert "grid" not in data and len(data["directions"]) == 3


def test_mistakes_are_one_line(digits, tmp_path, capsys, monkeypatch):
    with pytest.raises(SystemExit) as stopped:
        main(["explore", str(digits), "--html", str(tmp_path / "page.pdf")])
    assert stopped.value.code == 2 and "a name that ends in .html" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "coset.exploring.app", raising=False)
    with pytest.raises(SystemExit) as stopped:
        main(["explore", str(digits)])
    assert stopped.value.code == 2 and "pip install 'coset[explore]'" in capsys.readouterr().err
