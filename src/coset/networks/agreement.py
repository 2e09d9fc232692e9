"""Reading an item and a distorted copy of it alike: what a classifier learns from items without labels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coset.trace import Partial

CONFIDENT = 0.9
"""How probable a class must be before a copy of the item is taught it."""


class Agreement(nn.Module):
    """The penalty −log q(class | copy) for the class of an item, per set.

    The class is the label where it is known. Elsewhere it is what the item itself is read as, if confidently, after the
    probabilities were corrected for classes that are named too often (pseudo-labels: Lee 2013; of distorted copies:
    Sohn et al. 2020); where the reading is not confident nothing is asked.

    Args:
        classes: V; all are taken to be equally frequent.

    >>> penalty = Agreement(3)
    >>> certain = torch.tensor([[[0.98, 0.01, 0.01]]])
    >>> float(penalty(certain, certain.log())) < 0.05 < float(penalty(certain, certain.flip(-1).log()))
    True
    """

    share: Tensor
    """How often each class is named, a running mean `[V]`."""

    def __init__(self, classes: int):
        super().__init__()
        self.register_buffer("share", torch.full((classes,), 1 / classes))

    def forward(
        self, probabilities: Tensor, read: Tensor, given: Partial | Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return the penalty of each set `[B]`.

        Args:
            probabilities: of the classes of items, `[B, N, V]`.
            read: log-probabilities of the classes of their copies, `[B, N, V]`.
            given: what is known of the classes, one-hot.
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
            if isinstance(given, Tensor):
                given = Partial(given, torch.ones_like(asked))
            if given is not None:
                target = torch.where(given.known.unsqueeze(-1) > 0, given.value, target)
                asked = asked.maximum(given.known.to(asked))
        return -((target * read).sum(-1) * asked * present).sum(1)
