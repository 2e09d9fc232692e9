"""Ten things that others will need, each met by one new small file and no edit elsewhere."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Drop = Callable[[str, str, str], None]


@pytest.fixture
def drop(tmp_path: Path) -> Iterator[Drop]:
    """Drop a file into the folder of a package, as if somebody had written it there, and take it out afterwards."""
    dropped: list[tuple[str, str, str]] = []

    def into(package: str, name: str, text: str) -> None:
        folder = tmp_path / package
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        home = importlib.import_module(package)
        if str(folder) not in home.__path__:
            home.__path__.append(str(folder))
        dropped.append((package, str(folder), name.partition(".")[0]))
        importlib.invalidate_caches()

    yield into
    for package, folder, name in dropped:
        home = sys.modules[package]
        if folder in home.__path__:
            home.__path__.remove(folder)
        sys.modules.pop(f"{package}.{name}", None)
        vars(home).pop(name, None)
