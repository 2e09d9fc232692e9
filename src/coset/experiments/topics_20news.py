"""Fifty topics of 20 Newsgroups: latent Dirichlet allocation, ProdLDA, and two groups of topics by HFVAE."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import LatentDirichletAllocation
from sklearn.svm import LinearSVC

import coset.plots as plots
from coset.data import FactorTable
from coset.datasets import Newsgroups
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.metrics import (
    clustering_accuracy,
    correlated_topics,
    inverted_rank_biased_overlap,
    normalised_pmi,
    topic_coherence,
    topic_diversity,
)
from coset.models.topic_model import relevant_words
from coset.runs import Run

SEEDS = (0, 1, 2, 3, 4)
TOPICS = 50
PREPROCESS = ("topmost", "octis")
"""How messages become words; figures of the first have no suffix."""
RELEVANCE = 0.6
"""Of words, of every method alike (Sievert & Shirley 2014); measures called likely rank them by probability alone."""
WORDS, WIDE, DIVERSE = 10, 15, 25
"""Words of a topic whose coherence is measured, in a second measurement, and whose diversity is."""

WAYS: Mapping[str, Sequence[str]] = {
    "vae": (),
    "hfvae": (
        "--objective.name=hfvae",
        "--objective.settings={groups: ['z[:25]', 'z[25:]'], beta: 2.0, gamma: 1.0}",
    ),
}
"""Ours: overrides of the recipe."""
RULES = ("lda", "lda_gensim")
"""Latent Dirichlet allocation by scikit-learn, and by gensim."""

MEASURES = ("npmi", "npmi_15", "npmi_likely", "cv", "cv_15", "diversity", "diversity_likely", "irbo", "perplexity")
MEASURES += ("purity", "nmi", "svm")


@dataclass(frozen=True)
class Found:
    """What a method found: probabilities of words in its topics `[K, V]`, shares of topics in counts, and of words."""

    topics: np.ndarray
    shares: Callable[[np.ndarray], np.ndarray]
    likely: Callable[[np.ndarray], np.ndarray]


class Topics20News(Experiment):
    """Train all methods with five seeds on two preprocessings, and measure all of them by the same code."""

    label = "20 Newsgroups, 50 topics, 5 seeds"
    rows = tuple(
        Row(f"{measure}, {name}{unit}", f"{key}_{way}")
        for measure, key, unit in (
            ("NPMI", "npmi", ""),
            ("C_v", "cv", ""),
            ("topic diversity", "diversity", ""),
            ("purity", "purity", ", %"),
        )
        for name, way in (("HFVAE 25 + 25", "hfvae"), ("ProdLDA", "vae"), ("LDA", "lda"))
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        figures: dict[str, Any] = {"seeds_of_training": list(SEEDS)}
        runs: list[Run] = []
        for preprocess in PREPROCESS:
            suffix = "" if preprocess == PREPROCESS[0] else f"_{preprocess}"
            trained = {way: [_run(request, preprocess, way, seed) for seed in SEEDS] for way in WAYS}
            runs += [run for each in trained.values() for run in each]
            data = Newsgroups(preprocess=preprocess)
            figures[f"preprocess{suffix}"] = data.steps.as_dict()
            found: dict[str, list[dict[str, Any]]] = {
                way: [request.once(run, "topics", lambda r=run, d=data: _measure(_ours(r), d)) for run in each]
                for way, each in trained.items()
            }
            for rule in RULES:  # kept beside the runs of the same seed
                found[rule] = [
                    request.once(run, rule, lambda r=rule, s=seed, d=data: _measure(_rule(r, d, s), d))
                    for run, seed in zip(trained["vae"], SEEDS, strict=True)
                ]
            figures |= _summary(found, suffix)
        first = _run(request, PREPROCESS[0], "hfvae", SEEDS[0])
        figures["most_correlated"] = _correlated(first)
        pictures = {"curves": curves(first), "correlations": _correlations(first)}
        return request.write(figures, pictures, runs, _report(figures))


def _run(request: Request, preprocess: str, way: str, seed: int) -> Run:
    overrides = [f"--data.preprocess={preprocess}", *WAYS[way], f"--training.seed={seed}"]
    return request.run(request.name, label=f"{preprocess}-{way}-{seed}", overrides=overrides)


def _ours(run: Run) -> Found:
    model = run.model

    def shares(counts: np.ndarray) -> np.ndarray:
        return model.shares(torch.as_tensor(counts)).cpu().numpy()

    def likely(counts: np.ndarray) -> np.ndarray:
        made = model.reconstruct(torch.as_tensor(counts)).cpu().numpy()
        return made / made.sum(1, keepdims=True)

    return Found(model.word_probabilities().cpu().numpy(), shares, likely)


def _rule(rule: str, data: Newsgroups, seed: int) -> Found:
    train = data.load_splits()["train"]
    words, counts = list(train.feature_names or ()), train.x().numpy()
    if rule == "lda":
        # Over all messages at once: in small batches its topics are left at half of the purity.
        model = LatentDirichletAllocation(TOPICS, learning_method="batch", random_state=seed, max_iter=20).fit(counts)
        topics, shares = model.components_, model.transform
    else:
        topics, shares = _gensim(counts, words, seed)
    topics = topics / topics.sum(1, keepdims=True)
    return Found(topics, shares, lambda some: shares(some) @ topics)


def _words(found: Found, train: FactorTable, relevance: float) -> list[list[str]]:
    """The most relevant words of each topic, as `TopicModel.top_words` has them."""
    usual = train.x().mean(0).to(torch.float64)
    return relevant_words(torch.as_tensor(found.topics).double(), usual, train.feature_names or (), DIVERSE, relevance)


def _gensim(counts: np.ndarray, words: Sequence[str], seed: int) -> tuple[Any, Callable[[np.ndarray], np.ndarray]]:
    """Topics `[K, V]`, and what gives shares of topics."""
    from gensim.matutils import Dense2Corpus
    from gensim.models import LdaModel

    names = dict(enumerate(words))
    model = LdaModel(Dense2Corpus(counts.T), TOPICS, names, passes=10, random_state=seed, minimum_probability=0.0)

    def shares(some: np.ndarray) -> np.ndarray:
        gamma, _ = model.inference(list(Dense2Corpus(some.T)))
        return gamma / gamma.sum(1, keepdims=True)

    return model.get_topics(), shares


def _measure(found: Found, data: Newsgroups) -> dict[str, Any]:
    """Every measure; coherence refers to the training messages, all else to the test messages."""
    texts, (train, _, test) = data.load_texts()["train"][0], data.load_splits().values()
    words = _words(found, train, RELEVANCE)
    ten, fifteen = ([some[:count] for some in words] for count in (WORDS, WIDE))
    likely = [some[:WORDS] for some in _words(found, train, 1.0)]
    # Counting words of texts is what coherence costs: once a measure, for all lists.
    npmi, npmi_wide, npmi_likely = _means(topic_coherence([*ten, *fifteen, *likely], texts, "c_npmi"))
    cv, cv_wide = _means(topic_coherence([*ten, *fifteen], texts, "c_v"))
    shares = found.shares(test.x().numpy())
    learned = found.shares(train.x().numpy())
    clusters = clustering_accuracy(shares.argmax(1), test.column("group"))
    machine = LinearSVC(random_state=0).fit(learned, train.column("group"))
    return {
        "npmi": npmi,
        "npmi_15": npmi_wide,
        "npmi_of_windows": mean(normalised_pmi(ten, texts)),
        "npmi_likely": npmi_likely,
        "diversity_likely": topic_diversity(_words(found, train, 1.0)),
        "cv": cv,
        "cv_15": cv_wide,
        "diversity": topic_diversity(words),
        "irbo": inverted_rank_biased_overlap(ten),
        "perplexity": _perplexity(found, test),
        "purity": clusters.many_to_one,
        "nmi": clusters.nmi,
        "svm": 100 * float(machine.score(shares, test.column("group"))),
        "documents": [len(train), len(test)],
        "topics": ten,
    }


def _means(scores: Sequence[float]) -> list[float]:
    """Of as many scores each as there are topics."""
    return np.reshape(scores, (-1, TOPICS)).mean(1).tolist()


def _perplexity(found: Found, test: FactorTable) -> float:
    """Of half of the words of each test message, drawn at random, given the other half."""
    counts = test.x().numpy().astype(int)
    shown = np.random.default_rng(0).binomial(counts, 0.5)
    some = (shown.sum(1) > 0) & ((counts - shown).sum(1) > 0)
    shown, asked = shown[some].astype(np.float32), (counts - shown)[some]
    log_likely = np.log(np.maximum(found.likely(shown), 1e-12))
    return float(np.exp(-(asked * log_likely).sum() / asked.sum()))


def _summary(found: Mapping[str, Sequence[Mapping[str, Any]]], suffix: str) -> dict[str, Any]:
    """Means and deviations over seeds, and by how much HFVAE is ahead."""
    figures: dict[str, Any] = {}
    for way, results in found.items():
        for measure in MEASURES:
            values = [one[measure] for one in results]
            figures |= {f"{measure}_{way}{suffix}": mean(values), f"{measure}_sd_{way}{suffix}": stdev(values)}
        figures[f"documents{suffix}"] = results[0]["documents"]
        figures[f"topics_{way}{suffix}"] = results[0]["topics"]
    for other in ("lda", "vae"):
        figures[f"npmi_margin_over_{other}{suffix}"] = figures[f"npmi_hfvae{suffix}"] - figures[f"npmi_{other}{suffix}"]
    return figures


def _correlated(run: Run) -> list[dict[str, Any]]:
    """The five groups of three topics that go together most, by their words."""
    test = run.splits["test"]
    words = run.model.top_words(test.feature_names or (), 5)
    groups = correlated_topics(_log_shares(run))
    return [{"least_correlation": least, "topics": [words[at] for at in group]} for group, least in groups]


def _log_shares(run: Run) -> np.ndarray:
    """Logarithms of shares over their geometric mean in each test message: what all codes move by is no share."""
    codes = run.model.embed(run.splits["test"].x()).cpu().numpy()
    return codes - codes.mean(1, keepdims=True)


def _correlations(run: Run) -> Any:
    """Correlations of all topics, in the order of their groups."""
    related = 100 * np.corrcoef(_log_shares(run).T)
    names = [str(index) if index % 5 == 0 else "" for index in range(TOPICS)]
    return plots.heatmap(related.tolist(), names, names, title="correlation of topics, %")


def _report(figures: Mapping[str, Any]) -> str:
    lines = [" " * 12 + "".join(measure.rjust(12) for measure in MEASURES)]
    for way in (*RULES, *WAYS):
        lines.append(f"{way:<12}" + "".join(f"{figures[f'{measure}_{way}']:>12.3f}" for measure in MEASURES))
    return "\n".join(lines)
