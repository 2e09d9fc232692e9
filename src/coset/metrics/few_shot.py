"""Few-shot classification: classes that were never trained on, known by a few examples each."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from coset.data import FactorTable
from coset.errors import ConfigurationError, DataError, nearest
from coset.models.statistician import NeuralStatistician

BLOCK = 50
"""Episodes that are classified at a time."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """Questions to a classifier, as rows of a table; no item is an example and a query of one episode.

    Attributes:
        examples: rows `[episodes, ways, shots]`.
        queries: rows `[episodes, ways, queries]`; those of `[:, w]` belong to class w.
    """

    examples: Tensor
    queries: Tensor


@dataclass(frozen=True)
class Accuracy:
    """Percentage of queries classified right, and half the width of its 95 % confidence interval over episodes."""

    mean: float
    interval: float


def draw_episodes(
    table: FactorTable, factor: str, ways: int, shots: int, queries: int = 1, episodes: int = 1000, seed: int = 0
) -> Episodes:
    """Draw episodes: classes without replacement, and from each class examples and queries without replacement.

    Args:
        table: items of classes that were not trained on.
        factor: what the classes are; discrete.
        ways: classes in an episode.
        shots: examples of each.
        queries: items of each that are to be classified.
        episodes: how many.
        seed: equal seeds draw equally.

    Raises:
        DataError: No such factor; fewer classes than `ways`, or a class with fewer items than shots and queries.
        ConfigurationError: A number below 1.

    >>> table = FactorTable(torch.rand(60, 4), letter=torch.arange(60) % 6)
    >>> draw_episodes(table, "letter", ways=5, shots=2, queries=3, episodes=10).examples.shape
    torch.Size([10, 5, 2])
    """
    for name, number in dict(ways=ways, shots=shots, queries=queries, episodes=episodes).items():
        if number < 1:
            raise ConfigurationError(f"{name}: expected a whole number from 1 up, got {number}")
    if factor not in table.values:
        raise DataError(f"few-shot: no discrete factor {factor!r}; {nearest(factor, table.values)}")
    codes = table.factors[factor].cpu()
    order = codes.argsort(stable=True)
    present, count = codes[order].unique_consecutive(return_counts=True)
    known = present >= 0
    start = (count.cumsum(0) - count)[known]
    present, count = present[known], count[known]
    if len(present) < ways:
        raise DataError(f"few-shot: {ways} ways need as many classes, but {factor!r} has {len(present)}")
    if int(count.min()) < shots + queries:
        scarce = table.values[factor][int(present[count.argmin()])]
        raise DataError(
            f"few-shot: {shots} shots and {queries} queries need {shots + queries} items of each class, but "
            f"{factor}={scarce!r} has {int(count.min())}; ask for fewer, or leave that class out"
        )
    generator = torch.Generator().manual_seed(seed)
    classes = torch.rand(episodes, len(present), generator=generator).argsort(1)[:, :ways]  # [episodes, ways]
    keys = torch.rand(episodes, ways, int(count.max()), generator=generator)
    absent = torch.arange(int(count.max())) >= count[classes].unsqueeze(-1)
    places = keys.masked_fill(absent, 2.0).argsort(-1)[..., : shots + queries]
    rows = order[start[classes].unsqueeze(-1) + places].to(table.device)  # [episodes, ways, shots + queries]
    return Episodes(rows[..., :shots], rows[..., shots:])


@torch.no_grad()
def context_accuracy(model: NeuralStatistician, table: FactorTable, episodes: Episodes) -> Accuracy:
    """Classify by the least KL( q(c | class) ‖ q(c | query) ), as `NeuralStatistician.classify` does.

    Items are read once, however many episodes they are part of; a class is then a sum.
    """
    pool = model.context_posterior
    items = torch.cat([model.statistics(table.x(rows)) for rows in torch.arange(len(table)).split(500)])  # [n, P]
    shots, right = episodes.examples.shape[-1], []
    for examples, queries in zip(episodes.examples.split(BLOCK), episodes.queries.split(BLOCK), strict=True):
        asked = items[queries.flatten(1)]  # [episodes, ways · queries, P]
        classes = items[examples].sum(2)  # [episodes, ways, P]
        one, few = (torch.full_like(part[..., 0], number) for part, number in ((asked, 1), (classes, shots)))
        divergence = kl_divergence(
            pool.of_sum(classes.unsqueeze(2), few.unsqueeze(2)), pool.of_sum(asked.unsqueeze(1), one.unsqueeze(1))
        )  # [episodes, ways, ways · queries]
        right.append(_right(divergence.argmin(1), queries))
    return _accuracy(torch.cat(right))


def neighbour_accuracy(codes: Tensor, episodes: Episodes) -> Accuracy:
    """Classify by the nearest example in the Euclidean distance of codes `[n, D]`: pixels, or an embedding."""
    right = []
    for examples, queries in zip(episodes.examples.split(BLOCK), episodes.queries.split(BLOCK), strict=True):
        distance = torch.cdist(codes[queries.flatten(1)], codes[examples.flatten(1)])  # [episodes, queries, examples]
        right.append(_right(distance.argmin(-1) // examples.shape[-1], queries))
    return _accuracy(torch.cat(right))


def _right(found: Tensor, queries: Tensor) -> Tensor:
    """Share of the queries of each episode whose class was found: `[episodes]`."""
    truth = torch.arange(queries.shape[1], device=found.device).repeat_interleave(queries.shape[2])
    return (found == truth).double().mean(1)


def _accuracy(right: Tensor) -> Accuracy:
    spread = float(right.std()) if len(right) > 1 else 0.0
    return Accuracy(100 * float(right.mean()), 100 * 1.96 * spread / math.sqrt(len(right)))
