"""Consistency regularisation: an item and a random copy of it should be read alike."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coset.batch import SetBatch
from coset.distributions import probability_vector
from coset.errors import ConfigurationError
from coset.objectives.base import Penalty
from coset.programs import Programs
from coset.trace import Partial, Trace

CONFIDENT = 0.9
"""How probable a class must be before a copy of the item is taught it."""


class ConsistencyRegularisation(Penalty):
    """The inference program should say of a random copy of an item what it says of the item.

    For a one-hot site the penalty is −log q(class | copy) of the item's class. That is the label where it is known.
    Elsewhere it is what the item itself is read as, if confidently, after the probabilities were corrected for classes
    that are named too often (pseudo-labels: Lee 2013; of distorted copies: Sohn et al. 2020); where the reading is not
    confident nothing is asked. All classes are taken to be equally frequent. For a continuous site it is half the
    squared distance between the value, known or as it is read from the item, and the mean of q(value | copy). The term
    is called `consistency.SITE`.

    Args:
        site: what is read, a site of items.
        augmentation: maps items `[B, N, ...]` to copies and to which are mirrored `[B, N, 1]`, such as
            `coset.networks.RandomCopies`.
        reversed: dimensions of a continuous site that change their sign in a mirrored copy.
    """

    share: Tensor
    """How often each class is named, a running mean `[V]`."""

    def __init__(self, site: str, augmentation: nn.Module, reversed: Sequence[int] = ()):
        super().__init__()
        self.site, self.augmentation, self.reversed = site, augmentation, tuple(reversed)
        self.register_buffer("share", torch.ones(0))

    def bind(self, model: Any, data_size: int) -> None:
        """Begin with classes that are named equally often."""
        classes = model.discrete.get(self.site)
        if classes is not None:
            self.share = torch.full((classes,), 1 / classes).to(next(model.parameters()))

    def forward(self, programs: Programs, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Return the penalty of each set `[B]`.

        Raises:
            ConfigurationError: `bind` was not called before.
        """
        copies, mirrored = self.augmentation(programs.batch.x)
        again = programs.on(SetBatch(copies)).infer(temperature=0.0, until=(self.site,))
        known = q.observed.get(self.site)
        if self.site not in programs.model.discrete:
            missed = self._distance(q, again, known, mirrored)
        elif not len(self.share):
            raise ConfigurationError("ConsistencyRegularisation: call bind(model, data_size) first, as fit does")
        else:
            read: Any = again[self.site].distribution
            missed = self.disagreement(probability_vector(_distribution(q, self.site)), read.logits, known, q.mask)
        missed = missed if q.mask is None else missed * q.mask
        return {f"consistency.{self.site}": missed.sum(1)}

    def _distance(self, q: Trace, again: Trace, known: Any, mirrored: Tensor) -> Tensor:
        """Half the squared distance `[B, N]` between the value of an item and that of its copy."""
        with torch.no_grad():
            value = _distribution(q, self.site).mean
            if isinstance(known, Partial):
                value = torch.where(known.known.unsqueeze(-1) > 0, known.value, value)
            elif known is not None:
                value = known
            sign = torch.ones_like(value)
            sign[..., list(self.reversed)] = 1.0 - 2.0 * mirrored
        return 0.5 * (_distribution(again, self.site).mean - value * sign).square().sum(-1)

    def disagreement(
        self, probabilities: Tensor, read: Tensor, known: Partial | Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return −log q(class | copy) of each item that is asked, 0 of the others, `[B, N]`.

        Args:
            probabilities: of the classes of items, `[B, N, V]`.
            read: log-probabilities of the classes of their copies, `[B, N, V]`.
            known: what is known of the classes, one-hot.
            mask: which items are present, `[B, N]`.
        """
        with torch.no_grad():
            present = torch.ones_like(probabilities[..., 0]) if mask is None else mask
            if self.training:
                named = (probabilities * present.unsqueeze(-1)).sum((0, 1)) / present.sum()
                self.share.lerp_(named, 0.01)
            likely = F.normalize(probabilities / self.share, p=1, dim=-1)
            asked = (likely.amax(-1) > CONFIDENT).to(read.dtype)  # [B, N]
            target = F.one_hot(likely.argmax(-1), likely.shape[-1]).to(read.dtype)
            if isinstance(known, Tensor):
                known = Partial(known, torch.ones_like(asked))
            if known is not None:
                target = torch.where(known.known.unsqueeze(-1) > 0, known.value, target)
                asked = asked.maximum(known.known.to(asked))
        return -(target * read).sum(-1) * asked


def _distribution(trace: Trace, site: str) -> Any:
    return trace[site].distribution
