import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coset.cli import COMMANDS, main

pytestmark = pytest.mark.usefixtures("single")

TINY = ["--training.steps", "3", "--sets.batches", "2", "--model.features=16", "--model.hidden=8", "--sets.batch=4"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    main(["train", "demo", "-o", str(folder), *TINY, "--trainer.enable_progress_bar", "false"])
    return folder


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_needs_no_heavy_library(words):
    program = f"""
import sys
from coset.cli import main
try:
    main({words!r})
except SystemExit as stop:
    assert stop.code == 0
assert not {{"torch", "lightning", "matplotlib"}} & set(sys.modules), "help must answer at once"
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "usage" in shown and len(shown.splitlines()) > 5


@pytest.mark.parametrize("variables", [{}, {"MALLOC_TRIM_THRESHOLD_": "131072"}])
def test_memory_of_freed_arrays_is_kept_where_the_allocator_can(variables):
    program = """
import resource
from coset.console import keep_memory
kept, size = keep_memory(), 8 << 20
bytearray(size)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray(size)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(kept, faults < size // resource.getpagesize())
"""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | variables
    said = subprocess.run([sys.executable, "-c", program], env=plain, check=True, capture_output=True, text=True).stdout
    kept, spared = (word == "True" for word in said.split())
    assert kept == (platform.libc_ver()[0] == "glibc" and not variables)
    assert spared or not kept


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "rotated-mnst-4"], "did you mean 'rotated-mnist-4'"),
        (["train", "demo", "--model.contxt_dim", "3"], "did you mean 'context_dim'"),
        (["train", "demo", "--modle.context_dim", "3"], "did you mean 'model'"),
        (["train", "demo", "--model.context_dim", "large"], "context_dim"),
        (["train", "demo", "--data.class", "Rotate"], "did you mean 'Rotated'"),
        (["sample", "nowhere"], "expected a finished run"),
        (["reproduce", "tabel1"], "did you mean 'table1'"),
        (["data", "fetch", "mnits"], "did you mean 'mnist'"),
        (["data", "lst"], "expected `list` or `fetch NAME`"),
    ],
)
def test_errors_say_how_to_mend(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert expected in shown.err and "Traceback" not in shown.err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_a_run_is_refused_and_resumed(run, capsys):
    before = (run / "record.json").read_text()
    with pytest.raises(SystemExit):
        main(["train", "demo", "-o", str(run), *TINY])
    assert "already holds a run" in capsys.readouterr().err
    assert (run / "record.json").read_text() == before
    with pytest.raises(SystemExit):
        main(["train", "demo", "-o", str(run), "--resume"])
    assert "differs from the recipe" in capsys.readouterr().err


def test_json_is_all_there_is_on_standard_output(tmp_path, capsys):
    main(["train", "demo", "-o", str(tmp_path / "run"), *TINY, "--json"])
    figures = json.loads(capsys.readouterr().out)
    assert {"run", "seconds", "bound", "z", "context.constant", "context.varying", "x", "a"} <= set(figures)


def test_sampling_commands_write_pictures_and_arrays(run, tmp_path):
    main(["sample", str(run), "--constant", "digit+rotation", "--sets", "2", "-n", "3", "-o", str(tmp_path / "s.png")])
    main(["sample", str(run), "--constant", "none", "-o", str(tmp_path / "s.npy")])
    main(["condition", str(run), "digit=5", "-n", "4", "-o", str(tmp_path / "c.npy")])
    main(["compose", str(run), "digit=5", "rotation=90", "-n", "4", "--rows", "2", "-o", str(tmp_path / "m.png")])
    main(["plot", str(run), "-o", str(tmp_path / "p.png")])
    assert np.load(tmp_path / "s.npy").shape == (4, 10, 8, 8)
    assert np.load(tmp_path / "c.npy").shape == (4, 8, 8)
    for name in ("s", "m", "p"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_complete_writes_what_would_be_in_empty_cells(tmp_path, capsys):
    run = tmp_path / "unseen"
    main(["train", "unseen-rotated-digits", "-o", str(run), *TINY])
    capsys.readouterr()
    main(["complete", str(run), "--samples", "4", "-o", str(tmp_path / "c.png")])
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "10 empty cells of digit × rotation: composed of sets of their levels"
    assert ("digit=3, rotation=270" in shown[4] and "3 seen cells and " in shown[4]) or len(shown) == 12
    main(["complete", str(run), "--samples", "4", "-o", str(tmp_path / "c.csv"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert len(found["cells"]) == 10 and len(found["cells"][0]["mean"]) == 64
    lines = (tmp_path / "c.csv").read_text().splitlines()
    assert lines[0].startswith("digit,rotation,seen_digit,seen_rotation,warning,mean_0,") and len(lines) == 11
    main(["complete", str(run), "--samples", "4", "-o", str(tmp_path / "c.npz")])
    with np.load(tmp_path / "c.npz") as arrays:
        assert arrays["mean"].shape == arrays["spread"].shape == (10, 8, 8) and arrays["digit"].tolist()[:2] == [0, 1]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_unknown_context_or_value_is_named(run, capsys):
    with pytest.raises(SystemExit):
        main(["compose", str(run), "digt=5"])
    assert "did you mean 'digit'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["compose", str(run), "digit=11"])
    assert "11" in capsys.readouterr().err


def test_evaluate_prints_the_table(run, capsys, hasty_readers):
    main(["evaluate", str(run), "--samples", "10", "--runs", "2", "--json"])
    figures = json.loads(capsys.readouterr().out)
    assert 0 <= figures["worst"] <= figures["mean"] <= 100
    assert np.shape(figures["cells"]) == (4, 10)


def test_data_list_says_where_it_looks(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    main(["data", "list"])
    shown = capsys.readouterr().out
    assert str(tmp_path) in shown and "mnist" in shown and "missing" in shown
