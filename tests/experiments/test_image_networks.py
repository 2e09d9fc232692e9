import functools
import json

import pytest

from coset.experiments import image_networks as home
from coset.experiments import reproduce
from coset.experiments.shared import outcome as runs
from coset.metrics import train_classifier
from coset.runs import train_run

pytestmark = pytest.mark.usefixtures("single")

TINY = ["--training.steps=2", "--sets.batch=4", "--sets.batches=2", "--trainer.enable_progress_bar=false"]
TINY += ["--data.base=digits", "--model.contexts=[digit, rotation]", "--model.features=16", "--model.channels=[2, 2]"]


def test_networks_from_training_to_figures(tmp_path, monkeypatch):
    def train(recipe, folder, own=(), resume=False, start=None):
        return train_run(recipe, folder, [*own, *TINY], resume, start)

    monkeypatch.setattr(runs, "train_run", train)
    monkeypatch.setattr(home, "SEEDS", (0, 1))
    monkeypatch.setattr(home, "NETWORKS", ("compact", "strided"))
    monkeypatch.setattr(home, "TIMES", 1)
    hasty = functools.partial(train_classifier, steps=3, augment=False)
    monkeypatch.setattr(home, "load_or_train_classifier", lambda table, factor, **options: hasty(table, factor))
    outcome = reproduce("image-networks", tmp_path / "runs", tmp_path / "results")
    found = json.loads((tmp_path / "results" / "image-networks.json").read_text())
    assert found["figures"] == outcome.figures and outcome.figures["default"] == "compact"
    assert all((tmp_path / "results" / picture).is_file() for picture in found["pictures"])
    assert outcome.figures["gflop_compact"] > outcome.figures["gflop_strided"] > 0
    assert len(outcome.figures["cells_fashion"]) == 4 and len(outcome.figures["cells_fashion"][0]) == 4
    assert 0 <= outcome.figures["worst_compact"] <= outcome.figures["mean_compact"] <= 100
