"""Where data files lie, how they get there, and how they are read.

A file is looked for in the folder that the environment variable `COSET_DATA` names, then in the user's cache folder.
Nothing is downloaded until it is asked for.
"""

import hashlib
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch

from coset.errors import DataFileError

UNSIGNED_BYTE = 0x08  # the one element type of IDX that published image sets use


@dataclass(frozen=True)
class DataFile:
    """A file of a data set.

    Args:
        data_set: Name of the data set, as in `coset data fetch NAME`.
        path: Where it lies below a data folder.
        url: Where it is published.
        sha256: Checksum of the content, of a `.gz` file after decompression, so that a copy which was compressed anew
            is known to be the same; None if the publisher gives no fixed content.
    """

    data_set: str
    path: str
    url: str
    sha256: str | None = None


def folders() -> list[Path]:
    """The folders in which data is looked for, in this order; downloads go to the first.

    >>> folders()[-1] == Path(pooch.os_cache("coset"))
    True
    """
    chosen = os.environ.get("COSET_DATA")
    return [*([Path(chosen).expanduser()] if chosen else []), Path(pooch.os_cache("coset"))]


def locate(file: DataFile) -> Path:
    """Find a file that is on this machine.

    Raises:
        DataFileError: If it is not, naming each place looked at and how to get it.

    >>> locate(DataFile("mnist", "mnist/absent.gz", "https://example.org/absent.gz"))
    Traceback (most recent call last):
    ...
    coset.errors.DataFileError: mnist/absent.gz is not there; ...
    """
    places = [folder / file.path for folder in folders()]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise DataFileError(
        f"{file.path} is not there; looked for {looked}. Get it from {file.url} with `coset data fetch "
        f"{file.data_set}`, or set COSET_DATA to a folder that has it"
    )


def fetch(file: DataFile) -> Path:
    """Return where a file lies, after downloading it to the first of `folders()` if it is missing.

    Raises:
        DataFileError: If the download fails or has another checksum; nothing is left behind then.
    """
    for folder in folders():
        if (folder / file.path).is_file():
            return folder / file.path
    target = folders()[0] / file.path
    part = target.with_name(target.name + ".part")
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # pooch would advise to write its checksum, of the compressed file, into the code
    try:
        pooch.retrieve(file.url, known_hash=None, fname=part.name, path=part.parent, progressbar=sys.stderr.isatty())
        # Only a file with the right content gets its name, so that no other is ever taken for data.
        if problem := _difference(file, _content(part)):
            raise DataFileError(problem)
        part.replace(target)
    except OSError as error:
        raise DataFileError(
            f"{file.url} could not be fetched to {target}: {error}. Try again, or put the file there by other means; "
            "COSET_DATA chooses another folder"
        ) from error
    finally:
        logger.setLevel(level)
        part.unlink(missing_ok=True)
    return target


def read_idx(file: DataFile) -> np.ndarray:
    """Read an array of unsigned bytes in the IDX format, in which MNIST and its successors are published.

    The format: two zero bytes, the element type, the number of axes, each axis as a big-endian 32-bit number, and then
    the elements, the last axis fastest. The array cannot be written to, as it is the file's content itself.

    Raises:
        DataFileError: If the file is missing, truncated, corrupt, not IDX, or not the one published.
    """
    path = locate(file)
    content = _content(path)
    if len(content) < 4 or content[:3] != bytes([0, 0, UNSIGNED_BYTE]):
        raise DataFileError(
            f"{path} is not an IDX file of unsigned bytes: it should begin with 00 00 08, but begins with "
            f"{content[:3].hex(' ') or 'nothing'}; {_again(file)}"
        )
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    expected = start + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise DataFileError(
            f"{path} is {'truncated' if len(content) < expected else 'too long'}: its header speaks of an array "
            f"{shape}, that is {expected} bytes, but there are {len(content)}; {_again(file)}"
        )
    if problem := _difference(file, content):
        raise DataFileError(f"{path} is not the file that was published: {problem}; {_again(file)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _content(path: Path) -> bytes:
    """The bytes of a file, decompressed if it is called `.gz`; of a truncated one as many as there are."""
    content = path.read_bytes()
    if ".gz" not in path.suffixes:
        return content
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(content)  # 16: in gzip's wrapping
    except zlib.error as error:
        raise DataFileError(
            f"{path} is corrupt: its {len(content)} bytes cannot be decompressed ({error}); delete it and fetch it "
            "again"
        ) from error


def _difference(file: DataFile, content: bytes) -> str | None:
    found = hashlib.sha256(content).hexdigest()
    if file.sha256 in (None, found):
        return None
    return f"its content, {len(content)} bytes, should have SHA-256 {file.sha256}, but has {found}"


def _again(file: DataFile) -> str:
    return f"delete it and run `coset data fetch {file.data_set}`"
