"""The objectives of the literature on disentanglement by name, each with the settings of its paper."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from coset.errors import ConfigurationError, nearest
from coset.objectives.base import Bound, Objective, Penalised
from coset.objectives.covariance import CovarianceMatching
from coset.objectives.decomposed import Decomposed
from coset.objectives.density_ratio import TotalCorrelationCritic
from coset.objectives.discrepancy import MaximumMeanDiscrepancy
from coset.objectives.elbo import EvidenceLowerBound
from coset.objectives.schedules import Fixed
from coset.objectives.shared_dimensions import SharedDimensions
from coset.programs import Programs


def _covariance(of: Any, scale: float, ratio: float) -> Objective:
    return Penalised(EvidenceLowerBound(), [CovarianceMatching(of, ratio)], Fixed({"covariance": scale}))


def _discrepancy(scale: float) -> Objective:
    schedule = Fixed({"z": 0.0, "discrepancy": scale})
    return Penalised(EvidenceLowerBound(), [MaximumMeanDiscrepancy()], schedule)


OBJECTIVES: Mapping[str, Callable[..., Objective]] = {
    "vae": lambda: EvidenceLowerBound(),
    "beta-vae": lambda beta=4.0: Decomposed("beta-vae", {"beta": beta}),
    "dip-vae-i": lambda scale=10.0, ratio=10.0: _covariance("means", scale, ratio),
    "dip-vae-ii": lambda scale=10.0, ratio=1.0: _covariance("draws", scale, ratio),
    "info-vae": lambda scale=1000.0: _discrepancy(scale),
    "gao": lambda scale=1.0, anchors=("z[0]",): Decomposed("gao", {"scale": scale}, anchors=anchors),
    "achille-soatto": lambda beta=1.0, gamma=1.0: Decomposed("achille-soatto", {"beta": beta, "gamma": gamma}),
    "factor-vae": lambda gamma=10.0, units=1000, layers=5: TotalCorrelationCritic(gamma, units, layers),
    "beta-tc": lambda beta=6.0: Decomposed("beta-tc", {"beta": beta}),
    "hfvae": lambda groups, alpha=1.0, beta=12.0, gamma=4.0: Decomposed(
        "hfvae", {"alpha": alpha, "beta": beta, "gamma": gamma}, groups
    ),
    "gvae": lambda shared, beta=1.0: SharedDimensions(shared, "moments", weight=beta),
    "ml-vae": lambda shared, beta=1.0: SharedDimensions(shared, "product", weight=beta),
    "ada-gvae": lambda beta=1.0: SharedDimensions(None, "moments", weight=beta),
}
"""Name → what builds it."""


class Preset(Objective):
    """An objective by the name of its paper.

    What it is, with its settings in quotes::

        vae             the bound                                                     Kingma & Welling 2013
        beta-vae        the bound, its divergence `beta` times                        Higgins et al. 2017
        dip-vae-i, -ii  less `scale` × covariance of means, or draws, off the prior's Kumar et al. 2018
        info-vae        the likelihood, less `scale` × discrepancy of q(z) and p(z)   Zhao et al. 2017
        gao             the bound, and `scale` × what the dimensions `anchors` tell   Gao et al. 2018
        achille-soatto  `beta` × information, `gamma` × total correlation             Achille & Soatto 2018
        factor-vae      the bound, less `gamma` × total correlation by a critic       Kim & Mnih 2018
        beta-tc         total correlation `beta` times                                Chen et al. 2018
        hfvae           `alpha` × information, correlation `beta` × between `groups`
                        and `gamma` × within                                          Esmaeili et al. 2018
        gvae            sets share the dimensions `shared`, by mean moments           Hosoya 2019
        ml-vae          sets share the dimensions `shared`, by products               Bouchacourt et al. 2018
        ada-gvae        sets share dimensions that are found                          Locatello et al. 2020

    Args:
        name: of the table.
        settings: what the table names, where it is not the paper's.

    Raises:
        ConfigurationError: Another name, another setting, or one that is missing.

    >>> Preset("beta-tc", {"beta": 8.0}).schedule.weights
    {'correlation': 8.0}
    """

    def __init__(self, name: str = "vae", settings: Mapping[str, Any] | None = None):
        super().__init__()
        if name not in OBJECTIVES:
            raise ConfigurationError(f"no objective is called {name!r}; {nearest(name, OBJECTIVES)}")
        try:
            signature(OBJECTIVES[name]).bind(**(settings or {}))
        except TypeError as reason:
            raise ConfigurationError(f"{name} has the settings {signature(OBJECTIVES[name])}: {reason}") from reason
        self.objective = OBJECTIVES[name](**(settings or {}))
        self.schedule = self.objective.schedule

    def forward(self, programs: Programs) -> Bound:
        """Run the objective."""
        return self.objective(programs)
