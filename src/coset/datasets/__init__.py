"""Published data sets, one file each: name, source, licence, files, and `load_splits`."""

from importlib import import_module
from typing import Any

from coset.discovery import class_names, file_names, find_class


def __getattr__(name: str) -> Any:
    """Import a file, or the file that defines a data set, when it is first asked for."""
    if name in file_names(__name__):
        return import_module(f"{__name__}.{name}")
    if name in class_names(__name__):
        return find_class(name, __name__)
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}; its files are {', '.join(file_names(__name__))}"
    )
