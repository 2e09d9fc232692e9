"""What a context can do to an item, and that it is undone."""

import pytest
import torch

from coset.data.rotation import rotate
from coset.discovery import classes
from coset.errors import ConfigurationError
from coset.networks.actions.base import Action
from coset.networks.actions.plane import PlaneMap, do_in_turn
from coset.networks.actions.shift import Shift
from coset.networks.actions.warp import Warp
from coset.networks.actions.zoom import Zoom

ACTIONS = {name: made for name, made in classes("coset.networks.actions", Action).items() if made is not PlaneMap}


def smooth(*shape):
    """Pictures without detail that interpolation would lose, and nothing at the edge that would be lost."""
    coarse = torch.rand(*shape[:-2], 4, 4)
    fine = torch.nn.functional.interpolate(coarse.reshape(1, -1, 4, 4), shape[-2:], mode="bicubic").reshape(shape)
    rows, columns = (torch.linspace(-1, 1, side) for side in shape[-2:])
    return fine * (-8 * (rows[:, None].square() + columns.square())).exp()


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
    with pytest.raises(ConfigurationError, match=r"Warp: maps pictures.*shape \[36\]"):
        Warp((36,))
    with pytest.raises(ConfigurationError, match="Warp: expected 2 candidates or more, got 1"):
        Warp((6, 6), turns=1)


@pytest.mark.parametrize(("axis", "to"), [("x", (1, 0)), ("y", (0, -1))])
def test_pictures_are_moved_to_the_right_and_up(axis, to):
    x = torch.zeros(1, 8, 12)
    x[:, 3:5, 5:7] = 1.0
    moved = Shift((8, 12), axis=axis, places=2, reach=0.25).do(x, torch.eye(2)[1])
    across, up = to
    torch.testing.assert_close(moved, x.roll((2 * up, 3 * across), (-2, -1)), rtol=1e-6, atol=1e-6)


def test_pictures_are_resized_about_their_middle():
    x = torch.zeros(1, 12, 12)
    x[:, 3:9, 3:9] = 1.0
    smaller, same = Zoom((12, 12), sizes=2, smallest=1 / 3).do(x.expand(2, 12, 12), torch.eye(2))
    assert bool((smaller[5:7, 5:7] == 1.0).all())
    assert float(smaller.sum()) == pytest.approx(36 / 9, abs=1e-4)
    torch.testing.assert_close(same, x[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (Shift, {"axis": "z"}, "axis: expected x or y, got 'z'"),
        (Shift, {"reach": 0.0}, "reach: expected a share of the side"),
        (Shift, {"places": 1}, "Shift: expected 2 candidates or more"),
        (Shift, {"item_shape": (9,)}, "Shift: maps pictures"),
        (Zoom, {"smallest": 1.0}, "smallest: expected a share between 0 and 1"),
        (Zoom, {"sizes": 0}, "Zoom: expected 2 candidates or more"),
    ],
)
def test_maps_that_cannot_be_are_refused(made, options, message):
    with pytest.raises(ConfigurationError, match=message):
        made(**{"item_shape": (8, 8)} | options)


@pytest.mark.parametrize(("pictures", "choices"), [((3, 2, 1), (4,)), ((3, 2), ()), ((2,), (3, 2)), ((), (3, 1))])
@pytest.mark.parametrize("item_shape", [(6, 6), (3, 6, 8)])
def test_pictures_that_share_a_map_are_mapped_as_each_by_itself(pictures, choices, item_shape):
    action = Shift(item_shape, axis="y", places=5)
    x, choice = torch.rand(*pictures, *item_shape), torch.rand(*choices, 5).softmax(-1)
    lead = torch.broadcast_shapes(pictures, choices)
    each = zip(
        x.expand(*lead, *item_shape).flatten(0, len(lead) - 1), choice.expand(*lead, 5).reshape(-1, 5), strict=True
    )
    expected = torch.stack([action.do(one, how) for one, how in each]).view(*lead, *item_shape)
    torch.testing.assert_close(action.do(x, choice), expected)


def test_maps_in_turn_are_one_map():
    """Of pictures without detail, for which interpolating once or three times makes no difference."""
    shape = (24, 32)
    actions = [Zoom(shape, sizes=3), Warp(shape, turns=12), Shift(shape, axis="x", places=4), Zoom(shape, sizes=2)]
    x = smooth(5, *shape)
    choices = [torch.eye(action.candidates)[torch.randint(action.candidates, (5,))] for action in actions]
    one_by_one = x
    for action, choice in zip(actions, choices, strict=True):
        one_by_one = action.do(one_by_one, choice)
    together = do_in_turn(actions, choices, x)
    assert float((together - one_by_one).square().mean() / one_by_one.var()) < 0.005
    assert float((do_in_turn(actions[::-1], choices[::-1], x) - together).square().mean() / x.var()) > 0.02


def test_other_actions_act_between_maps_in_their_order():
    class Brighten(Action):
        candidates = 2

        def do(self, parameters, choice):
            return parameters * (1 + choice[..., 1, None, None])

        def undo(self, x, choice):
            return x / (1 + choice[..., 1, None, None])

    x, right = torch.rand(3, 8, 8), torch.eye(2)[1].expand(3, 2)
    actions = [Warp((8, 8), turns=2), Brighten(), Shift((8, 8), axis="x", places=2, reach=0.25)]
    expected = actions[2].do(2 * x.flip((-2, -1)), right)
    torch.testing.assert_close(do_in_turn(actions, [right] * 3, x), expected)
