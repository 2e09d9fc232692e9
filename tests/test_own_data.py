"""From a user's files to codes and compositions by the command line, without writing a recipe."""

import csv
import json
import tracemalloc

import anndata
import numpy as np
import pytest
import torch
from PIL import Image

from coset import FactorTable
from coset.cli import main
from coset.data.writing_codes import write_codes
from coset.recipes import load_recipe

QUICK = ["--training.steps=2", "--model.context_dim=2", "--model.z_dim=2", "--model.features=8", "--model.hidden=8"]


@pytest.fixture
def faces(tmp_path):
    for person in ("ann", "bob", "eve"):
        for light in ("dim", "full"):
            for number in range(10):
                generator = np.random.default_rng([ord(person[0]), ord(light[0]), number])
                shade = generator.integers(0, 256, (8, 8), dtype=np.uint8)
                (tmp_path / "faces" / person).mkdir(parents=True, exist_ok=True)
                Image.fromarray(shade).save(tmp_path / "faces" / person / f"{light}-{number}.png")
    return f"{tmp_path}/faces/{{person}}/{{light}}-*.png"


def test_from_a_folder_to_a_composition(faces, tmp_path, capsys, monkeypatch, hasty_readers):
    run = tmp_path / "run"
    main(["train", faces, "--contexts", "person", "light", "-o", str(run), *QUICK])
    recipe = load_recipe(run / "recipe.yaml")
    assert recipe.sections["data"] == {"class": "OwnData", "path": faces}
    assert recipe.sections["model"]["contexts"] == ["person", "light"]
    monkeypatch.chdir(tmp_path / "faces")  # the run finds its data from anywhere
    main(["compose", str(run), "person=ann", "light=full", "-o", str(tmp_path / "made.npy"), "--rows", "1"])
    assert np.load(tmp_path / "made.npy").shape == (10, 8, 8)
    capsys.readouterr()
    main(["evaluate", str(run), "--samples", "10", "--runs", "1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert set(found["columns"]) <= {"ann", "bob", "eve"} and set(found["rows"]) <= {"dim", "full"}
    main(["embed", str(run), faces, "-o", str(tmp_path / "codes.csv")])
    with (tmp_path / "codes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert (rows[0]["person"], rows[0]["light"]) == ("ann", "dim")
    assert {"person_0", "light_1", "z_0"} <= set(rows[0])
    assert "60 items" in capsys.readouterr().out


def test_what_is_wrong_is_said_before_training(faces, tmp_path, capsys):
    main(["inspect", faces, "--contexts", "person", "light", "-o", str(tmp_path / "grid.png")])
    out = capsys.readouterr().out
    assert "person × light: 6 of 6 combinations are seen, with 10 to 10 items each" in out
    assert "nothing stands out" in out
    assert (tmp_path / "grid.png").is_file()
    main(["inspect", faces, "--options", "{size: 9}", "--json"])
    assert json.loads(capsys.readouterr().out)["item_shape"] == [9, 9]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "nowhere/{person}.png"], "nowhere/{person}.png: there is no folder"),
        (["train", "absent.csv"], "absent.csv: there is no such file"),
        (["train", "demo", "--contexts", "digit"], "a recipe says its own"),
        (["inspect", "absent.h5ad"], "absent.h5ad: there is no such file"),
        (["inspect", "notes.docx"], "expected a folder of pictures"),
    ],
)
def test_paths_that_are_nothing_are_one_line(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(words)
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_contexts_that_are_not_there_leave_nothing(faces, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["train", faces, "--contexts", "persn", "-o", str(tmp_path / "run"), *QUICK])
    assert "no factor 'persn' in the data" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def twice(x):
    return torch.cat([x, 2 * x], 1)


def test_codes_are_written_beside_what_is_known(tmp_path):
    table = FactorTable(torch.rand(2500, 3), batch=[0, None] * 1250, dose=torch.linspace(0, 1, 2500))
    for ending in ("csv", "npy", "h5ad"):
        assert write_codes(twice, table, tmp_path / f"codes.{ending}") == 2500
    codes = np.load(tmp_path / "codes.npy")
    np.testing.assert_allclose(codes, twice(table.x()))
    with (tmp_path / "codes.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["batch", "dose", *(f"code_{index}" for index in range(6))]
    np.testing.assert_allclose([[float(number) for number in row[2:]] for row in rows[1:]], codes)
    assert [row[0] for row in rows[1:3]] == ["0", ""]
    found = anndata.read_h5ad(tmp_path / "codes.h5ad")
    np.testing.assert_allclose(found.X, codes)
    assert list(found.obs.columns) == ["batch", "dose"]


def test_sixty_thousand_rows_are_written_in_bounded_memory(tmp_path):
    items = np.lib.format.open_memmap(tmp_path / "items.npy", "w+", np.float32, (60_000, 8))
    table = FactorTable(np.load(tmp_path / "items.npy", mmap_mode="r"), batch=np.arange(60_000) % 3)
    tracemalloc.start()
    write_codes(lambda x: x.repeat(1, 4), table, tmp_path / "codes.csv")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(items) == 60_000
    assert most < 1 << 22  # all codes would take twice as much, and as text ten times


def test_vectors_are_evaluated_too(tmp_path, capsys):
    people, sites = np.arange(240) % 4, np.arange(240) // 4 % 3
    x = np.eye(4)[people] + 0.3 * np.eye(4)[sites] + 0.05 * np.random.default_rng(0).normal(size=(240, 4))
    np.savez(tmp_path / "rows.npz", x=x, person=people, site=sites)
    main(["train", str(tmp_path / "rows.npz"), "--contexts", "person", "site", "-o", str(tmp_path / "run"), *QUICK])
    main(["evaluate", str(tmp_path / "run"), "--samples", "10", "--runs", "1"])
    assert "real items 100.0 % / 100.0 %" in capsys.readouterr().out
