"""The exceptions that users see.

Each says where it happened, what was expected, what came, and how to mend it. All derive from `CosetError`, and from
the built-in that a caller would naturally catch.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class CosetError(Exception):
    """Anything that coset refuses to do, with the reason and the mend."""


class DataError(CosetError, ValueError):
    """Items, factors or sets that cannot be used as they are."""


class DataFileError(CosetError, OSError):
    """A data file that is missing, truncated or corrupt."""


class ShapeError(CosetError, ValueError):
    """A tensor whose axes differ from what a site or a model expects."""


class TraceError(CosetError, LookupError):
    """A site that is unknown, visited twice, or never visited."""


class ConfigurationError(CosetError, ValueError):
    """An unknown recipe, option, or combination of options."""


class CheckpointError(CosetError, ValueError):
    """A saved model or run that does not fit this version or this model."""


class NonFiniteError(CosetError, ArithmeticError):
    """A term of the bound became NaN or infinite during training."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known names there are, and which one was probably meant.

    >>> nearest("rotaton", ["digit", "rotation"])
    "there are: 'digit', 'rotation'; did you mean 'rotation'?"
    """
    known = [str(other) for other in known]
    listing = "there are: " + (", ".join(repr(other) for other in known) or "none")
    close = get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"{listing}; did you mean {close[0]!r}?" if close else listing
