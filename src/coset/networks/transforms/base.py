"""What every transform is: a map of items that destroys some information, and leaves them items of the same kind."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Transform(nn.Module, ABC):
    """A map x̂ = g(x) of items that destroys the information of interest (equations 4-5 of the paper of 2019).

    It is built for items of one shape, `Transform(item_shape, …)`. What is random in it is drawn anew for each item in
    training mode, and stays the same in evaluation mode, so that questions have one answer. No gradient passes.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map items `[n, *item_shape]` to items of the same shape, type and range."""
