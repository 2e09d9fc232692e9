"""What a context can do to an item, and that it is undone."""

import pytest
import torch

from coset.data.rotation import rotate
from coset.discovery import classes
from coset.errors import ConfigurationError
from coset.networks.actions.base import Action
from coset.networks.actions.warp import Warp

ACTIONS = classes("coset.networks.actions", Action)


def smooth(*shape):
    """Pictures without detail that interpolation would lose, dark at the edge."""
    coarse = torch.rand(*shape[:-2], 4, 4)
    fine = torch.nn.functional.interpolate(coarse.reshape(1, -1, 4, 4), shape[-2:], mode="bicubic").reshape(shape)
    rows, columns = (torch.linspace(-1, 1, side) for side in shape[-2:])
    return fine * (-4 * (rows[:, None].square() + columns.square())).exp()


@pytest.mark.parametrize("made", ACTIONS.values(), ids=ACTIONS)
def test_what_is_done_is_undone(made):
    action = made((24, 24))
    x = smooth(3, action.candidates, 24, 24)
    choice = torch.eye(action.candidates)
    assert float((action.undo(action.do(x, choice), choice) - x).square().mean() / x.var()) < 0.02
    assert float((action.do(x, choice)[:, 1] - x[:, 1]).square().mean() / x.var()) > 0.02  # something is done


def test_turns_are_those_of_the_data():
    x, action = smooth(5, 16, 16), Warp((16, 16), turns=3, first=20.0)
    for candidate, degrees in enumerate((20.0, 140.0, 260.0)):
        turned = action.do(x, torch.eye(3)[candidate].expand(5, 3))
        assert float((turned - rotate(x, degrees)).abs().mean()) < 0.01


def test_pictures_in_colour_and_of_other_shapes_are_turned():
    half = torch.eye(2)[1]
    for shape in ((3, 8, 8), (1, 6, 10), (6, 10)):
        x = torch.rand(4, *shape)
        turned = Warp(shape, turns=2).do(x, half.expand(4, 2))
        torch.testing.assert_close(turned, x.flip((-2, -1)), rtol=1e-6, atol=1e-6)


def test_choices_reach_over_axes_that_pictures_lack():
    action, x = Warp((6, 6), turns=4), torch.rand(2, 5, 6, 6)
    every = action.undo(x, torch.eye(4).view(4, 1, 1, 4))
    assert every.shape == (4, 2, 5, 6, 6)
    torch.testing.assert_close(every[1], x.rot90(-1, (-2, -1)), rtol=1e-6, atol=1e-6)


def test_what_cannot_be_turned_is_refused():
    with pytest.raises(ConfigurationError, match=r"turns pictures.*shape \[36\]"):
        Warp((36,))
    with pytest.raises(ConfigurationError, match="turns: expected a number of candidates from 2 up"):
        Warp((6, 6), turns=1)
