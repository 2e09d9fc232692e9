"""Training: one Lightning module for every model and objective, and `fit`."""

from coset.training.choosing import Choice, choose_by_combinations
from coset.training.fitting import default_objective, fit
from coset.training.module import Record, SetTraining

__all__ = ["Choice", "Record", "SetTraining", "choose_by_combinations", "default_objective", "fit"]
