"""Traces: what a probabilistic program did, site by site.

A program is a function that takes a trace and calls `trace.sample(name, distribution, axes=...)` for each of its
random variables. The trace decides what happens there:

- a value handed in as `observed` is used, and scored; one that is `Partial`, for the items where it is known;
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

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from coset.distributions import (
    ENUMERATED,
    Discrete,
    centre,
    draw_discrete,
    is_discrete,
    tempered,
)
from coset.enumeration import Enumeration, check_enumerable, value_weights
from coset.errors import ConfigurationError, DataError, ShapeError, TraceError, nearest
from coset.shapes import LETTERS, align, describe, sum_to
from coset.sites import Partial, Repeated, Site, divergence, group, kl

__all__ = ["Partial", "Repeated", "Site", "StopProgram", "Trace", "divergence", "kl"]


class StopProgram(Exception):
    """What a trace with `until` raises where a program need not go on; `coset.programs.Programs` catches it."""


class Trace:
    """A record of one run of a program; pass it as the program's first argument.

    Args:
        observed: site name → value `[*axes, ...]`, or a `Partial` one. A name that the program never visits is an
            error.
        replay: a trace, or a mapping of site name → value, whose values are reused where the program visits them.
        mask: which items are present `[B, N]`; it applies to every site with both of these axes.
        particles: number `S` of independent draws; fresh values gain a leading axis `S`. None for a single draw
            without that axis.
        temperature: scales the spread of fresh draws about the centre of their distribution: 1 samples, 0 takes the
            mean (the mode of a discrete variable). One number for all sites, or a mapping of site name → number.
        discrete: how one-hot variables and bits are drawn, site name → `sample`, `enumerate`, `tempered`, `plug-in`,
            `relaxed` or `straight-through`; see `Discrete`. Enumerated sites take all their values along the axis of
            particles, so `particles` is the product of their numbers of values, or a multiple of it. A name also
            stands for its group, the sites `NAME.1`, `NAME.2`: values of one variable, of which the masks leave one.
            They are enumerated in step. Where some are enumerated, all others of `discrete` are drawn once for all
            of the values, and not once for each.
        relaxation: temperature of tempered, relaxed and straight-through draws; one number for all sites, or a mapping
            of the names or groups of sites → number.
        until: sites after which the program need not go on; the visit to the last of them ends it.

    Raises:
        ConfigurationError: No particle at all, or a mapping of temperatures that lacks a site which needs one.
        ShapeError: A distribution or a value does not have the axes that its site declares.
        TraceError: A site is visited twice, or one that is asked for does not exist.
    """

    def __init__(
        self,
        observed: Mapping[str, Tensor | Partial] | None = None,
        replay: "Trace | Mapping[str, Tensor] | None" = None,
        mask: Tensor | None = None,
        particles: int | None = None,
        temperature: float | Mapping[str, float] = 1.0,
        discrete: Mapping[str, Discrete] | None = None,
        relaxation: float | Mapping[str, float] = 0.5,
        until: Collection[str] = (),
    ):
        if particles is not None and particles < 1:
            raise ConfigurationError(f"particles: expected a whole number from 1 up, got {particles}")
        self.observed = dict(observed or {})
        self.replay = replay.values() if isinstance(replay, Trace) else dict(replay or {})
        self.mask = mask
        self.particles = particles
        self.temperature = temperature
        self.discrete: dict[str, Discrete] = dict(discrete or {})
        self.relaxation = relaxation
        self.until = frozenset(until)
        self._enumeration = Enumeration(particles)
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
        given, known, weight = self.observed.get(name), None, None
        how = self.discrete.get(name) or self.discrete.get(group(name))
        if how == "tempered":
            check_enumerable(name, distribution)
            distribution = tempered(distribution, self._relaxation(name))
        if isinstance(given, Tensor):
            value, provenance = given, "observed"
        elif name in self.replay:
            value, provenance = self.replay[name], "replayed"
        elif how in ENUMERATED:
            value, provenance = self._enumeration.values(name, distribution, axes), "sampled"
            some = (given.value, self._check_partial(name, given, distribution, axes)) if given is not None else None
            weight = value_weights(distribution, value, axes, mask, some)
        else:
            value, provenance = self._draw(name, distribution, distribution_axes, how), "sampled"
        if isinstance(given, Partial):
            known, provenance = self._check_partial(name, given, distribution, axes), "partial"
            if weight is None:
                present = known.reshape(known.shape + (1,) * len(distribution.event_shape)) > 0
                value = torch.where(present, given.value, value)
        value_axes = self._check_value(name, value, distribution, axes)
        site_axes = max(value_axes, distribution_axes, key=len)
        site_mask = self._mask(name, axes, site_axes, mask)
        self._sites[name] = Site(name, site_axes, value, distribution, site_mask, provenance, known, weight)
        if name in self.until and self.until <= self._sites.keys():
            raise StopProgram
        return value

    def repeated(self, prefix: str, present: Tensor) -> "Repeated":
        """A view of this trace for a sub-program that is repeated along a new last axis `R`.

        Its sites are called `prefix.NAME`, have `R` after their own axes, and count where they are present: a
        sub-program runs once for all repetitions of all items, however many each item has.

        Args:
            prefix: of the sites' names.
            present: weights `[*axes, R]` of the repetitions, such as `repetitions(count)`.
        """
        return Repeated(self, prefix, present)

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

    def total(self, score: Tensor, axes: str) -> Tensor:
        """Sum scores `[*axes]` over all axes but particles and sets: `[B]`, or `[S, B]`.

        Where this trace enumerated sites, their values are averaged with their probabilities, and the axis of particles
        goes. A score of items is averaged over the values that sites of the same items took, which is right where items
        do not read each other's.

        Raises:
            TraceError: A score of sets depends on a variable of several items, whose values were enumerated together.
        """
        if self.enumerates and "S" in axes:
            if score.shape[0] == 1:  # the same for all particles
                return sum_to(score[0], axes[1:], keep="B")
            score, axes = (score * self._weights(axes)).sum(0), axes[1:]
        return sum_to(score, axes, keep="SB")

    def expect(self, value: Tensor, axes: str) -> Tensor:
        """Average over the values of enumerated sites what was computed from them: `[S, *axes, ...] → [*axes, ...]`.

        What has no axis `S` stays as it is, and so does everything where no site was enumerated.
        """
        if not self.enumerates or value.shape[: len(axes)] == self._shape(axes):
            return value
        weights = self._weights("S" + axes)
        return (value * weights.reshape(weights.shape + (1,) * (value.ndim - weights.ndim))).sum(0)

    @property
    def enumerates(self) -> bool:
        """Whether particles stand for the values of enumerated sites."""
        return self._enumeration.combinations > 1

    def _weights(self, axes: str) -> Tensor:
        return self._enumeration.weights([site for site in self if site.weight is not None], axes)

    def _shape(self, axes: str) -> tuple[int, ...]:
        return tuple(self._sizes[letter] for letter in axes)

    def values(self, *names: str) -> dict[str, Tensor]:
        """Values by site name: of the sites named, or of all but factors. Hand it to `replay` of another trace."""
        chosen = [self[name] for name in names] or [site for site in self if site.distribution is not None]
        return {site.name: site.value for site in chosen}

    def check_visited(self) -> None:
        """Raise a `TraceError` if an observed or replayed name was never visited: most likely it is misspelt.

        Raises:
            TraceError: One was not; lists the sites there are.
        """
        for source, names in (("observed", self.observed), ("replayed", self.replay), ("discrete", self.discrete)):
            for name in names:
                if name not in self._sites and (source != "discrete" or name not in map(group, self._sites)):
                    raise TraceError(
                        f"{source} value for {name!r}, but the program has no such site; {nearest(name, self._sites)}"
                    )

    def table(self) -> str:
        """The sites so far, one a line, with axes, shapes and provenance."""
        rows = [
            f"  {site.name:<20} {describe(site.axes, self._shape(site.axes)):<26} "
            f"value {list(site.value.shape)!s:<22} {site.provenance}"
            for site in self
        ]
        return "\n".join(rows) or "  (none)"

    __str__ = table

    def _draw(self, name: str, distribution: Distribution, axes: str, how: Discrete | None) -> Tensor:
        listed = how is not None and not ENUMERATED.isdisjoint(self.discrete.values())
        fresh = self.particles is not None and "S" not in axes and not listed
        shape = torch.Size([self.particles] if fresh and self.particles is not None else [])
        if how is not None and how != "sample":
            check_enumerable(name, distribution)
            return draw_discrete(distribution, how, self._relaxation(name), shape)
        temperature = self.temperature
        scale = temperature.get(name, 1.0) if isinstance(temperature, Mapping) else temperature
        if scale == 0:
            return centre(distribution).expand(distribution._extended_shape(shape))
        value = distribution.rsample(shape) if distribution.has_rsample else distribution.sample(shape)
        if scale != 1 and not is_discrete(distribution):
            middle = centre(distribution)
            value = middle + scale * (value - middle)
        return value

    def _relaxation(self, name: str) -> float:
        given = self.relaxation
        if not isinstance(given, Mapping):
            return given
        if not {name, group(name)} & given.keys():
            raise ConfigurationError(f"relaxation: no temperature for the site {name!r}; {nearest(name, given)}")
        return given[name] if name in given else given[group(name)]

    def _refuse_duplicate(self, name: str) -> None:
        if name in self._sites:
            raise TraceError(f"site {name!r} is visited twice; sites so far:\n{self.table()}")

    def _check_axes(self, name: str, shape: torch.Size, axes: str) -> str:
        """Return `axes`, with a leading `S` if the shape has it, after checking every length."""
        if unknown := set(axes) - set(LETTERS) | ({"S"} & set(axes)):
            raise ShapeError(f"site {name!r}: unknown axes {sorted(unknown)} in {axes!r}; letters are B, N, K, R")
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

    def _check_partial(self, name: str, given: Partial, distribution: Distribution, axes: str) -> Tensor:
        """Where the value is known, `[*axes]`, after checking both."""
        self._check_value(name, given.value, distribution, axes)
        if not given.value.is_floating_point():
            raise ShapeError(
                f"site {name!r}: expected an observed value of floating point, got {given.value.dtype}; labels are "
                "given as one-hot vectors (torch.nn.functional.one_hot)"
            )
        if given.known.shape != given.value.shape[: given.value.ndim - len(distribution.event_shape)]:
            raise ShapeError(
                f"site {name!r}: where its value {list(given.value.shape)} is known should be "
                f"{list(given.value.shape[: given.value.ndim - len(distribution.event_shape)])}, got "
                f"{list(given.known.shape)}"
            )
        if given.value.device.type == "cpu":  # elsewhere a look would make the host wait
            support: Any = distribution.support
            wrong = (given.known > 0) & ~support.check(given.value)
            if wrong.any():
                raise DataError(
                    f"site {name!r}: {int(wrong.sum())} of the values said to be known lie outside its support, "
                    f"{support}; the first is {given.value[wrong][0].tolist()}"
                )
        return given.known.to(given.value.dtype)

    def _mask(self, name: str, axes: str, site_axes: str, mask: Tensor | None) -> Tensor | None:
        parts = []
        if self.mask is not None and "N" in axes:
            parts.append(align(self.mask, "BN", site_axes))
        if mask is not None:
            parts.append(align(mask, self._check_axes(name, mask.shape, axes), site_axes))
        return None if not parts else parts[0] if len(parts) == 1 else parts[0] * parts[1]
