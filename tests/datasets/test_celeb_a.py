import io
import zipfile

import numpy as np
import pooch
import pytest
from PIL import Image

from coset.datasets import CelebA
from coset.errors import ConfigurationError, DataFileError

NAMES = ["5_o_Clock_Shadow", "Eyeglasses", "Smiling", "Wearing_Hat"]
FLAGS = {1: [-1, 1, -1, -1], 2: [1, -1, 1, -1], 3: [-1, -1, -1, 1], 4: [-1, 1, 1, 1], 5: [-1, -1, 1, -1]}
PARTS = {1: 0, 2: 0, 3: 1, 4: 2, 5: 0}


def photograph(number):
    """178 × 218 pixels: grey, as bright as its number, with a white frame that a crop of 148 leaves out."""
    pixels = np.full((218, 178, 3), 255, np.uint8)
    pixels[35:183, 15:163] = 40 * number
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=100, subsampling=0)
    return content.getvalue()


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Files as they are published, of five photographs."""
    folder = tmp_path / "celeba"
    folder.mkdir()
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for number in FLAGS:
            archive.writestr(f"img_align_celeba/{number:06}.jpg", photograph(number))
    lines = [f"{number:06}.jpg " + " ".join(f"{flag:2}" for flag in flags) for number, flags in FLAGS.items()]
    (folder / "list_attr_celeba.txt").write_text("\n".join(["5", " ".join(NAMES) + " ", *lines, ""]))
    (folder / "list_eval_partition.txt").write_text("".join(f"{n:06}.jpg {part}\n" for n, part in PARTS.items()))
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    return folder


def test_photographs_are_cropped_and_attributes_read(published):
    splits = CelebA(side=16).load_splits()
    assert {name: len(table) for name, table in splits.items()} == {"train": 3, "validation": 1, "test": 1}
    train = splits["train"]
    assert train.item_shape == (3, 16, 16) and train.full_scale == 255
    assert np.abs(train.items.numpy().mean((1, 2, 3)) - [40, 80, 200]).max() < 2  # nothing of the frame
    assert train.column("Eyeglasses") == ["yes", "no", "no"] and train.column("Smiling") == ["no", "yes", "yes"]
    assert splits["validation"].column("Wearing_Hat") == ["yes"]


def test_the_first_of_each_part_do_for_a_trial(published):
    splits = CelebA(["Smiling"], side=8, most=1).load_splits()
    assert [len(table) for table in splits.values()] == [1, 1, 1]
    assert list(splits["train"].factors) == ["Smiling"]


def test_names_that_are_none_are_refused(published):
    with pytest.raises(ConfigurationError, match=r"no attribute is called 'Smile'; .*'Smiling'"):
        CelebA(["Smile"]).load_splits()
    for options in ({"attributes": ()}, {"attributes": "Smiling"}, {"side": 4}, {"crop": 200}):
        with pytest.raises(ConfigurationError, match="CelebA"):
            CelebA(**options)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("img_align_celeba.zip", b"PK", "truncated or corrupt"),
        ("list_attr_celeba.txt", b"", "expected a number, names"),
        ("list_attr_celeba.txt", b"1\nSmiling Eyeglasses Wearing_Hat\n000001.jpg 1 1\n", "lines of a file and 3 times"),
        ("list_attr_celeba.txt", b"0\nSmiling Eyeglasses Wearing_Hat\n", "says nothing of 000001.jpg"),
        ("list_eval_partition.txt", b"000001.jpg 3\n", "a file and 0, 1 or 2"),
        ("list_eval_partition.txt", b"000001.jpg 0\n", "no photograph for validation, test"),
    ],
)
def test_damaged_files_are_refused(published, file, content, message):
    (published / file).write_bytes(content)
    with pytest.raises(DataFileError, match=message):
        CelebA().load_splits()


def test_a_missing_file_says_where_it_is_published(published):
    (published / "list_attr_celeba.txt").unlink()
    with pytest.raises(DataFileError, match=r"drive\.google\.com"):
        CelebA().load_splits()
