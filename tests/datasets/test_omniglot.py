import io
import zipfile
from dataclasses import replace

import numpy as np
import pooch
import pytest
import torch
from PIL import Image

from coset.datasets import omniglot
from coset.datasets.omniglot import Omniglot, one_shot_runs
from coset.errors import ConfigurationError, DataFileError


def png(drawing):
    """A drawing, 1 where there is ink, as the archives hold it: black on white, one bit."""
    buffer = io.BytesIO()
    Image.fromarray(((1 - drawing) * 255).astype(np.uint8)).convert("1").save(buffer, format="PNG")
    return buffer.getvalue()


def drawing(row, column):
    ink = np.zeros((105, 105))
    ink[row : row + 9, column : column + 9] = 1
    return ink


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Archives as published, with two alphabets of two and three characters, four drawings each."""
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr(omniglot, "PARTS", {part: (archive, None) for part, (archive, _) in omniglot.PARTS.items()})
    monkeypatch.setattr(omniglot, "RUNS", replace(omniglot.RUNS, sha256=None))
    (tmp_path / "omniglot").mkdir()
    for part in ("small1", "small2"):
        folder = f"images_background_{part}"
        with zipfile.ZipFile(tmp_path / "omniglot" / f"{folder}.zip", "w") as archive:
            archive.writestr(f"{folder}/", "")
            for alphabet, characters in (("Greek", 2), ("Latin", 3)):
                for character in range(characters):
                    for drawer in range(4):
                        name = f"{folder}/{alphabet}/character{character + 1:02d}/{character:04d}_{drawer + 1:02d}.png"
                        archive.writestr(name, png(drawing(10 * drawer, 20 * character)))
    return tmp_path / "omniglot"


def test_archives_become_tables_without_shared_characters(tiny):
    splits = Omniglot(side=21, validation=0.4).load_splits()
    assert [len(table) for table in splits.values()] == [3 * 4 * 4, 2 * 4 * 4, 5 * 4]
    for table in splits.values():
        assert table.items.dtype == torch.uint8 and tuple(table.item_shape) == (21, 21)
    characters = [
        {tuple(name.split("/")[:2]) for name in splits[split].values["character"]} for split in ("train", "validation")
    ]
    assert not characters[0] & characters[1]
    assert splits["test"].values["alphabet"] == ["Greek", "Latin"] and splits["test"].values["drawer"] == [1, 2, 3, 4]
    assert "Latin/character03" in splits["test"].values["character"]
    others = [Omniglot(validation=0.4, seed=seed).load_splits()["train"].values for seed in range(1, 5)]
    assert any(values != splits["train"].values for values in others)


def test_drawings_are_white_on_black_where_the_ink_was(tiny):
    table = Omniglot(side=21).load_splits()["test"]
    found = table.where(character="Latin/character02", drawer=3).x()[0]  # ink at rows 20-28, columns 20-28 of 105
    assert found[4:6, 4:6].min() > 0.9 and found[8:].max() == 0 and found[:3].max() == 0
    assert found.sum() > 3


def test_a_turned_character_is_a_class_of_its_own(tiny):
    table = Omniglot(side=21, validation=0.0, turns=4).load_splits()["train"]
    upright, turned = (table.where(character=f"Greek/character01{turn}", drawer=1).x()[0] for turn in ("", "/90"))
    assert torch.equal(torch.rot90(upright), turned) and not torch.equal(upright, turned)
    assert len(table.values["character"]) == 20
    assert len(Omniglot(turns=1, validation=0.0).load_splits()["train"]) == 20


def test_published_runs(tiny):
    with zipfile.ZipFile(tiny / "all_runs.zip", "w") as archive:
        for run in (1, 2):
            lines = []
            for number in range(20):
                shown = (number + run) % 20
                archive.writestr(f"run{run:02d}/training/class{number + 1:02d}.png", png(drawing(4 * number, 3)))
                archive.writestr(f"run{run:02d}/test/item{number + 1:02d}.png", png(drawing(4 * shown, 3)))
                lines.append(
                    f"run{run:02d}/test/item{number + 1:02d}.png run{run:02d}/training/class{shown + 1:02d}.png"
                )
            archive.writestr(f"run{run:02d}/class_labels.txt", "\n".join(lines))
    classes, items, answers = one_shot_runs(side=35)
    assert classes.shape == items.shape == (2, 20, 35, 35) and answers.shape == (2, 20)
    for run in range(2):
        assert torch.equal(classes[run][answers[run]], items[run])


def test_files_that_are_missing_or_damaged(tiny):
    with pytest.raises(DataFileError, match=r"all_runs\.zip is not there.*coset data fetch omniglot"):
        one_shot_runs()
    with pytest.raises(DataFileError, match=r"images_background\.zip is not there"):
        Omniglot(train="background", test="small2").load_splits()
    whole = (tiny / "images_background_small1.zip").read_bytes()
    (tiny / "images_background_small1.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataFileError, match=r"small1\.zip is truncated or corrupt"):
        Omniglot().load_splits()
    with zipfile.ZipFile(tiny / "images_background_small1.zip", "w") as archive:
        archive.writestr("x/Greek/character01/0001_01.png", b"no picture")
    with pytest.raises(DataFileError, match="cannot be read"):
        Omniglot().load_splits()
    with zipfile.ZipFile(tiny / "images_background_small1.zip", "w") as archive:
        archive.writestr("readme.txt", b"")
    with pytest.raises(DataFileError, match="holds no drawings"):
        Omniglot().load_splits()


def test_a_damaged_drawing_is_refused(tiny):
    """Its bytes in the archive no longer decompress, though the archive can be opened."""
    path = tiny / "images_background_small1.zip"
    name = "images_background_small1/Greek/character01/0000_01.png"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, png(drawing(0, 0)))
    content = bytearray(path.read_bytes())
    content[30 + len(name)] = 0xFF  # behind the header; no block of a compressed stream begins so
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=r"small1\.zip is truncated or corrupt.*coset data fetch omniglot"):
        Omniglot().load_splits()


def test_an_altered_archive_is_refused(tiny, monkeypatch):
    monkeypatch.setitem(omniglot.PARTS, "small1", ("images_background_small1.zip", "0" * 64))
    with pytest.raises(DataFileError, match="not the file that was published"):
        Omniglot().load_splits()


def test_validation_leaves_characters_to_train_on(tiny):
    with pytest.raises(ConfigurationError, match="of 5 characters leaves none"):
        Omniglot(validation=0.95).load_splits()


def test_fetching_gets_the_runs_too():
    assert omniglot.RUNS in Omniglot().files


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": "smal1"}, "did you mean 'small1'"),
        ({"test": "small1"}, "both 'small1'"),
        ({"turns": 5}, "turns=5"),
        ({"validation": 1.0}, r"validation=1\.0"),
        ({"side": 4}, "side=4"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Omniglot(**options)
