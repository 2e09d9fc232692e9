"""coset: learn what a collection of data sets has in common, and recombine it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from coset.discovery import class_names

__version__ = "0.1.0"

# Imported when first asked for, so that `import coset` and `coset --help` take no time. Every model is here besides.
_HOMES = {
    "CosetError": "coset.errors",
    "FactorTable": "coset.data",
    "SetBatch": "coset.batch",
    "SetCollection": "coset.data",
    "SetSampler": "coset.data",
    "Trace": "coset.trace",
    "choose_by_combinations": "coset.training",
    "fit": "coset.training",
    "load": "coset.models",
}
_PARTS = ("data", "datasets", "distributions", "metrics", "models", "networks", "objectives", "plots")

if TYPE_CHECKING:
    from coset.batch import SetBatch as SetBatch
    from coset.data import FactorTable as FactorTable
    from coset.data import SetCollection as SetCollection
    from coset.data import SetSampler as SetSampler
    from coset.errors import CosetError as CosetError
    from coset.models.saving import load as load
    from coset.trace import Trace as Trace
    from coset.training import choose_by_combinations as choose_by_combinations
    from coset.training import fit as fit


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _PARTS:
        return import_module(f"coset.{name}")
    if name in class_names("coset.models", base="Model"):
        return getattr(import_module("coset.models"), name)
    raise AttributeError(f"module 'coset' has no attribute {name!r}; it has {', '.join(__dir__())}")


def __dir__() -> list[str]:
    return sorted([*_HOMES, *_PARTS, *class_names("coset.models", base="Model")])
