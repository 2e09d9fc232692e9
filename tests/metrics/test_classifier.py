import pytest
import torch

from coset.codes import coded
from coset.data import FactorTable
from coset.datasets.digits import Digits
from coset.errors import DataError, ShapeError
from coset.metrics import ImageClassifier, load_or_train_classifier, train_classifier
from coset.metrics.reading import read
from coset.networks.distortions import random_affine


@pytest.fixture(scope="module")
def digits():
    return Digits().load_splits()


@pytest.fixture(scope="module")
def reader(digits):
    return train_classifier(digits["train"], "digit", steps=120)


def bars(items=64, classes=("across", "down"), sides=(8, 8)):
    """Images of one bright row or one bright column, and which."""
    x = torch.zeros(items, *sides)
    x[::2, sides[0] // 2] = 1.0
    x[1::2, :, sides[1] // 2] = 1.0
    return FactorTable(x, bar=[classes[row % 2] for row in range(items)])


def same(first, second):
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_reads_held_out_digits(digits, reader):
    assert reader.values == list(range(10))
    assert reader.accuracy(digits["test"], "digit") > 93


def test_without_augmentation_it_learns_the_training_images(digits):
    table = digits["train"][:200]
    classifier = train_classifier(table, "digit", steps=60, augment=False)
    assert classifier.accuracy(table, "digit") > 99
    assert not same(classifier, train_classifier(table, "digit", steps=60))


def test_predictions_are_codes_of_the_table(digits, reader):
    table = digits["train"].where(digit=7)
    codes = reader.predict(table.x())
    assert codes.dtype == torch.int64 and not codes.requires_grad
    assert (codes == table.values["digit"].index(7)).float().mean() > 0.95


def test_blocks_and_neighbours_change_no_prediction():
    classifier = train_classifier(bars(), "bar", steps=5)
    x = torch.rand(23, 8, 8)
    classifier.train()  # left there by someone: batch statistics would make items depend on each other
    assert torch.equal(classifier.predict(x, block=4), classifier.predict(x))
    assert not classifier.training


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (1, 9, 12), (3, 17, 16), (3, 40, 40)])
def test_any_image_from_eight_pixels_up(shape):
    table = FactorTable(torch.rand(10, *shape), kind=[0, 1] * 5)
    classifier = train_classifier(table, "kind", steps=1)
    assert classifier(table.x()).shape == (10, 2)
    assert classifier.predict(table.x().double()).shape == (10,)


def test_equal_seeds_train_equally_and_leave_the_generator_alone():
    before = torch.get_rng_state()
    first, second, other = (train_classifier(bars(), "bar", steps=3, seed=seed) for seed in (1, 1, 2))
    assert same(first, second) and not same(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_distortions_are_mild_and_differ_by_image():
    x = torch.zeros(200, 28, 28)
    x[:, 12:16, 12:16] = 1.0  # a spot in the middle, 4 pixels wide
    moved = random_affine(x)
    assert moved.shape == x.shape and moved.std(0).max() > 0.1
    assert torch.allclose(moved.sum((1, 2)), torch.full((200,), 16.0), rtol=0.35)
    across = (moved.sum(1) * torch.arange(28)).sum(1) / moved.sum((1, 2)) - 13.5
    assert across.abs().max() < 0.08 * 28 + 0.5 and across.abs().max() > 1


def test_kept_classifier_is_read_and_not_trained_again(tmp_path, monkeypatch):
    classifier = load_or_train_classifier(bars(), "bar", cache=tmp_path / "new", steps=4)
    assert {path.suffix for path in (tmp_path / "new").iterdir()} == {".json", ".safetensors"}

    def refuse(*args, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr("coset.metrics.classifier.train_classifier", refuse)
    kept = load_or_train_classifier(bars(), "bar", cache=tmp_path / "new", steps=4)
    assert same(kept, classifier) and kept.values == ["across", "down"] and not kept.training
    x = torch.rand(9, 8, 8)
    assert torch.equal(kept(x), classifier(x))


@pytest.mark.parametrize(
    ("table", "options"),
    [
        (bars(classes=("a", "b")), {}),  # other values
        (bars(items=66), {}),
        (bars(sides=(8, 9)), {}),
        (FactorTable(bars().x() * 0.5, bar=bars().column("bar")), {}),  # other images
        (FactorTable(bars().x(), bar=["down", *bars().column("bar")[1:]]), {}),  # one other label
        (bars(), {"steps": 5}),
        (bars(), {"seed": 1}),
        (bars(), {"augment": False}),
    ],
)
def test_other_data_or_options_are_trained_anew(tmp_path, table, options):
    load_or_train_classifier(bars(), "bar", cache=tmp_path, steps=2)
    load_or_train_classifier(table, "bar", cache=tmp_path, **({"steps": 2} | options))
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_what_cannot_be_read_is_refused_before_training():
    table = FactorTable(torch.rand(6, 8, 8), kind=[0, 1, None, 0, 1, 1], angle=[0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    with pytest.raises(DataError, match="did you mean 'kind'"):
        train_classifier(table, "kin")
    with pytest.raises(DataError, match="discrete and known"):
        train_classifier(table, "kind")
    with pytest.raises(DataError, match="discrete and known"):
        train_classifier(table, "angle")
    with pytest.raises(DataError, match="sides from 8 up"):
        train_classifier(FactorTable(torch.rand(4, 7, 9), kind=[0, 1, 0, 1]), "kind")
    with pytest.raises(DataError, match="sides from 8 up"):
        train_classifier(FactorTable(torch.rand(4, 64), kind=[0, 1, 0, 1]), "kind")


def test_other_images_and_other_values_are_refused():
    classifier = ImageClassifier((8, 8), ["across", "down"])
    with pytest.raises(ShapeError, match=r"expected images \[8, 8\], got \[9, 9\]"):
        classifier.predict(torch.rand(2, 9, 9))
    with pytest.raises(DataError, match="factor 'bar': the value 'up' is not among the 2"):
        classifier.accuracy(bars(classes=("down", "up")), "bar")


def test_a_table_with_other_codes_is_read_by_value():
    classifier = ImageClassifier((8, 8), ["across", "down", "up"])
    x = torch.rand(30, 8, 8)
    found = classifier.predict(x)
    said = FactorTable(x, bar=[classifier.values[code] for code in found.tolist()])
    assert classifier.accuracy(said, "bar") == 100
    part = said[said.factors["bar"] == said.factors["bar"][0]].recode()
    assert classifier.accuracy(part, "bar") == 100
    assert read(classifier.predict, part.x(), part, "bar").tolist() == [0] * len(part)
    codes = coded(torch.tensor([0, 1]), ["sideways", part.values["bar"][0]])
    assert read(lambda items: codes, x, part, "bar").tolist() == [-1, 0]
