"""Models: each a pair of probabilistic programs, `infer` and `generate`, one file a model."""

from coset.models.base import Model, load
from coset.models.class_style import ClassStyle
from coset.models.context_aware import ContextAwareLearner
from coset.models.faces import IntrinsicFaces
from coset.models.multi_digit import MultiDigit
from coset.models.statistician import NeuralStatistician
from coset.models.vae import VAE

__all__ = [
    "VAE",
    "ClassStyle",
    "ContextAwareLearner",
    "IntrinsicFaces",
    "Model",
    "MultiDigit",
    "NeuralStatistician",
    "load",
]
