"""A folder of pictures, whose names say what they show."""

import hashlib
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pooch
from PIL import Image

from coset.data.sources.source import Source
from coset.errors import ConfigurationError, DataError
from coset.writing import whole

PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Endings of files that a folder of folders is searched for."""

IN_MEMORY = 1 << 29
"""Bytes of pictures up to which they are held in memory unless a cache is named."""

DEEP = ("I", "I;16", "F")
"""Modes of pictures of more than 8 bits a pixel, as Pillow calls them."""

GREY = ("1", "L", "LA", *DEEP)
"""Modes of pictures without colour."""


def read_folder(
    pattern: str | Path,
    size: int | Sequence[int] | None,
    colour: bool | None,
    cache: str | Path | None,
    unreadable: Literal["error", "skip"],
) -> Source:
    """Read pictures, see `FactorTable.from_folder`.

    Raises:
        DataError: As there.
        ConfigurationError: As there.
    """
    if unreadable not in ("error", "skip"):
        raise ConfigurationError(f"unreadable: expected error or skip, got {unreadable!r}")
    files, factors = _find(pattern)
    shape = _shape(files, size, colour, unreadable)
    kept = _cached(files, shape, cache)
    if kept is not None and kept.is_file():
        items = np.load(kept, mmap_mode="r")
        places = range(len(files))
    elif kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole(kept) as partial:
            made = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(files), *shape))
            places = _fill(made, files, size is not None, unreadable)
            made.flush()
            if len(places) < len(files):  # what was skipped is no part of a cache
                del made
                partial.unlink()
                raise DataError(f"{pattern}: files that cannot be read are not kept in a cache; remove them first")
        items = np.load(kept, mmap_mode="r")
    else:
        items = np.empty((len(files), *shape), np.uint8)
        places = _fill(items, files, size is not None, unreadable)
        items = items[: len(places)]
    return Source(items, {name: [values[place] for place in places] for name, values in factors.items()})


def _find(pattern: str | Path) -> tuple[list[Path], dict[str, list]]:
    """Files that match, in alphabetical order, and what their names say.

    Raises:
        DataError: None does.
    """
    text = str(pattern)
    if Path(text).is_dir() and "{" not in text:
        text = f"{text.rstrip('/')}/{{label}}/*"
        ending = "|".join(re.escape(end) for end in PICTURES)
        form, root = re.compile(rf"(?P<label>[^/]+)/[^/]*(?:{ending})", re.IGNORECASE), Path(str(pattern))
    else:
        parts = Path(text).parts
        fixed = next((index for index, part in enumerate(parts) if re.search(r"[{*]", part)), len(parts) - 1)
        root, form = Path(*parts[:fixed]), _form("/".join(parts[fixed:]))
    if not root.is_dir():
        raise DataError(f"{pattern}: there is no folder {root}")
    found = sorted(file for file in root.rglob("*") if file.is_file())
    matches = [(file, match) for file in found if (match := form.fullmatch(file.relative_to(root).as_posix()))]
    if not matches:
        example = f"{len(found)} files, such as {found[0].relative_to(root).as_posix()}" if found else "no file at all"
        raise DataError(f"{pattern}: nothing in {root} matches {text!r}; it holds {example}")
    names = form.groupindex
    return [file for file, _ in matches], {name: _read([match[name] for _, match in matches]) for name in names}


def _form(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern with `{factor}` and `*`; a factor that comes twice is the same twice."""
    found, seen = "", set()
    for word in re.split(r"(\{\w*\}|\*)", pattern):
        name = word[1:-1] if word[:1] == "{" else None
        if name is not None and not name.isidentifier():
            raise DataError(f"{pattern}: expected the name of a factor in braces, got {word!r}")
        if name is None:
            found += "[^/]*" if word == "*" else re.escape(word)
        else:
            found += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)"
            seen.add(name)
    return re.compile(found)


def _read(values: list[str]) -> list:
    """Words, or whole numbers where all are written as such, and none in two ways."""
    if not all(re.fullmatch(r"-?\d+", value) for value in values):
        return values
    numbers = [int(value) for value in values]
    return numbers if len(set(numbers)) == len(set(values)) else values


def _shape(
    files: Sequence[Path], size: int | Sequence[int] | None, colour: bool | None, unreadable: str
) -> tuple[int, ...]:
    """Shape of an item, from the options or the first picture that can be read."""
    first = next(_opened(files, unreadable), None)
    if first is None:
        raise DataError(f"{files[0].parent}: none of {len(files)} files can be read as a picture")
    _, _, picture = first
    sides = (picture.height, picture.width) if size is None else (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise ConfigurationError(f"size: expected [height, width] or the side of a square, got {size!r}")
    return (3, *sides) if (picture.mode not in GREY if colour is None else colour) else sides


def _opened(files: Sequence[Path], unreadable: str) -> Iterator[tuple[int, Path, Image.Image]]:
    """Each picture with its place, decoded; files that are none are refused or left out."""
    for place, file in enumerate(files):
        try:
            with Image.open(file) as picture:
                picture.load()
                yield place, file, picture
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as reason:
            if unreadable == "error":
                raise DataError(
                    f"{file}: cannot be read as a picture ({reason}); remove it, or say unreadable='skip'"
                ) from reason


def _fill(items: np.ndarray, files: Sequence[Path], resize: bool, unreadable: str) -> list[int]:
    """Write pictures one after another, and return the places of those that could be read."""
    *channels, height, width = items.shape[1:]
    places: list[int] = []
    for place, file, picture in _opened(files, unreadable):
        if (picture.height, picture.width) != (height, width):
            if not resize:
                raise DataError(
                    f"{file}: is {picture.height} x {picture.width}, but {files[0]} is {height} x {width}; give size="
                    "[height, width] to resize all"
                )
            picture = _in_bytes(str(file), picture, bool(channels)).resize((width, height), Image.Resampling.LANCZOS)
        items[len(places)] = as_item(str(file), picture, bool(channels))
        places.append(place)
    if len(places) < len(files):
        lost = sorted({*range(len(files))} - {*places})
        warnings.warn(
            f"{len(lost)} of {len(files)} files cannot be read as pictures and are left out, such as {files[lost[0]]}",
            stacklevel=2,
        )
    return places


def as_item(where: str, picture: Image.Image, colour: bool) -> np.ndarray:
    """Bytes of a picture, `[height, width]`, or `[3, height, width]` in colour.

    Raises:
        DataError: It has more than 8 bits a pixel.
    """
    array = np.asarray(_in_bytes(where, picture, colour))
    return array.transpose(2, 0, 1) if colour else array


def _in_bytes(where: str, picture: Image.Image, colour: bool) -> Image.Image:
    if picture.mode in DEEP:
        raise DataError(f"{where}: more than 8 bits a pixel; scale the pictures to bytes, or give an array of them")
    return picture.convert("RGB" if colour else "L")


def _cached(files: Sequence[Path], shape: Sequence[int], cache: str | Path | None) -> Path | None:
    """The memory map of these pictures, whose name changes with any of them; None where they fit in memory."""
    if cache is None and len(files) * int(np.prod(shape)) <= IN_MEMORY:
        return None
    states = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    name = hashlib.sha256(repr((states, tuple(shape))).encode()).hexdigest()[:16]
    return Path(pooch.os_cache("coset") / "pictures" if cache is None else cache) / f"{name}.npy"
