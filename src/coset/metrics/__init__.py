"""Figures that judge models, and codes against known factors."""

from importlib import import_module
from typing import Any

from coset.discovery import public_homes
from coset.errors import nearest


# A new file is exported without being listed, and imported when it is first asked for: metrics bring scikit-learn and
# scipy.stats, which take longer to import than a small model takes to train.
def __getattr__(name: str) -> Any:
    homes = public_homes(__name__)
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {nearest(name, sorted(homes))}")
    return getattr(import_module(f"{__name__}.{homes[name]}"), name)


def __dir__() -> list[str]:
    return sorted(public_homes(__name__))
