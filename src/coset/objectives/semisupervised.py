"""Bounds for data of which some latent variables are known: of all items, of some, or of none.

An inference program meets such a variable y as a site with a `Partial` observed value. What is unknown of it is drawn,
or enumerated, and what is known is given to both programs; the functions here differ in how they teach q(y | x).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from coset.distributions import Discrete
from coset.errors import ConfigurationError, TraceError
from coset.objectives.base import Bound, Objective, Relaxation, relaxed_to
from coset.objectives.elbo import elbo
from coset.programs import Programs
from coset.trace import Trace


def auxiliary_variable(q: Trace, p: Trace) -> Bound:
    """The bound of Siddharth et al. (2017), equations 2-4, in one expression for what is known and what is not.

        L = q(y | x) [ L_{x|y} + log p(y) − log q(y | x) ]

    for the known values y of a set, with `L_{x|y}` the evidence lower bound given them. It follows from an auxiliary
    variable ỹ that equals y, p(ỹ | y) = δ_y(ỹ), and is what is really observed. Where nothing is known the factor is 1,
    and `elbo` is left. The factor is the classifier's probability of the label: while it is small, so is every gradient
    of the set, and because `L_{x|y}` is negative for most data, the gradient in q(y | x) can point away from the label;
    `classified` has neither trait.

    Raises:
        TraceError: The traces don't match, or q of a known value depends on an enumerated one.
    """
    bound = elbo(q, p)
    terms = dict(bound.terms)
    log_known = torch.zeros(())
    for name, log_q, log_p in _known_scores(q, p):
        terms[name] = terms[name] + log_q - log_p
        log_known = log_known + log_q
    return replace(bound, terms={name: log_known.exp() * term for name, term in terms.items()})


def classified(q: Trace, p: Trace, weight: float = 1.0) -> Bound:
    """The bound of Kingma et al. (2014), equations 6-9, with its classification term; their model M2.

        J = L_{x|y} + log p(y) + α log q(y | x)   where y is known,      L   (that is, `elbo`)   where it is not

    Args:
        q: inference trace.
        p: generative trace that replays it.
        weight: α, per set with a known value. Theirs is a tenth of the number of items, in a sum over all items whose
            labelled ones it shares out evenly.

    Raises:
        TraceError: The traces don't match, or q of a known value depends on an enumerated one.
    """
    bound = elbo(q, p)
    terms = dict(bound.terms)
    penalty = torch.zeros_like(bound.value)
    for name, log_q, log_p in _known_scores(q, p):
        terms[name] = terms[name] - log_p
        penalty = penalty - weight * log_q
    return replace(bound, terms=terms | {"classification": penalty})


def score_function(q: Trace, bound: Bound, baseline: Tensor | float = 0.0) -> Bound:
    """Add to a bound what its gradient lacks where discrete variables were drawn (Williams 1992).

        ∇ E_q(y)[ f(y) ] = E_q(y)[ ∇ f(y) + (f(y) − b) ∇ log q(y) ]

    The added term `score` has the value 0. It also fits the baseline b to f, in the least squares; b must not depend on
    what was drawn, and then changes the variance of the gradient alone.

    Args:
        q: inference trace that the bound was made from.
        bound: f, of each set.
        baseline: b, `[B]` or a number.

    Raises:
        TraceError: Some discrete variables were drawn, others enumerated: f is an average over the values of these,
            which the score of those would have to weigh.
    """
    signal = bound.value.detach()
    log_q = torch.zeros_like(signal)
    for site in q:
        drawn = site.provenance in ("sampled", "partial") and q.discrete.get(site.name, "sample") == "sample"
        if drawn and site.distribution is not None and not site.distribution.has_rsample:
            if q.enumerates:
                raise TraceError(
                    f"site {site.name!r} was drawn and others were enumerated: do the same with all of them"
                )
            unknown = 1.0 if site.known is None else 1.0 - site.known
            log_q = log_q + q.total(site.score * unknown, site.axes)
    baseline = torch.as_tensor(baseline).to(signal)
    score = (signal - baseline.detach()) * log_q - (signal - baseline).square()
    return replace(bound, terms=bound.terms | {"score": score - score.detach()}, gains=bound.gains | {"score"})


class AuxiliaryVariable(Objective):
    """`auxiliary_variable` as a training objective.

    Args:
        discrete: how sites are drawn where they are unknown, see `coset.distributions.Discrete`.
        relaxation: temperature of tempered, relaxed and straight-through draws, see `coset.objectives.base.relaxed_to`.
    """

    def __init__(self, discrete: Mapping[str, Discrete] | None = None, relaxation: Relaxation = 0.5):
        super().__init__()
        self.discrete: Mapping[str, Discrete] = dict(discrete or {})
        self.relaxation = relaxation

    def forward(self, programs: Programs) -> Bound:
        """Run both programs and return the bound."""
        q = programs.infer(discrete=self.discrete, relaxation=relaxed_to(self.relaxation, programs.progress))
        return auxiliary_variable(q, programs.generate(q))


class Classified(Objective):
    """`classified` as a training objective.

    Args:
        weight: α, of the classification term of a labelled item; 0 or more.
        discrete: how sites are drawn where they are unknown, see `coset.distributions.Discrete`.
        relaxation: temperature of tempered, relaxed and straight-through draws, see `coset.objectives.base.relaxed_to`.

    Raises:
        ConfigurationError: The weight is negative.
    """

    def __init__(
        self,
        weight: float = 1.0,
        discrete: Mapping[str, Discrete] | None = None,
        relaxation: Relaxation = 0.5,
    ):
        super().__init__()
        if weight < 0:
            raise ConfigurationError(f"weight: expected 0 or more, got {weight}")
        self.discrete: Mapping[str, Discrete] = dict(discrete or {})
        self.weight, self.relaxation = weight, relaxation

    def forward(self, programs: Programs) -> Bound:
        """Run both programs and return the bound."""
        q = programs.infer(discrete=self.discrete, relaxation=relaxed_to(self.relaxation, programs.progress))
        return classified(q, programs.generate(q), self.weight)


class ScoreFunction(Objective):
    """A bound whose discrete variables are drawn, with the score-function gradient and a learned baseline of the items.

    Unbiased, and noisier than any of the other choices; use it where there are too many values to enumerate. Its signal
    is the bound itself: a schedule that weighs the terms changes all of the gradient but that.

    Args:
        baseline: maps items `[B, N, ...]` to `[B]`; an `ItemBaseline` for the model's items where None.
        bound: function of the two traces.
    """

    def __init__(self, baseline: nn.Module | None = None, bound: Callable[[Trace, Trace], Bound] = elbo):
        super().__init__()
        self.baseline, self.bound = baseline, bound

    def bind(self, model: Any, data_size: int) -> None:
        """Build the baseline for the items of a model, where none was given."""
        if self.baseline is None:
            like = next(model.parameters())
            self.baseline = ItemBaseline(math.prod(model.item_shape)).to(like)

    def forward(self, programs: Programs) -> Bound:
        """Run both programs and return the bound.

        Raises:
            ConfigurationError: No baseline was given, and none was built by `bind`.
        """
        if self.baseline is None:
            raise ConfigurationError("ScoreFunction: give a baseline, or call bind(model, data_size), as fit does")
        q = programs.infer()
        p = programs.generate(q)
        return score_function(q, self.bound(q, p), self.baseline(p["x"].value))


class ItemBaseline(nn.Module):
    """A learned guess at the bound of a set: a network of one hidden layer, summed over the items.

    Args:
        size: elements of an item.
        hidden: units.

    >>> ItemBaseline(6)(torch.rand(4, 5, 2, 3)).shape
    torch.Size([4])
    """

    def __init__(self, size: int, hidden: int = 64):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map items `[B, N, ...]` to `[B]`."""
        return self.network(x.flatten(2)).sum((1, 2))  # [B, N, 1] → [B]


def _known_scores(q: Trace, p: Trace) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Of each latent site whose value is known somewhere: its name, log q and log p of what is known, per set."""
    for site in q:
        if site.distribution is None or (site.known is None and site.provenance != "observed"):
            continue
        depends = "S" in site.axes and len(site.distribution.batch_shape) == len(site.axes)
        if depends and q.enumerates:
            raise TraceError(
                f"site {site.name!r}: q of its known value depends on an enumerated site; draw that one instead"
            )
        prior = p[site.name]
        assert prior.distribution is not None
        # An enumerated value has the weight 1 where it is the one that was given.
        score_q = site.score if site.known is None else site.score * site.known
        score_p = prior.score if site.known is None else prior.score * site.known
        yield site.name, q.total(score_q, site.axes), q.total(score_p, prior.axes)
