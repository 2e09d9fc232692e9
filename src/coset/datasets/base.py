"""What every published data set is, and how those that a folder holds are listed."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from coset.data.files import fetch as fetch_file
from coset.data.files import folders
from coset.data.table import FactorTable
from coset.discovery import classes, left_out
from coset.errors import ConfigurationError, nearest

PACKAGE = "coset.datasets"


class DataSet(ABC):
    """A published data set: where it comes from, its files, and its tables.

    Subclasses are frozen dataclasses, whose arguments say how the data are made; their docstrings state the factors and
    their units.

    Attributes:
        name: on the command line, and in `coset data fetch NAME`.
        source: who made the data, and their licence.
        files: what has to be on this machine.
        variants: arguments of each data set that the class stands for.
    """

    name: Any
    source: Any
    files: Any
    variants: ClassVar[Sequence[Mapping[str, Any]]] = ({},)

    @abstractmethod
    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test."""


def known_data_sets() -> dict[str, DataSet]:
    """Every data set that can be built without arguments but its variants, by its name."""
    found = [
        made(**variant)
        for made in classes(PACKAGE, DataSet).values()
        if not required_arguments(made)
        for variant in made.variants  # type: ignore[attr-defined]
    ]
    return {each.name: each for each in sorted(found, key=lambda each: each.name)}


def required_arguments(made: Any) -> list[str]:
    """Arguments of a data set that have no default, such as the path of a user's file."""
    return [name for name, part in inspect.signature(made).parameters.items() if part.default is part.empty]


def listing() -> list[str]:
    """Where files are looked for, and a line for each data set: name, whether its files are here, and source.

    Then come classes that need arguments, and files that are left out for lack of a library.
    """
    lines = ["looked for in: " + ", ".join(str(folder) for folder in folders()) + "   (set COSET_DATA to change)"]
    for label, each in known_data_sets().items():
        there = all(any((folder / file.path).is_file() for folder in folders()) for file in each.files)
        lines.append(f"{label:<24} {'here   ' if there else 'missing'}  {each.source}")
    for label, made in sorted(classes(PACKAGE, DataSet).items()):
        if needed := required_arguments(made):
            about = (made.__doc__ or "").splitlines()[0]
            lines.append(f"{label:<24} needs: {', '.join(needed)}; {about}")
    lines += [
        f"{module:<24} left out: needs {library}, which is not installed" for module, library in left_out(PACKAGE)
    ]
    return lines


def fetch(name: str) -> list[Path]:
    """Where the files of a data set lie, after downloading those that are missing.

    Raises:
        ConfigurationError: There is no data set of this name.
        DataFileError: A download fails, or has another content.
    """
    known = known_data_sets()
    if name not in known:
        raise ConfigurationError(f"data fetch: no data set {name!r}; {nearest(name, known)}")
    return [fetch_file(file) for file in known[name].files]
