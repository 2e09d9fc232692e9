import json
from pathlib import Path

import pytest

from coset.errors import ConfigurationError
from coset.reproduce import ALIASES, TARGETS, reproduce_target
from coset.reproduce.composition import run_demo
from coset.reproduce.readme import renew_readme, results_table

RESULTS = Path(__file__).parents[1] / "results"
REQUIRED = {
    "rotated-mnist-4": {"mean", "worst", "paper_design_mean", "paper_design_worst"},
    "rotated-mnist-8": {"mean", "worst", "paper_design_mean", "paper_design_worst"},
    "black-white-mnist": {"digit_right", "background_right", "black_share", "digit_entropy_bits"},
}


def test_every_experiment_has_its_result():
    assert set(TARGETS) == set(REQUIRED) and set(ALIASES.values()) <= set(TARGETS)
    for name, figures in REQUIRED.items():
        found = json.loads((RESULTS / f"{name}.json").read_text())
        assert {"command", "commit", "seeds", "hardware", "wall_seconds", "figures"} <= set(found)
        assert figures <= set(found["figures"])
        assert found["command"] == f"coset reproduce {name}"
        for picture in found["pictures"]:
            assert (RESULTS / picture).read_bytes().startswith(b"\x89PNG")


def test_unknown_experiment_names_the_nearest(tmp_path):
    with pytest.raises(ConfigurationError, match="did you mean 'black-white-mnist'"):
        reproduce_target("blak-white-mnist", tmp_path, tmp_path)


def test_readme_table_is_renewed_between_its_markers(tmp_path):
    figures = dict.fromkeys(REQUIRED["rotated-mnist-4"], 12.345) | {"published_mean": 60.5, "published_worst": 0.0}
    (tmp_path / "rotated-mnist-4.json").write_text(json.dumps({"figures": figures}))
    readme = tmp_path / "README.md"
    readme.write_text(
        "before\n<!-- results: written by `coset reproduce readme` -->\nold\n<!-- end of results -->\nafter"
    )
    renew_readme(readme, tmp_path)
    text = readme.read_text()
    assert text.startswith("before") and text.endswith("after") and "old" not in text
    assert "| rotated MNIST, 4 angles | composition, mean % | 60.5 | 12.3 | 12.3 |" in text
    assert results_table(tmp_path) in text
    readme.write_text("no markers")
    with pytest.raises(ConfigurationError, match="markers"):
        renew_readme(readme, tmp_path)


def test_demo_replaces_the_one_before(tmp_path, monkeypatch, hasty_readers):
    import coset.reproduce.composition as home

    original = home.train_run
    tiny = ["--training.steps=2", "--sets.batch=4", "--trainer.enable_progress_bar=false"]
    monkeypatch.setattr(home, "train_run", lambda recipe, folder: original(recipe, folder, tiny))
    for _ in range(2):
        outcome = run_demo(tmp_path / "demo")
    last = outcome.report.splitlines()[-1]
    assert last.startswith("composition accuracy: mean ") and ", worst cell " in last
    assert (tmp_path / "demo" / "composition.png").is_file()
