import io
import tarfile
import zipfile

import numpy as np
import pooch
import pytest
import torch

from coset.datasets.yale_b import HALVED, PUBLISHED, YaleB, light_direction
from coset.errors import ConfigurationError, DataFileError

LIGHTS = [f"A{azimuth:+04d}E{elevation:+03d}" for azimuth in (-60, 0, 35, 110, 130) for elevation in (-20, 45)]


def pgm(image, comment=b""):
    height, width = image.shape
    return b"P5\n" + comment + f"{width} {height}\n255\n".encode() + image.astype(np.uint8).tobytes()


def faces(height=8, width=6, people=("yaleB01", "yaleB14")):
    """Images of random grey, by their name in an archive."""
    random = np.random.default_rng(0)
    return {
        f"CroppedYale/{person}/{person}_P00{light}.pgm": random.integers(0, 256, (height, width))
        for person in people
        for light in LIGHTS
    }


def write_tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        folder = tarfile.TarInfo("CroppedYale")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_zip(path, members):
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A data folder without any archive."""
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    return tmp_path


@pytest.fixture
def halved(folder):
    """The archive of halved images; returns the images."""
    images = faces()
    write_tar(folder / HALVED.path, {name: pgm(image) for name, image in reversed(images.items())})
    return images


def all_items(data):
    """Image by identity and light, over all splits, none of which may share one."""
    found = {}
    for table in data.load_splits().values():
        for key, image in zip(
            zip(table.column("identity"), table.column("light"), strict=True), table.items.numpy(), strict=True
        ):
            assert key not in found
            found[key] = image
    return found


def test_every_image_comes_with_its_own_name(halved):
    found = all_items(YaleB(8, 6))
    assert len(found) == len(halved) == 20
    for name, image in halved.items():
        person, light = name.split("/")[-1].removesuffix(".pgm").split("_P00")
        assert np.array_equal(found[person, light], image) and found[person, light].dtype == np.uint8


def test_angles_and_direction_follow_from_the_name(halved):
    train, _ = YaleB(8, 6).load()
    names = [
        f"A{azimuth:+04.0f}E{elevation:+03.0f}"
        for azimuth, elevation in zip(train.column("azimuth"), train.column("elevation"), strict=True)
    ]
    assert names == train.column("light")
    direction = torch.stack([train.factors[f"light_{axis}"] for axis in "xyz"], 1)
    torch.testing.assert_close(direction.norm(dim=1), torch.ones(len(train)))
    torch.testing.assert_close(direction[:, 1], train.factors["elevation"].deg2rad().sin())


def test_light_direction_points_at_the_light():
    azimuth, elevation = np.array([0, 0, -90, 90, 180, -45.0]), np.array([0, 90, 0, 0, 0, 0.0])
    half = 0.5**0.5
    expected = [[0, 0, 1], [0, 1, 0], [1, 0, 0], [-1, 0, 0], [0, 0, -1], [half, 0, half]]
    np.testing.assert_allclose(np.stack(light_direction(azimuth, elevation), 1), expected, atol=1e-12)


def test_splits_hold_out_of_each_person_alike_whatever_the_order_in_the_archive(folder, halved):
    splits = YaleB(8, 6, held_out=0.2, validation=0.25).load_splits()
    assert {name: table.column("identity").count("yaleB14") for name, table in splits.items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }
    assert {name: len(table) for name, table in splits.items()} == {"train": 12, "validation": 4, "test": 4}
    again = YaleB(8, 6, held_out=0.2, validation=0.25, seed=1).load_splits()
    assert not torch.equal(again["test"].items, splits["test"].items)
    write_tar(folder / HALVED.path, {name: pgm(image) for name, image in halved.items()})
    same = YaleB(8, 6, held_out=0.2, validation=0.25).load_splits()
    assert all(torch.equal(same[name].items, splits[name].items) for name in splits)


def test_images_are_made_smaller_by_averaging(halved):
    found = all_items(YaleB(4, 3))
    for name, image in halved.items():
        person, light = name.split("/")[-1].removesuffix(".pgm").split("_P00")
        average = image.reshape(4, 2, 3, 2).mean((1, 3))
        assert np.abs(found[person, light] - average).max() <= 0.5


def test_published_zip_gives_the_halves_of_its_images(folder):
    large = faces(height=192, width=168, people=("yaleB01",))
    members = {name: pgm(image, b"# a remark\n") for name, image in large.items()}
    members |= {
        "CroppedYale/": b"",
        "CroppedYale/yaleB01/DEADJOE": b"lost",
        "CroppedYale/yaleB01/yaleB01_P00.info": b"yaleB01_P00_Ambient.pgm\n",
        "CroppedYale/yaleB01/yaleB01_P00_Ambient.pgm": pgm(np.zeros((480, 640))),
        "CroppedYale/yaleB01/yaleB01_P00A+050E-40.pgm.bad": b"P5 half of an image",
        "__MACOSX/CroppedYale/yaleB01/._yaleB01_P00A+000E-20.pgm": b"\0\5\26\7",
    }
    write_zip(folder / PUBLISHED.path, members)
    found = all_items(YaleB())
    assert len(found) == 10
    for name, image in large.items():
        light = name.removesuffix(".pgm").split("_P00")[-1]
        average = image.reshape(96, 2, 84, 2).mean((1, 3))
        assert np.abs(found["yaleB01", light] - average).max() <= 0.5
    assert all_items(YaleB(192, 168)).keys() == found.keys()


def test_the_file_that_is_there_is_the_one_listed(folder, halved):
    assert YaleB().files == (HALVED,)
    write_zip(folder / PUBLISHED.path, {name: pgm(image) for name, image in faces(16, 12).items()})
    assert YaleB().files == (PUBLISHED,)
    assert len(YaleB(16, 12).load()[0]) == 16


def test_without_an_archive_both_names_and_the_mend_are_told():
    with pytest.raises(DataFileError) as caught:
        YaleB().load()
    for part in (PUBLISHED.path, HALVED.path, PUBLISHED.url, "`coset data fetch yale-b`", "COSET_DATA"):
        assert part in str(caught.value)
    assert YaleB().files == (PUBLISHED,)


@pytest.mark.parametrize("file", [PUBLISHED, HALVED])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_truncated_archive_is_refused(folder, file, share):
    path = folder / file.path
    (write_zip if file is PUBLISHED else write_tar)(path, {name: pgm(image) for name, image in faces().items()})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataFileError, match=r"truncated or corrupt.*coset data fetch yale-b") as caught:
        YaleB(8, 6).load()
    assert str(path) in str(caught.value)


def test_corrupt_member_of_a_zip_is_refused(folder):
    path = folder / PUBLISHED.path
    write_zip(path, {name: pgm(image) for name, image in faces().items()})
    content = bytearray(path.read_bytes())
    content[120] ^= 255  # within the first image
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="truncated or corrupt"):
        YaleB(8, 6).load()


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("me.pgm", pgm(np.zeros((8, 6))), "me.pgm should be called like yaleB01_P00A"),
        ("yaleB01_P03A+000E+20.pgm", pgm(np.zeros((8, 6))), "should be called like"),
        ("yaleB01_P00A+005E+10.pgm", pgm(np.zeros((8, 6)))[:-1], "should have 8 × 6 pixels, but there are 47"),
        ("yaleB01_P00A+005E+10.pgm", pgm(np.zeros((8, 6))) + b"!", "8 × 6 pixels, but there are 49"),
        ("yaleB01_P00A+005E+10.pgm", b"P2\n6 8\n255\n0 0 0", "not a binary PGM"),
        ("yaleB01_P00A+005E+10.pgm", b"", "not a binary PGM"),
        ("yaleB01_P00A+005E+10.pgm", pgm(np.zeros((9, 6))), "one size, but holds 8 × 6, 9 × 6"),
    ],
)
def test_odd_member_is_refused(folder, member, content, message):
    members = {name: pgm(image) for name, image in faces().items()}
    write_tar(folder / HALVED.path, members | {f"CroppedYale/{member}": content})
    with pytest.raises(DataFileError, match=message) as caught:
        YaleB(8, 6).load()
    assert str(folder / HALVED.path) in str(caught.value) and "coset data fetch yale-b" in str(caught.value)


def test_archive_without_images_is_refused(folder):
    write_tar(folder / HALVED.path, {"readme.txt": b"nothing here"})
    with pytest.raises(DataFileError, match="holds no image"):
        YaleB().load()


def test_images_cannot_be_made_larger(halved):
    with pytest.raises(ConfigurationError, match=r"96 × 84 were asked for, but .* holds 8 × 6"):
        YaleB().load()
    with pytest.raises(ConfigurationError, match="at least 1"):
        YaleB(0, 84)
