"""How a command begins and ends: what it writes to, what it prints, and with which status it leaves."""

import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from coset.errors import ConfigurationError

KEPT = 1 << 30
"""Bytes up to which an array's memory is kept when it is freed."""


class Terminated(BaseException):
    """The process was asked to end (SIGTERM)."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: what was begun is left in order, and the exit status tells."""

    def end(*_: Any) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def keep_memory() -> bool:
    """Let glibc keep the memory of freed arrays for the next ones, instead of giving it back and asking for it again.

    What comes from the system has to be filled with zeros first, which costs small networks a tenth of each step
    (`benchmarks/allocator.py`). A command may decide that, for its process is its own; in a process of yours, set
    `MALLOC_MMAP_THRESHOLD_` and `MALLOC_TRIM_THRESHOLD_` before Python starts. Returns whether it was done: not with
    another library than glibc, nor where either variable is set.
    """
    if {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & os.environ.keys():
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    trim_threshold, mmap_threshold = -1, -3  # as malloc.h numbers them
    return bool(mallopt(mmap_threshold, KEPT) and mallopt(trim_threshold, KEPT))


def leave(command: str, status: int, reason: str) -> NoReturn:
    """End a command with a status, and one line that says why."""
    print(f"coset {command}: {' '.join(reason.split())}", file=sys.stderr)
    raise SystemExit(status) from None


def check_output(output: Path, endings: Sequence[str] = (".png", ".npy")) -> None:
    """Refuse what cannot be written, before anything is drawn.

    Raises:
        ConfigurationError: Another kind of file, no file, a link, or in a folder that is not there.
    """
    if output.suffix not in endings:
        raise ConfigurationError(f"--output {output}: expected a name ending in {' or '.join(endings)}")
    if output.exists() and not output.is_file():
        raise ConfigurationError(f"--output {output}: is no file that could be replaced; choose another name")
    if output.is_symlink():
        raise ConfigurationError(f"--output {output}: is a link, which would be replaced; name {output.resolve()}")
    if not output.parent.is_dir():
        raise ConfigurationError(f"--output {output}: there is no folder {output.parent}; make it first")


def needs_contexts(model: Any, fits: bool, reason: str) -> None:
    """Refuse a question that a model cannot answer for its contexts.

    Raises:
        ConfigurationError: It does not fit.
    """
    if not fits:
        names = ", ".join(model.contexts) or "none"
        raise ConfigurationError(f"{type(model).__name__} has the contexts: {names}; {reason}")


def print_json(figures: Any) -> None:
    """Print one JSON object."""
    print(json.dumps(figures))


@contextlib.contextmanager
def quiet_stdout(quiet: bool) -> Any:
    """Send what libraries print to standard error, so that standard output holds the JSON object alone."""
    with contextlib.redirect_stdout(sys.stderr) if quiet else contextlib.nullcontext():
        yield
