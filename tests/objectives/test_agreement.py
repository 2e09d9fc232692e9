import pytest
import torch

import coset
from coset.batch import SetBatch
from coset.models import ContextAwareLearner
from coset.objectives.agreement import ItemAgreement
from coset.programs import Programs

SIZES = {"features": 12, "hidden": 8, "context_dim": 3, "z_dim": 2, "architecture": "dense"}
GROUPS = ["rotation_action"]


def model(actions=None):
    torch.manual_seed(0)
    actions = actions or {"rotation": {"class": "Warp", "turns": 4}}
    return ContextAwareLearner((8, 8), ["digit", "rotation"], actions=actions, **SIZES)


def batch(mask=None):
    generator = torch.Generator().manual_seed(0)
    constant = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    return SetBatch(torch.rand(3, 5, 8, 8, generator=generator), constant, mask)


@pytest.mark.parametrize("discrete", [{"rotation_action": "enumerate"}, {"rotation_action": "straight-through"}])
def test_it_is_the_cross_entropy_of_items_about_what_their_set_tells(discrete):
    built, shown = model(), batch()
    q = Programs(built, shown).infer(discrete=discrete)
    found = ItemAgreement(GROUPS)(Programs(built, shown), q, q)["agreement"]
    together, alone = (q[f"rotation_action.{part}"].distribution.logits for part in ("constant", "varying"))
    expected = -(together.softmax(-1)[:, None] * alone.log_softmax(-1)).sum((1, 2))
    assert float(found[0].detach()) == 0.0  # this set does not hold the rotation
    torch.testing.assert_close(found[1:], expected[1:])
    found.sum().backward()
    assert built.acting.scores[0].weight.grad.abs().sum() > 0


def test_absent_items_say_nothing():
    built = model()
    mask = torch.tensor([[1.0] * 5, [1.0] * 3 + [0.0] * 2, [1.0] * 5])
    shown = batch(mask)
    few = SetBatch(shown.x[1:2, :3], shown.constant[1:2])
    scores = []
    for one in (shown, few):
        q = Programs(built, one).infer(discrete={"rotation_action": "enumerate"})
        scores.append(ItemAgreement(GROUPS)(Programs(built, one), q, q)["agreement"])
    torch.testing.assert_close(scores[0][1:2], scores[1])


def test_several_actions_are_averaged_over_what_the_others_may_have_been():
    torch.manual_seed(0)
    actions = {"rotation": {"class": "Warp", "turns": 4}, "side": {"class": "Shift", "axis": "x", "places": 2}}
    built = ContextAwareLearner((8, 8), ["digit", "rotation", "side"], actions=actions, **SIZES)
    shown = SetBatch(batch().x, torch.tensor([[0.0, 1.0, 1.0]]).expand(3, -1))
    how = dict.fromkeys(("rotation_action", "side_action"), "enumerate")
    q = Programs(built, shown).infer(discrete=how)
    both = ItemAgreement(list(how))(Programs(built, shown), q, q)["agreement"]
    each = [ItemAgreement([name])(Programs(built, shown), q, q)["agreement"] for name in how]
    torch.testing.assert_close(both, sum(each))
    assert bool((both > 0).all()) and both.shape == (3,)


def test_models_whose_contexts_act_are_trained_with_it_and_others_are_not():
    table = coset.FactorTable(torch.rand(40, 8, 8), digit=torch.arange(40) % 2, rotation=torch.arange(40) // 2 % 4)
    options = {"steps": 2, "sets": {"batch": 4}, "enable_progress_bar": False, "accelerator": "cpu"}
    assert "agreement" in coset.fit(model(), table, **options).history[-1]
    free = ContextAwareLearner((8, 8), ["digit", "rotation"], **SIZES)
    assert "agreement" not in coset.fit(free, table, **options).history[-1]
