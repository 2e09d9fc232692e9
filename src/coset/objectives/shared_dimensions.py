"""Pairs that share something: the dimensions that stand for it have one posterior for all items of a set."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from coset.errors import ConfigurationError
from coset.objectives.base import Bound, Objective
from coset.objectives.elbo import elbo
from coset.objectives.latents import latent_sites
from coset.objectives.schedules import Fixed
from coset.programs import Programs
from coset.sites import Site
from coset.trace import Trace

Average = Literal["moments", "product"]


class SharedDimensions(Objective):
    """The bound of sets whose items have some latent dimensions in common, told or found.

    The posteriors of the dimensions that a set shares are replaced by one for all of its items. Where they are not
    told, those are shared that differ least (Ada-GVAE; Locatello et al. 2020, section 4.2): with δ_d the divergence of
    dimension d between the items' posteriors, the mean over ordered pairs of items,

        shared = { d : δ_d < ½ (max_d δ_d + min_d δ_d) }
        moments    the mean of means and the mean of variances            (GVAE; Hosoya 2019)
        product    the normalised product of the densities                (ML-VAE; Bouchacourt et al. 2018)

    Draws of shared dimensions are made for each item, as in Locatello's program, and their divergence counts once an
    item, so that this is a bound on log p(D) of items that are independent given their own codes.

    Args:
        shared: indices of the dimensions that sets share; found for each set where None.
        average: `moments` or `product`.
        site: a site of items with independent normal dimensions.
        weight: of the divergence, β.

    Raises:
        ConfigurationError: Another way to average.
    """

    def __init__(
        self,
        shared: Sequence[int] | None = None,
        average: Average = "moments",
        site: str = "z",
        weight: float = 1.0,
    ):
        super().__init__()
        if average not in get_args(Average):
            raise ConfigurationError(f"SharedDimensions: expected average= {get_args(Average)}, got {average!r}")
        self.shared, self.average, self.site = None if shared is None else list(shared), average, site
        self.schedule = Fixed({site: weight})

    def forward(self, programs: Programs) -> Bound:
        """Run the inference program, average, draw, and run the generative program.

        Raises:
            ConfigurationError: No such site of items, or a dimension that it does not have.
        """
        found = programs.infer()
        if [site.name for site in latent_sites(found)] != [self.site] or found[self.site].axes != "BN":
            raise ConfigurationError(
                f"SharedDimensions: expected a model that infers {self.site!r} of items and nothing else, found "
                f"{[site.name for site in latent_sites(found)]}"
            )
        mean, variance = self._averaged(found[self.site], found.mask)
        q = Trace(mask=found.mask)
        q.sample(self.site, Independent(Normal(mean, variance.sqrt()), 1), axes="BN")
        return elbo(q, programs.generate(q))

    def _averaged(self, site: Site, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Means and variances `[B, N, D]`, alike within a set where a dimension is shared."""
        assert site.distribution is not None
        mean, variance = site.distribution.mean, site.distribution.variance
        weight = torch.ones_like(mean[..., :1]) if mask is None else mask.unsqueeze(-1).to(mean)  # [B, N, 1]
        share = weight / weight.sum(1, keepdim=True).clamp_min(1)
        if self.average == "moments":
            together, spread = (mean * share).sum(1, keepdim=True), (variance * share).sum(1, keepdim=True)
        else:
            precision = (weight / variance).sum(1, keepdim=True)
            together, spread = (weight * mean / variance).sum(1, keepdim=True) / precision, 1 / precision
        alike = self._shared(mean, variance, weight)
        return torch.where(alike, together, mean), torch.where(alike, spread, variance)

    def _shared(self, mean: Tensor, variance: Tensor, weight: Tensor) -> Tensor:
        """Which dimensions a set shares: `[B, 1, D]`."""
        if self.shared is not None:
            size = mean.shape[-1]
            if any(not 0 <= index < size for index in self.shared):
                raise ConfigurationError(f"shared: expected dimensions from 0 to {size - 1}, got {self.shared}")
            told = torch.zeros(size, dtype=torch.bool, device=mean.device)
            told[self.shared] = True
            return told.expand(len(mean), 1, size)
        one, two = mean.unsqueeze(2), mean.unsqueeze(1)
        ratio = variance.unsqueeze(2) / variance.unsqueeze(1)
        apart = 0.5 * (ratio + (one - two).square() / variance.unsqueeze(1) - 1 - ratio.log())  # [B, N, N, D]
        both = weight.unsqueeze(2) * weight.unsqueeze(1)
        away = (apart * both).sum((1, 2)).detach()  # an item is no distance from itself
        return (away < 0.5 * (away.amax(-1, keepdim=True) + away.amin(-1, keepdim=True))).unsqueeze(1)
