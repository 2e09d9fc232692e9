import hashlib

import numpy as np
import pooch
import pytest
import torch
from scipy.io import savemat

from coset.datasets import svhn
from coset.datasets.svhn import SVHN
from coset.errors import DataFileError

SIZES = {"train": 23, "test": 11, "extra": 7}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Files as they are published, but tiny; returns part → images `[n, 3, 32, 32]` and digits."""
    random = np.random.default_rng(0)
    arrays = {}
    (tmp_path / "svhn").mkdir()
    for part, n in SIZES.items():
        images = random.integers(0, 256, (n, 3, 32, 32), np.uint8)
        digit = random.permutation(n) % 10
        path = tmp_path / "svhn" / f"{part}_32x32.mat"
        label = np.where(digit == 0, 10, digit).astype(np.uint8)[:, None]
        savemat(path, {"X": images.transpose(2, 3, 1, 0), "y": label}, do_compression=True)
        monkeypatch.setitem(svhn.CHECKSUMS, part, hashlib.sha256(path.read_bytes()).hexdigest())
        arrays[part] = images, digit
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    return arrays


def test_published_files_are_read(published):
    for table, part in zip(SVHN().load(), ("train", "test"), strict=True):
        images, digit = published[part]
        assert np.array_equal(table.items.numpy(), images) and table.items.dtype == torch.uint8
        assert table.items.is_contiguous()
        assert table.column("digit") == digit.tolist()
    assert table.range()[1] <= 1


def test_label_10_is_digit_0(published):
    train, _ = SVHN().load()
    assert train.values["digit"] == list(range(10)) and 0 in published["train"][1]


def test_extra_images_only_join_the_training_images(published, tmp_path):
    train, test = SVHN(extra=True).load()
    assert np.array_equal(train.items.numpy(), np.concatenate([published["train"][0], published["extra"][0]]))
    assert train.column("digit") == [*published["train"][1].tolist(), *published["extra"][1].tolist()]
    assert len(test) == SIZES["test"]
    (tmp_path / "svhn" / "extra_32x32.mat").unlink()
    assert len(SVHN().load()[0]) == SIZES["train"]
    with pytest.raises(DataFileError, match=r"extra_32x32\.mat is not there"):
        SVHN(extra=True).load()


def test_splits_share_no_image(published):
    splits = SVHN(validation=5).load_splits()
    assert {name: len(table) for name, table in splits.items()} == {"train": 18, "validation": 5, "test": 11}
    assert len({image.numpy().tobytes() for table in splits.values() for image in table.items}) == 34
    again = SVHN(validation=5, seed=1).load_splits()
    assert not torch.equal(again["validation"].items, splits["validation"].items)


def test_missing_file_says_how_to_get_it(published, tmp_path):
    (tmp_path / "svhn" / "test_32x32.mat").unlink()
    with pytest.raises(DataFileError, match=r"ufldl\.stanford\.edu.*`coset data fetch svhn`"):
        SVHN().load()


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: b"", lambda content: b"<html>"])
def test_damaged_file_is_refused(published, tmp_path, damage):
    path = tmp_path / "svhn" / "train_32x32.mat"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataFileError, match=r"truncated or not the file.*`coset data fetch svhn`") as caught:
        SVHN().load()
    assert str(path) in str(caught.value)


def test_every_file_has_an_address_and_a_checksum():
    files = SVHN(extra=True).files
    assert [file.url.rsplit("/")[-1] for file in files] == ["train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"]
    assert all(len(file.sha256 or "") == 64 and file.path.startswith("svhn/") for file in files)
