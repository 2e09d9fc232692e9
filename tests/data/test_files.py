import gzip
import hashlib
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pooch
import pytest

from coset.data.files import DataFile, fetch, folders, locate, read_idx
from coset.errors import DataFileError

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + ARRAY.tobytes()
FILE = DataFile("tiny", "tiny/images.gz", "http://127.0.0.1:1/images.gz", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A chosen folder and a user's cache, both empty, and no proxy on the way to this machine."""
    monkeypatch.setenv("COSET_DATA", str(tmp_path / "chosen"))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


def put(folder, content, path=FILE.path):
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


@pytest.fixture
def published(tmp_path):
    """A folder and the address under which it is served."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    folder = tmp_path / "published"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_chosen_folder_comes_before_the_cache(places):
    cached = put(places / "cache" / "coset", b"cached")
    assert locate(FILE) == cached
    chosen = put(places / "chosen", b"chosen")
    assert locate(FILE) == chosen


def test_without_a_chosen_folder_only_the_cache_is_searched(places, monkeypatch):
    put(places / "chosen", b"chosen")
    monkeypatch.delenv("COSET_DATA")
    assert folders() == [places / "cache" / "coset"]
    with pytest.raises(DataFileError, match="is not there"):
        locate(FILE)


def test_missing_file_names_each_place_and_the_mend(places):
    with pytest.raises(DataFileError) as caught:
        locate(FILE)
    for part in (places / "chosen" / FILE.path, places / "cache" / "coset" / FILE.path, FILE.url):
        assert str(part) in str(caught.value)
    assert "`coset data fetch tiny`" in str(caught.value) and "COSET_DATA" in str(caught.value)


def test_idx_is_read_whatever_the_compression(places):
    for content, name in (
        (gzip.compress(CONTENT, 1), "a.gz"),
        (gzip.compress(CONTENT, 9), "b.gz"),
        (CONTENT, "c"),
    ):
        put(places / "chosen", content, name)
        assert np.array_equal(read_idx(replace(FILE, path=name)), ARRAY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(CONTENT, mtime=0)[:-20], "truncated.*that is 40 bytes, but there are"),
        (gzip.compress(CONTENT[:-5], mtime=0), r"truncated.*\[2, 3, 4\], that is 40 bytes, but there are 35"),
        (gzip.compress(CONTENT + b"!", mtime=0), "too long.*40 bytes, but there are 41"),
        (gzip.compress(b"\0\0\x0d" + CONTENT[3:], mtime=0), "should begin with 00 00 08, but begins with 00 00 0d"),
        (gzip.compress(b"PNG" + CONTENT[3:], mtime=0), "not an IDX file"),
        (gzip.compress(CONTENT[:9], mtime=0), "truncated"),
        (gzip.compress(b"", mtime=0), "begins with nothing"),
        (b"", "begins with nothing"),
        (b"<html>not found</html>", "corrupt: its 22 bytes"),
        (gzip.compress(CONTENT[:-1] + b"!", mtime=0), "not the file that was published.*SHA-256"),
    ],
)
def test_damaged_idx_is_refused(places, content, message):
    path = put(places / "chosen", content)
    with pytest.raises(DataFileError, match=message) as caught:
        read_idx(FILE)
    assert str(path) in str(caught.value)


def test_fetch_downloads_what_is_missing(places, published):
    folder, address = published
    (folder / "images.gz").write_bytes(gzip.compress(CONTENT, 1))
    file = replace(FILE, url=f"{address}/images.gz")
    assert fetch(file) == locate(file) == places / "chosen" / FILE.path
    assert np.array_equal(read_idx(file), ARRAY)
    (folder / "images.gz").unlink()
    assert fetch(file) == places / "chosen" / FILE.path  # it is there: nothing is downloaded


@pytest.mark.parametrize(("sha256", "accepted"), [(FILE.sha256, False), (None, True)])
def test_fetch_refuses_another_content(places, published, sha256, accepted):
    folder, address = published
    (folder / "images.gz").write_bytes(gzip.compress(CONTENT[:-1] + b"!"))
    file = replace(FILE, url=f"{address}/images.gz", sha256=sha256)
    if accepted:
        assert fetch(file).is_file()
        return
    with pytest.raises(DataFileError, match=f"should have SHA-256 {FILE.sha256}"):
        fetch(file)
    assert not list((places / "chosen" / "tiny").iterdir())


def test_fetch_says_that_the_network_failed(published, places):
    with pytest.raises(DataFileError, match=r"absent\.gz could not be fetched.*404"):
        fetch(replace(FILE, url=f"{published[1]}/absent.gz"))
    with pytest.raises(DataFileError, match="could not be fetched"):
        fetch(FILE)  # nothing listens on port 1
    assert not (places / "chosen" / FILE.path).exists()


def test_fetch_refuses_a_web_page_in_place_of_a_file(places, published):
    folder, address = published
    (folder / "faces.zip").write_bytes(b"<!DOCTYPE html><html>Please sign in</html>")
    with pytest.raises(DataFileError, match="a web page; open the address in a browser"):
        fetch(DataFile("tiny", "tiny/faces.zip", f"{address}/faces.zip"))
    assert not list((places / "chosen").rglob("*.*"))
