"""What every objective and every penalty promises, held against every one that `coset.objectives` holds."""

import pytest
import torch

import coset
from coset.data import SetBatch
from coset.discovery import classes
from coset.networks import RandomCopies
from coset.objectives import EvidenceLowerBound, Penalised
from coset.objectives.base import Objective, Penalty, parts
from coset.programs import Programs

OBJECTIVES, PENALTIES = classes("coset.objectives", Objective), classes("coset.objectives", Penalty)
ARGUMENTS = {
    "AggregatePosterior": {"site": "context.constant", "prior": "coding.prior"},
    "ContextCycleConsistency": {"site": "context.constant", "fresh": ["z"]},
    "ClassCycleConsistency": {"site": "class"},
    "ConsistencyRegularisation": {"site": "class", "augmentation": RandomCopies()},
    "InvariantInformation": {"site": "class", "augmentation": RandomCopies()},
    "ItemAgreement": {"groups": ["two_action"]},
    "Penalised": {"bound": EvidenceLowerBound(), "penalties": []},
    "SleepPhase": {"site": "z", "given": ["a"]},
}
"""Arguments of those that cannot be built without any."""
ASKED = {"ItemAgreement": "acting", "SetClasses": "unknown"} | dict.fromkeys(
    ("ClassCycleConsistency", "ConsistencyRegularisation", "InvariantInformation"), "ClassStyle"
)
"""The model that a penalty is asked of, where it asks for sites of its own."""


def programs_of(name):
    small = {"architecture": "dense", "features": 8, "norm": "layer"}
    if name == "ClassStyle":
        model = coset.ClassStyle((8, 8), classes=3, style_dim=2, **small)
    else:
        acting = {"actions": {"two": {"class": "Warp", "turns": 4}}} if name == "acting" else {}
        sizes = {"context_dim": 2, "z_dim": 2, "hidden": 8}
        unknown = {"infer_a": "any"} if name == "unknown" else {}
        model = coset.ContextAwareLearner((8, 8), ["one", "two"], **sizes, **acting, **unknown, **small)
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    batch = SetBatch(torch.rand(4, 3, 8, 8), a, mask, {"class": torch.tensor([[0, 1, -1], [2, -1, -1]] * 2)})
    return Programs(model, batch)


def bound_to(objective, programs):
    for part in parts(objective, "bind"):
        part.bind(programs.model, data_size=12)
    return objective


def test_there_are_objectives_and_penalties_and_they_are_final():
    for found in (OBJECTIVES, PENALTIES):
        assert len(found) > 3 and all(made.__subclasses__() == [] for made in found.values())


PAIRS = [(name, model) for name in OBJECTIVES for model in ("ContextAwareLearner", "ClassStyle")]
PAIRS.remove(("DoublyReparametrized", "ClassStyle"))  # it refuses what is not reparametrised
PAIRS.remove(("SharedDimensions", "ClassStyle"))  # it has no site z
PAIRS.remove(("SharedDimensions", "ContextAwareLearner"))  # z is not all that it infers


@pytest.mark.parametrize(("name", "model"), PAIRS)
def test_an_objective_gives_a_bound_for_each_set(name, model):
    programs = programs_of(model)
    bound = bound_to(OBJECTIVES[name](**ARGUMENTS.get(name, {})), programs)(programs)
    assert bound.value.shape == (4,) and bound.value.isfinite().all() and "x" in bound.gains
    assert bound.q is not None and bound.p is not None  # for penalties that build on it
    assert all(term.shape == (4,) for term in bound.terms.values())
    bound.value.sum().backward()
    parameters = list(programs.model.parameters())
    assert any(part.grad is not None and part.grad.any() for part in parameters)
    assert all(part.grad is None or part.grad.isfinite().all() for part in parameters)
    assert all(part.requires_grad for part in parameters) and programs.model.training


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_is_not_negative_and_leaves_the_bound_alone(name):
    programs = programs_of(ASKED.get(name, "ContextAwareLearner"))
    penalised = bound_to(Penalised(EvidenceLowerBound(), [PENALTIES[name](**ARGUMENTS.get(name, {}))]), programs)
    torch.manual_seed(1)
    bound = penalised(programs)
    torch.manual_seed(1)
    torch.testing.assert_close(bound.value, EvidenceLowerBound()(programs).value)
    for term in bound.penalties:
        assert bound.terms[term].shape == (4,) and (bound.terms[term] >= 0).all(), term
    (-bound.weighted({})).sum().backward()
    assert all(part.grad is None or part.grad.isfinite().all() for part in programs.model.parameters())
    assert all(part.requires_grad for part in programs.model.parameters()) and programs.model.training
    assert not penalised.eval()(programs).penalties
