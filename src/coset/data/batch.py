"""A batch of sets, which is what models are shown."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from coset.errors import DataError, ShapeError
from coset.shapes import describe


@dataclass(frozen=True, eq=False)
class SetBatch:
    """A batch of B sets of N items each, with what is known about them.

    Shapes are always checked. Values are checked on the CPU only: on an accelerator that would make the host wait.

    Args:
        x: Items `[B, N, ...]`, floating point.
        constant: `[B, K]`, 1 where a context is held constant in a set and 0 where it varies; None if unknown.
        mask: `[B, N]`, 1 where an item is present and 0 where it is padding; None if all are present.
        factors: name → `[B, N]`; unknown is −1 for a discrete factor and NaN for a continuous one.

    Raises:
        ShapeError: if the axes don't agree.
        DataError: if items are not floating point, a flag is neither 0 nor 1, or a set has no item at all.

    >>> batch = SetBatch(torch.rand(2, 3, 8, 8), constant=torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    >>> batch.shape, len(batch)
    ((2, 3), 2)
    """

    x: Tensor
    constant: Tensor | None = None
    mask: Tensor | None = None
    factors: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self):
        if self.x.ndim < 2 or 0 in self.x.shape[:2]:
            raise ShapeError(
                f"SetBatch: x should be [B, N, ...] with at least one set of one item, got {list(self.x.shape)}; for "
                "independent items use x.unsqueeze(1), which makes sets of one"
            )
        if not self.x.is_floating_point():
            raise DataError(f"SetBatch: x should be floating point, got {self.x.dtype}; use x.float()")
        here = describe("BN", self.x.shape)
        if self.constant is not None and (self.constant.ndim != 2 or len(self.constant) != len(self)):
            raise ShapeError(f"SetBatch: x is {here}, but constant [B, K] is {list(self.constant.shape)}")
        for name, value in {"mask": self.mask, **self.factors}.items():
            if value is not None and value.shape != self.x.shape[:2]:
                raise ShapeError(f"SetBatch: x is {here}, but {name} [B, N] is {list(value.shape)}")
        for name, flag in (("constant", self.constant), ("mask", self.mask)):
            if flag is not None and flag.device.type == "cpu":
                check_binary(f"SetBatch: {name}", flag)
        if self.mask is not None and self.mask.device.type == "cpu":
            present = self.mask.sum(1)  # [B]
            if not present.all():
                raise DataError(f"SetBatch: set {int(present.argmin())} has no item; leave it out of the batch")

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
        )


def check_binary(name: str, flag: Tensor) -> None:
    """Refuse a flag that is neither 0 nor 1.

    Raises:
        DataError: naming the first other value.

    >>> check_binary("SetBatch: mask", torch.tensor([[1.0, 0.0, 0.5]]))
    Traceback (most recent call last):
    ...
    coset.errors.DataError: SetBatch: mask should hold only 0 and 1, got 0.5
    """
    other = flag[(flag != 0) & (flag != 1)]
    if len(other):
        raise DataError(f"{name} should hold only 0 and 1, got {other[0].item()}")
