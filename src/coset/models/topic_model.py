"""A topic model: a product of experts with a logistic-normal prior.

Generative process (Srivastava & Sutton 2017, sections 3.2 and 4), for each document on its own:

    z ~ N(0, (1 − 1/K) / α I)                       the Laplace approximation of a Dirichlet(α) in the softmax basis
    θ = softmax(z)                                  shares of the K topics
    x ~ Multinomial( length, softmax(b + θ W) )     each topic an expert, whose log-odds of words are added up

The counts of a document, given its length, are multinomial; they are scored as Poisson counts whose rates add up to the
length, which differ by a constant of the length alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from coset.batch import SetBatch
from coset.distributions import diagonal_normal
from coset.errors import ConfigurationError
from coset.models.base import Model
from coset.networks.likelihoods.base import LikelihoodName, build_likelihood
from coset.queries import ItemQueries, inference
from coset.shapes import for_present
from coset.trace import Trace


class TopicModel(ItemQueries, Model):
    """Learns K topics from counts of words, and the shares of topics in each document (ProdLDA).

    With the objective `Decomposed("hfvae", groups=["z[:25]", "z[25:]"])` topics fall into groups that are independent
    of each other, while those within a group may go together.

    Args:
        item_shape: `(V,)`, V words.
        likelihood: `poisson`, whose total is given; what `for_data` makes of it knows how frequent words are.
        topics: K.
        hidden: units of the two layers of the encoder.
        concentration: α of the Dirichlet distribution that the prior is like, the same for all topics.
        dropout: share of the encoder's units, and of a document's topics, that a step of training leaves out.

    Raises:
        ConfigurationError: Items that are no vectors, a size below 1, or numbers that are no share or concentration.

    >>> model = TopicModel((30,), topics=4, hidden=8)
    >>> model.shares(torch.ones(5, 30)).sum(1).round(decimals=3).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """

    limitations = """
    It counts words and does not see their order. A topic is a list of words that go together in these documents, and
    two trainings find different ones: look at several before naming any.
    """

    default_likelihood = "poisson"

    def __init__(
        self,
        item_shape: Sequence[int],
        likelihood: LikelihoodName = "poisson",
        topics: int = 50,
        hidden: int = 100,
        concentration: float = 1.0,
        dropout: float = 0.2,
    ):
        super().__init__()
        if len(item_shape) != 1:
            raise ConfigurationError(f"TopicModel: expected counts of words (V,), got items {tuple(item_shape)}")
        if topics < 2 or hidden < 1 or concentration <= 0 or not 0 <= dropout < 1:
            raise ConfigurationError(
                "TopicModel: expected 2 topics or more, hidden from 1, concentration above 0 and dropout below 1, got "
                f"{topics}, {hidden}, {concentration} and {dropout}"
            )
        self.item_shape, self.topics = tuple(item_shape), topics
        self.likelihood = build_likelihood(likelihood, self.item_shape)
        if not self.likelihood.counts:
            raise ConfigurationError(f"TopicModel: counts words, and takes a likelihood of counts, got {likelihood!r}")
        words = self.item_shape[0]
        self.encoder = nn.Sequential(
            *(nn.Linear(words, hidden), nn.Softplus(), nn.Linear(hidden, hidden), nn.Softplus(), nn.Dropout(dropout))
        )
        # Without normalisation of what leaves the encoder and the decoder all topics become one (section 3.3).
        self.location, self.raw_scale = (nn.Sequential(nn.Linear(hidden, topics), _Centred(topics)) for _ in range(2))
        self.left_out = nn.Dropout(dropout)
        self.experts = nn.Linear(topics, words, bias=False)
        self.balance = _Centred(words)
        self.deviation = ((1 - 1 / topics) / concentration) ** 0.5

    def infer(self, q: Trace, batch: SetBatch) -> None:
        """q(z | x)."""
        seen = self.likelihood.reading(batch.x)
        both = for_present(self._posterior, seen, q.mask)
        q.sample("z", diagonal_normal(*both.chunk(2, -1)), axes="BN")

    def _posterior(self, seen: Tensor) -> Tensor:
        features = self.encoder(seen)
        return torch.cat([self.location(features), self.raw_scale(features)], -1)

    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """p(z) p(x | z)."""
        zero = next(self.parameters()).new_zeros(*shape, self.topics)
        z = p.sample("z", Independent(Normal(zero, self.deviation), 1), axes="BN")
        return self.emit(p, for_present(self._log_odds, z, p.mask))

    def _log_odds(self, z: Tensor) -> Tensor:
        return self._decoded(self.left_out(F.softmax(z, -1)))

    def _decoded(self, shares: Tensor) -> Tensor:
        return self.balance(self.experts(shares))

    @inference
    def shares(self, items: Any) -> Tensor:
        """Shares of the topics in documents `[n, V]`, at the centres of the posteriors: `[n, K]`."""
        return self.embed(items).softmax(-1)

    @inference
    def word_probabilities(self) -> Tensor:
        """Probabilities of words in a document that is of one topic alone, `[K, V]`."""
        alone = torch.eye(self.topics).to(next(self.parameters()))
        return self.likelihood(self._decoded(alone), alone.new_ones(self.topics)).mean

    @inference
    def top_words(self, words: Sequence[str], count: int = 10, relevance: float = 0.6) -> list[list[str]]:
        """The words that are most relevant for each topic, the first one most: K lists (Sievert & Shirley 2014).

            λ log p(w | k) + (1 − λ) log( p(w | k) / p(w) )

        Args:
            words: what the V counts are of, such as `table.feature_names`.
            count: how many of each topic.
            relevance: λ: with 1 the words that the topic makes most likely, with 0 those that it makes more likely than
                they are in all documents; 0.6 is what readers named topics best by.

        Raises:
            ConfigurationError: Another number of words than the items have, or fewer than are asked for.
        """
        size = self.item_shape[0]
        if len(words) != size or not 1 <= count <= size:
            raise ConfigurationError(
                f"top_words: expected {size} words and a count from 1 up to that, got {len(words)} and {count}"
            )
        return relevant_words(self.word_probabilities(), self.likelihood.rates, words, count, relevance)


def relevant_words(
    probabilities: Tensor, usual: Tensor, words: Sequence[str], count: int = 10, relevance: float = 0.6
) -> list[list[str]]:
    """The most relevant words of the topics of any method, see `TopicModel.top_words`.

    Args:
        probabilities: of words in each topic, `[K, V]`.
        usual: how frequent words are in all documents, in any unit, `[V]`.
        words: their names, V of them.
        count: how many of each topic.
        relevance: λ.

    >>> relevant_words(torch.tensor([[0.6, 0.4]]), torch.tensor([0.9, 0.1]), ["the", "moon"], count=1)
    [['moon']]
    """
    score = probabilities.clamp_min(1e-12).log() - (1 - relevance) * usual.clamp_min(1e-12).log()
    return [[str(words[index]) for index in row] for row in score.topk(count, dim=1).indices.tolist()]


class _Centred(nn.Module):
    """Batch normalisation with a learned centre, and without a learned scale."""

    def __init__(self, size: int):
        super().__init__()
        self.norm, self.centre = nn.BatchNorm1d(size, affine=False), nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, size]` to the same."""
        return self.norm(x) + self.centre
