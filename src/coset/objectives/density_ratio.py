"""FactorVAE: total correlation by a critic that tells draws from draws whose dimensions are shuffled."""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from coset.errors import ConfigurationError
from coset.objectives.base import Bound, Objective
from coset.objectives.elbo import EvidenceLowerBound
from coset.objectives.latents import count_latents, side_by_side
from coset.objectives.schedules import Fixed
from coset.programs import Programs


class TotalCorrelationCritic(Objective):
    """The bound, less the total correlation of items' latent variables as a critic sees it (Kim & Mnih 2018, eq. 2).

        ELBO − weight · E log D(z) / (1 − D(z)),   D(z) the probability that z is a draw, and not one of shuffled draws

    In shuffled draws each dimension comes from another item of the batch: draws of Π_d q(z_d) (algorithm 1). The critic
    is taught in alternation with the model, by the cross-entropy of telling both apart. What it sees is an estimate
    that may be below 0; the term is called `correlation`, and is summed over a set's items. The paper's critic learns
    at its own rate, here it is that of training.

    Args:
        weight: γ of the paper.
        units: of the critic's layers.
        layers: how many, each with leaky rectified units.

    Raises:
        ConfigurationError: No layer, or no unit in one.
    """

    critic: nn.Sequential

    def __init__(self, weight: float = 10.0, units: int = 1000, layers: int = 5):
        super().__init__()
        if units < 1 or layers < 1:
            raise ConfigurationError(f"TotalCorrelationCritic: expected layers and units from 1, got {layers}, {units}")
        self.bound, self.units, self.layers = EvidenceLowerBound(), units, layers
        self.schedule = Fixed({"correlation": weight})
        self._draws: Tensor | None = None

    def bind(self, model: Any, data_size: int) -> None:
        """Build the critic for the model's latent variables."""
        sizes = [count_latents(model), *[self.units] * self.layers]
        hidden = [
            part for one, two in pairwise(sizes) for part in (nn.Linear(one, two), nn.LeakyReLU(0.2, inplace=True))
        ]
        like = next(model.parameters())
        self.critic = nn.Sequential(*hidden, nn.Linear(sizes[-1], 1)).to(like)

    def forward(self, programs: Programs) -> Bound:
        """Run the bound, and look at its draws.

        Raises:
            ConfigurationError: The critic was not built, by `bind`.
        """
        bound = self.bound(programs)
        assert bound.q is not None
        z = side_by_side(bound.q, lambda site: site.value)
        critic = self._critic()
        fixed = {name: weight.detach() for name, weight in critic.named_parameters()}  # which the model's step leaves
        told = functional_call(critic, fixed, (z,)).squeeze(-1)  # [M]
        self._draws = z.detach()
        mask = torch.ones(programs.batch.shape, device=told.device) if bound.q.mask is None else bound.q.mask
        spread = told.new_zeros(mask.shape).masked_scatter(mask > 0, told).sum(1)
        terms = bound.terms | {"correlation": spread}
        return Bound(terms, bound.gains, frozenset({"correlation"}), bound.q, bound.p)

    def critic_loss(self, programs: Programs) -> Tensor:
        """Cross-entropy of telling the draws that `forward` saw last from shuffled ones.

        Raises:
            ConfigurationError: It saw none.
        """
        if self._draws is None:
            raise ConfigurationError("TotalCorrelationCritic: a step of the critic follows one of the model")
        z = self._draws
        with torch.no_grad():
            shuffled = z.gather(0, torch.rand_like(z).argsort(0))
        logits = self._critic()(torch.cat([z, shuffled])).squeeze(-1)
        true = torch.cat([torch.ones(len(z)), torch.zeros(len(z))]).to(logits)
        return F.binary_cross_entropy_with_logits(logits, true)

    def _critic(self) -> nn.Sequential:
        if "critic" not in self._modules:
            raise ConfigurationError("TotalCorrelationCritic: its critic is built by bind(model, data_size)")
        return self.critic
