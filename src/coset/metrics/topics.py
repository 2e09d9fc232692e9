"""What topics are like: how coherent their words are, how different they are from each other, and which go together."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_matrix

from coset.errors import ConfigurationError, DataError

WINDOW = 10
"""Words that are seen together at a time, as in gensim's `c_npmi`."""
TINY = 1e-12
"""What gensim adds to the probability of two words."""


def normalised_pmi(
    topics: Sequence[Sequence[str]], texts: Sequence[Sequence[str]], window: int = WINDOW
) -> list[float]:
    """Coherence of topics: normalised pointwise mutual information of their words (Bouma 2009; gensim's `c_npmi`).

        NPMI(v, w) = log( (p(v, w) + ε) / (p(v) p(w)) ) / −log(p(v, w) + ε),   mean over ordered pairs v ≠ w of a topic

    with p the share of windows, of so many consecutive words of a text, that hold a word, or both; ε is 10⁻¹². It is
    gensim's where no word is twice in a window; of one that is, gensim loses sight as soon as the first leaves it.

    Args:
        topics: words of each topic.
        texts: words of each text in their order, the reference corpus.
        window: how many words are seen together; a shorter text is one window.

    Raises:
        DataError: A word that the reference corpus lacks, or no text.
        ConfigurationError: A window of less than two words, or a topic of less.

    >>> texts = [["moon", "orbit"], ["engine", "wheels"], ["moon", "orbit"], ["engine", "moon"]]
    >>> [round(value, 2) for value in normalised_pmi([["moon", "orbit"], ["orbit", "wheels"]], texts)]
    [0.42, -0.92]
    """
    if window < 2 or any(len(words) < 2 for words in topics):
        raise ConfigurationError("normalised_pmi: expected windows and topics of two words or more")
    words = sorted({word for topic in topics for word in topic})
    together, windows = _count_windows(words, texts, window)
    alone = together.diagonal()
    if missing := [word for word, count in zip(words, alone, strict=True) if not count]:
        raise DataError(f"topics: the texts have no word {missing[0]!r} ({len(missing)} such words); take other texts")
    joint = together / windows + TINY
    share = alone / windows
    told = np.log(joint / np.outer(share, share)) / -np.log(joint)
    places = {word: index for index, word in enumerate(words)}
    found = []
    for topic in topics:
        rows = [places[word] for word in topic]
        square = told[np.ix_(rows, rows)]
        found.append(float((square.sum() - np.trace(square)) / (len(rows) * (len(rows) - 1))))
    return found


def _count_windows(words: Sequence[str], texts: Sequence[Sequence[str]], window: int) -> tuple[np.ndarray, int]:
    """In how many windows each word is, or two of them `[w, w]`, and how many windows there are.

    Raises:
        DataError: No text.
    """
    places = {word: index for index, word in enumerate(words)}
    rows, columns, count = [], [], 0
    for text in texts:
        starts = max(1, len(text) - window + 1) if text else 0
        for position, word in enumerate(text):
            if word in places:
                inside = range(max(0, position - window + 1), min(position, starts - 1) + 1)
                rows += [count + start for start in inside]
                columns += [places[word]] * len(inside)
        count += starts
    if not count:
        raise DataError("topics: the reference corpus has no text with a word in it")
    there = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(count, len(words)))
    there.data[:] = 1.0  # a word twice in a window is there once
    return np.asarray((there.T @ there).todense(), float), count


def topic_coherence(
    topics: Sequence[Sequence[str]],
    texts: Sequence[Sequence[str]],
    measure: Literal["c_v", "c_npmi", "c_uci", "u_mass"] = "c_v",
) -> list[float]:
    """Coherence of topics as gensim has it (Röder et al. 2015); needs the extra `topics`.

    Args:
        topics: words of each topic.
        texts: words of each text in their order, the reference corpus.
        measure: which one; `c_v` by default.

    Raises:
        ConfigurationError: gensim is not installed.
        DataError: A word that the reference corpus lacks.
    """
    try:
        from gensim.corpora import Dictionary
        from gensim.models.coherencemodel import CoherenceModel
    except ModuleNotFoundError as reason:
        raise ConfigurationError("topic_coherence: gensim is not installed; pip install 'coset[topics]'") from reason
    known = {word for text in texts for word in text}
    if missing := [word for topic in topics for word in topic if word not in known]:
        raise DataError(f"topics: the texts have no word {missing[0]!r} ({len(missing)} such words); take other texts")
    model = CoherenceModel(
        topics=[list(topic) for topic in topics],
        texts=[list(text) for text in texts],
        dictionary=Dictionary([list(text) for text in texts]),
        coherence=measure,
        topn=max(map(len, topics)),
        processes=1,
    )
    return [float(value) for value in model.get_coherence_per_topic()]


def topic_diversity(topics: Sequence[Sequence[str]]) -> float:
    """Share of different words among all words of all topics (Dieng et al. 2020), customarily 25 of each.

    >>> topic_diversity([["moon", "orbit"], ["moon", "engine"]])
    0.75
    """
    return len({word for topic in topics for word in topic}) / sum(map(len, topics))


def inverted_rank_biased_overlap(topics: Sequence[Sequence[str]], weight: float = 0.9) -> float:
    """One less the mean overlap of the rankings of two topics, from 0 to 1.

    After Webber et al. (2010) and Bianchi et al. (2021)::

        RBO(S, T) = (1 − p) Σ_d p^(d − 1) |S_:d ∩ T_:d| / d

    over as many ranks as there are; those after the last are taken to be like it.

    Args:
        topics: words of each topic, the first one first, all as many.
        weight: p, of a rank over the one before.

    Raises:
        ConfigurationError: Fewer than two topics, topics of different lengths, or a weight beyond 0 and 1.

    >>> inverted_rank_biased_overlap([["moon", "orbit"], ["moon", "orbit"]])
    0.0
    """
    if len(topics) < 2 or len({len(topic) for topic in topics}) != 1 or not 0 < weight < 1:
        raise ConfigurationError(
            "inverted_rank_biased_overlap: expected two topics or more of as many words, and a weight between 0 and 1"
        )
    depth = len(topics[0])
    weights = (1 - weight) * weight ** np.arange(depth)
    weights[-1] += weight**depth
    overlaps = []
    for one, two in combinations(topics, 2):
        shared = [len({*one[:rank]} & {*two[:rank]}) / rank for rank in range(1, depth + 1)]
        overlaps.append(float(weights @ shared))
    return float(1 - np.mean(overlaps))


def correlated_topics(shares: Any, size: int = 3, count: int = 5) -> list[tuple[tuple[int, ...], float]]:
    """Groups of topics that go together most: those whose least correlation between two members is largest.

    Args:
        shares: `[n, K]`, of the topics in texts, or codes of them.
        size: topics in a group.
        count: groups; no topic is in two of them.

    Raises:
        DataError: Not `[n, K]` with two texts or more and as many topics as a group.

    >>> found = correlated_topics([[1.0, 0.9, -1], [2.0, 2.1, 1], [3.0, 3.0, -2], [4.0, 4.2, 0]], size=2, count=1)
    >>> found[0][0]
    (0, 1)
    """
    x = np.asarray(shares, dtype=float)
    if x.ndim != 2 or len(x) < 2 or x.shape[1] < size or size < 2:
        raise DataError(f"correlated_topics: expected [n, K] with K of at least {size}, got {list(x.shape)}")
    related = np.corrcoef(x.T)
    groups = [
        (float(min(related[one, two] for one, two in combinations(group, 2))), group)
        for group in combinations(range(x.shape[1]), size)
    ]
    found: list[tuple[tuple[int, ...], float]] = []
    for least, group in sorted(groups, key=lambda pair: -pair[0] if not math.isnan(pair[0]) else math.inf):
        if not any({*group} & {*other} for other, _ in found):
            found.append((group, least))
        if len(found) == count:
            break
    return found
