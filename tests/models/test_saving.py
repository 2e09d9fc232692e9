"""Models on disk: what a constructor was given comes back, whatever type it had; unknown names are called that."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import coset
from coset.errors import CheckpointError


def statistician(**options):
    small = {"context_dim": 2, "z_dim": 2, "features": 4, "hidden": 4, "norm": "layer"}
    return coset.NeuralStatistician((4,), **(small | options))


@pytest.mark.parametrize(
    "options",
    [
        {"z_dim": np.int64(3)},
        {"z_dim": np.array(3)},
        {"z_dim": torch.tensor(3)},
        {"likelihood": "gaussian", "width": np.float32(0.05)},
        {"likelihood": "gaussian", "width": torch.tensor(0.05)},
        {"likelihood": np.str_("gaussian"), "width": np.float64(0.05)},
        {"contexts": np.array(["kind"])},
        {"contexts": ("kind",), "channels": np.array([2, 3])},
        {"skips": np.bool_(False)},
    ],
)
def test_arguments_of_any_numeric_type_come_back(options, tmp_path):
    model = statistician(**options).float().eval()
    model.save_pretrained(tmp_path)
    again = coset.load(tmp_path).float()
    sets = torch.rand(3, 5, 4)
    assert torch.equal(again.embed_sets(sets), model.embed_sets(sets))
    codes = torch.zeros(1, 4, dtype=torch.float32)
    torch.testing.assert_close(again.likelihood(codes).stddev, model.likelihood(codes).stddev)
    assert list(again.contexts) == list(model.contexts) and again.skips == model.skips


def test_arguments_by_position_come_back(tmp_path):
    coset.VAE((np.int32(4),), "gaussian", np.int64(3)).save_pretrained(tmp_path)
    again = coset.load(tmp_path)
    assert again.item_shape == (4,) and again.z_dim == 3 and again.likelihood.kind == "gaussian"


class Squashed(coset.VAE):
    """A user's model with an argument that no file can hold."""

    def __init__(self, item_shape: tuple[int, ...], squash: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__(item_shape, "gaussian")
        self.squash = squash


def test_an_argument_that_cannot_be_written_is_said_before_anything_is_written(tmp_path):
    model = Squashed((4,), squash=torch.tanh)
    with pytest.raises(CheckpointError, match="'squash' cannot be written as JSON"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", ["runs/fivse", "some-one/some model", "a/b"])
def test_a_name_that_is_neither_folder_nor_repository_is_called_that(name, monkeypatch, tmp_path):
    import huggingface_hub

    def unreachable(repository):
        raise ConnectionError("no network")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(CheckpointError, match="no such folder, and no such repository"):
        coset.load(name)


def test_a_home_folder_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    statistician().save_pretrained(tmp_path / "kept")
    assert isinstance(coset.load("~/kept"), coset.NeuralStatistician)
    with pytest.raises(CheckpointError, match="holds no saved model"):
        coset.load(Path("~/other"))
