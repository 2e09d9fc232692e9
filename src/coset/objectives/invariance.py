"""Invariant information: classes of items and of random copies of these should tell all they can of each other."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from coset.batch import SetBatch
from coset.distributions import entropy_of, probability_vector
from coset.errors import ConfigurationError
from coset.objectives.base import Penalty
from coset.programs import Programs
from coset.trace import Trace


class InvariantInformation(Penalty):
    """Classes y of items and y′ of their copies should be sure, equal, and each as frequent as the others.

        H(y′ | y) + λ (log K − H(y)),   p(y, y′) = 1/M Σ_n q(y | x_n) q(y′ | x′_n), made symmetric

    over the M items of a batch, which with λ = 1 is log K − I(y; y′) (Ji et al. 2019, "Invariant Information
    Clustering", equations 3 and 4). It is 0 where copies are read as their items are, without doubt, and all K classes
    are as frequent; log K, with λ = 1, where readings tell nothing of each other. So the augmentation says what a class
    is not to depend on, which no likelihood knows. A batch has to be many times as large as K. The mean over items,
    times N, is the term `invariance.SITE`.

    Args:
        site: what is read, a one-hot site of items.
        augmentation: maps items `[B, N, ...]` to copies and to which are mirrored `[B, N, 1]`, such as
            `coset.networks.RandomCopies`.
        balance: λ; more than 1 keeps classes from being split, and others from being put together.

    Raises:
        ConfigurationError: A negative balance.
    """

    def __init__(self, site: str, augmentation: nn.Module, balance: float = 1.0):
        super().__init__()
        if balance < 0:
            raise ConfigurationError(f"balance: expected a number from 0 up, got {balance}")
        self.site, self.augmentation, self.balance = site, augmentation, balance

    def bind(self, model: Any, data_size: int) -> None:
        """See that there are classes to read.

        Raises:
            ConfigurationError: The model has no such one-hot site.
        """
        if self.site not in model.discrete:
            raise ConfigurationError(
                f"InvariantInformation: {self.site!r} is no discrete site of {type(model).__name__}, which has "
                f"{', '.join(model.discrete) or 'none'}"
            )

    def forward(self, programs: Programs, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Return the penalty of each set `[B]`."""
        copies, _ = self.augmentation(programs.batch.x)
        again = programs.on(SetBatch(copies)).infer(temperature=0.0, until=(self.site,))
        both: tuple[Any, Any] = q[self.site].distribution, again[self.site].distribution
        read, read_again = map(probability_vector, both)  # [B, N, K]
        mask = programs.batch.mask
        present = torch.ones_like(read[..., 0]) if mask is None else mask
        joint = read[present > 0].T @ read_again[present > 0] / present.sum()  # [K, K]
        joint = (joint + joint.T) / 2
        alone = entropy_of(joint.sum(1))
        missed = entropy_of(joint.flatten()) - alone + self.balance * (math.log(len(joint)) - alone)
        return {f"invariance.{self.site}": missed * present.sum(1)}
