import io
import tarfile

import pooch
import pytest

from coset.datasets.newsgroups import Newsgroups
from coset.errors import ConfigurationError, DataFileError

TEXTS = {"sci.space": "orbit orbit moon the and", "rec.autos": "Engine engine, wheels moon; 1993 a-b"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    return tmp_path


def write(folder, parts=("train", "test"), each=6, texts=TEXTS):
    with tarfile.open(folder / "20news-bydate.tar.gz", "w:gz") as archive:
        for part in parts:
            for group, text in texts.items():
                for number in range(each):
                    content = f"From: moon@moon\nSubject: moon\n\n{text} {'moon ' * number}".encode("latin-1")
                    member = tarfile.TarInfo(f"20news-bydate-{part}/{group}/{number}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))


def test_words_of_messages_are_counted_without_headers_and_function_words(folder):
    write(folder)
    splits = Newsgroups(words=3, validation=2).load_splits()
    assert {name: len(part) for name, part in splits.items()} == {"train": 10, "validation": 2, "test": 12}
    test = splits["test"]
    assert test.feature_names == ("engine", "moon", "orbit")
    assert test.where(group="rec.autos").x().tolist() == [[2.0, 1.0 + n, 0.0] for n in range(6)]
    assert test.where(topic="sci").x().tolist() == [[0.0, 1.0 + n, 2.0] for n in range(6)]


def test_messages_without_a_known_word_are_left_out(folder):
    write(folder, texts=TEXTS | {"misc.forsale": "zzz"})
    splits = Newsgroups(words=3, validation=2).load_splits()
    assert len(splits["test"].where(group="misc.forsale")) == 5  # the first says nothing of the moon


def test_archives_that_are_something_else_are_refused(folder):
    with pytest.raises(DataFileError, match=r"20news-bydate.tar.gz is not there.*coset data fetch newsgroups"):
        Newsgroups().load_splits()
    write(folder, parts=("train",))
    with pytest.raises(DataFileError, match="expected messages in folders"):
        Newsgroups().load_splits()
    (folder / "20news-bydate.tar.gz").write_bytes(b"no archive")
    with pytest.raises(DataFileError, match="truncated or corrupt"):
        Newsgroups().load_splits()
    with pytest.raises(ConfigurationError, match="at least 1"):
        Newsgroups(words=0)
