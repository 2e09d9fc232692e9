"""Sites: what a program did at one of its random variables, and how far two programs differ there."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.kl import kl_divergence

from coset.errors import TraceError
from coset.shapes import sum_to

Provenance = Literal["sampled", "observed", "partial", "replayed", "factor"]


@dataclass(frozen=True, eq=False)
class Partial:
    """A value that is known of some entries only, to be given to a trace as observed.

    Where it is unknown the site is drawn, or replayed, as if nothing had been observed there.

    Attributes:
        value: `[*axes, ...]`; anything, NaN included, where it is unknown.
        known: `[*axes]`, 1 where the value is known and 0 where it is not.

    >>> from torch.distributions import Normal
    >>> from coset.trace import Trace
    >>> trace = Trace(observed={"z": Partial(torch.tensor([[7.0, torch.nan]]), torch.tensor([[1.0, 0.0]]))})
    >>> z = trace.sample("z", Normal(torch.zeros(1, 2), 1.0))
    >>> float(z[0, 0]), bool(z.isfinite().all()), trace["z"].provenance
    (7.0, True, 'partial')
    """

    value: Tensor
    known: Tensor


@dataclass(frozen=True, eq=False)
class Site:
    """One random variable of a program, as it was visited.

    Attributes:
        name: what the program calls it; dots group, as in `context.constant`.
        axes: the letters of the batch axes of `value`, such as `BNK`; event axes follow them.
        value: the drawn, observed or replayed value `[*axes, ...]`; for a factor its log-weight `[*axes]`.
        distribution: what the value is scored by; None for a factor.
        mask: weights broadcastable over `axes`, or None. It may carry gradient: a relaxed `a` selects through it.
        provenance: `sampled`, `observed`, `partial`, `replayed` or `factor`.
        known: where the value was given, `[*axes]`, if that is in some places only.
        weight: of an enumerated value its probability `[S, *axes]`; 1 or 0 where the value was given.
    """

    name: str
    axes: str
    value: Tensor
    distribution: Distribution | None
    mask: Tensor | None
    provenance: Provenance
    known: Tensor | None = None
    weight: Tensor | None = None

    @cached_property
    def log_prob(self) -> Tensor:
        """Log-probability of the value, or the log-weight of a factor, per set: `[B]`, or `[S, B]`."""
        return sum_to(self.score, self.axes, keep="SB")

    @cached_property
    def score(self) -> Tensor:
        """Log-probability of each entry of the value, or the log-weight of a factor, weighed by the mask: `[*axes]`."""
        if self.distribution is None:
            return self._weigh(self.value)
        value = self.value
        if self.mask is not None and self.provenance == "observed":
            # Padding may hold anything, and NaN would come back as the gradient of what it was scored by.
            absent = (self.mask == 0).reshape(self.mask.shape + (1,) * len(self.distribution.event_shape))
            value = torch.where(absent, value.nan_to_num(0.0, 0.0, 0.0), value)
        return self._weigh(self.distribution.log_prob(value))

    def _weigh(self, value: Tensor) -> Tensor:
        return value if self.mask is None else masked(value, self.mask)


def group(name: str) -> str:
    """The group of a site: what stands before the first dot of its name.

    >>> group("context.varying"), group("z")
    ('context', 'z')
    """
    return name.partition(".")[0]


def masked(value: Tensor, mask: Tensor) -> Tensor:
    """Weigh values by a mask of the same axes; what is masked may hold anything."""
    # A masked entry may hold anything, infinities included, and 0 · ∞ is NaN; hence `where` before the product. What is
    # finite is multiplied even by 0, for a relaxed mask learns from what it leaves out.
    return torch.where((mask == 0) & ~value.isfinite(), 0.0, value) * mask


class Repeated:
    """What a repeated sub-program is given as its trace; made by `Trace.repeated`."""

    def __init__(self, trace: Any, prefix: str, present: Tensor):
        self.trace, self.prefix, self.present = trace, prefix, present
        self.mask = None if trace.mask is None else trace.mask.unsqueeze(-1)  # of the items, for all repetitions

    def sample(self, name: str, distribution: Distribution, axes: str = "BN") -> Tensor:
        """Visit the site of every repetition; the distribution has the axes `axes` and `R`."""
        return self.trace.sample(f"{self.prefix}.{name}", distribution, axes=axes + "R", mask=self.present)


def divergence(q: Site, p: Site) -> tuple[Tensor, str]:
    """Kullback-Leibler divergence of each entry between matching sites of two traces, and its axes.

    In closed form where torch registers one for the two families, otherwise the single-sample estimate
    `log q(value) − log p(value)`, which has the same shape and mean. The mask of the inference site weighs both, and
    entries whose value was given count 0: they are conditioned on.

    Raises:
        TraceError: One of the sites is a factor.
    """
    if q.distribution is None or p.distribution is None:
        raise TraceError(f"site {q.name!r}: a factor has no divergence")
    try:
        value = kl_divergence(q.distribution, p.distribution)
    except NotImplementedError:  # torch's answer where no closed form is registered for the two families
        value = q.distribution.log_prob(q.value) - p.distribution.log_prob(p.value)
    axes = max(q.axes, p.axes, key=len)
    if value.ndim < len(axes):
        value = value.unsqueeze(0)  # the same for all particles: [1, B, ...]
    if q.mask is not None:
        value = masked(value, q.mask if q.mask.ndim == len(axes) else q.mask.unsqueeze(0))
    if q.known is not None:
        value = value * (1 - q.known)
    return value, axes


def kl(q: Site, p: Site) -> Tensor:
    """Kullback-Leibler divergence between matching sites of two traces, per set: `[B]`, or `[S, B]`."""
    value, axes = divergence(q, p)
    return sum_to(value, axes, keep="SB")
