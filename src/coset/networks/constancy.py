"""Which contexts a set holds constant, from how far its items are of one class."""

import math

import torch
from torch import Tensor, nn

from coset.distributions import entropy_of
from coset.errors import ConfigurationError
from coset.shapes import for_present, masked_mean

SHARPNESS = 20.0
"""Log-odds of a = 1 between a set of one class and one that is as mixed as all items are."""
MOMENTUM = 0.1
"""Share of a batch in running means."""


class ConstancyNetwork(nn.Module):
    """q(a | D) from K ways to put items into C classes: a context is constant where a set's items are of one class.

        q(y_k | x) = Cat(softmax(W_k f(x) + b_k)),   ȳ_k(D) = 1/N Σ_n q(y_k | x_n),   u_k = H(ȳ_k(D)) / H(ȳ_k)
        log-odds of a_k = s (u − u_k)

    where ȳ_k is the mean over all items, u that of u_k over contexts and sets, and both are running means. What the
    classes are has to be learned, see `coset.objectives.SetClasses`, and where that ends depends on where it starts:
    so it starts R times, and what is read is the start that went best.

    Args:
        features: size of an item's features f(x).
        contexts: K.
        classes: C, at least 2; more than a context has values does no harm.
        starts: R.

    Raises:
        ConfigurationError: Fewer than two classes.
    """

    entropy: Tensor
    usual: Tensor
    missed: Tensor

    def __init__(self, features: int, contexts: int, classes: int, starts: int = 8):
        super().__init__()
        if classes < 2:
            raise ConfigurationError(f"classes: expected 2 or more, got {classes}")
        self.classes = nn.Linear(features, starts * contexts * classes)
        self.sizes = starts, contexts, classes
        self.register_buffer("entropy", torch.full((starts, contexts), math.log(classes)))
        self.register_buffer("usual", torch.ones(starts))
        self.register_buffer("missed", torch.zeros(starts))

    def forward(self, features: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map item features `[B, N, F]` and mask `[B, N]` to log-odds `[B, R, K]` and q(y | x) `[B, N, R, K, C]`."""
        found = for_present(self.classes, features, mask).unflatten(-1, self.sizes).softmax(-1)
        of_set = masked_mean(found, mask, dim=1)  # [B, R, K, C]
        share = entropy_of(of_set) / self.entropy
        if self.training:
            # A context that all items agree on would be divided by nothing.
            self._follow("entropy", entropy_of(of_set.mean(0)).clamp_min(0.1))
            self._follow("usual", share.mean((0, 2)))
        return SHARPNESS * (self.usual.unsqueeze(-1) - share), found

    def best(self, of_starts: Tensor) -> Tensor:
        """What belongs to the best start, `[B, R, ...] → [B, ...]`."""
        return of_starts.index_select(1, self.missed.argmin(keepdim=True)).squeeze(1)

    def judge(self, missed: Tensor) -> None:
        """Follow how badly each start does, `[R]`."""
        self._follow("missed", missed)

    @torch.no_grad()
    def _follow(self, name: str, of_batch: Tensor) -> None:
        """Move a running mean; into another tensor, as the graph of this step still needs the one that was."""
        setattr(self, name, torch.lerp(getattr(self, name), of_batch.detach(), MOMENTUM))
