import re
from pathlib import Path

import pytest

from coset.cli import main
from coset.experiments import experiments
from coset.experiments.shared.readme import results_page, results_table

pytestmark = pytest.mark.usefixtures("single")

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FENCED = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)


def test_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = [code for language, code in FENCED if language == "python"]
    example = examples[0].replace("steps=1000", "steps=2, sets={'batch': 4}, enable_progress_bar=False")
    assert example != examples[0]
    names: dict = {}
    exec(example, names)
    assert names["fives_upside_down"].shape == (8, 8, 8)
    assert names["codes"].shape == (2, 2, 64)
    assert len(examples) == 1


def test_commands_run(tmp_path, monkeypatch, capsys, hasty_readers):
    monkeypatch.chdir(tmp_path)
    listed = [
        re.split(r"\s{3,}", line)[0] for _, code in FENCED for line in code.splitlines() if line.startswith("coset ")
    ]
    commands = sorted(set(listed), key=listed.index)
    assert len(commands) >= 10
    minutes = ("coset demo", "coset reproduce")  # make demo is a test of its own, results/ those of the other
    tiny = ["--training.steps=2", "--sets.batch=4", "--model.features=16", "--trainer.enable_progress_bar=false"]
    for command in commands:
        words = command.replace("rotated-mnist-4", "demo").split()[1:]
        if command.startswith(minutes):
            with pytest.raises(SystemExit):
                main([*words, "--help"])
        elif words[0] == "train":
            main([*words, *tiny])
        elif words[0] == "evaluate":
            main([*words, "--samples", "10", "--runs", "1"])
        else:
            main(words)
    assert {"samples.png", "fives.png", "composed.png", "curves.png"} <= {path.name for path in tmp_path.iterdir()}


def test_the_tables_are_those_that_results_give():
    table = results_table(ROOT / "results", experiments(), headline=True)
    assert table in README and len(table.splitlines()) == 2 + 10
    page = (ROOT / "results" / "README.md").read_text()
    assert page == results_page(ROOT / "results", experiments())
    pictures = re.findall(r"\]\((\S+\.png)\)", page)
    assert len(pictures) > 20 and all((ROOT / "results" / each).is_file() for each in pictures)


def test_it_is_read_in_two_minutes():
    assert len(README.splitlines()) < 120
