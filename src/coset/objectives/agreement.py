"""Agreement of items with their set: each item alone should tell the value that its set shares."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coset.distributions import probability_vector
from coset.objectives.base import Penalty, straight_line
from coset.programs import Programs
from coset.trace import Trace


class ItemAgreement(Penalty):
    """How badly each item alone tells the value that all items of its set together tell, in nats.

    For a discrete context v that a set holds constant, the cross-entropy, summed over its items,

        − Σ_n Σ_v q(v | D) log q(v | x_n)

    A set knows more than its items: of a mixed set, all upside down, it is clear which way is up, while a single 6 may
    be a 9. What is clear of sets is taught to items, with q(v | D) held fixed, so that where an item has a value of its
    own it is read in the same way. Never negative; the term is called `agreement`.

    Args:
        groups: of the sites GROUP.constant, which a set shares, and GROUP.varying, of items.
        until: the share of training over which it comes in, in a straight line: sets have to know something first.
    """

    def __init__(self, groups: Sequence[str], until: float = 0.1):
        super().__init__()
        self.groups, self.until = list(groups), until

    def forward(self, programs: Programs, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Return the cross-entropy of each set `[B]`, summed over its items and groups."""
        total = torch.zeros(len(programs.batch), device=programs.batch.x.device)
        for name in self.groups:
            shared, alone = q[f"{name}.constant"], q[f"{name}.varying"]
            assert shared.distribution is not None and alone.distribution is not None and shared.mask is not None
            told = probability_vector(shared.distribution).detach().unsqueeze(-2)  # [(S,) B, 1, V]
            wrong = -(told * probability_vector(alone.distribution).clamp_min(1e-12).log()).sum(-1)  # [(S,) B, N]
            wrong = q.expect(wrong, "BN")
            counts = torch.ones_like(wrong) if q.mask is None else q.mask
            total = total + (counts * wrong).sum(-1) * shared.mask.reshape(len(total))  # alike for all particles
        return {"agreement": total * straight_line((0.0, 1.0, self.until), programs.progress)}
