"""Experiments on where information goes, from training to figures, with two steps on tiny data."""

import functools

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from tests.experiments.test_experiments import check_written, tiny_runs

from coset.data import FactorTable
from coset.experiments import reproduce
from coset.metrics import train_classifier
from coset.recipes import load_recipe

pytestmark = pytest.mark.usefixtures("single")

SPRITES = {"side": 16, "scales": 2, "orientations": 3, "positions": 4}


def test_objectives_on_sprites(tmp_path, monkeypatch):
    import coset.experiments.sprites_objectives as home

    few = {name: home.PRESETS[name] for name in ("vae", "beta_tc", "hfvae", "ada_gvae")}
    fewer = dict.fromkeys(list(few)[1:], (0, 1))
    for name, value in {"PRESETS": few, "SEEDS": (0, 1, 2), "FEWER": fewer, "ROWS": 200, "POSTERIORS": 60}.items():
        monkeypatch.setattr(home, name, value)
    few_trees = functools.partial(RandomForestClassifier, n_estimators=3)
    monkeypatch.setattr("coset.metrics.dci_scores.RandomForestClassifier", few_trees)
    tiny_runs(monkeypatch, *(f"--data.{name}={size}" for name, size in SPRITES.items()), "--data.validation=0.3")
    outcome = reproduce("sprites-objectives", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "sprites-objectives")
    figures = outcome.figures
    for name in few:
        low, high = figures[f"mig_interval_{name}"]
        assert 0 <= low <= figures[f"mig_{name}"] <= high <= 1 and len(figures["scores"][name]) == (
            3 if name == "vae" else 2
        )
    assert all(0 <= share <= 1 for share in figures["explained_by_objective"].values())


def test_what_the_objective_explains_is_told_from_what_the_seed_does():
    import coset.experiments.sprites_objectives as home

    assert home._explained([[1.0, 1.0], [3.0, 3.0, 3.0]]) == pytest.approx(1.0)
    assert home._explained([[1.0, 3.0], [3.0, 1.0, 1.0, 3.0]]) == pytest.approx(0.0)
    assert home._explained([[0.0, 2.0], [2.0, 4.0]]) == pytest.approx(0.5)


def test_pruned_combinations(tmp_path, monkeypatch):
    import coset.experiments.generalisation as home

    table = "mnist"

    monkeypatch.setattr(home, "SEEDS", (0, 1))
    monkeypatch.setattr(home, "SHARES", (0.5,))
    for ending, overrides in home.WAYS.values():
        for each in home.TABLES:
            load_recipe(f"generalisation-{each}{ending}", overrides)  # all can be; two are trained
    monkeypatch.setattr(home, "TABLES", (table,))
    monkeypatch.setattr(home, "WAYS", {name: home.WAYS[name] for name in ("hfvae", "contexts")})
    hasty = functools.partial(train_classifier, steps=3, augment=False)
    monkeypatch.setattr(home, "load_or_train_classifier", lambda table, factor, **options: hasty(table, factor))
    tiny_runs(monkeypatch, "--data.of={class: Rotated, base: digits, angles: 4}", "--model.features=16")
    outcome = reproduce("generalisation", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "generalisation")
    for way in home.WAYS:
        assert outcome.figures[f"error_{table}_{way}_50"] > 0
        assert 0 <= outcome.figures[f"composed_{table}_{way}_50"] <= 100


class Oracle:
    """Reads a factor off the picture of a table that an item looks like most."""

    def __init__(self, table, factor, **options):
        self.values, self.codes, self.seen = table.values[factor], table.factors[factor], table.x().flatten(1)

    def predict(self, x):
        return torch.as_tensor(self.codes)[torch.cdist(x.flatten(1), self.seen).argmin(1)]


def test_sprites_never_seen(tmp_path, monkeypatch):
    import coset.experiments.unseen_sprites as home

    for name, value in {"SEEDS": (0, 1), "SPLITS": ("range",), "CELLS": 12, "EACH": 3}.items():
        monkeypatch.setattr(home, name, value)
    few = {name: home.WAYS[name] for name in ("acting", "vae")}
    monkeypatch.setattr(home, "WAYS", few)
    monkeypatch.setattr(home, "load_or_train_classifier", Oracle)
    tiny_runs(monkeypatch, *(f"--data.{name}={size}" for name, size in SPRITES.items()), "--data.validation=0.3")
    outcome = reproduce("unseen-sprites", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "unseen-sprites")
    figures = outcome.figures
    for label in ("acting_range", "vae_range"):
        assert 0 <= figures[f"whole_{label}"] <= figures[f"read_{label}"] <= 100
    assert figures["whole_real_range"] == figures["read_real_range"] == 100
    assert figures["whole_nearest_range"] == 0 and figures["read_nearest_range"] == pytest.approx(80)


def test_groups_of_dimensions_on_digits(tmp_path, monkeypatch):
    import coset.experiments.hfvae_mnist as home

    random = torch.Generator().manual_seed(0)
    table = FactorTable((torch.rand(200, 8, 8, generator=random) * 255).byte(), digit=torch.arange(200) % 10)
    monkeypatch.setattr("coset.datasets.mnist.MNIST.load", lambda self: (table, table))
    for name, value in {"VARIANTS": {"mnist": "digit"}, "SEEDS": (0, 1), "ROWS": 60}.items():
        monkeypatch.setattr(home, name, value)
    tiny_runs(monkeypatch, "--data.validation=0.1", "--model.features=16")
    outcome = reproduce("hfvae-mnist", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "hfvae-mnist")
    assert len(outcome.figures["items_hfvae_mnist"]) == 2 and len(outcome.figures["items_hfvae_mnist"][0]) == 10
    assert outcome.figures["total_vae_mnist"] >= 0


WORDS = {"sci.space": "moon orbit rocket launch", "rec.autos": "engine wheels brakes driver"}


def test_topics_of_messages(tmp_path, monkeypatch):
    import coset.datasets.newsgroups as data
    import coset.experiments.topics_20news as home

    random = np.random.default_rng(0)

    def messages(path):
        drawn = [(group, " ".join(random.choice(words.split(), 12))) for group, words in list(WORDS.items()) * 30]
        return {"train": drawn, "test": drawn[:20]}

    fixed = messages(None)
    monkeypatch.setattr(data, "locate", lambda file: None)
    monkeypatch.setattr(data, "_read_messages", lambda path: fixed)
    groups = "{groups: ['z[:2]', 'z[2:]']}"
    ways = {"vae": (), "hfvae": ("--objective.name=hfvae", f"--objective.settings={groups}")}
    sizes = {"TOPICS": 4, "SEEDS": (0, 1), "WORDS": 3, "WIDE": 4, "DIVERSE": 5, "WAYS": ways}
    for name, value in sizes.items():
        monkeypatch.setattr(home, name, value)
    tiny_runs(monkeypatch, "--model.topics=4", "--model.hidden=8", "--data.validation=0.2")
    outcome = reproduce("topics-20news", tmp_path / "runs", tmp_path / "results")
    check_written(outcome, tmp_path / "results", "topics-20news")
    figures = outcome.figures
    for suffix in ("", "_octis"):
        for way in ("lda", "lda_gensim", "vae", "hfvae"):
            assert 50 <= figures[f"purity_{way}{suffix}"] <= 100 and figures[f"perplexity_{way}{suffix}"] > 1
        margin = figures[f"npmi_hfvae{suffix}"] - figures[f"npmi_lda{suffix}"]
        assert figures[f"npmi_margin_over_lda{suffix}"] == pytest.approx(margin, abs=1e-3)
    assert figures["preprocess_octis"]["words"] == 1612 and len(figures["topics_lda"]) == 4
    assert figures["purity_lda"] > 90  # of two kinds of messages without a word in common
