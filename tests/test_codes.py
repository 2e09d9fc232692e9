"""Codes are compared by what they stand for."""

import copy
import pickle

import pytest
import torch

from coset import ClassStyle, ContextAwareLearner, FactorTable, IntrinsicFaces, fit, load
from coset.codes import Coded, coded, plain, rank, recode
from coset.errors import DataError
from coset.objectives import Classified

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
WORDS = ["bird", "cat", "dog", "fish"]


@pytest.fixture
def few():
    return coded(torch.tensor([0, 1, 1, -1]), ["cat", "fish"])


@pytest.fixture
def every():
    return coded(torch.tensor([1, 2, 3, -1]), WORDS)


def test_equal_are_those_with_equal_values(few, every):
    right = [True, False, True, True]
    for found in (few == every, every == few, few.eq(every), torch.eq(every, few), ~(few != every)):
        assert found.tolist() == right
        assert type(found) is torch.Tensor
    assert (few == 1).tolist() == [False, True, True, False]  # a number is a code
    assert (few == plain(every)).tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    "change",
    [
        lambda codes: codes[[1, 0]],
        lambda codes: codes.clone().cpu().to(torch.int32).detach(),
        lambda codes: codes.reshape(2, 2).unsqueeze(0).expand(3, 2, 2).flatten(),
        lambda codes: torch.cat([codes, codes[:1]]),
        lambda codes: torch.stack([codes, codes]),
        lambda codes: codes.masked_fill(codes == 0, -1),
        copy.copy,
        copy.deepcopy,
        lambda codes: pickle.loads(pickle.dumps(codes)),
    ],
)
def test_what_is_picked_or_moved_keeps_its_values(few, change):
    found = change(few)
    assert isinstance(found, Coded)
    assert found.vocabulary == ["cat", "fish"]
    assert torch.equal(plain(found), change(plain(few)))


def test_what_is_computed_is_a_plain_tensor(few, every):
    for found in (few + 1, few.unique(), few.clamp_min(0), torch.cat([few, every]), few.float(), few.argmax(-1)):
        assert type(found) is torch.Tensor or not found.is_floating_point()
    assert type(torch.cat([few, every])) is torch.Tensor
    assert type(few + 1) is torch.Tensor


def test_argmax_over_the_values_makes_codes(every):
    scores = coded(torch.eye(4)[[3, 1]], WORDS)
    assert (scores.argmax(-1) == coded(torch.tensor([1, 0]), ["cat", "fish"])).tolist() == [True, True]
    assert isinstance(scores[:1].argmax(dim=1), Coded)
    for others in (scores.argmax(0), scores.argmax(), scores[:, :2].argmax(-1)):
        assert type(others) is torch.Tensor


def test_recode(few):
    assert recode(few, WORDS).tolist() == [1, 3, 3, -1]
    assert recode(few[:1], ["cat"]).tolist() == [0]  # no fish is left
    with pytest.raises(DataError, match="the value 'fish' is not among the 1"):
        recode(few, ["cat"])


def words(rows, names=WORDS):
    """Items of which the class can be read off the first number."""
    codes = torch.tensor([WORDS.index(name) for name in names]).repeat(rows)
    x = torch.rand(len(codes), 12)
    x[:, 0] = codes / 4
    x[:, 1:5] = torch.eye(4)[codes]
    return FactorTable(x, word=[WORDS[code] for code in codes.tolist()])


def test_a_table_numbers_its_values_as_another():
    table = words(3, ["dog", "fish"])
    same = table.recode(word=WORDS, colour=["red"])
    assert same.factors["word"].tolist() == [2, 3] * 3
    assert same.column("word") == table.column("word")
    assert len(same.where(word="dog")) == 3
    assert same.recode().values == table[:1].recode().values | {"word": ["dog", "fish"]}
    assert table[[0]].recode().values == {"word": ["dog"]}
    with pytest.raises(DataError, match="factor 'word': the value 'fish' is not among the 2"):
        table.recode(word=["dog", "cow"])


def test_draws_keep_the_values():
    table = words(20)
    for sampler in (table.sets("word", items=(2, 4), batch=3), table.sets((), items=1, batch=3)):
        assert sampler.draw(0).factors["word"].vocabulary == WORDS


@pytest.fixture(scope="module")
def reader():
    """A class-and-style model that has learned what four words look like."""
    torch.manual_seed(0)
    table = words(100)
    model = ClassStyle.for_data(table, label="word", style_dim=2, features=32, architecture="plain", channels=[])
    fit(model, table, steps=150, learning_rate=0.01, sets={"batch": 40}, objective=Classified(weight=20), **QUIET)
    return model


def right(model, table):
    return float((model.classify(table.x()).argmax(-1) == table.factors["word"]).double().mean())


def test_a_model_reads_the_labels_of_another_file(reader, tmp_path):
    other = words(20, ["dog", "fish"])
    assert right(reader, words(20)) > 0.95
    assert right(reader, other) > 0.95
    reader.save_pretrained(tmp_path)
    assert load(tmp_path).values == reader.values == {"word": WORDS}
    assert right(load(tmp_path), other) > 0.95
    assert right(ClassStyle.from_pretrained(tmp_path), other) > 0.95


def test_going_on_with_another_file_unlearns_nothing(reader):
    model, options = copy.deepcopy(reader), QUIET | {"objective": Classified(weight=20)}
    fit(model, words(50, ["dog", "fish"]), validation=words(50, ["fish"]), steps=20, sets={"batch": 40}, **options)
    assert right(model, words(20, ["dog", "fish"])) > 0.95


def test_values_that_a_model_does_not_know_are_refused_before_training(reader):
    x = torch.rand(40, 12)
    with pytest.raises(DataError, match="factor 'word': the value 'cow' is not among the 4"):
        fit(reader, FactorTable(x, word=["cow", "dog"] * 20), steps=1, **QUIET)
    with pytest.raises(DataError, match="factor 'word': the value 'cow'"):
        fit(reader, words(10), validation=FactorTable(x, word=["cow", "dog"] * 20), steps=1, **QUIET)


def test_models_know_the_values_of_contexts_and_labels():
    table = words(10)
    table = FactorTable(table.x(), word=table.column("word"), depth=torch.arange(40) % 2, angle=torch.rand(40))
    learner = ContextAwareLearner.for_data(table, ["word", "depth"], features=8, hidden=8, context_dim=2, z_dim=2)
    assert learner.values == {"word": WORDS, "depth": [0, 1]}
    faces = IntrinsicFaces.for_data(table, label="word", features=8)
    assert faces.values == {"word": WORDS}
    assert ClassStyle((4,), classes=3).values == {}


@pytest.mark.parametrize(
    "values",
    [
        torch.tensor([3, -1, 3, 0]),
        torch.tensor([10**12, -(10**12), 5, 5]),
        torch.tensor([torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max]),
        torch.tensor([127, -128, 0] * 100, dtype=torch.int8),
        torch.tensor([255, 0, 254] * 100, dtype=torch.uint8),
        torch.tensor([0.5, 2.0, 0.5, -1.0]),
        torch.tensor([], dtype=torch.int64),
        torch.tensor([7]),
    ],
)
def test_ranks_are_those_that_sorting_gives(values):
    distinct, position = rank(values)
    expected, place = values.unique(return_inverse=True)
    assert distinct.dtype == values.dtype and distinct.equal(expected) and position.equal(place)


def test_ranks_of_codes_are_plain_numbers():
    distinct, position = rank(coded(torch.tensor([2, 0, 2]), ["a", "b", "c"]))
    assert type(distinct) is torch.Tensor and distinct.tolist() == [0, 2] and position.tolist() == [1, 0, 1]
