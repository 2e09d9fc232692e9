"""Models: each a pair of probabilistic programs, `infer` and `generate`, one file a model."""

from coset.models.base import Model, load
from coset.models.context_aware import ContextAwareLearner
from coset.models.statistician import NeuralStatistician
from coset.models.vae import VAE

__all__ = ["VAE", "ContextAwareLearner", "Model", "NeuralStatistician", "load"]
