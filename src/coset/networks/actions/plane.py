"""Actions that map the plane: a picture is turned, moved or resized by one of several maps."""

from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from coset.errors import ConfigurationError
from coset.networks.actions.base import Action


class PlaneMap(Action):
    """Maps a picture by one of V affine maps of the plane.

        x(u) = x'(A_v u + b_v)

    What is interpolated is the parameters of the likelihood, such as logits; beyond the edge they go on as they end.

    Args:
        item_shape: `(H, W)` or `(C, H, W)`.
        maps: `[V, 2, 3]`, A_v beside b_v; of coordinates from −1 to 1, to the right and down.

    Raises:
        ConfigurationError: Items that are no pictures, or fewer than two maps.
    """

    maps: Tensor
    inverses: Tensor

    def __init__(self, item_shape: Sequence[int], maps: Tensor):
        super().__init__()
        if len(item_shape) not in (2, 3):
            raise ConfigurationError(
                f"{type(self).__name__}: maps pictures, [H, W] or [C, H, W], but items have the shape "
                f"{list(item_shape)}"
            )
        if len(maps) < 2:
            raise ConfigurationError(f"{type(self).__name__}: expected 2 candidates or more, got {len(maps)}")
        self.item_shape, self.candidates = tuple(item_shape), len(maps)
        linear = torch.linalg.inv(maps[:, :, :2])
        inverses = torch.cat([linear, -linear @ maps[:, :, 2:]], -1)
        for name, value in {"maps": maps, "inverses": inverses}.items():
            self.register_buffer(name, value.to(torch.get_default_dtype()), persistent=False)

    def do(self, parameters: Tensor, choice: Tensor) -> Tensor:
        """Map pictures `[..., *item_shape]`, for choices `[..., V]`."""
        return self._map(parameters, _chosen(choice, self.maps))

    def undo(self, x: Tensor, choice: Tensor) -> Tensor:
        """Map pictures back."""
        return self._map(x, _chosen(choice, self.inverses))

    def _map(self, pictures: Tensor, matrix: Tensor) -> Tensor:
        sides = self.item_shape[-2:]
        lead = torch.broadcast_shapes(pictures.shape[: pictures.ndim - len(self.item_shape)], matrix.shape[:-2])
        own = (1,) * (len(lead) - matrix.ndim + 2) + matrix.shape[:-2]
        # Pictures that share a map are channels of one, so that where its points lie is worked out once.
        order = sorted(range(len(lead)), key=lambda axis: own[axis] == 1)
        inside = range(len(lead), len(lead) + len(self.item_shape))
        matrix = matrix.reshape(-1, 2, 3)
        together = pictures.expand(*lead, *self.item_shape).permute(*order, *inside).reshape(len(matrix), -1, *sides)
        grid = F.affine_grid(matrix, [len(matrix), 1, *sides], align_corners=False)
        mapped = F.grid_sample(together, grid, align_corners=False, padding_mode="border")
        mapped = mapped.view(*(lead[axis] for axis in order), *self.item_shape)
        return mapped.permute(*(order.index(axis) for axis in range(len(lead))), *inside)


def do_in_turn(actions: Iterable[Action], choices: Iterable[Tensor], parameters: Tensor) -> Tensor:
    """Let actions act one after another; maps of the plane that follow one another act as the one that they make.

        x₂(u) = x₁(A₂ u + b₂) = x'(A₁ A₂ u + A₁ b₂ + b₁)

    So pictures are interpolated once.
    """
    for planar, some in groupby(zip(actions, choices, strict=True), key=lambda step: isinstance(step[0], PlaneMap)):
        steps: list[tuple[Any, Tensor]] = list(some)
        if planar:
            matrix = reduce(_joined, (_chosen(choice, action.maps) for action, choice in steps))
            parameters = steps[0][0]._map(parameters, matrix)
        else:
            for action, choice in steps:
                parameters = action.do(parameters, choice)
    return parameters


def _chosen(choice: Tensor, maps: Tensor) -> Tensor:
    """Maps `[..., 2, 3]` for choices `[..., V]` among `[V, 2, 3]`."""
    return torch.einsum("...v,vij->...ij", choice, maps)


def _joined(first: Tensor, second: Tensor) -> Tensor:
    """The map of which a picture that the first has mapped is mapped by the second, `[..., 2, 3]` each."""
    linear = first[..., :2]
    return linear @ second + F.pad(first[..., 2:], (2, 0))
