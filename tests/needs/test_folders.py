"""Experiments, data sets, metrics and recipes that are dropped into their folders appear everywhere by themselves."""

import json
from pathlib import Path

import pytest
import torch

from coset.cli import main
from coset.datasets.base import DataSet
from coset.discovery import classes, public
from coset.errors import ConfigurationError
from coset.experiments import experiments
from coset.experiments.shared.readme import results_table
from coset.recipes import load_recipe

pytestmark = pytest.mark.usefixtures("single")

TINY = ["--training.steps=1", "--sets.batch=4", "--model.features=16", "--trainer.enable_progress_bar=false"]
EXPERIMENT = f"""
import torch
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row


class Halves(Experiment):
    '''Halve a number.'''

    aliases = ("figure-of-halves",)
    label = "halves"
    rows = (Row("half of one", "half", published="published"),)

    def run(self, request: Request) -> Outcome:
        run = request.run("demo", overrides={TINY})
        return request.write({{"half": 0.5, "published": 0.4}}, {{"grid": torch.rand(2, 3, 8, 8)}}, [run], "half: 0.5")
"""


def test_an_experiment(drop, tmp_path, capsys):
    drop("coset.experiments", "halves_of_numbers.py", EXPERIMENT)
    with pytest.raises(SystemExit):
        main(["reproduce", "--help"])
    assert "halves-of-numbers" in "".join(capsys.readouterr().out.split())  # lines may break at hyphens
    words = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results"), "--json"]
    main(["reproduce", "figure-of-halves", *words])
    assert json.loads(capsys.readouterr().out) == {"half": 0.5, "published": 0.4}
    assert "| halves | half of one | 0.400 |  | 0.500 |" in results_table(tmp_path / "results", experiments())
    written = json.loads((tmp_path / "results" / "halves-of-numbers.json").read_text())
    assert written["command"] == "coset reproduce halves-of-numbers" and written["pictures"]


DATA = """
from dataclasses import dataclass
from typing import ClassVar
import torch
from coset.data.table import FactorTable
from coset.datasets.base import DataSet


@dataclass(frozen=True)
class Stripes(DataSet):
    '''Stripes of two directions. Factor: `direction`, 0 or 1.'''

    name: ClassVar = "stripes"
    source: ClassVar = "drawn here (public domain)"
    files: ClassVar = ()

    count: int = 20

    def load_splits(self):
        direction = torch.arange(self.count) % 2
        x = torch.rand(self.count, 8, 8).round()
        return {name: FactorTable(x, direction=direction) for name in ("train", "validation", "test")}


@dataclass(frozen=True)
class Folder(DataSet):
    '''Images of a folder of the user's.'''

    name: ClassVar = "folder"
    source: ClassVar = "the user's own"
    files: ClassVar = ()

    path: str

    def load_splits(self):
        return Stripes().load_splits()
"""


def test_a_data_set_and_one_whose_class_needs_a_path(drop, capsys):
    drop("coset.datasets", "stripes.py", DATA)
    main(["data", "list"])
    shown = capsys.readouterr().out
    assert "\nstripes " in shown and "drawn here" in shown
    assert "needs: path" in shown and "Images of a folder" in shown
    assert {"Stripes", "Folder"} <= set(classes("coset.datasets", DataSet))  # what the contract test goes through
    from coset.datasets import Stripes

    assert Stripes().load_splits()["test"].values == {"direction": [0, 1]}


CELLS = "import a_library_that_nobody_has\n\n\nclass Cells:\n    name = 'cells'\n"


def test_a_file_whose_library_is_missing_breaks_nothing(drop, capsys, tmp_path):
    drop("coset.datasets", "single_cells.py", CELLS)
    main(["data", "list"])
    assert "left out: needs a_library_that_nobody_has" in capsys.readouterr().out
    main(["train", "demo", "-o", str(tmp_path / "run"), *TINY])
    message = "single_cells needs a_library_that_nobody_has, which is not installed"
    with pytest.raises(ConfigurationError, match=message):
        load_recipe("demo", ["--data.class=Cells"])


METRIC = """
from torch import Tensor


def spread_of_codes(codes: Tensor) -> float:
    '''Mean standard deviation of codes `[n, d]`; 0 and up, more is wider.'''
    return float(codes.std(0).mean())
"""


def test_a_metric(drop):
    drop("coset.metrics", "spread.py", METRIC)
    found = public("coset.metrics")["spread_of_codes"]  # what is exported, and what the contract test goes through
    assert found(torch.tensor([[0.0], [2.0]])) == pytest.approx(2**0.5)


RECIPE = """# Stripes of two directions, coded by themselves.
data: {class: Stripes, count: 12}
model: {class: VAE, z_dim: 2, features: 8, architecture: dense}
sets: {items: 1, batch: 4}
training: {steps: 1}
"""


def test_a_recipe(drop, capsys, tmp_path):
    drop("coset.datasets", "stripes.py", DATA)
    drop("coset.recipes", "stripes-by-themselves.yaml", RECIPE)
    main(["recipes"])
    assert "stripes-by-themselves" in capsys.readouterr().out
    main(["train", "stripes-by-themselves", "-o", str(tmp_path / "run"), "--trainer.enable_progress_bar=false"])
    assert Path(tmp_path / "run" / "record.json").is_file()
