"""What every kind of source gives, and how it reads what it is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from coset.errors import ConfigurationError, DataError, nearest


@dataclass(frozen=True)
class Source:
    """What a table is made of: items `[n, ...]`, factors by name `[n]`, and names of an item's numbers."""

    items: Any
    factors: Mapping[str, Any]
    feature_names: Sequence[str] = field(default=())


def chosen(where: str, names: str | Sequence[str] | None, known: Sequence[str], otherwise: Sequence[str]) -> list[str]:
    """Columns that are asked for, or those that are meant where none are.

    Raises:
        DataError: One is not there.
    """
    if names is None:
        return list(otherwise)
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in known:
            raise DataError(f"{where}: there is no column {name!r}; {nearest(str(name), known)}")
    return wanted


def needed(library: str, extra: str, what: str) -> ConfigurationError:
    """The error of a library that is not installed."""
    return ConfigurationError(f"{what} takes {library}, which is not installed: pip install 'coset[{extra}]'")
