"""Texts to words, and words to counts: what is done to them decides every figure of a topic model."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from coset.errors import ConfigurationError, DataError

QUOTED = re.compile(r"\s*[>|:]|.*(writes|wrote):\s*$")
"""A line of another message, or one that says whose."""


@dataclass(frozen=True)
class Preprocess:
    """How texts become lists of words of a vocabulary; to be printed with every result.

    Args:
        words: most words of the vocabulary, those in the most texts; ties in the order of the alphabet.
        letters: fewest letters of a word; digits and other signs separate words.
        stop_words: whether English function words, scikit-learn's list, are left out.
        fewest: share of texts that a word has to be in.
        most: share of texts that a word may be in.
        shortest: fewest words of the vocabulary in a text that is kept.
        quotes: whether lines that quote another message are kept.

    Raises:
        ConfigurationError: Numbers that leave nothing.

    >>> steps = Preprocess(words=2, letters=2)
    >>> vocabulary = steps.vocabulary(["The moon, the orbit!", "moon and orbit 1999", "a moon"])
    >>> vocabulary, steps.tokens("An orbit of the Moon.", vocabulary)
    (['moon', 'orbit'], ['orbit', 'moon'])
    """

    words: int = 1000
    letters: int = 3
    stop_words: bool = True
    fewest: float = 0.0
    most: float = 1.0
    shortest: int = 1
    quotes: bool = True

    def __post_init__(self):
        if min(self.words, self.letters, self.shortest) < 1 or not 0 <= self.fewest < self.most <= 1:
            raise ConfigurationError(
                f"Preprocess: expected words, letters and shortest from 1 and shares 0 ≤ fewest < most ≤ 1, got {self}"
            )

    def vocabulary(self, texts: Iterable[str]) -> list[str]:
        """The words, in the order of the alphabet.

        Raises:
            DataError: There is none.
        """
        found, count = Counter(), 0
        for text in texts:
            found.update(set(self._split(text)))
            count += 1
        kept = [word for word, number in found.items() if self.fewest * count <= number <= self.most * count]
        kept = sorted(kept, key=lambda word: (-found[word], word))[: self.words]
        if not kept:
            raise DataError(f"texts: no word is left of {len(found)} in {count} texts by {self}")
        return sorted(kept)

    def tokens(self, text: str, vocabulary: Sequence[str] | set[str]) -> list[str]:
        """The words of a text that are in the vocabulary, in their order."""
        known = vocabulary if isinstance(vocabulary, set) else set(vocabulary)
        return [word for word in self._split(text) if word in known]

    def _split(self, text: str) -> list[str]:
        if not self.quotes:
            text = "\n".join(line for line in text.splitlines() if not QUOTED.match(line))
        found = re.findall(rf"(?u)\b[a-z]{{{self.letters},}}\b", text.lower())
        return [word for word in found if not (self.stop_words and word in ENGLISH_STOP_WORDS)]

    def as_dict(self) -> dict[str, Any]:
        """All settings, ready for JSON."""
        return asdict(self)


PRESETS = {
    "plain": Preprocess(),
    "octis": Preprocess(words=1612, fewest=0.005, most=0.85, shortest=5, quotes=False),
    "topmost": Preprocess(words=5000),
}
"""Settings by the name of the library whose figures are nearest to them: OCTIS (Terragni et al. 2021; 1,612 words,
16,309 documents) and TopMost (Wu et al. 2024; 5,000 words, 11,314 and 7,532 documents). OCTIS brings words to their
dictionary form besides."""


def count_words(tokens: Sequence[Sequence[str]], vocabulary: Sequence[str]) -> np.ndarray:
    """How often each text has each word: float32 `[n, V]`.

    >>> count_words([["moon", "orbit", "moon"], []], ["moon", "orbit"]).tolist()
    [[2.0, 1.0], [0.0, 0.0]]
    """
    places = {word: index for index, word in enumerate(vocabulary)}
    counts = np.zeros((len(tokens), len(vocabulary)), np.float32)
    for row, words in enumerate(tokens):
        np.add.at(counts[row], [places[word] for word in words], 1)
    return counts
