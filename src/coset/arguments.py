"""Arguments held against their annotations, so that a wrong one is named before it does anything."""

import functools
import inspect
import math
import operator
import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from coset.errors import ConfigurationError, nearest

Function = TypeVar("Function", bound=Callable[..., Any])


def checked(function: Function) -> Function:
    """Hold the arguments of each call against the annotations of a function.

    >>> @checked
    ... def repeat(word: str, times: int = 2) -> str:
    ...     return word * times
    >>> repeat("ab", times=2.5)
    Traceback (most recent call last):
    ...
    coset.errors.ConfigurationError: repeat: times: expected a whole number, got 2.5 (float)
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        check_arguments(function.__name__, function, signature.bind(*args, **options).arguments)
        return function(*args, **options)

    return run  # type: ignore[return-value]


def check_arguments(where: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that are not what a function's annotations say.

    Whole numbers may be NumPy's or torch's, numbers must be finite, words are not taken for sequences of letters. What
    is annotated otherwise is the function's own affair.

    Args:
        where: how errors call the function.
        function: which has the annotations.
        arguments: by name.

    Raises:
        ConfigurationError: Names the argument, what was expected and what came.
    """
    hints = _hints(function)
    for name, value in arguments.items():
        if name in hints and (wrong := _expected(hints[name], value)):
            shown = repr(value) if len(repr(value)) < 80 else f"{repr(value)[:80]}…"
            raise ConfigurationError(f"{where}: {name}: expected {wrong}, got {shown} ({type(value).__name__})")


def check_names(where: str, function: Callable[..., Any], names: Sequence[str]) -> None:
    """Refuse keywords that a function does not have.

    Raises:
        ConfigurationError: With the nearest one.
    """
    parameters = inspect.signature(function).parameters
    if any(part.kind is part.VAR_KEYWORD for part in parameters.values()):
        return
    known = [name for name in parameters if name != "self"]
    for name in names:
        if name not in known:
            raise ConfigurationError(f"{where}: no option is called {name!r}; {nearest(name, known)}")


def check_memory(what: str, numbers: float) -> None:
    """Refuse to make more numbers than this machine has memory for, which would end the process.

    Raises:
        ConfigurationError: Says how much it would take.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 4 * numbers > memory:
        raise ConfigurationError(
            f"{what}: would take {4 * numbers / 2**30:.3g} GiB in single precision, this machine has "
            f"{memory / 2**30:.3g}; ask for fewer at a time"
        )


@functools.cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except Exception:  # an annotation may name what only type checkers import
        return {}


def _expected(hint: Any, value: Any) -> str | None:
    """What an annotation asks for, if a value is something else."""
    if get_origin(hint) in (Union, types.UnionType):
        wrong = [_expected(part, value) for part in get_args(hint)]
        said = [text for text in wrong if text]
        return None if len(said) < len(wrong) else " or ".join(said)
    if hint is type(None):
        return None if value is None else "None"
    if hint is bool:
        zero = getattr(value, "ndim", None) == 0 and str(value.dtype) in ("bool", "torch.bool")
        return None if zero or isinstance(value, bool) else "True or False"
    if hint is int:
        return None if is_whole(value) else "a whole number"
    if hint is float:
        return None if _is_number(value) else "a finite number"
    if hint is Path:
        return None if isinstance(value, os.PathLike) else "a path"
    if get_origin(hint) is Mapping:
        return None if isinstance(value, Mapping) else "options by name"
    if hint is str:
        return None if isinstance(value, str) else "a word"
    if get_origin(hint) is Literal:
        known = isinstance(value, str | int | None) and value in get_args(hint)
        return None if known else f"one of {get_args(hint)}"
    if get_origin(hint) is Iterable:
        return None if isinstance(value, Iterable) else "several of them"
    if get_origin(hint) is Sequence and get_args(hint) in ((int,), (float,), (str,)):
        kind = get_args(hint)[0]
        plain = not isinstance(value, str) and hasattr(value, "__len__") and not isinstance(value, Mapping)
        if plain and not any(_expected(kind, part) for part in value):
            return None
        return {int: "a list of whole numbers", float: "a list of numbers", str: "a list of words"}[kind]
    return None


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, of Python, NumPy or torch; True and False are none."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    if isinstance(value, str | bytes | bool):
        return False
    try:
        return math.isfinite(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return False
