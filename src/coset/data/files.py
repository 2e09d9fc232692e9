"""Where data files lie, how they get there, and how they are read.

A file is looked for in the folder that the environment variable `COSET_DATA` names, then in the user's cache folder.
Nothing is downloaded until it is asked for.
"""

import gzip
import hashlib
import lzma
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pooch

from coset.errors import DataFileError

MOST_BYTES = 1 << 30
"""Bytes that a compressed file is unpacked to at most: larger than any that is published, smaller than memory."""

UNPACKING = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, RuntimeError, UnicodeDecodeError),
)
"""What Python's archives raise of files that are not what they say; with a RuntimeError, or one that is a kind of it,
zipfile refuses a compression or an encryption that it does not know."""

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
        if problem := difference(file, _content(part)):
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
    if problem := difference(file, content):
        raise DataFileError(f"{path} is not the file that was published: {problem}; {_again(file)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_members(path: Path, wanted: Callable[[str], bool], again: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of the wanted files in a zip archive, or in a tar archive compressed by gzip.

    Nothing is written to disk, links are passed over, and no member is unpacked beyond `MOST_BYTES`.

    Args:
        path: of the archive.
        wanted: tells by its name whether a member is.
        again: how the file is fetched again, for errors.

    Raises:
        DataFileError: It is truncated, corrupt, encrypted, compressed in a way that Python does not know, or too large.
    """
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for name in filter(wanted, archive.namelist()):
                    with archive.open(name) as file:
                        yield name, _bounded(file, path, name, again)
        else:
            with tarfile.open(path, "r:gz") as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.isfile() and wanted(member.name) else None
                    if file is not None:
                        yield member.name, _bounded(file, path, member.name, again)
    except UNPACKING as error:
        raise DataFileError(
            f"{path} is truncated or corrupt: its {path.stat().st_size} bytes cannot be unpacked ({error}); {again}"
        ) from error


def _bounded(file: IO[bytes], path: Path, name: str, again: str) -> bytes:
    content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataFileError(
            f"{path}: {name} unpacks to more than {MOST_BYTES >> 20} MiB, which no published data set does; {again}"
        )
    return content


def _content(path: Path) -> bytes:
    """The bytes of a file, decompressed if it is called `.gz`; of a truncated one as many as there are."""
    content = path.read_bytes()
    if ".gz" not in path.suffixes:
        return content
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: in gzip's wrapping
        whole = unpacker.decompress(content, MOST_BYTES)
        if unpacker.unconsumed_tail:
            raise DataFileError(
                f"{path} holds more than {MOST_BYTES >> 20} MiB in {len(content)} bytes, which no published data set "
                "does; delete it and fetch it again"
            )
        return whole
    except zlib.error as error:
        raise DataFileError(
            f"{path} is corrupt: its {len(content)} bytes cannot be decompressed ({error}); delete it and fetch it "
            "again"
        ) from error


def difference(file: DataFile, content: bytes) -> str | None:
    """What is wrong with the content of a file, which may have a published checksum; None if nothing is."""
    if content[:100].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "its content is a web page; open the address in a browser, and put the file there by hand"
    found = hashlib.sha256(content).hexdigest()
    if file.sha256 in (None, found):
        return None
    return f"its content, {len(content)} bytes, should have SHA-256 {file.sha256}, but has {found}"


def _again(file: DataFile) -> str:
    return f"delete it and run `coset data fetch {file.data_set}`"
