"""Topics: coherence beside gensim's, diversity, overlap of rankings, and topics that go together."""

import math
import sys

import numpy as np
import pytest

from coset.data.texts import PRESETS, Preprocess, count_words
from coset.errors import ConfigurationError, DataError
from coset.metrics import (
    correlated_topics,
    inverted_rank_biased_overlap,
    normalised_pmi,
    topic_coherence,
    topic_diversity,
)

RANDOM = np.random.default_rng(0)
WORDS = [f"word{index}" for index in range(30)]
OFTEN = (0.6, 0.2, 0.1)
"""How often a text has a word of each kind; no word is in it twice."""
TEXTS = [
    [WORDS[index] for index in RANDOM.permutation(27) if RANDOM.random() < OFTEN[(index // 9 + text) % 3]]
    for text in range(150)
]
TOPICS = [WORDS[:5], WORDS[10:15], [WORDS[0], WORDS[11], WORDS[22], WORDS[5]]]


def test_npmi_is_that_of_gensim():
    found = normalised_pmi(TOPICS, TEXTS)
    np.testing.assert_allclose(found, topic_coherence(TOPICS, TEXTS, "c_npmi"), atol=1e-9)
    assert found[0] > found[2] and found[1] > found[2]  # words of one kind of text go together


def test_a_word_twice_in_a_window_stays_in_it_until_both_have_left():
    """Gensim forgets it with the first, and so finds two words together less often than they are."""
    texts = [["moon", "moon", "orbit", "far"], ["far", "orbit"]]
    assert normalised_pmi([["moon", "orbit"]], texts, window=3)[0] == pytest.approx(
        math.log((2 / 3) / (2 / 3 * 3 / 3)) / -math.log(2 / 3), abs=1e-9
    )


@pytest.mark.parametrize("measure", ["c_v", "u_mass"])
def test_other_measures_are_gensims(measure):
    found = topic_coherence(TOPICS, TEXTS, measure)
    assert len(found) == 3 and found[0] > found[2]


def test_words_that_the_texts_lack_are_said():
    for score in (normalised_pmi, topic_coherence):
        with pytest.raises(DataError, match="the texts have no word 'word29'"):
            score([[WORDS[0], WORDS[29]]], TEXTS)


def test_without_gensim_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim.corpora", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'coset\[topics\]'"):
        topic_coherence(TOPICS, TEXTS)


def test_diversity_and_overlap_of_known_topics():
    same, apart = [WORDS[:10]] * 3, [WORDS[:10], WORDS[10:20], WORDS[20:]]
    assert topic_diversity(same) == pytest.approx(1 / 3) and topic_diversity(apart) == 1
    assert inverted_rank_biased_overlap(same) == pytest.approx(0, abs=1e-12)
    assert inverted_rank_biased_overlap(apart) == 1
    first_alike = [[*WORDS[:5], *WORDS[10:15]], [*WORDS[:5], *WORDS[20:25]]]
    last_alike = [[*WORDS[10:15], *WORDS[:5]], [*WORDS[20:25], *WORDS[:5]]]
    assert inverted_rank_biased_overlap(first_alike) < inverted_rank_biased_overlap(last_alike)


def test_topics_that_go_together_are_found_each_once():
    base = RANDOM.normal(size=(200, 2))
    shares = np.stack([base[:, 0], base[:, 1], base[:, 0], base[:, 1], RANDOM.normal(size=200)], 1)
    shares = shares + 0.1 * RANDOM.normal(size=shares.shape)
    groups = [group for group, _ in correlated_topics(shares, size=2, count=2)]
    assert {frozenset(group) for group in groups} == {frozenset({0, 2}), frozenset({1, 3})}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: normalised_pmi([["word0"]], TEXTS), ConfigurationError),
        (lambda: normalised_pmi(TOPICS, TEXTS, window=1), ConfigurationError),
        (lambda: normalised_pmi(TOPICS, []), DataError),
        (lambda: inverted_rank_biased_overlap([WORDS[:3]]), ConfigurationError),
        (lambda: inverted_rank_biased_overlap([WORDS[:3], WORDS[:2]]), ConfigurationError),
        (lambda: correlated_topics(np.zeros((5, 2))), DataError),
    ],
)
def test_what_cannot_be_scored_is_refused(call, error):
    with pytest.raises(error):
        call()


def test_vocabulary_is_of_the_words_in_most_texts_and_ties_go_by_the_alphabet():
    texts = ["Orbit moon moon 1999", "moon wheels", "the engine's wheels", "zeal"]
    assert Preprocess(words=3).vocabulary(texts) == ["engine", "moon", "wheels"]
    assert Preprocess(fewest=0.5).vocabulary(texts) == ["moon", "wheels"]
    assert Preprocess(most=0.25).vocabulary(texts) == ["engine", "orbit", "zeal"]
    assert "the" in Preprocess(stop_words=False).vocabulary(texts)
    with pytest.raises(DataError, match="no word is left of 5 in 4 texts"):
        Preprocess(fewest=0.9).vocabulary(texts)
    for options in ({"words": 0}, {"letters": 0}, {"fewest": 0.5, "most": 0.4}, {"shortest": 0}):
        with pytest.raises(ConfigurationError, match="Preprocess: expected"):
            Preprocess(**options)


def test_lines_that_quote_are_left_out_where_it_is_asked_for():
    text = "Someone writes:\n> the moon\nthe orbit"
    kept, left = (Preprocess(quotes=quotes) for quotes in (True, False))
    assert kept.tokens(text, ["moon", "orbit"]) == ["moon", "orbit"]
    assert left.tokens(text, ["moon", "orbit"]) == ["orbit"]
    assert PRESETS["octis"].as_dict()["words"] == 1612


def test_words_are_counted_in_the_order_of_the_vocabulary():
    assert count_words([["b", "a", "b"], []], ["a", "b"]).tolist() == [[1, 2], [0, 0]]
