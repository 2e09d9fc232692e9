"""The axes that every tensor of coset is described with, and the sums that honour a mask.

| letter | axis                                                        |
|--------|-------------------------------------------------------------|
| `S`    | particles: independent draws of all latent variables        |
| `B`    | sets in a batch                                             |
| `N`    | items in a set; absent ones are padding, marked by a mask   |
| `K`    | contexts: the named factors a set may hold constant         |
| `R`    | repetitions of a sub-program, as many as its count says     |

Axes always stand in this order and are followed by the event axes of one value: a feature vector, an image. An
ordinary mini-batch of items is `B` sets of one item.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from coset.errors import ShapeError

LETTERS = {"S": "particles", "B": "sets", "N": "items", "K": "contexts", "R": "repetitions"}


def describe(axes: str, shape: tuple[int, ...] | torch.Size) -> str:
    """Write a shape with its letters.

    >>> describe("BN", (32, 10))
    '[B=32, N=10]'
    """
    return "[" + ", ".join(f"{letter}={size}" for letter, size in zip(axes, shape, strict=False)) + "]"


def is_series(item_shape: Sequence[int]) -> bool:
    """Whether items are taken for series `[channels, length]`: two axes, the first too short to be a picture's side.

    >>> is_series((3, 100)), is_series((28, 28)), is_series((3, 28, 28))
    (True, False, False)
    """
    return len(item_shape) == 2 and item_shape[0] < 8


def align(value: Tensor, axes: str, onto: str) -> Tensor:
    """Insert axes of length one, so that `value` with `axes` broadcasts over a tensor with the axes `onto`.

    Raises:
        ShapeError: An axis of the value is not among those it is aligned onto.

    >>> align(torch.ones(32, 10), "BN", "SBNK").shape
    torch.Size([1, 32, 10, 1])
    """
    if not set(axes) <= set(onto):
        raise ShapeError(f"axes {axes!r} cannot be aligned onto {onto!r}: {sorted(set(axes) - set(onto))} missing")
    sizes = dict(zip(axes, value.shape, strict=True))
    return value.reshape([sizes.get(letter, 1) for letter in onto])


def sum_to(value: Tensor, axes: str, keep: str) -> Tensor:
    """Sum `value` with `axes` over every axis that is not in `keep`.

    >>> sum_to(torch.ones(2, 5, 3), "BNK", keep="SB")
    tensor([15., 15.])
    """
    dims = [position for position, letter in enumerate(axes) if letter not in keep]
    return value.sum(dims) if dims else value


def masked_mean(value: Tensor, mask: Tensor | None, dim: int) -> Tensor:
    """Mean along `dim` over the present entries only; `mask` has the axes of `value` up to and including `dim`.

    >>> masked_mean(torch.tensor([[[2.0], [4.0], [99.0]]]), torch.tensor([[1.0, 1.0, 0.0]]), dim=1)
    tensor([[3.]])
    """
    if mask is None:
        return value.mean(dim)
    weight = mask.reshape(mask.shape + (1,) * (value.ndim - mask.ndim)).to(value.dtype)
    # `where` rather than a product alone: padding may hold anything, and 0 · NaN is NaN.
    return torch.where(weight > 0, value * weight, 0.0).sum(dim) / weight.sum(dim).clamp_min(1.0)


def flatten_items(value: Tensor, event_dims: int) -> tuple[Tensor, tuple[int, ...]]:
    """Merge all leading axes into one, keeping the last `event_dims`; also return the leading shape.

    >>> flatten_items(torch.ones(4, 5, 28, 28), event_dims=2)[0].shape
    torch.Size([20, 28, 28])
    """
    lead = tuple(value.shape[: value.ndim - event_dims])
    return value.reshape(math.prod(lead), *value.shape[value.ndim - event_dims :]), lead  # [S·B·N, ...]


def for_present(network: Callable[[Tensor], Tensor], x: Tensor, mask: Tensor | None, event_dims: int = 1) -> Tensor:
    """Map items `[..., *event]` by a network of rows `[n, *event]`; absent items do not reach it, and get zeros.

    So padding enters no statistic of a batch, and costs nothing. To find the present items makes the host wait, where
    there is a mask.

    >>> for_present(lambda rows: rows - rows.mean(0), torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([[1, 1, 0]]))
    tensor([[[-1.],
             [ 1.],
             [ 0.]]])
    """
    flat, lead = flatten_items(x, event_dims)
    if mask is None:
        out = network(flat)
    else:
        present = mask.expand(lead).reshape(-1) > 0
        found = network(flat[present])
        out = found.new_zeros(len(flat), *found.shape[1:])
        out[present] = found
    return out.view(*lead, *out.shape[1:])


def join(*parts: Tensor) -> Tensor:
    """Concatenate along the last axis, broadcasting the others: features have no axis of particles, samples do.

    >>> join(torch.ones(4, 3), torch.ones(2, 4, 5)).shape
    torch.Size([2, 4, 8])
    """
    leads = {part.shape[:-1] for part in parts}
    if len(leads) > 1:
        lead = torch.broadcast_shapes(*leads)
        parts = tuple(part.expand(*lead, part.shape[-1]) for part in parts)
    return torch.cat(parts, -1)


def spread(value: Tensor, items: int) -> Tensor:
    """Repeat a set's vector for each of its items: `[..., F] → [..., N, F]`.

    >>> spread(torch.ones(4, 3), items=10).shape
    torch.Size([4, 10, 3])
    """
    return value.unsqueeze(-2).expand(*value.shape[:-1], items, value.shape[-1])


def repetitions(count: Tensor) -> Tensor:
    """Which of `most` repetitions are there, given a one-hot count from 0 to `most`: `[..., most + 1] → [..., most]`.

    Linear in the count, so that gradients of a relaxed one pass, and a vector of probabilities gives each repetition
    the probability that it is there.

    >>> repetitions(torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.5, 0.5, 0.0, 0.0]]))
    tensor([[1.0000, 1.0000, 0.0000],
            [0.5000, 0.0000, 0.0000]])
    """
    return count.flip(-1).cumsum(-1).flip(-1)[..., 1:]
