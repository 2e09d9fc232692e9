"""Bounds: pure functions of an inference trace and a generative trace; and the objectives that training maximises."""

from coset.objectives.elbo import Bound, EvidenceLowerBound, Objective, elbo
from coset.objectives.importance import DoublyReparametrized, ImportanceWeighted, importance_weighted
from coset.objectives.schedules import Annealed, Fixed, Progress, Schedule, Warmup

__all__ = [
    "Annealed",
    "Bound",
    "DoublyReparametrized",
    "EvidenceLowerBound",
    "Fixed",
    "ImportanceWeighted",
    "Objective",
    "Progress",
    "Schedule",
    "Warmup",
    "elbo",
    "importance_weighted",
]
