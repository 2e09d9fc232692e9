"""Networks: tensors in, tensors or distributions out. They know nothing of sites, sets of data, or bounds."""

from coset.networks.contexts import SeparateContexts, TiedContexts
from coset.networks.convolutional import ConvolutionalDecoder, ConvolutionalEncoder
from coset.networks.heads import EvidenceHead, GaussianHead, Likelihood
from coset.networks.items import ItemDecoder, ItemEncoder
from coset.networks.mlp import MLP, ResidualMLP
from coset.networks.pooling import SetPosterior, StatisticNetwork

__all__ = [
    "MLP",
    "ConvolutionalDecoder",
    "ConvolutionalEncoder",
    "EvidenceHead",
    "GaussianHead",
    "ItemDecoder",
    "ItemEncoder",
    "Likelihood",
    "ResidualMLP",
    "SeparateContexts",
    "SetPosterior",
    "StatisticNetwork",
    "TiedContexts",
]
