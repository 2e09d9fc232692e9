"""Folders of runs: damaged ones are refused, nothing of a user's is replaced, and equal seeds give equal weights."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from filelock import FileLock
from safetensors.torch import load_file, save_file

import coset.plots
from coset import load, models
from coset.cli import main
from coset.errors import CheckpointError, ConfigurationError
from coset.experiments.shared.composition import _remove_demo
from coset.recipes import load_recipe
from coset.runs import open_run, train_run

pytestmark = pytest.mark.usefixtures("single")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny):
    """A finished run of the demo's recipe, tiny."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train_run("demo", folder, tiny)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it, to be damaged."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "no recipe": lambda run: (run / "recipe.yaml").unlink(),
    "no model": lambda run: (run / "model" / "config.json").unlink(),
    "no weights": lambda run: (run / "model" / "model.safetensors").unlink(),
    "weights cut": lambda run: cut(run / "model" / "model.safetensors"),
    "weights empty": lambda run: (run / "model" / "model.safetensors").write_bytes(b""),
    "weights are text": lambda run: (run / "model" / "model.safetensors").write_text("weights"),
    "config cut": lambda run: cut(run / "model" / "config.json"),
    "config a list": lambda run: (run / "model" / "config.json").write_text("[]"),
    "config a word": lambda run: (run / "model" / "config.json").write_text('"x"'),
    "config binary": lambda run: (run / "model" / "config.json").write_bytes(bytes(range(256))),
    "config a folder": lambda run: ((run / "model" / "config.json").unlink(), (run / "model" / "config.json").mkdir()),
    "another format": lambda run: change(run, format=99),
    "no format": lambda run: change(run, format=None),
    "another class": lambda run: change(run, model="Evil"),
    "no class": lambda run: change(run, model=None),
    "a class that is a list": lambda run: change(run, model=["VAE"]),
    "another size": lambda run: change(run, z_dim=5),
    "a size that is none": lambda run: change(run, z_dim="many"),
    "a size below 1": lambda run: change(run, z_dim=-1),
    "recipe cut": lambda run: (run / "recipe.yaml").write_text("data: ["),
    "recipe imports": lambda run: (run / "recipe.yaml").write_text("trainer: {strategy: {class_path: evilmod.Evil}}"),
    "nan weights": lambda run: poison(run),
}


def change(run, **values):
    path = run / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def poison(run):
    weights = load_file(run / "model" / "model.safetensors")
    name = next(name for name, value in weights.items() if value.is_floating_point())
    save_file(weights | {name: torch.full_like(weights[name], torch.nan)}, run / "model" / "model.safetensors")


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_runs_are_refused(damage, run, tmp_path, monkeypatch, one_line):
    (tmp_path / "evilmod.py").write_text("open('evil', 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    damage(run)
    one_line(["sample", str(run), "--output", "x.png"])
    assert not (tmp_path / "x.png").exists()
    assert not (tmp_path / "evil").exists()


OUTPUTS = ["x.jpg", "x.csv", "x", "missing/x.png", "folder.png", "link.png", "pipe.png", ""]


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_is_not_to_be_replaced_stays(name, finished, tmp_path, monkeypatch, one_line):
    monkeypatch.chdir(tmp_path)
    Path("folder.png").mkdir()
    Path("mine.png").write_text("mine")
    Path("link.png").symlink_to("mine.png")
    os.mkfifo("pipe.png")
    before = sorted(path.name for path in tmp_path.iterdir())
    one_line(["sample", str(finished), "--output", name])
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert Path("mine.png").read_text() == "mine"
    assert Path("link.png").is_symlink()


def test_a_demo_removes_only_what_a_demo_wrote(tmp_path, finished, one_line):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"recipe": "vae-mnist", **load_recipe("vae-mnist").sections}))
    (folder / "thesis.tex").write_text("years of work")
    assert "a demo does not replace" in one_line(["demo", "--output", str(folder)])
    (finished / "thesis.tex").write_text("years of work")
    kept = {path.name: path for path in finished.iterdir()}
    copy = tmp_path / "demo"
    shutil.copytree(finished, copy)
    _remove_demo(copy)
    assert (copy / "thesis.tex").read_text() == "years of work"
    assert not (copy / "model").exists()
    kept["thesis.tex"].unlink()


def test_equal_seeds_give_equal_weights(tmp_path, tiny):
    found = []
    for name, options in (("a", []), ("b", []), ("c", ["--training.workers", "1"]), ("d", ["--training.seed", "1"])):
        train_run("demo", tmp_path / name, [*tiny, *options])
        found.append(load(tmp_path / name / "model").state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert all(torch.equal(found[0][name], found[2][name]) for name in found[0])
    assert not all(torch.equal(found[0][name], found[3][name]) for name in found[0])


def test_one_process_at_a_time_trains_into_a_folder(tmp_path, tiny):
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(ConfigurationError, match="another process trains there"):
        train_run("demo", tmp_path / "run", tiny)
    train_run("demo", tmp_path / "run", tiny)
    open_run(tmp_path / "run")


@pytest.mark.parametrize("status", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_training_with_its_status(status, tmp_path, tiny):
    options = [*tiny, "--trainer.max_epochs", "100000"]
    command = [sys.executable, "-m", "coset", "train", "demo", "--output", str(tmp_path / "run"), *options]
    # What runs in the background of a shell ignores Ctrl-C, and so would what it starts.
    heed = functools.partial(signal.signal, status, signal.SIG_DFL)
    streams = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, preexec_fn=heed, **streams) as process:
        try:
            for _ in range(600):
                if (tmp_path / "run" / "checkpoints" / "last.ckpt").exists():
                    break
                time.sleep(0.1)
            process.send_signal(status)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + status
    assert "--resume" in err.splitlines()[-1]
    assert "Traceback" not in err + out
    assert not list((tmp_path / "run" / "checkpoints").glob("*.partial")) or process.returncode


@pytest.mark.parametrize("wrong", [OSError(28, "No space left on device"), PermissionError(13, "Permission denied")])
def test_a_disk_that_does_not_take_it_is_said_in_one_line(wrong, tmp_path, monkeypatch, finished, one_line):
    def fail(*_, **__):
        raise wrong

    monkeypatch.setattr(coset.plots, "save_rows", fail)
    assert wrong.strerror in one_line(["sample", str(finished), "--output", str(tmp_path / "x.png")])


@pytest.mark.parametrize("name", ["recipe.yaml", "last.ckpt", "best.ckpt", "record.json"])
def test_a_full_disk_leaves_nothing_half_written(name, one_line, tiny, tmp_path, monkeypatch):
    real = os.replace

    def full(source, target):
        if Path(target).name == name:
            raise OSError(28, "No space left on device", str(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    said = one_line(["train", "demo", "--output", str(tmp_path / "run"), *tiny])
    assert f"{name}: No space left on device" in said
    assert not list(tmp_path.rglob("*.partial")) + list(tmp_path.rglob(".saving-*"))
    monkeypatch.undo()
    resume = ["--resume"] if (tmp_path / "run").exists() else []
    main(["train", "demo", "--output", str(tmp_path / "run"), *tiny, *resume])


def test_what_a_killed_process_was_writing_is_swept_away(tmp_path, tiny):
    train_run("demo", tmp_path / "run", tiny)
    (tmp_path / "run" / "record.json").unlink()
    for name in ("checkpoints/last.ckpt.7.partial", "record.json.7.partial", "model/.saving-x/config.json"):
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_text("half")
    train_run("demo", tmp_path / "run", tiny, resume=True)
    assert not [path for path in (tmp_path / "run").rglob("*") if "partial" in path.name or "saving" in path.name]


def test_files_are_as_open_as_the_user_wants(tmp_path):
    before = os.umask(0o022)
    try:
        models.VAE((4,), z_dim=2, features=4).save_pretrained(tmp_path / "model")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()} == {0o644}


# --- runs of every model ----------------------------------------------------------------------------------------


def small_run(name, folder):
    """A finished run of a recipe whose model is of this class, trained for a step on data in memory."""
    recipe = {
        "VAE": {"class": "VAE", "z_dim": 2, "features": 8, "architecture": "dense"},
        "NeuralStatistician": {"class": "NeuralStatistician", "contexts": ["digit"], "features": 8, "hidden": 8},
        "ContextAwareLearner": {"class": "ContextAwareLearner", "contexts": ["digit", "rotation"], "features": 8},
        "ClassStyle": {"class": "ClassStyle", "label": "digit", "style_dim": 2, "features": 8, "architecture": "dense"},
        "IntrinsicFaces": {"class": "IntrinsicFaces", "label": "digit", "features": 8, "architecture": "dense"},
        "MultiDigit": {"class": "MultiDigit", "style_dim": 2, "channels": [4, 8], "features": 8},
    }[name]
    data = {"class": "Rotated", "base": "digits", "angles": 4}
    if name == "MultiDigit":
        data = {"class": "MultiMNIST", "base": "digits", "train": 20, "validation": 5, "test": 20}
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        yaml.safe_dump(
            {
                "data": data,
                "model": recipe,
                "sets": {"batch": 4, "batches": 1} | ({"items": 3} if "contexts" in recipe else {}),
                "training": {"epochs": 1},
                "trainer": {"accelerator": "cpu", "enable_progress_bar": False},
            }
        )
    )
    train_run(folder / "mine.yaml", folder / "run")
    return folder / "run"


MODELS = ["VAE", "NeuralStatistician", "ContextAwareLearner", "ClassStyle", "IntrinsicFaces", "MultiDigit"]


@pytest.mark.parametrize("name", MODELS)
def test_every_command_works_on_a_run_of_every_model_or_says_why_not(name, tmp_path, capsys, hasty_readers, one_line):
    run = str(small_run(name, tmp_path / "work"))
    made = tmp_path / "made.png"
    draw = ["-o", str(made)]
    with_contexts, composing = name in MODELS[1:3], name == "ContextAwareLearner"
    commands = [
        (["sample", run, *draw], True),
        (["condition", run, "digit=5", *draw], with_contexts),
        (["compose", run, "digit=5", *draw], with_contexts),
        (["complete", run, *draw], False),  # but for two contexts, and these have no empty cell
        (["evaluate", run, "--samples", "12", "--runs", "1"], composing),
        (["plot", run, *draw], True),
    ]
    for arguments, works in commands:
        made.unlink(missing_ok=True)
        if works:
            main(arguments)
            assert made.exists() or arguments[0] == "evaluate"
            capsys.readouterr()
        else:
            assert name in (said := one_line(arguments)) or "no empty cell" in said


def test_models_with_weights_that_are_no_numbers_are_refused(run):
    poison(run)
    with pytest.raises(CheckpointError, match="not finite"):
        load(run / "model")
