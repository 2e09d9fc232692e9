"""Classes that sets agree on: what tells, without a label, which contexts a set holds constant."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, OneHotCategorical
from torch.distributions.kl import kl_divergence

from coset.distributions import entropy_of, probability_vector
from coset.errors import ConfigurationError
from coset.objectives.base import Penalty, straight_line
from coset.programs import Programs
from coset.shapes import masked_mean
from coset.trace import Trace


class SetClasses(Penalty):
    """Each set should be of one class in the contexts that it holds constant, and as mixed as it can be in the others.

    Of K ways to put items into C classes, with ȳ_k(D) the mean of q(y_k | x) over a set, ȳ_k over all items of the
    batch, and r_k(D) = q(a_k = 1 | D), the term `classes` is

        Σ_k r_k H(ȳ_k(D)) + γ Σ_k (1 − r_k) (log C − H(ȳ_k(D)))
          + λ Σ_k (log C − H(ȳ_k)) + Σ_{j<k} I(y_j; y_k) + β Σ_k KL(E r_k ‖ p(a_k))

    times the number of a set's items, summed over all starts of `ConstancyNetwork`; every part is 0 or more. An a that
    was given takes the place of q(a | D).

    The first line says what a constant context is. Alone, it is met where one context stands for whatever is constant
    and the other for whatever varies; but then no class can be shared by a set, for digits tie all angles together and
    angles all digits. The second line forbids the rest: that all is of one class, that two contexts are the same, and
    that one of them takes all sets. Sets are shared out softly at first: r_k is of `softness` times the temperature of
    q(a | D), and falls to it. λ falls as well, so that in the end classes become one that no set tells apart.

    Args:
        balance: λ, a number, or the first and the last over training, see `straight_line`.
        apart: γ, how much a context that varies is to be mixed.
        shares: β, how much each context is to be constant in as many sets as p(a) says.
        softness: of the responsibilities, likewise a number or the first and the last, from 1 up.

    Raises:
        ConfigurationError: A negative weight.
    """

    def __init__(
        self,
        balance: float | Sequence[float] = (1.0, 0.1, 0.2),
        apart: float = 0.3,
        shares: float = 1.0,
        softness: float | Sequence[float] = (6.0, 1.0, 0.15),
    ):
        super().__init__()
        if apart < 0 or shares < 0:
            raise ConfigurationError(f"SetClasses: expected weights from 0 up, got apart={apart}, shares={shares}")
        self.balance, self.apart, self.shares, self.softness = balance, apart, shares, softness
        self.judge: Any = None

    def bind(self, model: Any, data_size: int) -> None:
        """See that the model reads a from classes of items.

        Raises:
            ConfigurationError: It does not.
        """
        self.judge = getattr(getattr(model, "a_posterior", None), "judge", None)
        if self.judge is None:
            raise ConfigurationError(
                f"SetClasses: {type(model).__name__} does not find what is constant by classes of items; build a "
                "ContextAwareLearner with infer_a and pooling='product', or leave the penalty out"
            )

    def forward(self, programs: Programs, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Return the term of each set `[B]`, summed over starts."""
        classes = q.noted["classes"]  # [B, N, R, K, C]
        most = math.log(classes.shape[-1])
        constant = self._constant(programs, q)  # [B, R, K]
        present = torch.ones_like(classes[:, :, 0, 0, 0]) if q.mask is None else q.mask
        count = present.sum(1)  # [B]
        mixed = entropy_of(masked_mean(classes, q.mask, dim=1))  # [B, R, K]
        held = constant.detach()  # sets are shared out by what they are, not made to be what they are taken for
        of_sets = (held * mixed + self.apart * (1 - held) * (most - mixed)).sum(-1)  # [B, R]
        rows = classes[present > 0]  # [M, R, K, C]
        alone = entropy_of(rows.mean(0))  # [R, K]
        of_all = straight_line(self.balance, programs.progress) * (most - alone).sum(-1)  # [R]
        for one, other in combinations(range(alone.shape[1]), 2):
            joint = torch.einsum("mrc,mrd->rcd", rows[:, :, one], rows[:, :, other]) / len(rows)
            together = alone[:, one] + alone[:, other] - entropy_of(joint.flatten(1))
            of_all = of_all + together.clamp_min(0.0)
        share = constant.mean(0)  # [R, K]
        pair = (Bernoulli(each, validate_args=False) for each in (share, self._expected(p).expand_as(share)))
        missed = of_sets + of_all + self.shares * kl_divergence(*pair).sum(-1)  # [B, R]
        if programs.model.training and self.judge is not None:
            self.judge(missed.detach().mean(0))
        return {"classes": missed.sum(1) * count}

    def _constant(self, programs: Programs, q: Trace) -> Tensor:
        """Responsibilities `[B, R, K]`: how far a set is taken to hold each context constant, from each start."""
        site, log_odds = q["a"], q.noted["constancy"] / straight_line(self.softness, programs.progress)
        known = torch.ones_like(log_odds[:, 0, 0]) if site.provenance == "observed" else site.known
        one_hot = isinstance(site.distribution, OneHotCategorical)
        found = log_odds.softmax(-1) if one_hot else log_odds.sigmoid()
        return found if known is None else torch.where(known[:, None, None] > 0, site.value.unsqueeze(1), found)

    def _expected(self, p: Trace) -> Tensor:
        """p(a_k = 1) of each context, `[K]`."""
        of_a = p["a"].distribution
        assert of_a is not None
        return probability_vector(of_a)[0]
