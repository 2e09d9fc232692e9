"""The aggregate posterior as the prior of contexts, estimated after training."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from coset.objectives.base import Penalty
from coset.programs import Programs
from coset.trace import Trace


class AggregatePosterior(Penalty):
    """Makes the posteriors of training sets the prior of contexts once training ends; it penalises nothing.

    Args:
        site: whose posteriors are taken, such as `context.constant`.
        prior: name of the model's `coset.networks.AggregatePrior` among its modules, such as `coding.prior`.
    """

    def __init__(self, site: str, prior: str):
        super().__init__()
        self.site, self.prior = site, prior

    def bind(self, model: Any, data_size: int) -> None:
        """Begin with N(0, I): what was estimated after earlier training no longer holds."""
        model.get_submodule(self.prior).forget()

    def forward(self, programs: Programs, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Return no term."""
        return {}

    @torch.no_grad()
    def finish(self, sets: Iterable[Programs]) -> None:
        """Estimate the prior from the posteriors of training sets.

        Args:
            sets: the programs on batches of training sets.
        """
        model, found = None, []
        for programs in sets:
            model = programs.model
            q = programs.held().infer(until=(self.site,))
            posterior = q[self.site].distribution
            assert posterior is not None
            found.append((posterior.mean, posterior.stddev, q.noted["constant"]))
        if model is not None:
            location, scale, used = (torch.cat(part) for part in zip(*found, strict=True))
            model.get_submodule(self.prior).estimate(location, scale, used)
