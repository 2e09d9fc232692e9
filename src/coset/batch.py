"""A batch of sets, which is all that a model is shown; and the reading of arrays that users hand over."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from coset.errors import DataError, ShapeError
from coset.shapes import describe


@dataclass(eq=False)  # not frozen, for Lightning's precisions put converted tensors into a copy
class SetBatch:
    """A batch of B sets of N items each, with what is known about them.

    Shapes are always checked. Values are checked on the CPU only: on an accelerator that would make the host wait.

    Args:
        x: Items `[B, N, ...]`, floating point.
        constant: `[B, K]`, 1 where a context is held constant in a set and 0 where it varies; a row of NaN if that is
            unknown of a set, None if of all.
        mask: `[B, N]`, 1 where an item is present and 0 where it is padding; None if all are present.
        factors: name → `[B, N]`; unknown is −1 for a discrete factor and NaN for a continuous one.
        views: what else was observed of the items, site name → `[B, N, ...]`, floating point.

    Raises:
        ShapeError: The axes don't agree.
        DataError: Items are not floating point, a flag is neither 0 nor 1, a set has no item at all, or a view is
            called `x`.

    >>> batch = SetBatch(torch.rand(2, 3, 8, 8), constant=torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    >>> batch.shape, len(batch), list(batch.values)
    ((2, 3), 2, ['x'])
    """

    x: Tensor
    constant: Tensor | None = None
    mask: Tensor | None = None
    factors: dict[str, Tensor] = field(default_factory=dict)
    views: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self):
        for name, value in {**self.values, "constant": self.constant, "mask": self.mask, **self.factors}.items():
            if not isinstance(value, Tensor) and (value is not None or name not in ("constant", "mask")):
                raise DataError(f"SetBatch: {name} should be a tensor, got {type(value).__name__}; use torch.as_tensor")
        if self.x.ndim < 2 or 0 in self.x.shape[:2]:
            raise ShapeError(
                f"SetBatch: x should be [B, N, ...] with at least one set of one item, got {list(self.x.shape)}; for "
                "independent items use x.unsqueeze(1), which makes sets of one"
            )
        if "x" in self.views:
            raise DataError("SetBatch: a view is called 'x', as the items are; give it a name of its own")
        for name, value in self.values.items():
            if not value.is_floating_point():
                raise DataError(f"SetBatch: {name} should be floating point, got {value.dtype}; use {name}.float()")
        here = describe("BN", self.x.shape)
        if self.constant is not None and (self.constant.ndim != 2 or len(self.constant) != len(self)):
            raise ShapeError(f"SetBatch: x is {here}, but constant [B, K] is {list(self.constant.shape)}")
        for name, value in {"mask": self.mask, **self.factors}.items():
            if value is not None and value.shape != self.x.shape[:2]:
                raise ShapeError(f"SetBatch: x is {here}, but {name} [B, N] is {list(value.shape)}")
        for name, value in self.views.items():
            if value.shape[:2] != self.x.shape[:2]:
                raise ShapeError(f"SetBatch: x is {here}, but {name} [B, N, ...] is {list(value.shape)}")
        for name, flag in (("constant", self.constant), ("mask", self.mask)):
            if flag is not None and flag.device.type == "cpu":
                known = flag[~flag.isnan().all(-1)] if name == "constant" else flag
                check_binary(f"SetBatch: {name}", known)
        if self.mask is not None and self.mask.device.type == "cpu":
            present = self.mask.sum(1)  # [B]
            if not present.all():
                raise DataError(f"SetBatch: set {int(present.argmin())} has no item; leave it out of the batch")

    @property
    def values(self) -> dict[str, Tensor]:
        """What was observed of the items under the names of sites, `x` and any other view of them."""
        return {"x": self.x, **self.views}

    @property
    def shape(self) -> tuple[int, int]:
        """The number of sets and of items in a set, (B, N)."""
        return self.x.shape[0], self.x.shape[1]

    def __len__(self) -> int:
        return self.x.shape[0]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "SetBatch":
        """Move all tensors to a device; `dtype` changes those of floating point only.

        >>> SetBatch(torch.rand(2, 3)).to(dtype=torch.float64).x.dtype
        torch.float64
        """
        asynchronous = self.x.is_pinned()

        def move(value: Tensor) -> Tensor:
            kind = dtype if value.is_floating_point() else None
            return value.to(device=device, dtype=kind, non_blocking=asynchronous)

        return self._map(move)

    def pin_memory(self) -> "SetBatch":
        """Copy to page-locked memory, from where a GPU reads without waiting; `DataLoader` calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "SetBatch":
        return replace(
            self,
            x=function(self.x),
            constant=None if self.constant is None else function(self.constant),
            mask=None if self.mask is None else function(self.mask),
            factors={name: function(codes) for name, codes in self.factors.items()},
            views={name: function(view) for name, view in self.views.items()},
        )


def check_binary(name: str, flag: Tensor) -> None:
    """Refuse a flag that is neither 0 nor 1.

    Raises:
        DataError: Names the first other value.

    >>> check_binary("SetBatch: mask", torch.tensor([[1.0, 0.0, 0.5]]))
    Traceback (most recent call last):
    ...
    coset.errors.DataError: SetBatch: mask should hold only 0 and 1, got 0.5
    """
    other = flag[(flag != 0) & (flag != 1)]
    if len(other):
        raise DataError(f"{name} should hold only 0 and 1, got {other[0].item()}")


def as_tensor(items: Any, what: str = "items") -> Tensor:
    """Read numbers from whatever holds them: arrays of any byte order and layout, frames, lists, tensors.

    Raises:
        DataError: These are no numbers of one shape, some are masked, or they are sparse.

    >>> as_tensor(np.array([1, 2], ">i4"))
    tensor([1, 2], dtype=torch.int32)
    """
    if isinstance(items, Tensor):
        if items.layout != torch.strided:
            raise DataError(f"{what}: a sparse tensor; make it dense first, by items.to_dense()")
        return _check_real(items.detach(), what)
    if hasattr(items, "toarray"):
        raise DataError(f"{what}: a sparse matrix, {type(items).__name__}; make it dense first, by items.toarray()")
    if isinstance(items, np.ma.MaskedArray) and np.ma.is_masked(items):
        raise DataError(f"{what}: {int(np.ma.count_masked(items))} numbers are masked; fill them in or leave them out")
    try:
        return _check_real(tensor_over(np.asarray(items)), what)
    except (TypeError, ValueError) as reason:
        raise DataError(f"{what}: not an array of numbers ({reason}); give items of one shape") from reason


def _check_real(numbers: Tensor, what: str) -> Tensor:
    if numbers.is_complex() or numbers.is_meta:
        kind = "a meta tensor, which holds none" if numbers.is_meta else f"of type {numbers.dtype}"
        raise DataError(f"{what}: expected real numbers, got {kind}; take real and imaginary part, or the numbers")
    return numbers


def tensor_over(array: np.ndarray) -> Tensor:
    """Give a tensor over the same memory where torch can have it: native byte order, in order, writable.

    >>> tensor_over(np.array([1, 2], ">i4"))
    tensor([1, 2], dtype=torch.int32)
    """
    return torch.from_numpy(np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "W"]))


def as_numbers(x: Tensor, dtype: torch.dtype, full_scale: int | None = None) -> Tensor:
    """Items as floating-point numbers: bytes are intensities from 0 to 1, other whole numbers count as they are.

    Args:
        x: items of any type.
        dtype: of what was not floating point.
        full_scale: the byte that stands for 1, see `full_scale_of`; 255 where None.

    >>> as_numbers(torch.tensor([0, 255], dtype=torch.uint8), torch.float32)
    tensor([0., 1.])
    """
    if x.dtype == torch.uint8:
        return x.to(dtype).div_(full_scale or 255)
    return x if x.is_floating_point() else x.to(dtype)


def full_scale_of(blocks: Iterable[Tensor]) -> int | None:
    """The byte that stands for 1: 255, or 1 where no byte is larger, as in files of black and white; None of no bytes.

    >>> full_scale_of([torch.tensor([0, 1], dtype=torch.uint8)]), full_scale_of([torch.tensor([0.5])])
    (1, None)
    """
    found = None
    for block in blocks:
        if block.dtype != torch.uint8:
            return None
        if block.numel() and int(block.max()) > 1:
            return 255
        found = 1
    return found


def moments_of(blocks: Iterable[Tensor], shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of numbers `[n, *shape]` given in blocks, each `[*shape]`, in double precision.

    >>> mean, deviation = moments_of([torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [7.0]])], (1,))
    >>> float(mean), round(float(deviation.square()), 6)
    (4.0, 5.0)
    """
    count, mean, square = 0, *(torch.zeros(tuple(shape), dtype=torch.float64) for _ in range(2))
    for block in blocks:
        numbers = block.detach().cpu().double()
        apart = numbers.mean(0) - mean
        total = count + len(numbers)
        square += (numbers - numbers.mean(0)).square().sum(0) + apart.square() * count * len(numbers) / total
        mean, count = mean + apart * len(numbers) / total, total
    return mean, (square / max(1, count)).sqrt()


def read_items(
    items: Any, item_shape: tuple[int, ...], like: Tensor, what: str = "items", full_scale: int | None = None
) -> Tensor:
    """Turn an array, tensor or nested list of items `[..., *item_shape]` into numbers as `as_numbers` does.

    Args:
        items: what a user hands over.
        item_shape: event axes of an item.
        like: has the device and the type that the result shall have.
        what: how errors call the items.
        full_scale: the byte that stands for 1.

    Raises:
        ShapeError: The last axes are no items of this shape.
        DataError: These are no numbers.

    >>> read_items([[0, 1], [2, 3]], (2,), like=torch.zeros(()))
    tensor([[0., 1.],
            [2., 3.]])
    """
    return as_numbers(as_items(items, item_shape, what), like.dtype, full_scale).to(like)


def as_items(items: Any, item_shape: tuple[int, ...], what: str = "items") -> Tensor:
    """Items `[..., *item_shape]` as `as_tensor` reads them, of the type that they have.

    Raises:
        ShapeError: The last axes are no items of this shape.
        DataError: These are no numbers.
    """
    x = as_tensor(items, what)
    event = len(item_shape)
    if x.ndim < event or tuple(x.shape[x.ndim - event :]) != item_shape:
        raise ShapeError(
            f"{what}: this model takes items of shape {list(item_shape)}, got an array of shape "
            f"{list(x.shape)}; resize the images, or train a model for this shape"
        )
    return x


def read_sets(
    x: Any, mask: Any, item_shape: tuple[int, ...], like: Tensor, what: str = "x", full_scale: int | None = None
) -> tuple[SetBatch, bool]:
    """Turn sets `[B, N, *item_shape]`, one set without `B`, or a list of sets of differing lengths, into a batch.

    Args:
        x: the sets.
        mask: which items are present, `[B, N]`, or `[N]` of one set; all where None.
        item_shape: event axes of an item.
        like: has the device and the type that the result shall have.
        what: how errors call the sets.
        full_scale: the byte that stands for 1.

    Returns:
        The batch, and whether it was a single set.

    Raises:
        ShapeError: These are no sets of such items, a set has no item, or the mask does not fit them.
        DataError: These are no numbers.
    """
    event = len(item_shape)
    if isinstance(x, (list, tuple)) and x and all(getattr(part, "ndim", None) == event + 1 for part in x):
        if mask is not None:
            raise ShapeError(f"mask: the list of sets {what} says itself which items there are; give no mask")
        x, mask = _pad([read_items(part, item_shape, like, what, full_scale) for part in x], event)
    x = read_items(x, item_shape, like, what, full_scale)
    if x.ndim not in (event + 1, event + 2) or 0 in x.shape[: x.ndim - event]:
        raise ShapeError(
            f"{what}: expected sets [B, N, {', '.join(map(str, item_shape))}] or one set without B, with at "
            f"least one item each, got {list(x.shape)}"
        )
    single = x.ndim == event + 1
    if mask is not None:
        mask = as_tensor(mask, "mask").to(x)
        mask = mask.unsqueeze(0) if single and mask.ndim == 1 else mask
    x = x.unsqueeze(0) if single else x
    if mask is not None and tuple(mask.shape) != tuple(x.shape[:2]):
        raise ShapeError(f"mask: expected {list(x.shape[:2])}, one entry an item, got {list(mask.shape)}")
    if mask is not None and not bool((present := mask.sum(1)).all()):
        raise ShapeError(f"{what}: the mask leaves set {int(present.argmin())} without any item; leave it out")
    return SetBatch(x, mask=mask), single


def _pad(parts: list[Tensor], event: int) -> tuple[Tensor, Tensor]:
    """Sets of differing lengths as one tensor `[B, N, ...]`, and which items are present `[B, N]`."""
    longest = max(len(part) for part in parts)
    padded = [F.pad(part, (0, 0) * event + (0, longest - len(part))) for part in parts]
    present = parts[0].new_zeros(len(parts), longest)
    for row, part in enumerate(parts):
        present[row, : len(part)] = 1.0
    return torch.stack(padded), present
