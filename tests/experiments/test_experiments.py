import functools
import json
from pathlib import Path

import pytest
import torch

from coset.data import FactorTable
from coset.errors import ConfigurationError
from coset.experiments import experiments, reproduce
from coset.experiments.shared.composition import run_demo
from coset.experiments.shared.outcome import Request
from coset.experiments.shared.readme import renew_readme, results_table
from coset.metrics import train_classifier
from coset.runs import open_run

pytestmark = pytest.mark.usefixtures("single")

RESULTS = Path(__file__).parents[2] / "results"
REQUIRED = {
    "vae-mnist-2d": {"bound", "bound_standard_error"},
    "spatial-mnist": {"bound_per_point", "context_nats", "digit_accuracy", "context_distance_of_summary"},
    "vae-mnist-likelihood": {"vae", "iwae_5", "vae_standard_error", "iwae_5_standard_error"},
    "semi-supervised-mnist": {"error_100", "error_600", "error_1000", "error_3000", "error_by_rate"},
    "yale-b": {"identity_error_full", "light_error_full", "identity_error_semi", "light_error_semi"},
    "multi-mnist": {
        "count_error_500_1",
        "count_error_500_10",
        "count_error_1000_1",
        "count_error_1000_10",
        "count_error_unsupervised",
    },
    "rotated-mnist-4": {
        *("mean", "mean_sd", "worst", "paper_design_mean", "paper_design_worst", "diversity_ratio"),
        *("reconstructed_diversity_ratio", "coverage", "density", "by_seed"),
    },
    "image-networks": {
        f"{figure}_{name}"
        for figure in ("mean", "mean_sd", "worst", "real", "minutes")
        for name in ("compact", "convolutional", "strided", "dense", "fashion")
    },
    "auxiliary-cifar10": {
        f"{figure}{part}"
        for figure in ("colours_taken", "colours_left", "colours_taken_by_rule", "colours_of_others", "shape_taken")
        for part in ("", "_sd")
    },
    "auxiliary-street-digits": {
        *("by_beta", "placement", "shuffling_share", "clustering_accuracy_k_means", "clustering_accuracy_k_means_vae"),
        *("clustering_accuracy_without_task", "clustering_accuracy_sd_without_task"),
        *(
            f"{figure}{part}"
            for figure in (
                *("classifier", "reconstructed", "local_resampled", "global_resampled", "hue_local_resampled"),
                *("hue_global_resampled", "both_taken", "clustering_accuracy", "neighbours_nmi"),
            )
            for part in ("", "_sd")
        ),
    },
    "auxiliary-mnist": {
        *("clustering_accuracy_k_means", "clustering_accuracy_k_means_fashion"),
        *(
            f"{figure}{way}"
            for figure in (
                "clustering_accuracy_mean",
                "clustering_accuracy_sd",
                "clustering_accuracy_by_bound",
                "by_seed",
            )
            for way in ("", "_alone", "_fashion", "_alone_fashion")
        ),
    },
    "rotated-mnist-8": {"mean", "worst", "paper_design_mean", "paper_design_worst"},
    "hfvae-mnist": {
        f"{figure}_{way}_{data}"
        for figure in ("items", "factor", "carrying", "total", "gaussian_total_correlation", "mig")
        for way in ("vae", "beta_vae", "hfvae")
        for data in ("mnist", "fashion_mnist")
    },
    "sprites-objectives": {
        "explained_by_objective",
        *(
            f"{score}{part}_{name}"
            for score in ("mig", "dci", "factor_vae_score", "infom", "infoc", "infoe")
            for part in ("", "_sd", "_interval")
            for name in (
                *("vae", "beta_vae", "dip_vae_i", "dip_vae_ii", "info_vae", "gao", "achille_soatto", "factor_vae"),
                *("beta_tc", "hfvae", "gvae", "ml_vae", "ada_gvae"),
            )
        ),
    },
    "topics-20news": {
        *("npmi_margin_over_lda", "npmi_margin_over_vae", "most_correlated", "preprocess"),
        *(
            f"{figure}_{way}{preprocess}"
            for figure in (
                "npmi",
                "npmi_sd",
                "npmi_15",
                "cv",
                "diversity",
                "irbo",
                "perplexity",
                "purity",
                "nmi",
                "svm",
            )
            for way in ("vae", "hfvae", "lda", "lda_gensim")
            for preprocess in ("", "_octis")
        ),
    },
    "black-white-mnist": {"digit_right", "background_right", "black_share", "digit_entropy_bits"},
    "one-dimensional-families": {
        "family_accuracy",
        "mean_r2",
        "variance_r2",
        "mean_r2_sample",
        "by_size",
    },
    "unseen-rotated-digits": {
        *("unseen_mean", "unseen_worst", "seen_mean", "unseen_mean_told", "unseen_worst_told", "seen_mean_told"),
        *("unseen_mean_grid", "unseen_mean_free", "rules", "choices", "ceiling_mean"),
    },
    "unseen-rotated-mnist": {
        *("unseen_mean", "unseen_worst", "seen_mean", "unseen_mean_told", "unseen_worst_told", "seen_mean_told"),
        *("unseen_mean_grid", "unseen_mean_free", "coverage", "coverage_told", "choices", "ceiling_mean"),
    },
    "unseen-rotated-mnist-8": {"unseen_mean_told", "unseen_worst_told", "seen_mean_told", "coverage_told", "cells"},
    "unseen-yale-b": {"psnr", "psnr_additive", "psnr_low_rank", "r2", "by_split"},
    "unseen-il2": {"r2", "r2_additive", "r2_low_rank", "inside_90_percent_intervals"},
    "unseen-tables": {"worst_gap", "mean_gap", "tables"},
    "generalisation": {
        f"{figure}{part}_{table}_{way}_{share}"
        for figure in ("error", "error_seen", "composed", "real")
        for part in ("", "_sd")
        for table in ("sprites", "mnist")
        for way in ("vae", "beta_vae", "hfvae", "contexts")
        for share in (20, 50)
    },
    "unseen-sprites": {
        f"read_{way}_{split}"
        for way in ("acting", "free", "vae", "beta_vae", "nearest", "real")
        for split in ("element", "range")
    },
    "omniglot-few-shot": {
        "five_way_one_shot",
        "five_way_five_shot",
        "twenty_way_one_shot",
        "twenty_way_five_shot",
        "five_way_one_shot_vae",
    },
}


def test_results_are_those_of_experiments():
    assert set(REQUIRED) == {file.stem for file in RESULTS.glob("*.json")} <= set(experiments())
    for name, figures in REQUIRED.items():
        found = json.loads((RESULTS / f"{name}.json").read_text())
        assert {"command", "commit", "seeds", "hardware", "wall_seconds", "figures"} <= set(found)
        assert figures <= set(found["figures"])
        assert found["command"] == f"coset reproduce {name}"
        for picture in found["pictures"]:
            assert (RESULTS / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", experiments())
def test_an_experiment_says_what_it_measures(name):
    experiment = experiments()[name]
    assert experiment.label and experiment.rows and type(experiment).__doc__
    for row in experiment.rows:
        assert row.measure.strip() and row.ours
    results = RESULTS / f"{name}.json"
    if results.is_file():
        figures = json.loads(results.read_text())["figures"]
        assert {key for row in experiment.rows for key in (row.ours, row.published, row.design) if key} <= set(figures)


def test_names_and_aliases_are_told_apart():
    known = experiments()
    words = [word for name, each in known.items() for word in (name, *each.aliases)]
    assert len(set(words)) == len(words) and "readme" not in words


def test_unknown_experiment_names_the_nearest(tmp_path):
    with pytest.raises(ConfigurationError, match="did you mean 'black-white-mnist'"):
        reproduce("blak-white-mnist", tmp_path, tmp_path)


def test_readme_table_is_renewed_between_its_markers(tmp_path):
    figures = dict.fromkeys(REQUIRED["rotated-mnist-4"], 12.345) | {"published_mean": 60.5, "published_worst": 0.0}
    (tmp_path / "rotated-mnist-4.json").write_text(json.dumps({"figures": figures}))
    readme = tmp_path / "front.md"
    readme.write_text(
        "before\n<!-- results: written by `coset reproduce readme` -->\nold\n<!-- end of results -->\nafter"
    )
    renew_readme(readme, tmp_path, experiments())
    text = readme.read_text()
    assert text.startswith("before") and text.endswith("after") and "old" not in text
    assert "| rotated MNIST, 4 angles | composition, mean % | 60.5 | 12.3 | 12.3 |" in text
    assert results_table(tmp_path, experiments(), headline=True) in text and "worst cell" not in text
    page = (tmp_path / "README.md").read_text()
    assert results_table(tmp_path, experiments()) in page and "worst cell" in page
    readme.write_text("no markers")
    with pytest.raises(ConfigurationError, match="markers"):
        renew_readme(readme, tmp_path, experiments())


TINY = ["--training.epochs=null", "--training.steps=2", "--sets.batch=4", "--sets.batches=2"]
TINY += ["--trainer.enable_progress_bar=false"]


def tiny_runs(monkeypatch, *overrides):
    """Train recipes for two steps only, on what the overrides say."""
    import coset.experiments.shared.outcome as home

    original = home.train_run

    def train(recipe, folder, own=(), resume=False, start=None):
        return original(recipe, folder, [*own, *TINY, *overrides], resume, start)

    monkeypatch.setattr(home, "train_run", train)


def check_written(outcome, results, name):
    found = json.loads((results / f"{name}.json").read_text())
    assert found["figures"] == outcome.figures and found["pictures"]
    assert all((results / picture).is_file() for picture in found["pictures"])


def test_families_from_training_to_figures(tmp_path, monkeypatch):
    import coset.experiments.one_dimensional_families as home

    monkeypatch.setattr(home, "TRAINING_SETS", 200)
    monkeypatch.setattr(home, "TEST_SETS", 80)
    monkeypatch.setattr(home, "CELLS", 8)
    tiny_runs(monkeypatch, "--data.sets=20", "--data.validation=4", "--data.test=4", "--data.items=20")
    outcome = reproduce("one-dimensional-families", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "one-dimensional-families")
    sizes = outcome.figures["by_size"]
    assert (
        list(sizes) == ["5", "20", "200", "1000"]
        and sizes["20"]["family_accuracy"] == outcome.figures["family_accuracy"]
    )
    # The standard error of the mean falls with the square root of the size, whatever the model has learned.
    assert 3 < sizes["5"]["best_mean_error"] / sizes["200"]["best_mean_error"] < 12
    assert sizes["1000"]["context_width"] < sizes["5"]["context_width"]
    again = reproduce("one-dimensional-families", tmp_path / "runs", tmp_path / "results")
    assert again.figures == outcome.figures  # of the run that is there


def test_spatial_digits_from_training_to_figures(tmp_path, monkeypatch):
    import coset.experiments.spatial_mnist as home

    monkeypatch.setattr(home, "TRAINING_SETS", 300)
    monkeypatch.setattr(home, "TEST_SETS", 100)
    tiny_runs(monkeypatch, "--data.base=digits")
    outcome = reproduce("spatial-mnist", tmp_path / "runs", tmp_path / "results")
    assert 20 < outcome.figures["digit_accuracy"] < 90  # even a network that has learned nothing tells shapes apart
    check_written(outcome, tmp_path / "results", "spatial-mnist")
    assert outcome.figures["context_distance_of_summary"] < outcome.figures["context_distance_of_random_points"]


def test_likelihoods_are_measured_once(tmp_path, monkeypatch):
    import coset.experiments.vae_mnist_likelihood as home

    tiny_runs(monkeypatch, "--data.class=Digits", "--data.validation=0.1")
    monkeypatch.setattr(home, "PARTICLES", 3)
    monkeypatch.setattr(home, "FEW", 2)
    measured = []
    original = home.log_likelihood
    monkeypatch.setattr(home, "log_likelihood", lambda *args, **kw: measured.append(args[2]) or original(*args, **kw))
    outcome = reproduce("vae-mnist-likelihood", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "vae-mnist-likelihood")
    assert measured == [2, 3, 1, 2, 3, 1]  # few, and all for some of them
    assert outcome.figures["vae"] > outcome.figures["vae_bound"]  # three particles above one
    reproduce("vae-mnist-likelihood", tmp_path / "runs", tmp_path / "results")
    assert len(measured) == 6
    plane = reproduce("vae-mnist-2d", tmp_path / "runs", tmp_path / "results")
    check_written(plane, tmp_path / "results", "vae-mnist-2d")


def test_few_shot_learning_from_training_to_figures(tmp_path, monkeypatch):
    import coset.experiments.omniglot_few_shot as home

    random = torch.Generator().manual_seed(0)
    codes = torch.arange(25).repeat_interleave(12)
    table = FactorTable((torch.rand(300, 12, 12, generator=random) * 255).byte(), character=codes)
    monkeypatch.setattr("coset.datasets.omniglot.Omniglot.load_splits", lambda self: dict.fromkeys(SPLITS, table))
    digits = FactorTable(table.items, digit=codes % 10)
    monkeypatch.setattr("coset.datasets.mnist.MNIST.load", lambda self: (digits, digits))
    shown = table.items[:20].expand(2, 20, 12, 12)
    monkeypatch.setattr(home, "one_shot_runs", lambda side: (shown, shown, torch.arange(20).expand(2, 20)))
    monkeypatch.setattr(home, "EPISODES", 60)
    tiny_runs(monkeypatch, "--model.features=16", "--model.channels=[2, 4, 4]")
    outcome = reproduce("omniglot-few-shot", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "omniglot-few-shot")
    found = outcome.figures["first_to_second"]
    assert found["published_runs_twenty_way_one_shot"] == 100  # each drawing is its own example
    assert set(found["five_way_one_shot"]) == {"context", "pixels", "vae"}
    assert 10 < outcome.figures["five_way_one_shot_pixels"] < 30  # chance, for pixels without meaning


SPLITS = ("train", "validation", "test")


def test_demo_replaces_the_one_before(tmp_path, monkeypatch, hasty_readers):
    import coset.experiments.shared.composition as home

    original = home.train_run
    tiny = ["--training.steps=2", "--sets.batch=4", "--trainer.enable_progress_bar=false"]
    monkeypatch.setattr(home, "train_run", lambda recipe, folder: original(recipe, folder, tiny))
    for _ in range(2):
        outcome = run_demo(tmp_path / "demo")
    last = outcome.report.splitlines()[-1]
    assert last.startswith("composition accuracy: mean ") and ", worst cell " in last
    assert (tmp_path / "demo" / "composition.png").is_file()


def test_semi_supervision_from_training_to_figures(tmp_path, monkeypatch):
    import coset.experiments.semi_supervised_mnist as home

    monkeypatch.setattr(home, "LABELS", (100,))
    monkeypatch.setattr(home, "SEEDS", range(2))
    monkeypatch.setattr(home, "RATES", (0.5,))
    hasty = functools.partial(train_classifier, steps=3)
    monkeypatch.setattr(home, "load_or_train_classifier", lambda table, factor, cache: hasty(table, factor))
    tiny_runs(monkeypatch, "--data.class=Digits", "--data.validation=0.1", "--labels.digit=50", "--model.features=16")
    outcome = reproduce("semi-supervised-mnist", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "semi-supervised-mnist")
    figures = outcome.figures
    assert len(figures["error_100_runs"]) == 2 and 50 < figures["error_100"] < 100  # two steps teach nothing
    assert list(figures["error_by_rate"]) == ["0.5"] and 0 <= figures["class_kept_prior_style"] <= 100


def test_counting_from_training_to_figures(tmp_path, monkeypatch):
    import coset.experiments.shared.outcome as home

    canvases = ["--data.base=digits", "--data.train=40", "--data.validation=10", "--data.test=40", "--labels.count=8"]
    digits = ["--data.class=Digits", "--data.validation=0.1", "--labels.digit=50"]
    original = home.train_run

    def train(recipe, folder, own=(), resume=False, start=None):
        own = [*own, *TINY, *(canvases if recipe == "multi-mnist" else digits)]
        return original(recipe, folder, own, resume, start)

    monkeypatch.setattr(home, "train_run", train)
    with pytest.raises(ConfigurationError, match="another model than multi-mnist's digit"):
        reproduce("multi-mnist", tmp_path / "runs", tmp_path / "other")  # 8 × 8 pixels are no piece of 28 × 28
    monkeypatch.setattr("coset.models.multi_digit.PIECE", 8)
    outcome = reproduce("multi-mnist", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "multi-mnist")
    rows = ("500_1", "500_10", "1000_1", "1000_10", "unsupervised")
    assert all(0 <= outcome.figures[f"count_error_{row}"] <= 100 for row in rows)
    assert outcome.figures["ink_baseline_error_with_digits"] > 40
    begun, single = (open_run(tmp_path / "runs" / name) for name in ("multi-mnist-500-1", "class-style-mnist"))
    for name, weight in single.model.state_dict().items():  # fixed digits are those that it began with
        assert torch.equal(begun.model.digit.state_dict()[name], weight), name


def test_faces_from_training_to_figures(tmp_path, monkeypatch):
    random = torch.Generator().manual_seed(0)
    items = (torch.rand(4, 5, 12, 10, generator=random) * 255).byte().flatten(0, 1)  # of four people under five lights
    lights = torch.nn.functional.normalize(torch.randn(5, 3, generator=random), dim=-1).repeat(4, 1)
    directions = dict(zip(("light_x", "light_y", "light_z"), lights.T, strict=True))
    table = FactorTable(items, identity=torch.arange(4).repeat_interleave(5), **directions)
    monkeypatch.setattr("coset.datasets.yale_b.YaleB.load_splits", lambda self: dict.fromkeys(SPLITS, table))
    few = [f"--labels.{name}={count}" for name, count in {"identity": 8, **dict.fromkeys(directions, 5)}.items()]
    tiny_runs(monkeypatch, "--model.features=16", "--model.channels=[2, 4]", *few)
    outcome = reproduce("yale-b", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "yale-b")
    figures = outcome.figures
    for name in ("full", "semi"):
        assert 0 <= figures[f"identity_error_{name}"] <= 100 and 0 <= figures[f"light_error_{name}"] <= 200
        assert figures[f"relit_absolute_error_{name}"] > 0 and figures[f"light_degrees_{name}"] <= 180
    assert figures["nearest_absolute_error"] == 0  # each test photograph is in the training data
    assert 0.3 < figures["unchanged_absolute_error"] < 0.37  # of uniform noise, a third
    assert len(open_run(tmp_path / "runs" / "yale-b-semi").splits["train"].where(identity=0)) == 2


def test_unseen_combinations_from_training_to_figures(tmp_path, monkeypatch, hasty_readers):
    import coset.experiments.shared.unseen as home

    monkeypatch.setattr(home, "SEEDS", (0, 1))
    monkeypatch.setattr(home, "composition_accuracy", functools.partial(home.composition_accuracy, samples=10))
    tiny_runs(monkeypatch, "--model.features=16", "--model.hidden=8")
    request = Request("unseen-rotated-digits", tmp_path / "runs", tmp_path / "results")
    outcome = home.unseen_rotated(request, steps=2, choosing=1)
    check_written(outcome, tmp_path / "results", "unseen-rotated-digits")
    figures = outcome.figures
    assert len(figures["choices"]) == 1
    for way in ("", "_told", "_grid", "_free"):
        assert 0 <= figures[f"unseen_worst{way}"] <= figures[f"unseen_mean{way}"] <= 100
    assert {choice["best"] for choice in figures["choices"]} <= {"free", "grid", "digit"}
    assert {"additive", "low_rank", "nearest"} <= set(figures["rules"])
    assert (tmp_path / "runs" / "unseen-rotated-digits-told-1").is_dir()
    recipe = home.unseen_told(request)
    assert set(recipe.figures) >= {"unseen_mean_told", "unseen_worst_told", "seen_mean_told", "coverage_told"}
    assert (tmp_path / "runs" / "unseen-rotated-digits-1").is_dir()


def test_photographs_held_out_from_table_to_figures(tmp_path, monkeypatch):
    import coset.distributions.interaction as process

    monkeypatch.setattr(process, "STEPS", 10)
    g = torch.Generator().manual_seed(0)
    faces, lights = torch.rand(9, 1, 12, 10, generator=g), torch.rand(1, 9, 12, 10, generator=g)
    pictures = (faces * lights * 255).byte().flatten(0, 1)
    table = FactorTable(pictures, identity=torch.arange(81) // 9, light=torch.arange(81) % 9)
    monkeypatch.setattr("coset.datasets.yale_b.YaleB.load", lambda self: (table[::2], table[1::2]))
    outcome = reproduce("unseen-yale-b", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "unseen-yale-b")
    assert outcome.figures["psnr"] > outcome.figures["psnr_additive"]
    assert len(outcome.figures["by_split"]) == len(outcome.figures["psnr_by_seed"]) == 3


def test_responses_held_out_in_turn_from_table_to_figures(tmp_path, monkeypatch):
    import coset.distributions.interaction as process
    import coset.experiments.unseen_il2 as home

    monkeypatch.setattr(process, "STEPS", 10)
    monkeypatch.setattr(home, "SEEDS", (0, 1))
    monkeypatch.setattr(home, "PARTS", 2)
    outcome = reproduce("unseen-il2", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "unseen-il2")
    assert 0.5 < outcome.figures["r2"] < 1
    assert set(outcome.figures["r2_by_seed"]) >= {"ours", "additive", "low_rank", "kernel_ridge", "nearest"}


def test_made_tables_from_formula_to_figures(tmp_path, monkeypatch):
    import coset.experiments.unseen_tables as home

    monkeypatch.setattr(home, "SEEDS", (0, 1))
    monkeypatch.setattr(home, "TABLES", (("additive", 0.3), ("rank 2 over additive", 0.3)))
    outcome = reproduce("unseen-tables", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "unseen-tables")
    assert outcome.figures["worst_gap"] > -0.02
    assert [len(table["actions"]) for table in outcome.figures["tables"]] == [2, 2]
