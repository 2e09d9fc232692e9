"""Models: each a pair of probabilistic programs, `infer` and `generate`, one file a model."""

from coset.models.base import Model, load
from coset.models.context_aware import ContextAwareLearner

__all__ = ["ContextAwareLearner", "Model", "load"]
