"""DIP-VAE: the covariance of the aggregate posterior should be that of the prior."""

from typing import Literal, get_args

import torch
from torch import Tensor

from coset.errors import ConfigurationError
from coset.objectives.base import Penalty
from coset.objectives.latents import posterior_moments
from coset.programs import Programs
from coset.trace import Trace

Of = Literal["means", "draws"]


class CovarianceMatching(Penalty):
    """How far the covariance of items' latent variables is from the identity (Kumar et al. 2018, equations 6 and 7).

        Σ_{i≠j} C_ij² + ratio Σ_i (C_ii − 1)²

    with C the covariance of the posteriors' means (DIP-VAE-I), or that of draws, which has the mean of the posteriors'
    variances besides (DIP-VAE-II), over the items of a batch. Sets are given the same; the term is called `covariance`.

    Args:
        of: `means` or `draws`.
        ratio: weight of the diagonal over that of the rest; 10 for the first form in the paper, 1 for the second.

    Raises:
        ConfigurationError: Another form, or a ratio below 0.
    """

    def __init__(self, of: Of = "means", ratio: float = 10.0):
        super().__init__()
        if of not in get_args(Of) or ratio < 0:
            raise ConfigurationError(f"CovarianceMatching: expected of={get_args(Of)}, ratio from 0, got {of}, {ratio}")
        self.of, self.ratio = of, ratio

    def forward(self, programs: Programs, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Return the penalty, the same for each set `[B]`."""
        means, variances = posterior_moments(q)
        covariance = torch.cov(means.T, correction=0).reshape(means.shape[1], -1)
        if self.of == "draws":
            covariance = covariance + torch.diag(variances.mean(0))
        diagonal = covariance.diagonal()
        apart = (covariance - torch.diag(diagonal)).square().sum()
        value = apart + self.ratio * (diagonal - 1).square().sum()
        return {"covariance": value.expand(len(programs.batch))}
