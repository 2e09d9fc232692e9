"""Classes that sets agree on, and what is read from them without labels."""

import math

import pytest
import torch

from coset import ContextAwareLearner
from coset.data import FactorTable, SetBatch
from coset.errors import ConfigurationError
from coset.networks.constancy import ConstancyNetwork
from coset.objectives import EvidenceLowerBound, Penalised, SetClasses
from coset.programs import Programs

SMALL = {"context_dim": 3, "z_dim": 2, "features": 24, "hidden": 16}


def two_factors(n=600, seed=0):
    """Vectors whose first half tells one factor, of four values, and the second another one, of three."""
    generator = torch.Generator().manual_seed(seed)
    one, two = (torch.randint(count, (n,), generator=generator) for count in (4, 3))
    shown = [torch.nn.functional.one_hot(codes, 4).double() for codes in (one, two)]
    x = torch.cat(shown, 1) + 0.3 * torch.randn(n, 8, generator=generator, dtype=torch.float64)
    return FactorTable(x, one=one, two=two)


def build(infer_a="exactly-one", **options):
    torch.manual_seed(0)
    return ContextAwareLearner((8,), ["one", "two"], likelihood="gaussian", infer_a=infer_a, **SMALL | options)


def penalty_of(model, batch, progress=1.0, **options):
    programs = Programs(model, batch, progress=progress)
    q = programs.infer(discrete={"a": "straight-through"} if batch.constant is None else {})
    return SetClasses(**options)(programs, q, programs.generate(q))["classes"], q


def literal(classes, constant, mask, balance, apart, shares):
    """The term of each set: entropies of means, one number at a time."""

    def entropy(probabilities):
        return -sum(p * math.log(p) for p in probabilities if p > 0)

    sets, contexts, count = len(classes), len(constant[0]), len(classes[0][0][0])
    items = [[classes[b][n] for n in range(len(mask[b])) if mask[b][n]] for b in range(sets)]
    flat = [item for one in items for item in one]

    def mean(rows, k):
        return [sum(row[k][c] for row in rows) / len(rows) for c in range(count)]

    of_all = balance * sum(math.log(count) - entropy(mean(flat, k)) for k in range(contexts))
    for j in range(contexts):
        for k in range(j):
            joint = [sum(r[j][c] * r[k][d] for r in flat) / len(flat) for c in range(count) for d in range(count)]
            of_all += entropy(mean(flat, j)) + entropy(mean(flat, k)) - entropy(joint)
    for k in range(contexts):
        share = sum(row[k] for row in constant) / sets
        of_all += shares * sum(s * math.log(2 * s) for s in (share, 1 - share) if s > 0)
    found = []
    for b in range(sets):
        total = of_all
        for k in range(contexts):
            mixed = entropy(mean(items[b], k))
            total += constant[b][k] * mixed + apart * (1 - constant[b][k]) * (math.log(count) - mixed)
        found.append(total * len(items[b]))
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("infer_a", ["any", "exactly-one"])
def test_the_term_is_the_sum_of_its_parts_over_starts(infer_a):
    model = build(infer_a, classes=3)
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    weights = {"balance": 0.7, "apart": 0.4, "shares": 1.5}
    found, q = penalty_of(model, SetBatch(torch.randn(3, 3, 8), mask=mask), softness=2.0, **weights)
    log_odds, classes = q.noted["constancy"] / 2, q.noted["classes"]
    constant = log_odds.sigmoid() if infer_a == "any" else log_odds.softmax(-1)
    starts = range(log_odds.shape[1])
    expected = [literal(classes[:, :, s].tolist(), constant[:, s].tolist(), mask.tolist(), **weights) for s in starts]
    torch.testing.assert_close(found, sum(expected), atol=1e-9, rtol=1e-9)
    assert (found >= 0).all()


def test_what_is_known_of_a_set_takes_the_place_of_what_is_found():
    model = build()
    x, constant = torch.randn(3, 4, 8), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    found, q = penalty_of(model, SetBatch(x, constant))
    weights = {"balance": 0.1, "apart": 0.3, "shares": 1.0}
    classes = q.noted["classes"]
    starts = range(classes.shape[2])
    expected = [literal(classes[:, :, s].tolist(), constant.tolist(), [[1] * 4] * 3, **weights) for s in starts]
    torch.testing.assert_close(found, sum(expected), atol=1e-9, rtol=1e-9)
    some = constant.clone()
    some[1:] = torch.nan
    partly, _ = penalty_of(model, SetBatch(x, some))
    unknown, _ = penalty_of(model, SetBatch(x))
    assert not torch.isclose(partly, found).any() and not torch.isclose(partly, unknown).any()


def test_what_sets_hold_constant_is_found_without_a_label():
    model, table = build(classes=8).train(), two_factors()
    penalty = SetClasses(balance=(1.0, 0.1, 0.8), softness=(6.0, 1.0, 0.6))
    objective = Penalised(EvidenceLowerBound(discrete={"a": "straight-through"}), [penalty])
    penalty.bind(model, len(table))
    sets = table.sets(["one", "two"], items=8, batch=64, batches=400)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for index in range(len(sets)):
        programs = Programs(model, SetBatch(sets.draw(index).x), progress=index / len(sets))
        optimizer.zero_grad()
        objective(programs).terms["classes"].mean().backward()
        optimizer.step()
    held_out = two_factors(seed=9).sets(["one", "two"], items=8, batch=500, batches=1).draw(0)
    found = model.infer_constant(held_out.x) > 0.5
    right = [(found == (held_out.constant.flip(1) if swapped else held_out.constant)) for swapped in (False, True)]
    assert max(float(each.all(1).double().mean()) for each in right) > 0.97


def test_what_cannot_be_is_refused():
    for options in ({"apart": -1.0}, {"shares": -0.1}):
        with pytest.raises(ConfigurationError, match="SetClasses: expected weights from 0 up"):
            SetClasses(**options)
    with pytest.raises(ConfigurationError, match="classes: expected 2 or more, got 1"):
        build(classes=1)
    for model in (build(None), build(pooling="mean")):
        with pytest.raises(ConfigurationError, match="build a ContextAwareLearner with infer_a and pooling='product'"):
            SetClasses().bind(model, 10)


def test_the_best_start_is_read():
    network = ConstancyNetwork(4, contexts=2, classes=3, starts=3)
    of_starts = torch.arange(6.0).view(1, 3, 2)
    network.judge(torch.tensor([2.0, 1.0, 3.0]))
    assert network.best(of_starts).tolist() == [[2.0, 3.0]]
    for _ in range(50):
        network.judge(torch.tensor([2.0, 1.0, 0.5]))
    assert network.best(of_starts).tolist() == [[4.0, 5.0]]
