"""What `torch.distributions` lacks: Gaussians by natural parameters, mixtures, and ways to draw discrete variables."""

from coset.distributions.discrete import (
    ENUMERATED,
    Discrete,
    StraightThroughBernoulli,
    StraightThroughOneHot,
    draw_discrete,
    entropy_of,
    is_enumerable,
    probability_of,
    probability_vector,
    support_values,
    tempered,
)
from coset.distributions.gaussian import (
    SCALE_FLOOR,
    at_least_single,
    diagonal_normal,
    linear_parameter,
    natural_parameters,
    normal_from_natural,
    raw_width,
    standard_normal,
)
from coset.distributions.logistic import DiscretizedLogistic
from coset.distributions.mixtures import AggregateNormal, MixtureNormal
from coset.distributions.operations import centre, is_discrete, select

__all__ = [
    "ENUMERATED",
    "SCALE_FLOOR",
    "AggregateNormal",
    "Discrete",
    "DiscretizedLogistic",
    "MixtureNormal",
    "StraightThroughBernoulli",
    "StraightThroughOneHot",
    "at_least_single",
    "centre",
    "diagonal_normal",
    "draw_discrete",
    "entropy_of",
    "is_discrete",
    "is_enumerable",
    "linear_parameter",
    "natural_parameters",
    "normal_from_natural",
    "probability_of",
    "probability_vector",
    "raw_width",
    "select",
    "standard_normal",
    "support_values",
    "tempered",
]
