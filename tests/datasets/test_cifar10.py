import hashlib
import io
import tarfile

import numpy as np
import pooch
import pytest
import torch
from PIL import Image

from coset.datasets import cifar10
from coset.datasets.cifar10 import CIFAR10, CLASSES
from coset.errors import ConfigurationError, DataFileError


def write(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def picture(image):
    content = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(content, "png")
    return content.getvalue()


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Archives in both forms, but tiny: the pictures `[n, 3, 32, 32]` and codes of the published one."""
    random = np.random.default_rng(0)
    images, codes = random.integers(0, 256, (35, 3, 32, 32), np.uint8), random.integers(0, 10, 35).astype(np.uint8)
    records = np.concatenate([codes[:, None], images.reshape(35, -1)], 1)
    members = {f"cifar-10-batches-bin/data_batch_{n + 1}.bin": records[6 * n : 6 * n + 6].tobytes() for n in range(5)}
    members |= {"cifar-10-batches-bin/test_batch.bin": records[30:].tobytes(), "cifar-10-batches-bin/readme": b"hello"}
    write(tmp_path / "cifar-10-binary.tar.gz", dict(reversed(members.items())))
    pictures = {
        f"train/{CLASSES[code]}/{n:04}.png": picture(image)
        for n, (image, code) in enumerate(zip(images[:30], codes, strict=False))
    }
    pictures |= {f"test/ship/{n}.png": picture(image) for n, image in enumerate(images[30:])}
    write(tmp_path / "cifar10-jpeg.tar.gz", pictures)
    seal(tmp_path, monkeypatch)
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    return images, codes


def seal(folder, monkeypatch):
    content = (folder / "cifar-10-binary.tar.gz").read_bytes()
    monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(content).hexdigest())


def test_published_batches_are_read_in_order(published):
    images, codes = published
    train, test = CIFAR10().load()
    assert np.array_equal(train.items.numpy(), images[:30]) and np.array_equal(test.items.numpy(), images[30:])
    assert train.items.dtype == torch.uint8
    assert train.column("class") == [CLASSES[code] for code in codes[:30]]


def test_folders_of_pictures_are_read_by_name(published):
    images, codes = published
    train, test = CIFAR10(form="folder").load()
    order = sorted(range(30), key=lambda n: (CLASSES[codes[n]], n))
    assert np.array_equal(train.items.numpy(), images[:30][order])
    assert train.column("class") == [CLASSES[codes[n]] for n in order] and test.column("class") == ["ship"] * 5


def test_validation_is_held_out_of_training(published):
    splits = CIFAR10(validation=6).load_splits()
    assert {name: len(table) for name, table in splits.items()} == {"train": 24, "validation": 6, "test": 5}
    assert len({image.numpy().tobytes() for table in splits.values() for image in table.items}) == 35


def test_what_was_not_published_is_refused(published, tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataFileError, match=r"truncated or not the file.*`coset data fetch cifar10`"):
        CIFAR10().load()
    path.unlink()
    with pytest.raises(DataFileError, match=r"cs\.toronto\.edu.*`coset data fetch cifar10`"):
        CIFAR10().load()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"train/cat/1.png": b"no picture", "test/cat/1.png": b""}, "cat/1.png is no picture"),
        ({"train/cow/1.png": b""}, "train/cow/1.png is of no class that CIFAR-10 has"),
        ({"train/cat/1.png": picture(np.zeros((3, 32, 30), np.uint8))}, "should be 32 × 32, but is 30 × 32"),
        ({"train/cat/1.png": picture(np.zeros((3, 32, 32), np.uint8))}, "holds no images for test"),
        ({"cats.txt": b""}, "holds no images for train, test"),
    ],
)
def test_what_is_no_folder_of_its_pictures_is_refused(published, tmp_path, members, message):
    write(tmp_path / "cifar10-jpeg.tar.gz", members)
    with pytest.raises(DataFileError, match=message):
        CIFAR10(form="folder").load()


def test_unknown_form_is_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'folder'"):
        CIFAR10(form="folders")
