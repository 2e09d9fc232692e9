"""20 Newsgroups: counts of words in messages, by the group they were posted to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from coset.data.files import DataFile, locate, read_members
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.errors import ConfigurationError, DataFileError

FILE = DataFile("newsgroups", "20news-bydate.tar.gz", "http://qwone.com/~jason/20Newsgroups/20news-bydate.tar.gz")
AGAIN = "`coset data fetch newsgroups` fetches it again"
FOLDERS = {"train": "20news-bydate-train", "test": "20news-bydate-test"}
WORD = r"(?u)\b[a-z]{3,}\b"
"""Words of three letters or more."""


@dataclass(frozen=True)
class Newsgroups(DataSet):
    """Counts of the most frequent words in 18,846 messages; the test messages are later ones.

    Factors: `group`, one of 20, such as "sci.space"; `topic`, its first part, such as "sci".

    What is counted are the words of the message without its header, English function words left out; the words
    are the names of an item's numbers. Messages without any of them are left out.

    Args:
        words: how many, the most frequent of the training messages.
        validation: training messages held out for validation, as a fraction or a number; of each group evenly.
        seed: chooses which.

    Raises:
        ConfigurationError: No word is asked for.

    >>> Newsgroups(words=100).name
    'newsgroups'
    """

    name: ClassVar[str] = "newsgroups"
    source: ClassVar[str] = "K. Lang: NewsWeeder, ICML 1995; sorted by date by J. Rennie (public Usenet messages)"
    files: ClassVar[Sequence[DataFile]] = (FILE,)

    words: int = 1000
    validation: int | float = 0.1
    seed: int = 0

    def __post_init__(self):
        if self.words < 1:
            raise ConfigurationError(f"Newsgroups: words should be at least 1, got {self.words}")

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test, of counts `[n, words]`.

        Raises:
            DataFileError: The archive is missing or damaged, or holds no messages; says how to get it.
        """
        path = locate(FILE)
        messages = _read_messages(path)
        counter = CountVectorizer(token_pattern=WORD, stop_words="english", max_features=self.words)
        counter.fit([text for _, text in messages["train"]])
        found = {part: _count(counter, messages[part]) for part in FOLDERS}
        train, validation = found["train"].split(self.validation, self.seed, stratify="group")
        return {"train": train, "validation": validation, "test": found["test"]}


def _read_messages(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Group and text of each message, by part, in the order of their names."""
    found: dict[str, list[tuple[str, str, str]]] = {part: [] for part in FOLDERS}
    parts = {folder: part for part, folder in FOLDERS.items()}
    for name, content in read_members(path, lambda name: name.count("/") == 2 and name.split("/")[0] in parts, AGAIN):
        folder, group, number = name.split("/")
        _, _, text = content.decode("latin-1").partition("\n\n")  # the header ends with an empty line
        found[parts[folder]].append((group, number, text))
    if not all(found.values()):
        raise DataFileError(f"{path}: expected messages in folders {', '.join(FOLDERS.values())}; {AGAIN}")
    return {part: [(group, text) for group, _, text in sorted(messages)] for part, messages in found.items()}


def _count(counter: CountVectorizer, messages: Sequence[tuple[str, str]]) -> FactorTable:
    groups = np.array([group for group, _ in messages])
    counts = counter.transform([text for _, text in messages]).toarray()  # type: ignore[union-attr]
    some = counts.sum(1) > 0
    topics = [group.split(".")[0] for group in groups[some]]
    table = FactorTable(counts[some].astype(np.float32), group=groups[some].tolist(), topic=topics)
    table.feature_names = tuple(counter.get_feature_names_out())
    return table
