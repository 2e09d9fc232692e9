"""Bounds: pure functions of an inference trace and a generative trace; and the objectives that training maximises."""

from coset.objectives.elbo import Bound, EvidenceLowerBound, Objective, elbo
from coset.objectives.importance import DoublyReparametrized, ImportanceWeighted, importance_weighted
from coset.objectives.schedules import Annealed, Fixed, Progress, Schedule, Warmup
from coset.objectives.semisupervised import (
    AuxiliaryVariable,
    Classified,
    ItemBaseline,
    ScoreFunction,
    auxiliary_variable,
    classified,
    score_function,
)

__all__ = [
    "Annealed",
    "AuxiliaryVariable",
    "Bound",
    "Classified",
    "DoublyReparametrized",
    "EvidenceLowerBound",
    "Fixed",
    "ImportanceWeighted",
    "ItemBaseline",
    "Objective",
    "Progress",
    "Schedule",
    "ScoreFunction",
    "Warmup",
    "auxiliary_variable",
    "classified",
    "elbo",
    "importance_weighted",
    "score_function",
]
