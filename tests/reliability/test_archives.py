"""Archives from strangers: none fills the memory, and none ends in a raw error."""

import gzip
import tarfile
import zipfile

import pytest

from coset.data import files
from coset.data.files import read_members
from coset.errors import DataFileError

pytestmark = pytest.mark.usefixtures("single")


def test_archives_that_would_fill_the_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("large.pgm", bytes(10_000))
    with pytest.raises(DataFileError, match="unpacks to more than"):
        list(read_members(tmp_path / "bomb.zip", lambda name: True, "fetch it again"))
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(10_000)))
    with pytest.raises(DataFileError, match="holds more than"):
        files._content(tmp_path / "bomb.gz")


def test_encrypted_and_oddly_packed_archives_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.pgm", b"P5")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for flag, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(flag) + place] |= 1  # says that it is encrypted
    (tmp_path / "locked.zip").write_bytes(content)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for flag, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(flag) + place] = 99  # a way of compressing that nobody knows
    (tmp_path / "odd.zip").write_bytes(content)
    for name in ("locked.zip", "odd.zip"):
        with pytest.raises(DataFileError, match="truncated or corrupt"):
            list(read_members(tmp_path / name, lambda name: True, "fetch it again"))


def test_links_in_archives_are_passed_over(tmp_path):
    with tarfile.open(tmp_path / "loop.tar.gz", "w:gz") as archive:
        for name, target in (("a", "b"), ("b", "a"), ("up", "../../etc/passwd")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
    assert list(read_members(tmp_path / "loop.tar.gz", lambda name: True, "fetch it again")) == []
