"""All values of discrete sites side by side, along the axis of particles, and the means over them."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from coset.distributions import is_enumerable, probability_of, probability_vector, support_values
from coset.errors import TraceError
from coset.shapes import align
from coset.sites import Site, group


class Enumeration:
    """Which joint values of discrete sites the particles of a trace stand for.

    Sites of one group, such as `turn.constant` and `turn.varying`, are values of one variable, of which masks leave
    one: they take their values in step.

    Attributes:
        particles: S, a multiple of the joint values; None without the axis.
        combinations: joint values of the sites so far.
    """

    def __init__(self, particles: int | None):
        self.particles, self.combinations = particles, 1
        self._strides: dict[str, int] = {}

    def values(self, name: str, distribution: Distribution, axes: str) -> Tensor:
        """All values of a site along the particles, `[S, *axes, *event]`.

        Raises:
            TraceError: The site's values cannot be listed, or the number of particles is no multiple of them.
        """
        check_enumerable(name, distribution)
        every = support_values(distribution)  # [V, *event]
        stride = self._strides.get(group(name), self.combinations)
        combinations = max(self.combinations, stride * len(every))
        if self.particles is None or self.particles % combinations:
            raise TraceError(
                f"site {name!r}: enumerating its {len(every)} values takes particles=S with S a multiple of "
                f"{combinations}, the combinations of the values enumerated so far; got particles={self.particles}"
            )
        self.combinations, self._strides[group(name)] = combinations, stride
        place = torch.arange(self.particles, device=every.device) // stride % len(every)  # [S]
        each = every[place]  # [S, *event]
        shape = probability_vector(distribution).shape[-1 - len(axes) : -1]
        return each.reshape(-1, *(1,) * len(axes), each.shape[-1]).expand(-1, *shape, -1)

    def weights(self, sites: list[Site], axes: str) -> Tensor:
        """Weights of the joint values, such that a sum over `S` is a mean: broadcastable over the axes `axes`.

        Raises:
            TraceError: What has these axes depends on a variable of several items, whose values were listed together.
        """
        product = torch.full((), self.combinations / (self.particles or 1))
        for site in sites:
            weight, weight_axes = site.weight, site.axes
            assert weight is not None
            for position, letter in reversed(list(enumerate(weight_axes))):
                if letter not in axes:
                    if weight.shape[position] > 1:
                        raise TraceError(
                            f"site {site.name!r} was enumerated for {weight.shape[position]} items at once, but a term "
                            f"of whole sets depends on it; use sets of one item, or draw {site.name!r} instead"
                        )
                    weight, weight_axes = weight.squeeze(position), weight_axes.replace(letter, "")
            product = product * align(weight, weight_axes, axes)
        return product


def value_weights(
    distribution: Distribution, value: Tensor, axes: str, mask: Tensor | None, given: tuple[Tensor, Tensor] | None
) -> Tensor:
    """Probability of each enumerated value `[S, *axes]`.

    Args:
        distribution: of the site.
        value: `[S, *axes, *event]`.
        axes: of the site.
        mask: where the site counts, `[*axes]` or `[S, *axes]`; elsewhere another one of its group does, and this one
            has the weight 1.
        given: values that were observed, and where, `[*axes]`; all others have no weight there.
    """
    probabilities = probability_vector(distribution)
    if given is not None:
        probabilities = torch.where(given[1].unsqueeze(-1) > 0, given[0], probabilities)
    weight = probability_of(distribution, value, probabilities)
    if mask is None:
        return weight
    there = align(mask, axes if mask.ndim == len(axes) else "S" + axes, "S" + axes)
    return torch.where(there > 0, weight, 1.0)


def check_enumerable(name: str, distribution: Distribution) -> None:
    """Refuse a site whose values cannot be listed.

    Raises:
        TraceError: Says what can.
    """
    if not is_enumerable(distribution):
        raise TraceError(
            f"site {name!r}: only a OneHotCategorical or a vector of bits can be enumerated or relaxed, got "
            f"{type(distribution).__name__}; leave the site out of `discrete`"
        )
