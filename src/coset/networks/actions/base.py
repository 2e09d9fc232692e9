"""What every action is: something that a context does to an item, and that can be undone."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Action(nn.Module, ABC):
    """One of V candidates of what a context does to an item: `x = do(x', choice)`, `x' = undo(x, choice)`.

    Attributes:
        candidates: V.
    """

    candidates: int

    @abstractmethod
    def do(self, parameters: Tensor, choice: Tensor) -> Tensor:
        """Act on the parameters of items' likelihoods `[..., *item_shape]` as choices say, one-hot `[..., V]`."""

    @abstractmethod
    def undo(self, x: Tensor, choice: Tensor) -> Tensor:
        """Items `[..., *item_shape]` as they were before the action, for choices `[..., V]`."""
