import gzip
import hashlib

import numpy as np
import pooch
import pytest
import torch

from coset.data.files import locate
from coset.datasets import mnist
from coset.datasets.black_white import BlackWhite
from coset.datasets.digits import Digits
from coset.datasets.mnist import MNIST
from coset.datasets.rotated import Rotated, rotate
from coset.errors import ConfigurationError, DataError, DataFileError, ShapeError


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """Files as MNIST publishes them, but of 20 + 5 images; returns the arrays."""
    random = np.random.default_rng(0)
    arrays, checksums = [], []
    for part in mnist.PARTS:
        n = 20 if part.startswith("train") else 5
        array = (
            random.integers(0, 256, (n, 28, 28), np.uint8) if "images" in part else np.arange(n, dtype=np.uint8) % 10
        )
        axes = b"".join(size.to_bytes(4, "big") for size in array.shape)
        content = bytes([0, 0, 8, array.ndim]) + axes + array.tobytes()
        (tmp_path / "mnist").mkdir(exist_ok=True)
        (tmp_path / "mnist" / f"{part}-ubyte.gz").write_bytes(gzip.compress(content, 1))
        arrays.append(array)
        checksums.append(hashlib.sha256(content).hexdigest())
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    monkeypatch.setitem(mnist.CHECKSUMS, "mnist", tuple(checksums))
    return arrays


def images_of(table):
    """The images as a set, to see which are shared."""
    return {image.numpy().tobytes() for image in table.items}


# --- the base images ----------------------------------------------------------------------------------------


def test_mnist_reads_published_files(tiny_mnist):
    train, test = MNIST().load()
    assert np.array_equal(train.items.numpy(), tiny_mnist[0]) and train.items.dtype == torch.uint8
    assert train.column("digit") == tiny_mnist[1].tolist()
    assert np.array_equal(test.items.numpy(), tiny_mnist[2]) and test.column("digit") == tiny_mnist[3].tolist()
    splits = MNIST(validation=5).load_splits()
    assert [len(table) for table in splits.values()] == [15, 5, 5]
    assert list(splits) == ["train", "validation", "test"]
    assert not images_of(splits["train"]) & images_of(splits["validation"])


def test_mnist_that_is_absent_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    with pytest.raises(DataFileError, match="coset data fetch fashion-mnist"):
        MNIST("fashion-mnist").load()


def test_altered_mnist_is_refused(tiny_mnist):
    path = locate(MNIST().files[1])
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:-1] + b"\3"))
    with pytest.raises(DataFileError, match="not the file that was published"):
        MNIST().load()


def test_digits_are_stratified_and_repeat():
    train, test = Digits().load()
    shares = [
        test.column("digit").count(digit) / (train.column("digit") + test.column("digit")).count(digit)
        for digit in range(10)
    ]
    assert shares == pytest.approx([0.2] * 10, abs=0.005)
    assert train.x().dtype == torch.float32 and train.range() == (0.0, 1.0)
    assert torch.equal(Digits().load()[1].items, test.items)
    assert not torch.equal(Digits(seed=1).load()[1].items, test.items)
    splits = Digits().load_splits()
    assert [len(table) for table in splits.values()] == [1294, 144, 359]
    assert not images_of(splits["train"]) & images_of(splits["validation"])


@pytest.mark.parametrize("data", [MNIST(), MNIST("fashion-mnist"), Digits(), Rotated(), BlackWhite("digits")])
def test_every_data_set_says_where_it_comes_from(data):
    assert data.name and data.source
    assert all(file.path.startswith(f"{file.data_set}/") and file.sha256 for file in data.files)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MNIST("fashion"), "did you mean 'fashion-mnist'"),
        (lambda: Rotated("mnst"), "did you mean 'mnist'"),
        (lambda: BlackWhite("mnst"), "did you mean 'mnist'"),
        (lambda: Rotated("digits", angles=7), "divide 360"),
        (lambda: Rotated("digits", angles=0), "divide 360"),
        (lambda: BlackWhite("digits", threshold=1.0), "threshold"),
    ],
)
def test_options_that_make_no_sense(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


# --- rotation -----------------------------------------------------------------------------------------------


def test_quarter_turns_are_exact_and_counter_clockwise():
    x = torch.rand(3, 2, 9, 9)
    for quarters in range(-5, 6):
        assert torch.equal(rotate(x, 90 * quarters), torch.rot90(x, quarters, dims=(-2, -1)))
        assert torch.equal(rotate(rotate(x, 90 * quarters), -90 * quarters), x)
    right = torch.zeros(5, 5)
    right[2, 4] = 1
    assert rotate(right, 90)[0, 2] == 1  # what was right is now on top


def test_each_image_has_its_own_angle():
    x = torch.rand(6, 8, 8)
    degrees = torch.tensor([0.0, 90.0, -90.0, 37.0, 450.0, 181.5])
    expected = torch.stack([rotate(image, angle) for image, angle in zip(x, degrees.tolist(), strict=True)])
    torch.testing.assert_close(rotate(x, degrees), expected)
    assert torch.equal(rotate(x, degrees)[[0, 1, 2, 4]], expected[[0, 1, 2, 4]])
    channels = torch.rand(6, 3, 8, 8)
    torch.testing.assert_close(rotate(channels, degrees[:, None])[:, 1], rotate(channels[:, 1], degrees))


def test_interpolation_agrees_with_quarter_turns():
    x = torch.rand(2, 12, 12)
    for degrees in (1e-9, 90 - 1e-9, 180 + 1e-9):
        torch.testing.assert_close(rotate(x, degrees), rotate(x, round(degrees)), atol=1e-6, rtol=0)


def test_rotation_moves_mass_the_right_way():
    grid = torch.arange(41.0) - 20
    spot = torch.exp(-((grid[None, :] - 10) ** 2 + grid[:, None] ** 2) / 8)  # ten pixels to the right
    for degrees in (30.0, 45.0, 120.0, -60.0):
        turned = rotate(spot, degrees)
        place = torch.stack([(turned * grid[None, :]).sum(), -(turned * grid[:, None]).sum()]) / turned.sum()
        angle = torch.tensor(degrees).deg2rad()
        torch.testing.assert_close(place, 10 * torch.stack([angle.cos(), angle.sin()]), atol=0.05, rtol=0)


def test_what_comes_from_outside_is_zero():
    assert rotate(torch.ones(9, 9), 45)[0, 0] == 0


def test_rotation_refuses_what_it_cannot_turn():
    with pytest.raises(ShapeError, match="square"):
        rotate(torch.rand(2, 8, 9), 90)
    with pytest.raises(ShapeError, match="don't fit"):
        rotate(torch.rand(2, 8, 8), torch.zeros(2, 2))


@pytest.mark.parametrize(("base", "angles"), [("digits", 4), ("digits", 8), ("mnist", 4), ("mnist", 3)])
def test_rotated_brought_upright_is_the_base(tiny_mnist, base, angles):
    rotated = Rotated(base, angles)
    (train, _), (upright, _) = rotated.load(), Rotated(base, 1).load()
    assert len(train) == angles * len(upright) and train.items.dtype == upright.items.dtype
    assert train.values["rotation"] == [360 // angles * step for step in range(angles)]
    for degrees in train.values["rotation"]:
        turned = train.where(rotation=degrees)
        assert turned.column("digit") == upright.column("digit")
        back = rotate(turned.x(), -degrees)
        if degrees % 90 == 0:
            assert torch.equal(back, upright.x())
        else:  # the corners are lost
            torch.testing.assert_close(back.mean((1, 2)), upright.x().mean((1, 2)), atol=0.25, rtol=0)
            assert not torch.equal(turned.x(), upright.x())


def test_rotated_keeps_the_values_that_are_asked_for():
    splits = Rotated("digits", 2, keep=[7, 3]).load_splits()
    for name, table in Rotated("digits", 2).load_splits().items():
        kept = splits[name]
        assert kept.values == {"digit": [3, 7], "rotation": [0, 180]}
        for digit in (3, 7):
            one, other = (part.where(digit=digit, rotation=180) for part in (kept, table))
            assert torch.equal(one.items, other.items)
    with pytest.raises(DataError, match="'digit' is never 11"):
        Rotated("digits", keep=[3, 11]).load()


def test_no_base_image_is_in_two_splits(tiny_mnist):
    splits = Rotated("mnist", 4, validation=5).load_splits()
    upright = {name: images_of(table.where(rotation=0)) for name, table in splits.items()}
    assert [len(images) for images in upright.values()] == [15, 5, 5]
    for name, table in splits.items():
        seen = {image.numpy().tobytes() for image in rotate(table.where(rotation=270).items, 90)}
        assert seen == upright[name]
    assert not upright["train"] & upright["validation"]


# --- black and white ----------------------------------------------------------------------------------------


def test_black_white_holds_every_image_and_its_inverse(tiny_mnist):
    train, test = BlackWhite("mnist").load()
    assert len(train) == 40 and len(test) == 10 and train.items.dtype == torch.uint8
    black, white = train.where(background="black"), train.where(background="white")
    assert torch.equal(black.x() + white.x(), torch.ones(20, 28, 28))
    assert torch.equal(black.x() == 1, torch.from_numpy(tiny_mnist[0]) > 127)
    assert black.column("digit") == white.column("digit") == tiny_mnist[1].tolist()
    splits = BlackWhite("mnist", validation=4).load_splits()
    assert [len(table) for table in splits.values()] == [32, 8, 10]


def test_black_white_draws_both_factors():
    train, _ = BlackWhite("digits").load()
    batch = train.sets(patterns=2, items=3, batch=20).draw(0)
    mean = batch.x.mean((1, 2, 3))
    white = batch.factors["background"][:, 0] == train.values["background"].index("white")
    assert mean[white].min() > mean[~white].max()
