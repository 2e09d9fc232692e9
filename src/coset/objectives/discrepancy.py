"""InfoVAE: draws of the aggregate posterior should be as draws of the prior."""

import torch
from torch import Tensor

from coset.errors import ConfigurationError
from coset.objectives.base import Penalty
from coset.objectives.latents import item_sites, side_by_side
from coset.programs import Programs
from coset.sites import Site
from coset.trace import Trace


class MaximumMeanDiscrepancy(Penalty):
    """Squared maximum mean discrepancy of q(z) and p(z) (Zhao et al. 2017, section 3.2; Gretton et al. 2012).

        ‖ E_q(z) k(z, ·) − E_p(z) k(z, ·) ‖²,   k(z, z′) = exp( −‖z − z′‖² / (2 width²) )

    from the draws of a batch, as many of the prior as of the posterior, each with itself, which makes it non-negative.
    Sets are given the same; the term is called `discrepancy`.

    Args:
        width: of the kernel; D / √2 of D dimensions where None, as in the authors' program.

    Raises:
        ConfigurationError: The width is not above 0.
    """

    def __init__(self, width: float | None = None):
        super().__init__()
        if width is not None and width <= 0:
            raise ConfigurationError(f"width: expected a number above 0, got {width}")
        self.width = width

    def forward(self, programs: Programs, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Return the penalty, the same for each set `[B]`."""
        priors = {site.name: p[site.name].distribution for site in item_sites(q)}

        def prior(site: Site) -> Tensor:
            of = priors[site.name]
            assert of is not None
            return of.expand(site.value.shape[:2]).rsample()

        z, drawn = side_by_side(q, lambda site: site.value), side_by_side(q, prior)
        value = self._kernel(z, z).mean() + self._kernel(drawn, drawn).mean() - 2 * self._kernel(z, drawn).mean()
        return {"discrepancy": value.clamp_min(0.0).expand(len(programs.batch))}

    def _kernel(self, one: Tensor, two: Tensor) -> Tensor:
        """Of all pairs: `[M, M]`."""
        squared = (one.unsqueeze(1) - two.unsqueeze(0)).square().sum(-1)
        scale = one.shape[1] ** 2 if self.width is None else 2 * self.width**2
        return torch.exp(-squared / scale)
