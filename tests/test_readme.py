import re
from pathlib import Path

import pytest

from coset.cli import main
from coset.experiments import experiments
from coset.experiments.shared.readme import results_table

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
    names["batch"] = names["train"].sets(["digit", "rotation"], batch=4).draw(0)
    exec(examples[1], names)
    assert names["bound"].value.shape == (4,)
    third = examples[2].replace("steps=20", "steps=2, enable_progress_bar=False")
    assert third != examples[2]
    exec(third, names)
    assert len(names["few"]) == 6 and names["alike"].shape == (20, 20) and names["nats"].shape == (50,)


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


def test_the_table_is_the_one_that_results_give():
    assert results_table(ROOT / "results", experiments()) in README


def test_pictures_and_links_are_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
