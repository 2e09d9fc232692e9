import pytest

from coset.cells import find_cells
from coset.datasets import Digits, Rotated, Sprites, WithoutCombinations, WithoutShare
from coset.errors import ConfigurationError, DataError
from coset.recipes import load_recipe

pytestmark = pytest.mark.usefixtures("single")

CELLS = {"digit": [3, 6, 6], "rotation": [90, 180, 0]}


def test_what_is_trained_on_lacks_the_combinations_and_nothing_else():
    plain = Rotated("digits")
    data = WithoutCombinations(plain, CELLS)
    splits, whole = data.load_splits(), plain.load_splits()
    assert list(splits) == ["train", "validation", "test"]
    assert len(splits["test"]) == len(whole["test"])
    for name in ("train", "validation"):
        left = [whole[name].where(digit=digit, rotation=angle) for digit, angle in zip(*CELLS.values(), strict=True)]
        assert len(splits[name]) == len(whole[name]) - sum(map(len, left))
        assert splits[name].values == whole[name].values
    seen, left_out = data.divide(splits["test"])
    levels = find_cells(left_out, ["digit", "rotation"]).levels.tolist()
    assert levels == [[3, 1], [6, 0], [6, 2]]
    assert len(seen) + len(left_out) == len(splits["test"])
    assert data.source == plain.source and data.files == ()


def test_recipes_name_the_data_inside():
    recipe = load_recipe("unseen-rotated-digits")
    assert recipe.data().of == Rotated("digits", angles=4)
    assert len(recipe.data().cells["digit"]) == 10
    with pytest.raises(ConfigurationError, match=r"no such option.*did you mean 'angles'"):
        load_recipe("unseen-rotated-digits", ["--data.of={class: Rotated, angels: 4}"])
    with pytest.raises(ConfigurationError, match="nothing is called 'Rotatd'"):
        load_recipe("unseen-rotated-digits", ["--data.of={class: Rotatd}"])


@pytest.mark.parametrize(
    ("cells", "message"),
    [({"digit": [1, 2]}, "two factors or more"), ({"digit": [1, 2], "rotation": [0]}, "as many levels"), ({}, "cells")],
)
def test_cells_that_are_none_are_refused(cells, message):
    with pytest.raises(ConfigurationError, match=message):
        WithoutCombinations(Digits(), cells)


def test_levels_and_factors_that_the_data_lack_are_named():
    with pytest.raises(DataError, match="rotation has no level 45"):
        WithoutCombinations(Rotated("digits"), {"digit": [1], "rotation": [45]}).load_splits()
    with pytest.raises(DataError, match="no discrete factor 'angle'"):
        WithoutCombinations(Rotated("digits"), {"digit": [1], "angle": [90]}).load_splits()


def test_a_share_of_combinations_is_left_out_of_training_and_kept_in_the_test_part():
    sprites = Sprites(side=16, scales=2, orientations=3, positions=4)
    data = WithoutShare(sprites, ["shape", "scale", "x"], share=0.25, seed=1)
    splits = data.load_splits()
    train, test = (find_cells(splits[name], data.factors).levels.tolist() for name in ("train", "test"))
    assert len(test) > 18 == len(train)  # of 24, of which the test part, a fifth of the sprites, may lack some
    assert len(splits["train"]) + len(data.divide(sprites.load_splits()["train"])[1]) == len(
        sprites.load_splits()["train"]
    )
    again = WithoutShare(sprites, ["shape", "scale", "x"], share=0.25, seed=1).load_splits()["train"]
    assert find_cells(again, data.factors).levels.tolist() == train
    other = WithoutShare(sprites, ["shape", "scale", "x"], share=0.25, seed=2).load_splits()["train"]
    assert find_cells(other, data.factors).levels.tolist() != train
    with pytest.raises(DataError, match="only 16 can be"):
        WithoutShare(sprites, ["shape", "scale", "x"], share=0.95).load_splits()
