"""Files written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(target: str | Path) -> Iterator[Path]:
    """Somewhere to write a file beside its target, whose place it takes once it is complete and on the disk.

    Whatever goes wrong before, the target stays as it was and nothing else is left.

    Raises:
        OSError: The disk is full, or the folder may not be written to; it names the target.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "made" / "words.txt"
    >>> with whole(target) as partial:
    ...     _ = partial.write_text("all of them")
    >>> target.read_text(), [path.name for path in target.parent.iterdir()]
    ('all of them', ['words.txt'])
    """
    target = Path(target)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")  # others may write the same
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as reason:  # which names whatever file it was about
        raise OSError(reason.errno, reason.strerror or str(reason), str(target)) from reason
    finally:
        partial.unlink(missing_ok=True)
