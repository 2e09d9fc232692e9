"""Finding what a folder of the package holds, so that a new file is all that a new thing takes.

Models, objectives, data sets, metrics and experiments are not listed anywhere: a package is asked for what its files
define. A file whose optional library is missing is left out, and says so when something of it is asked for by name.
"""

import functools
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from coset.errors import ConfigurationError, nearest


def file_names(package: str) -> list[str]:
    """Names of the files of a package such as `coset.data`, found without importing any of it."""
    return sorted(found.name for found in pkgutil.iter_modules(_folders(package)) if not found.ispkg)


def class_names(package: str, base: str = "") -> list[str]:
    """Names of public classes that the files of a package define, found without importing any of it.

    Args:
        package: dotted name, such as `coset.models`.
        base: the last class that they inherit from, as it is written there; any where it is empty.
    """
    inherits = rf"\((?:.*[ ,(])?{base}\)" if base else ""
    return sorted(_defined(package, rf"^class ([A-Za-z]\w*){inherits}"))


def public_homes(package: str) -> dict[str, str]:
    """Name of each public class and function of a package → the file that defines it, found without importing any.

    >>> public_homes("coset.metrics")["mutual_information_gap"]
    'mig'
    """
    return _defined(package, r"^(?:class|def) ([A-Za-z]\w*)")


def _defined(package: str, pattern: str) -> dict[str, str]:
    files = (file for folder in _folders(package) for file in Path(folder).glob("*.py"))
    return {name: file.stem for file in files for name in _found(file, pattern)}


@functools.cache  # whatever looks into `coset` asks for all of them
def _found(file: Path, pattern: str) -> list[str]:
    return re.findall(pattern, file.read_text("utf-8"), re.MULTILINE)


def public(package: str) -> dict[str, Any]:
    """What a package offers: classes, abstract ones too, and functions that its files define, by name.

    Its `__init__.py` says `globals().update(public(__name__))`. A file that is called like a function in it gives way.

    >>> sorted(public("coset.objectives"))[:3]
    ['AggregatePosterior', 'Annealed', 'AuxiliaryVariable']
    """
    return {
        name: found
        for module in _modules(package)
        for name, found in vars(module).items()
        if (inspect.isclass(found) or inspect.isfunction(found))
        and found.__module__ == module.__name__
        and not name.startswith("_")
    }


def classes(package: str, base: type = object) -> dict[str, type]:
    """Public, concrete classes that the files of a package, or a module, define, by name.

    Args:
        package: dotted name, such as `coset.models`.
        base: only its subclasses; every class by default.

    >>> sorted(classes("coset.shapes")), "VAE" in classes("coset.models")
    ([], True)
    """
    return {
        name: found
        for name, found in sorted(public(package).items())
        if inspect.isclass(found) and issubclass(found, base) and not inspect.isabstract(found)
    }


def find_class(name: str, *packages: str) -> Any:
    """The public, concrete class of this name in the files of some packages.

    Raises:
        ConfigurationError: None is called so; says what there is, and which files lack a library.
    """
    known = {found: made for package in reversed(packages) for found, made in classes(package).items()}
    if name in known:
        return known[name]
    absent = [part for package in packages for part in left_out(package)]
    missing = "".join(f"; {module} needs {library}, which is not installed" for module, library in absent)
    raise ConfigurationError(f"nothing is called {name!r}; {nearest(str(name), sorted(known))}{missing}")


def find_named(given: Any, package: str, base: type, what: str) -> tuple[Any, dict[str, Any]]:
    """The class, and the options, of what is given by its name, or as `{"class": NAME, option: value}`.

    Args:
        given: capitals and hyphens in the name don't count.
        package: whose files define it, such as `coset.networks.actions`.
        base: of all that is meant.
        what: how errors call it.

    Raises:
        ConfigurationError: Nothing is called so.

    >>> from coset.networks.transforms.base import Transform
    >>> find_named({"class": "patch-shuffle", "side": 2}, "coset.networks.transforms", Transform, "transform")
    (<class 'coset.networks.transforms.patch_shuffle.PatchShuffle'>, {'side': 2})
    """
    options = dict(given) if isinstance(given, Mapping) else {"class": given}
    name = str(options.pop("class", ""))
    known = {found.lower(): made for found, made in classes(package, base).items()}
    if (key := name.lower().replace("-", "")) not in known:
        words = sorted(hyphenated(made.__name__) for made in known.values())
        raise ConfigurationError(f"{what}: nothing is called {name!r}; {nearest(name, words)}")
    return known[key], options


def hyphenated(name: str) -> str:
    """The name of a class as users write it.

    >>> hyphenated("NegativeBinomial")
    'negative-binomial'
    """
    return re.sub("(?<!^)(?=[A-Z])", "-", name).lower()


def build(specification: Any, *packages: str) -> Any:
    """Turn `{"class": NAME, option: value, ...}` into an object, and likewise what stands inside of it.

    Args:
        specification: a mapping with `class`, a sequence of such, or anything else, which stays as it is.
        packages: where classes are looked for, in this order.

    Raises:
        ConfigurationError: No class is called so.

    >>> build({"class": "Fixed", "weights": {"z": 2.0}}, "coset.objectives")
    Fixed(weights={'z': 2.0})
    """
    if isinstance(specification, (list, tuple)):
        return [build(part, *packages) for part in specification]
    if not is_specification(specification):
        return specification
    options = {name: build(value, *packages) for name, value in specification.items() if name != "class"}
    return find_class(specification["class"], *packages)(**options)


def is_specification(value: Any) -> bool:
    """Whether a value is a mapping whose `class` names one; a site may be called class too, but is no capitalised word.

    >>> is_specification({"class": "RandomCopies", "angle": 0.3}), is_specification({"class": "plug-in"})
    (True, False)
    """
    name = value.get("class") if isinstance(value, Mapping) else None
    return isinstance(name, str) and name[:1].isupper()


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
    yield importlib.import_module(package)
    absent = {module for module, _ in left_out(package)}
    for name in file_names(package):
        if f"{package}.{name}" not in absent:
            yield sys.modules[f"{package}.{name}"]


def _folders(package: str) -> list[str]:
    """Where the files of a package lie; none for a single file."""
    if package in sys.modules:
        return list(getattr(sys.modules[package], "__path__", []))
    specification = importlib.util.find_spec(package)
    return list((specification.submodule_search_locations if specification else None) or [])
