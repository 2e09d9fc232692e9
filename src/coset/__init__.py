"""coset: learn what a collection of data sets has in common, and recombine it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from coset import data, metrics, models, networks, objectives, plots
    from coset.data import FactorTable, SetBatch, SetCollection, SetSampler
    from coset.errors import CosetError
    from coset.models import VAE, ClassStyle, ContextAwareLearner, IntrinsicFaces, MultiDigit, NeuralStatistician, load
    from coset.trace import Trace
    from coset.training import fit

# Imported when first asked for, so that `import coset` and `coset --help` take no time.
_HOMES = {
    "ClassStyle": "coset.models",
    "ContextAwareLearner": "coset.models",
    "CosetError": "coset.errors",
    "FactorTable": "coset.data",
    "IntrinsicFaces": "coset.models",
    "MultiDigit": "coset.models",
    "NeuralStatistician": "coset.models",
    "SetBatch": "coset.data",
    "SetCollection": "coset.data",
    "SetSampler": "coset.data",
    "Trace": "coset.trace",
    "VAE": "coset.models",
    "fit": "coset.training",
    "load": "coset.models",
}
__all__ = [
    "VAE",
    "ClassStyle",
    "ContextAwareLearner",
    "CosetError",
    "FactorTable",
    "IntrinsicFaces",
    "MultiDigit",
    "NeuralStatistician",
    "SetBatch",
    "SetCollection",
    "SetSampler",
    "Trace",
    "data",
    "fit",
    "load",
    "metrics",
    "models",
    "networks",
    "objectives",
    "plots",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"coset.{name}")
    raise AttributeError(f"module 'coset' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
