"""Traces: what a probabilistic program did, site by site.

A program is a function that takes a trace and calls `trace.sample(name, distribution, axes=...)` for each of its
random variables. The trace decides what happens there:

- a value handed in as `observed` is used, and scored;
- a value found in `replay`, another trace or a mapping of values, is used, and scored;
- otherwise a fresh value is drawn.

So one generative program samples from the prior (nothing replayed), scores data for training (the inference trace
replayed), samples conditionally (some sites replayed), and composes (sites replayed from different sets). A bound is
a function of two traces. There is no global state: a trace is an ordinary argument.

    >>> from torch.distributions import Normal
    >>> def program(trace):
    ...     z = trace.sample("z", Normal(torch.zeros(2, 3), 1.0), axes="BN")
    ...     return trace.sample("x", Normal(z, 0.1), axes="BN")
    >>> prior = Trace()
    >>> program(prior).shape
    torch.Size([2, 3])
    >>> scored = Trace(observed={"x": torch.ones(2, 3)}, replay=prior)
    >>> _ = program(scored)
    >>> [f"{site.name} {site.provenance}" for site in scored]
    ['z replayed', 'x observed']
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.kl import kl_divergence

from coset.distributions import centre
from coset.errors import ConfigurationError, ShapeError, TraceError, nearest
from coset.shapes import LETTERS, align, describe, sum_to

Provenance = Literal["sampled", "observed", "replayed", "factor"]


@dataclass(frozen=True, eq=False)
class Site:
    """One random variable of a program, as it was visited.

    Attributes:
        name: what the program calls it; dots group, as in `context.constant`.
        axes: the letters of the batch axes of `value`, such as `BNK`; event axes follow them.
        value: the drawn, observed or replayed value `[*axes, ...]`; for a factor its log-weight `[*axes]`.
        distribution: what the value is scored by; None for a factor.
        mask: weights broadcastable over `axes`, or None. It may carry gradient: a relaxed `a` selects through it.
        provenance: `sampled`, `observed`, `replayed` or `factor`.
    """

    name: str
    axes: str
    value: Tensor
    distribution: Distribution | None
    mask: Tensor | None
    provenance: Provenance

    def per_set(self, value: Tensor) -> Tensor:
        """Weigh `value` `[*axes]` by the mask and sum all axes but particles and sets: `[B]`, or `[S, B]`."""
        return sum_to(value if self.mask is None else _masked(value, self.mask), self.axes, keep="SB")

    @cached_property
    def log_prob(self) -> Tensor:
        """Log-probability of the value, or the log-weight of a factor, per set: `[B]`, or `[S, B]`."""
        if self.distribution is None:
            return self.per_set(self.value)
        value = self.value
        if self.mask is not None and self.provenance == "observed":
            # Padding may hold anything, and NaN would come back as the gradient of what it was scored by.
            absent = (self.mask == 0).reshape(self.mask.shape + (1,) * len(self.distribution.event_shape))
            value = torch.where(absent, value.nan_to_num(0.0, 0.0, 0.0), value)
        return self.per_set(self.distribution.log_prob(value))


def _masked(value: Tensor, mask: Tensor) -> Tensor:
    # A masked entry may hold anything, infinities included, and 0 · ∞ is NaN; hence `where` before the product. What is
    # finite is multiplied even by 0, for a relaxed mask learns from what it leaves out.
    return torch.where((mask == 0) & ~value.isfinite(), 0.0, value) * mask


class Trace:
    """A record of one run of a program; pass it as the program's first argument.

    Args:
        observed: site name → value `[*axes, ...]`. A name that the program never visits is an error.
        replay: a trace, or a mapping of site name → value, whose values are reused where the program visits them.
        mask: which items are present `[B, N]`; it applies to every site with both of these axes.
        particles: number `S` of independent draws; fresh values gain a leading axis `S`. None for a single draw
            without that axis.
        temperature: scales the spread of fresh draws about the centre of their distribution: 1 samples, 0 takes the
            mean (the mode of a discrete variable). One number for all sites, or a mapping of site name → number.

    Raises:
        ShapeError: a distribution or a value does not have the axes that its site declares.
        TraceError: a site is visited twice, or one that is asked for does not exist.
    """

    def __init__(
        self,
        observed: Mapping[str, Tensor] | None = None,
        replay: "Trace | Mapping[str, Tensor] | None" = None,
        mask: Tensor | None = None,
        particles: int | None = None,
        temperature: float | Mapping[str, float] = 1.0,
    ):
        if particles is not None and particles < 1:
            raise ConfigurationError(f"particles: expected a whole number from 1 up, got {particles}")
        self.observed = dict(observed or {})
        self.replay = replay.values() if isinstance(replay, Trace) else dict(replay or {})
        self.mask = mask
        self.particles = particles
        self.temperature = temperature
        self.noted: dict[str, Tensor] = {}
        self._sites: dict[str, Site] = {}
        self._sizes: dict[str, int] = {}
        if particles is not None:
            self._sizes["S"] = particles
        if mask is not None:
            self._sizes |= {"B": mask.shape[0], "N": mask.shape[1]}

    def sample(self, name: str, distribution: Distribution, axes: str = "BN", mask: Tensor | None = None) -> Tensor:
        """Visit a site and return its value.

        Args:
            name: unique within the program.
            distribution: its batch axes are `axes`, or `S` followed by `axes` where it depends on particles.
            axes: the letters of the batch axes, without `S`; see `coset.shapes`.
            mask: weights with the axes of `axes` (or with `S` before them), in addition to the mask of the items.
        """
        self._refuse_duplicate(name)
        distribution_axes = self._check_axes(name, distribution.batch_shape, axes)
        if name in self.observed:
            value, provenance = self.observed[name], "observed"
        elif name in self.replay:
            value, provenance = self.replay[name], "replayed"
        else:
            value, provenance = self._draw(name, distribution, distribution_axes), "sampled"
        value_axes = self._check_value(name, value, distribution, axes)
        site_axes = max(value_axes, distribution_axes, key=len)
        site_mask = self._mask(name, axes, site_axes, mask)
        self._sites[name] = Site(name, site_axes, value, distribution, site_mask, provenance)
        return value

    def factor(self, name: str, log_weight: Tensor, axes: str = "B") -> None:
        """Multiply the joint density by `exp(log_weight)`; `log_weight` has the axes `axes`, perhaps after `S`."""
        self._refuse_duplicate(name)
        axes = self._check_axes(name, log_weight.shape, axes)
        self._sites[name] = Site(name, axes, log_weight, None, self._mask(name, axes, axes, None), "factor")

    def note(self, name: str, value: Tensor) -> None:
        """Keep what a program computed on its way, so that nobody has to compute it again: `noted[name]`."""
        self.noted[name] = value

    def __getitem__(self, name: str) -> Site:
        if name not in self._sites:
            raise TraceError(f"no site {name!r} in this trace; {nearest(name, self._sites)}")
        return self._sites[name]

    def __contains__(self, name: str) -> bool:
        return name in self._sites

    def __iter__(self) -> Iterator[Site]:
        return iter(self._sites.values())

    def __len__(self) -> int:
        return len(self._sites)

    def values(self, *names: str) -> dict[str, Tensor]:
        """Values by site name: of the sites named, or of all but factors. Hand it to `replay` of another trace."""
        chosen = [self[name] for name in names] or [site for site in self if site.distribution is not None]
        return {site.name: site.value for site in chosen}

    def check_visited(self) -> None:
        """Raise a `TraceError` if an observed or replayed name was never visited: most likely it is misspelt."""
        for source, names in (("observed", self.observed), ("replayed", self.replay)):
            for name in names:
                if name not in self._sites:
                    raise TraceError(
                        f"{source} value for {name!r}, but the program has no such site; {nearest(name, self._sites)}"
                    )

    def table(self) -> str:
        """The sites so far, one a line, with axes, shapes and provenance."""
        rows = [
            f"  {site.name:<20} {describe(site.axes, tuple(self._sizes[axis] for axis in site.axes)):<26} "
            f"value {list(site.value.shape)!s:<22} {site.provenance}"
            for site in self
        ]
        return "\n".join(rows) or "  (none)"

    __str__ = table

    def _draw(self, name: str, distribution: Distribution, axes: str) -> Tensor:
        fresh = self.particles is not None and "S" not in axes
        shape = torch.Size([self.particles] if fresh and self.particles is not None else [])
        temperature = self.temperature
        scale = temperature.get(name, 1.0) if isinstance(temperature, Mapping) else temperature
        if scale == 0:
            return centre(distribution).expand(distribution._extended_shape(shape))
        value = distribution.rsample(shape) if distribution.has_rsample else distribution.sample(shape)
        if scale != 1 and not getattr(distribution.support, "is_discrete", False):
            middle = centre(distribution)
            value = middle + scale * (value - middle)
        return value

    def _refuse_duplicate(self, name: str) -> None:
        if name in self._sites:
            raise TraceError(f"site {name!r} is visited twice; sites so far:\n{self.table()}")

    def _check_axes(self, name: str, shape: torch.Size, axes: str) -> str:
        """Return `axes`, with a leading `S` if the shape has it, after checking every length."""
        if unknown := set(axes) - set(LETTERS) | ({"S"} & set(axes)):
            raise ShapeError(f"site {name!r}: unknown axes {sorted(unknown)} in {axes!r}; letters are B, N, K")
        full = "S" + axes if self.particles is not None and len(shape) == len(axes) + 1 else axes
        sizes = {letter: self._sizes.get(letter, size) for letter, size in zip(full, shape, strict=False)}
        if len(shape) != len(full) or tuple(sizes.values()) != tuple(shape):
            expected = ", ".join(f"{letter}={self._sizes.get(letter, 'any')}" for letter in full)
            raise ShapeError(
                f"site {name!r}: expected the axes [{expected}] before the event, got {list(shape)}.\n"
                f"Declare the axes that the distribution has, or reinterpret the rest as its event "
                f"(torch.distributions.Independent). Sites so far:\n{self.table()}"
            )
        self._sizes |= sizes
        return full

    def _check_value(self, name: str, value: Tensor, distribution: Distribution, axes: str) -> str:
        event = distribution.event_shape
        lead = value.shape[: value.ndim - len(event)]
        if value.ndim < len(event) or value.shape[value.ndim - len(event) :] != event:
            raise ShapeError(
                f"site {name!r}: expected a value whose last axes are the event {list(event)}, got "
                f"{list(value.shape)}. Sites so far:\n{self.table()}"
            )
        return self._check_axes(name, torch.Size(lead), axes)

    def _mask(self, name: str, axes: str, site_axes: str, mask: Tensor | None) -> Tensor | None:
        parts = []
        if self.mask is not None and "N" in axes:
            parts.append(align(self.mask, "BN", site_axes))
        if mask is not None:
            parts.append(align(mask, self._check_axes(name, mask.shape, axes), site_axes))
        return None if not parts else parts[0] if len(parts) == 1 else parts[0] * parts[1]


def kl(q: Site, p: Site) -> Tensor:
    """Kullback-Leibler divergence between matching sites of two traces, per set: `[B]`, or `[S, B]`.

    In closed form where torch registers one for the two families, otherwise the single-sample estimate
    `log q(value) − log p(value)`, which has the same shape and mean. The mask of the inference site weighs both.
    """
    if q.distribution is None or p.distribution is None:
        raise TraceError(f"site {q.name!r}: a factor has no divergence")
    try:
        divergence = kl_divergence(q.distribution, p.distribution)
    except NotImplementedError:  # torch's answer where no closed form is registered for the two families
        divergence = q.distribution.log_prob(q.value) - p.distribution.log_prob(p.value)
    axes = max(q.axes, p.axes, key=len)
    if divergence.ndim < len(axes):
        divergence = divergence.unsqueeze(0)  # the same for all particles: [1, B, ...]
    if q.mask is not None:
        mask = q.mask if q.mask.ndim == len(axes) else q.mask.unsqueeze(0)
        divergence = _masked(divergence, mask)
    return sum_to(divergence, axes, keep="SB")
