"""20 Newsgroups: counts of words in messages, by the group they were posted to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from coset.data.files import DataFile, locate, read_members
from coset.data.table import FactorTable
from coset.data.texts import PRESETS, Preprocess, count_words
from coset.datasets.base import DataSet
from coset.errors import ConfigurationError, DataFileError, nearest

FILE = DataFile("newsgroups", "20news-bydate.tar.gz", "http://qwone.com/~jason/20Newsgroups/20news-bydate.tar.gz")
AGAIN = "`coset data fetch newsgroups` fetches it again"
FOLDERS = {"train": "20news-bydate-train", "test": "20news-bydate-test"}


@dataclass(frozen=True)
class Newsgroups(DataSet):
    """Counts of the most frequent words in 18,846 messages; the test messages are later ones.

    Factors: `group`, one of 20, such as "sci.space"; `topic`, its first part, such as "sci".

    What is counted are the words of the message without its header; the words are the names of an item's numbers. The
    vocabulary is that of the training messages. Messages with fewer of its words than are asked for are left out.

    Args:
        words: how many, the most frequent of the training messages; those of `preprocess` where None.
        preprocess: how messages become words: `plain`, `octis` or `topmost`, see `coset.data.texts.PRESETS`.
        validation: training messages held out for validation, as a fraction or a number; of each group evenly.
        seed: chooses which.

    Raises:
        ConfigurationError: No word is asked for, or another preprocessing.

    >>> Newsgroups(words=100).name
    'newsgroups'
    """

    name: ClassVar[str] = "newsgroups"
    source: ClassVar[str] = "K. Lang: NewsWeeder, ICML 1995; sorted by date by J. Rennie (public Usenet messages)"
    files: ClassVar[Sequence[DataFile]] = (FILE,)

    words: int | None = None
    preprocess: str = "plain"
    validation: int | float = 0.1
    seed: int = 0

    def __post_init__(self):
        if self.words is not None and self.words < 1:
            raise ConfigurationError(f"Newsgroups: words should be at least 1, got {self.words}")
        if self.preprocess not in PRESETS:
            known = nearest(self.preprocess, PRESETS)
            raise ConfigurationError(f"Newsgroups: no preprocess {self.preprocess!r}; {known}")

    @property
    def steps(self) -> Preprocess:
        """What is done to messages."""
        preset = PRESETS[self.preprocess]
        return preset if self.words is None else replace(preset, words=self.words)

    def load_texts(self) -> dict[str, tuple[list[list[str]], list[str]]]:
        """Words of each message in their order, and the group of each, of the parts `train` and `test`.

        Raises:
            DataFileError: The archive is missing or damaged, or holds no messages; says how to get it.
        """
        messages = _read_messages(locate(FILE))
        known = set(self.steps.vocabulary(text for _, text in messages["train"]))
        found = {}
        for part, some in messages.items():
            tokens = [self.steps.tokens(text, known) for _, text in some]
            kept = [index for index, words in enumerate(tokens) if len(words) >= self.steps.shortest]
            found[part] = [tokens[index] for index in kept], [some[index][0] for index in kept]
        return found

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test, of counts `[n, words]`.

        Raises:
            DataFileError: The archive is missing or damaged, or holds no messages; says how to get it.
        """
        texts = self.load_texts()
        vocabulary = sorted({word for tokens, _ in texts.values() for words in tokens for word in words})
        found = {}
        for part, (tokens, groups) in texts.items():
            topics = [group.split(".")[0] for group in groups]
            found[part] = FactorTable(count_words(tokens, vocabulary), group=groups, topic=topics)
            found[part].feature_names = tuple(vocabulary)
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
