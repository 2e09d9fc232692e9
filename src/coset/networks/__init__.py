"""Networks: tensors in, tensors or distributions out. They know nothing of sites, sets of data, or bounds."""

from coset.networks.augmentation import RandomCopies
from coset.networks.contexts import AggregatePrior, SeparateContexts, TiedContexts
from coset.networks.convolutional import ConvolutionalDecoder, ConvolutionalEncoder
from coset.networks.heads import FlowHead, GaussianHead, MixtureHead, NaturalHead
from coset.networks.items import ItemDecoder, ItemEncoder
from coset.networks.likelihoods.base import Likelihood, build_likelihood
from coset.networks.mlp import MLP, ResidualMLP
from coset.networks.pooling import SetPosterior, StatisticNetwork

__all__ = [
    "MLP",
    "AggregatePrior",
    "ConvolutionalDecoder",
    "ConvolutionalEncoder",
    "FlowHead",
    "GaussianHead",
    "ItemDecoder",
    "ItemEncoder",
    "Likelihood",
    "MixtureHead",
    "NaturalHead",
    "RandomCopies",
    "ResidualMLP",
    "SeparateContexts",
    "SetPosterior",
    "StatisticNetwork",
    "TiedContexts",
    "build_likelihood",
]
