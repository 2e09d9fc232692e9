import numpy as np
import pooch
import pytest

from coset.datasets import DSprites
from coset.datasets.dsprites import FILE
from coset.errors import DataFileError

SIZES = (1, 3, 2, 4, 2, 2)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A file as it is published, but with fewer values of each factor; returns pictures and classes."""
    classes = np.stack([part.ravel() for part in np.indices(SIZES)], 1)
    pictures = (np.random.default_rng(0).random((len(classes), 64, 64)) < 0.1).astype(np.uint8)
    values = classes.astype(float)
    values[:, 2], values[:, 3] = 0.5 + 0.5 * classes[:, 2], classes[:, 3] * (2 * np.pi / 3)
    (tmp_path / "dsprites").mkdir()
    np.savez_compressed(
        tmp_path / "dsprites" / FILE, imgs=pictures, latents_values=values, latents_classes=classes, metadata=b"-"
    )
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    return pictures, classes


def test_pictures_of_zeros_and_ones_are_read_with_their_factors(published):
    pictures, classes = published
    table = DSprites().load()
    assert np.array_equal(table.items.numpy(), pictures) and table.full_scale == 1 and float(table.x().max()) == 1
    assert list(table.factors) == ["shape", "scale", "orientation", "x", "y"]
    assert table.column("shape")[-1] == "heart" and set(table.column("scale")) == {50, 100}
    assert set(table.column("orientation")) == {0, 120, 240}  # the last angle is the first one again
    assert table.column("y") == classes[:, 5].tolist()


def test_splits_share_no_picture(published):
    splits = DSprites(validation=10, test=0.25).load_splits()
    assert [len(table) for table in splits.values()] == [62, 10, 24]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (None, "damaged or not the file"),
        ({"imgs": np.zeros((2, 64, 64), np.uint8)}, "damaged or not the file"),
        (
            {"imgs": np.zeros((2, 64, 64)), "latents_values": np.zeros((2, 6)), "latents_classes": np.zeros((2, 6))},
            r"expected bytes \[n, 64, 64\]",
        ),
    ],
)
def test_other_files_are_refused(published, tmp_path, arrays, message):
    path = tmp_path / "dsprites" / FILE
    if arrays is None:
        path.write_bytes(b"PK\x03\x04")
    else:
        np.savez(path, **arrays)
    with pytest.raises(DataFileError, match=message):
        DSprites().load()
