"""Bounds: pure functions of an inference trace and a generative trace."""

from coset.objectives.elbo import Bound, elbo
from coset.objectives.schedules import Annealed, Fixed, Progress, Schedule, Warmup

__all__ = ["Annealed", "Bound", "Fixed", "Progress", "Schedule", "Warmup", "elbo"]
