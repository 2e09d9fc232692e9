"""Training: one Lightning module for every model and objective, and `fit`."""

from coset.training.fitting import default_objective, fit
from coset.training.module import Record, SetTraining

__all__ = ["Record", "SetTraining", "default_objective", "fit"]
