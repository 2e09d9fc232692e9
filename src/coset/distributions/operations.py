"""What can be asked of any distribution: its centre, and some of its batch."""

import functools
from typing import Any

from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, OneHotCategorical, TransformedDistribution
from zuko.distributions import NormalizingFlow

from coset.distributions.mixtures import AggregateNormal, MixtureNormal
from coset.errors import TraceError

_PARAMETERS: dict[type, tuple[str, ...]] = {
    Normal: ("loc", "scale"),
    Bernoulli: ("logits",),
    OneHotCategorical: ("logits",),
    AggregateNormal: ("location", "scale"),
    MixtureNormal: ("log_weight", "location", "scale"),
}
"""Arguments that build a distribution anew; those of `MixtureNormal` are named after what it keeps."""


def centre(distribution: Distribution) -> Tensor:
    """The single most representative value: the mean of a continuous distribution, the mode of a discrete one.

    Of a flow it is the image of the centre of its base.

    >>> import torch
    >>> from zuko.flows import NSF
    >>> centre(NSF(3, context=2)(torch.zeros(5, 2))).shape
    torch.Size([5, 3])
    """
    if isinstance(distribution, NormalizingFlow):
        flow: Any = distribution.transform.inv  # torch's type of an inverse may be None
        return flow(centre(distribution.base))
    if isinstance(distribution, TransformedDistribution):
        transforms: Any = distribution.transforms
        return functools.reduce(lambda value, transform: transform(value), transforms, centre(distribution.base_dist))
    if not is_discrete(distribution):
        return distribution.mean
    return distribution.mode.nan_to_num(0.0)  # torch calls the mode of a fair coin NaN


def is_discrete(distribution: Distribution) -> bool:
    """Whether a distribution is one over discrete values; a flow, which names no support, is not."""
    return not isinstance(distribution, NormalizingFlow) and bool(getattr(distribution.support, "is_discrete", False))


def select(distribution: Distribution, index: Any) -> Distribution:
    """The distributions at some places of the batch, as `parameter[index]` selects them; no gradient passes.

    Args:
        distribution: Gaussian, Bernoulli, one-hot, or a mixture, perhaps made independent over its last axes.
        index: what the batch axes are indexed with, from the left.

    Raises:
        TraceError: A distribution whose parameters are not known here.

    >>> import torch
    >>> several = Independent(Normal(torch.arange(6.0).view(3, 2), 1.0), 1)
    >>> select(several, torch.tensor([2, 0])).mean
    tensor([[4., 5.],
            [0., 1.]])
    """
    if isinstance(distribution, Independent):
        return Independent(
            select(distribution.base_dist, index), distribution.reinterpreted_batch_ndims, validate_args=False
        )
    kind = next((known for known in _PARAMETERS if isinstance(distribution, known)), None)
    if kind is None:
        raise TraceError(
            f"cannot take single distributions out of a batch of {type(distribution).__name__}; expected one of "
            f"{', '.join(known.__name__ for known in _PARAMETERS)}"
        )
    parameters = [getattr(distribution, name).detach()[index] for name in _PARAMETERS[kind]]
    if kind in (Bernoulli, OneHotCategorical):
        return kind(logits=parameters[0], validate_args=False)
    return kind(*parameters, validate_args=False) if kind is Normal else kind(*parameters)
