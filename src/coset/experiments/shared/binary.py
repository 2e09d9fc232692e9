"""Test images of 0 and 1."""

import torch
from torch import Tensor


def fixed_sample(x: Tensor) -> Tensor:
    """The test images made binary, the same for every model."""
    return torch.bernoulli(x, generator=torch.Generator().manual_seed(0))
