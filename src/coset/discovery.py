"""Finding what a folder of the package holds, so that a new file is all that a new thing takes.

Models, objectives, data sets, metrics and experiments are not listed anywhere: a package is asked for what its files
define. A file whose optional library is missing is left out, and says so when something of it is asked for by name.
"""

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from coset.errors import ConfigurationError, nearest


def file_names(package: str) -> list[str]:
    """Names of the files of a package such as `coset.data`, found without importing any of it."""
    specification = importlib.util.find_spec(package)
    folders = (specification.submodule_search_locations if specification else None) or []
    return sorted(found.name for found in pkgutil.iter_modules(folders) if not found.ispkg)


def classes(package: str, base: type = object) -> dict[str, type]:
    """Public, concrete classes that the files of a package, or a module, define, by name.

    Args:
        package: dotted name, such as `coset.models`.
        base: only its subclasses; every class by default.

    >>> sorted(classes("coset.shapes")), "VAE" in classes("coset.models")
    ([], True)
    """
    return dict(_members(package, lambda found: inspect.isclass(found) and issubclass(found, base)))


def functions(package: str) -> dict[str, Any]:
    """Public functions that the files of a package, or a module, define, by name."""
    return dict(_members(package, inspect.isfunction))


def find(package: str, name: str, base: type = object) -> Any:
    """The public class or function of this name in the files of a package.

    Raises:
        ConfigurationError: nothing is called so; says what is, and which files were left out for lack of a library.
    """
    known = classes(package, base) | (functions(package) if base is object else {})
    if name in known:
        return known[name]
    missing = "".join(f"; {module} needs {library}, which is not installed" for module, library in left_out(package))
    raise ConfigurationError(f"nothing in {package} is called {name!r}; {nearest(str(name), sorted(known))}{missing}")


def left_out(package: str) -> list[tuple[str, str]]:
    """Files of a package that cannot be imported here, and the library that each lacks."""
    found = []
    for name in file_names(package):
        module = f"{package}.{name}"
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as reason:
            if (reason.name or "").partition(".")[0] == "coset":
                raise
            found.append((module, str(reason.name)))
    return found


def _modules(package: str) -> Iterator[ModuleType]:
    top = importlib.import_module(package)
    yield top
    if hasattr(top, "__path__"):
        absent = {module for module, _ in left_out(package)}
        for name in file_names(package):
            if f"{package}.{name}" not in absent:
                yield importlib.import_module(f"{package}.{name}")


def _members(package: str, wanted: Any) -> Iterator[tuple[str, Any]]:
    for module in _modules(package):
        for name, found in inspect.getmembers(module, wanted):
            if found.__module__ == module.__name__ and not name.startswith("_") and not inspect.isabstract(found):
                yield name, found
