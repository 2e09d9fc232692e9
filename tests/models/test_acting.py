"""Contexts that act: exact sums over what they may have done, undone by the encoder, done by the decoder."""

import pytest
import torch

from coset import load
from coset.batch import SetBatch
from coset.data import FactorTable
from coset.errors import ConfigurationError
from coset.models import ContextAwareLearner
from coset.objectives import EvidenceLowerBound, elbo
from coset.programs import Programs
from coset.training import fit

SIDE = 6


def build(turns=4, pooling="product", **options):
    torch.manual_seed(0)
    sizes = dict(context_dim=6, z_dim=2, features=12, hidden=10, architecture="dense")
    actions = {"rotation": {"class": "Warp", "turns": turns}}
    model = ContextAwareLearner(
        (SIDE, SIDE), ["digit", "rotation"], pooling=pooling, actions=actions, **sizes | options
    )
    for part in model.acting.scores:
        torch.nn.init.normal_(part.weight, std=0.3)
    return model.eval()


def random_sets(sets=3, items=4):
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])[:sets]
    return SetBatch(torch.rand(sets, items, SIDE, SIDE), a)


def bound_at_the_centres(model, batch, **given):
    programs = Programs(model, batch)
    still = {name: 0.0 for name in ("context.constant", "context.varying", "z")}
    q = programs.infer(discrete={"rotation_action": "enumerate"}, temperature=still, **given)
    return q, programs.generate(q)


@pytest.mark.parametrize("pooling", ["product", "mean"])
def test_the_likelihood_is_a_mean_over_what_each_item_may_have_undergone(pooling):
    model, batch = build(pooling=pooling), random_sets()
    q, p = bound_at_the_centres(model, batch)
    expected = torch.zeros(3)
    total = torch.zeros(3, 4)
    for candidate in range(4):
        choice = torch.eye(4)[candidate]
        fixed = {"rotation_action.constant": choice.expand(3, 4), "rotation_action.varying": choice.expand(3, 4, 4)}
        contexts = {name: q[name].value[0] for name in ("context.constant", "context.varying")}
        programs = Programs(model, batch)
        alone = programs.infer(replay=fixed | contexts, temperature=0.0)
        score = programs.generate(alone)["x"].score  # [B, N]
        of_sets = q["rotation_action.constant"].distribution.probs[:, candidate]
        of_items = q["rotation_action.varying"].distribution.probs[..., candidate]
        probability = torch.where(batch.constant[:, 1:] > 0, of_sets[:, None], of_items)  # [B, N]
        expected += (probability * score).sum(1)
        total += probability
    torch.testing.assert_close(total, torch.ones(3, 4))
    torch.testing.assert_close(q.total(p["x"].score, p["x"].axes), expected, rtol=1e-9, atol=1e-9)


def test_a_turned_set_has_the_bound_of_the_set_as_it_was():
    model, batch = build(), random_sets()
    turned = SetBatch(batch.x.rot90(1, (-2, -1)), batch.constant)
    bounds = []
    for shown in (batch, turned):
        q, p = bound_at_the_centres(model, shown)
        bounds.append(q.total(p["x"].score, p["x"].axes))
    torch.testing.assert_close(*bounds, rtol=1e-6, atol=1e-6)


def test_at_a_high_temperature_every_candidate_counts_alike():
    objective = EvidenceLowerBound(discrete={"rotation_action": "tempered"}, relaxation=1e6)
    bound = objective(Programs(build(), random_sets()))
    assert bound.value.shape == (3,)
    assert float(bound.terms["rotation_action.constant"].detach().abs().max()) < 1e-6
    assert bound.q["rotation_action.varying"].distribution.probs.sub(0.25).abs().max() < 1e-4


def test_order_and_padding_change_nothing():
    model, batch = build(), random_sets()
    order = torch.tensor([2, 0, 3, 1])
    nothing = torch.full((3, 2, SIDE, SIDE), torch.nan)
    mask = torch.cat([torch.ones(3, 4), torch.zeros(3, 2)], 1)
    padded = SetBatch(torch.cat([batch.x[:, order], nothing], 1), batch.constant, mask)
    found = []
    for shown in (batch, padded):
        q, p = bound_at_the_centres(model, shown)
        found.append([q.total(p["x"].score, p["x"].axes), q["rotation_action.constant"].distribution.probs])
        found[-1].append(q["context.constant"].distribution.mean)
    for one, other in zip(*found, strict=True):
        assert bool(other.isfinite().all())
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_what_a_set_holds_is_read_from_all_of_its_items():
    model, batch = build(), random_sets()
    q, _ = bound_at_the_centres(model, batch)
    logits = q["rotation_action.varying"].distribution.logits.log_softmax(-1)  # [B, N, V]
    of_set = logits.sum(1).log_softmax(-1)
    torch.testing.assert_close(q["rotation_action.constant"].distribution.logits.log_softmax(-1), of_set)


@pytest.mark.parametrize("turns", [4, 8])
def test_questions_are_answered_as_by_any_other_model(turns):
    model = build(turns)
    x = torch.rand(2, 5, SIDE, SIDE)
    codes = model.embed_sets(x)
    assert codes.shape == (2, 2, max(turns, 6))
    assert codes[:, 1].sum(-1).tolist() == [1.0, 1.0] and codes[:, 1].max(-1).values.tolist() == [1.0, 1.0]
    assert model.compose(digit=x, rotation=x, n=3).shape == (2, 3, SIDE, SIDE)
    assert model.compose(digit=codes[:, 0], rotation=codes[:, 1], n=3, codes=True).shape == (2, 3, SIDE, SIDE)
    assert model.compose(rotation=x, n=3).shape == (2, 3, SIDE, SIDE)
    assert model.sample(n=3, constant=["rotation"]).shape == (3, SIDE, SIDE)
    assert model.reconstruct(x).shape == x.shape
    assert model.embed(x[0]).shape == (5, turns + 6 + 2)


def test_only_contexts_that_are_given_are_read():
    model = build(turns=4)
    batch, seen = random_sets(), []
    model.encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    each = [model.set_codes(batch, [name]) for name in model.contexts]
    torch.testing.assert_close(torch.cat(each, 1), model.set_codes(batch, model.contexts))
    seen.clear()
    model.compose(rotation=batch.x)
    assert seen == [4]  # candidates, of the sets' own items: once


def test_composed_items_are_turned_as_the_set_was():
    model = build()
    x = torch.rand(1, 5, SIDE, SIDE)
    torch.manual_seed(0)
    one = model.compose(digit=x, rotation=x, n=2, temperature=0.0)
    other = model.compose(digit=x, rotation=x.rot90(1, (-2, -1)), n=2, temperature=0.0)
    torch.testing.assert_close(one.rot90(1, (-2, -1)), other, rtol=1e-6, atol=1e-6)


def test_gradient_reaches_every_parameter_and_training_keeps_what_it_wrote(tmp_path):
    model = build().train()
    digit, rotation = torch.arange(64) % 4, torch.arange(64) // 4 % 4
    table = FactorTable(torch.rand(64, SIDE, SIDE), digit=digit, rotation=rotation)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    record = fit(model, table, steps=3, sets={"items": 3, "batch": 6, "batches": 3}, output=tmp_path)
    assert {"rotation_action.constant", "rotation_action.varying", "cycle"} <= set(record.history[-1])
    assert all(
        not torch.equal(value, before[name]) for name, value in model.named_parameters() if "context_0" not in name
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actions": {"scale": "warp"}}, "no context 'scale'"),
        ({"actions": {"rotation": "wrap"}}, "nothing is called 'wrap'.*warp"),
        ({"actions": {"rotation": {"class": "Warp", "turns": 1}}}, "expected 2 candidates or more, got 1"),
        ({"actions": {"rotation": "warp", "digit": "warp"}}, "has to be free"),
        ({"actions": {"rotation": "warp"}, "infer_a": "any"}, "where `a` is known"),
        ({"actions": {"rotation": "warp"}, "item_shape": (7,)}, "maps pictures"),
        ({"actions": {"z.1": "warp"}, "contexts": ["digit", "z.1"]}, "cannot have a dot"),
    ],
)
def test_actions_that_cannot_be_are_refused(options, message):
    usual = {"item_shape": (SIDE, SIDE), "contexts": ["digit", "rotation"], "architecture": "dense"}
    with pytest.raises(ConfigurationError, match=message):
        ContextAwareLearner(**usual | options)


def test_actions_beyond_those_that_can_be_listed_are_drawn():
    """Four maps of the plane, whose contexts are called as other sites are, have 256 joint choices."""
    actions = {
        "z": {"class": "Zoom", "sizes": 4},
        "a": {"class": "Warp", "turns": 4},
        "x": {"class": "Shift", "axis": "x", "places": 4},
        "y": {"class": "Shift", "axis": "y", "places": 4},
    }
    names = ["shape", *actions]
    sizes = {"context_dim": 2, "z_dim": 2, "features": 6, "hidden": 6, "architecture": "dense"}
    model = ContextAwareLearner((SIDE, SIDE), names, actions=actions, **sizes)
    bound = model.default_objective["bound"]
    assert bound["discrete"] == {
        **dict.fromkeys(["z_action", "a_action"], "tempered"),
        **dict.fromkeys(["x_action", "y_action"], "straight-through"),
    }
    levels = {name: torch.arange(96) // 2**k % 2 for k, name in enumerate(names)}
    table = FactorTable(torch.rand(96, SIDE, SIDE), **levels)
    record = fit(model, table, steps=2, sets={"items": 3, "batch": 10, "batches": 2}, enable_progress_bar=False)
    assert {"x_action.constant", "z_action.varying", "z", "x"} <= set(record.history[-1])
    before = [score.weight.clone() for score in model.acting.scores]
    fit(model, table, steps=2, sets={"items": 3, "batch": 10, "batches": 2}, enable_progress_bar=False)
    assert all(not torch.equal(score.weight, old) for score, old in zip(model.acting.scores, before, strict=True))
    shown = torch.rand(3, SIDE, SIDE)
    assert model.compose(dict.fromkeys(names, shown), n=2).shape == (2, SIDE, SIDE)


STILL = {name: 0.0 for name in ("context.constant", "context.varying", "z")}
"""Temperature of what is continuous, at the centres."""


def two_actions():
    """A model whose pictures are resized and moved, and sets of which each holds one context."""
    actions = {"size": {"class": "Zoom", "sizes": 2}, "across": {"class": "Shift", "axis": "x", "places": 3}}
    sizes = {"context_dim": 4, "z_dim": 2, "features": 6, "hidden": 6, "architecture": "dense"}
    torch.manual_seed(0)
    model = ContextAwareLearner((SIDE, SIDE), ["shape", "size", "across"], actions=actions, **sizes).eval()
    for part in model.acting.scores:
        torch.nn.init.normal_(part.weight, std=0.3)
    return model, Programs(model, SetBatch(torch.rand(3, 4, SIDE, SIDE), torch.eye(3)))


def test_two_actions_are_enumerated_where_sets_hold_either_constant():
    """A set's choice of one is made from what the other may have been on average, and the mean over both is exact."""
    model, programs = two_actions()
    q = programs.infer(discrete=dict.fromkeys(model.discrete, "enumerate"), temperature=STILL)
    for name in ("size", "across"):  # not one for each choice of the other
        assert q[f"{name}_action.constant"].distribution.probs.shape == (3, model.acting.sizes[name])
    of_set, of_items = q["size_action.constant"].distribution.probs[1], q["across_action.varying"].distribution.probs[1]
    expected = torch.zeros(())
    for size in range(2):
        for across in range(3):
            picked = {"size": torch.eye(2)[size], "across": torch.eye(3)[across]}
            fixed = {f"{name}_action.constant": one.expand(3, -1) for name, one in picked.items()}
            fixed |= {f"{name}_action.varying": one.expand(3, 4, -1) for name, one in picked.items()}
            contexts = {name: q[name].value[0] for name in ("context.constant", "context.varying")}
            alone = programs.infer(replay=fixed | contexts, temperature=0.0)
            score = programs.generate(alone)["x"].score[1]  # [N], of the set that holds the size
            expected = expected + (of_set[size] * of_items[:, across] * score).sum()
    x = programs.generate(q)["x"]
    found = q.total(x.score, x.axes)[1]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_what_acts_first_is_enumerated_under_one_draw_of_what_acts_last():
    """The bound of a draw is the mean over all choices of the other action, the set's or those of its items."""
    _, programs = two_actions()
    ways = {"size_action": "enumerate", "across_action": "straight-through"}
    q = programs.infer(discrete=ways, temperature=STILL)
    p = programs.generate(q)
    bound = elbo(q, p)
    assert q["across_action.varying"].value.shape == (3, 4, 3) and bound.value.shape == (3,)
    of_set, of_items = (q[f"size_action.{name}"].distribution.probs for name in ("constant", "varying"))
    fixed = {name: q[name].value for name in ("across_action.constant", "across_action.varying")}
    fixed |= {name: q[name].value[0] for name in ("context.constant", "context.varying")}
    expected = torch.zeros(3)
    for size in range(2):
        one = torch.eye(2)[size]
        chosen = {"size_action.constant": one.expand(3, -1), "size_action.varying": one.expand(3, 4, -1)}
        score = programs.generate(programs.infer(replay=fixed | chosen, temperature=0.0))["x"].score  # [B, N]
        weight = torch.where(torch.eye(3)[:, 1:2] > 0, of_set[:, size : size + 1], of_items[..., size])
        expected = expected + (weight * score).sum(-1)
    torch.testing.assert_close(bound.terms["x"], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("contexts", [["shape", "size", "across"], ["across", "size", "shape"]])
def test_actions_stand_in_the_order_of_contexts_after_saving_too(contexts, tmp_path):
    actions = {"size": {"class": "Zoom", "sizes": 3}, "across": {"class": "Shift", "axis": "x", "places": 4}}
    sizes = {"context_dim": 4, "z_dim": 2, "features": 6, "hidden": 6, "architecture": "dense"}
    model = ContextAwareLearner((SIDE, SIDE), contexts, actions=actions, **sizes)
    assert list(model.acting.sizes) == [name for name in contexts if name != "shape"]
    model.save_pretrained(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.acting.sizes == model.acting.sizes
    for before, after in zip(model.acting.priors, again.acting.priors, strict=True):
        torch.testing.assert_close(after, before)
