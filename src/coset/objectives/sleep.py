"""The sleep phase: the inference program learns from what the generative program draws."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from coset.batch import SetBatch
from coset.errors import ConfigurationError
from coset.objectives.base import Penalty
from coset.programs import Programs
from coset.trace import Trace


class SleepPhase(Penalty):
    """−log q(site | x′) of items x′ that the generative program drew, and whose latents are known (Hinton et al. 1995).

    The mean over all items drawn counts for each set: the term `sleep`. The gradient reaches the inference program
    alone. What normalisation has learned of the data does not change: the inference program is run in evaluation mode.

    Args:
        site: whose posterior is taught.
        given: sites that are told when x′ is read, because what is drawn of them is unlike the data.
        share: sets drawn, as a share of those of the batch.
        sorted_by: for repetitions, which have no order: the dimension of the site by which they are sorted.

    Raises:
        ConfigurationError: The share is not above 0.
    """

    def __init__(self, site: str, given: Sequence[str] = (), share: float = 0.25, sorted_by: int | None = None):
        super().__init__()
        if share <= 0:
            raise ConfigurationError(f"share: expected a number above 0, got {share}")
        self.site, self.given, self.share, self.sorted_by = site, tuple(given), share, sorted_by

    def forward(self, programs: Programs, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Return the penalty, the same for each set `[B]`."""
        sets, items = programs.batch.shape
        with torch.no_grad():
            drawn = programs.generate(observed={}, shape=(math.ceil(sets * self.share), items))
            target = drawn[self.site].value
            present = drawn[self.site].mask
            if self.sorted_by is not None and present is not None:
                key = torch.where(present > 0, target[..., self.sorted_by], torch.inf)  # absent ones stay last
                target = target.gather(-2, key.argsort(-1).unsqueeze(-1).expand_as(target))
        known = drawn.values(*self.given) | {self.site: target}
        asleep = programs.on(SetBatch(drawn["x"].value)).held(fixed=False)
        scored = asleep.infer(observed=known, until=(self.site,))[self.site].log_prob  # [sets drawn]
        return {"sleep": -scored.mean().expand(sets)}
