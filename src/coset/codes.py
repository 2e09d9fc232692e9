"""Codes that know what they stand for, so that those of two tables are compared by value."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from coset.errors import DataError, nearest

_EQUALS = {Tensor.eq, Tensor.__eq__, torch.eq, Tensor.ne, Tensor.__ne__, torch.ne}
_POSITIONS = {Tensor.argmax, torch.argmax}
_SAME_VALUES = {
    *(Tensor.to, Tensor.cpu, Tensor.cuda, Tensor.detach, Tensor.clone, torch.clone, Tensor.contiguous),
    *(Tensor.pin_memory, Tensor.__getitem__, Tensor.index_select, torch.index_select, torch.cat, torch.stack),
    *(Tensor.reshape, Tensor.flatten, Tensor.expand, Tensor.unsqueeze, Tensor.squeeze, Tensor.masked_fill),
}


class Coded(Tensor):
    """A tensor over some values: codes, positions among them, −1 unknown; or a number for each along its last axis.

    `==` and `!=` between two of them compare what the codes stand for, whatever their numbering, so that what a model
    reads in items of another file is compared with what that file says. Everything else is as with any tensor: what is
    picked out, moved or reshaped keeps its values, `argmax` along the last axis makes codes of numbers, and any other
    result is a plain tensor.

    Attributes:
        vocabulary: the values, by code.

    >>> few, all_of_them = coded(torch.tensor([0, 1, -1]), [5, 7]), coded(torch.tensor([5, 5, -1]), list(range(10)))
    >>> few == all_of_them
    tensor([ True, False,  True])
    >>> few[1:], few + 1
    (Coded([ 1, -1], vocabulary=[5, 7]), tensor([1, 2, 0]))
    """

    vocabulary: list

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run a function on plain tensors, and say of its result what it is over."""
        if func in _EQUALS and len(args) > 1 and all(isinstance(part, Coded) for part in args[:2]):
            args = (args[0], recode(args[1], args[0].vocabulary, absent=-2), *args[2:])
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
        parts = args[0] if args and isinstance(args[0], list | tuple) else args[:1]
        if not isinstance(result, Tensor) or hasattr(result, "vocabulary"):
            return result
        if not all(isinstance(part, Coded) and part.vocabulary == parts[0].vocabulary for part in parts):
            return plain(result)
        source: Any = parts[0]
        if func in _POSITIONS:
            axis = (kwargs or {}).get("dim", args[1] if len(args) > 1 else None)
            return coded(result, source.vocabulary) if axis in (-1, source.ndim - 1) else plain(result)
        fits = not result.is_floating_point() or result.shape[-1:] == (len(source.vocabulary),)
        return coded(result, source.vocabulary) if func in _SAME_VALUES and fits else plain(result)

    def __deepcopy__(self, memo: Any) -> "Coded":
        return coded(plain(self).clone(), self.vocabulary)

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Coded{repr(plain(self)).removeprefix('tensor')[:-1]}, vocabulary={self.vocabulary})"


def coded(tensor: Tensor, vocabulary: list) -> Coded:
    """Say what codes `[...]`, or numbers for each value `[..., V]`, are over."""
    result = plain(tensor).as_subclass(Coded)
    result.vocabulary = vocabulary
    return result


def plain(tensor: Tensor) -> Tensor:
    """The same codes or numbers as a plain tensor."""
    return tensor.as_subclass(Tensor)


def rank(values: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct numbers of a column `[n]` in their order, `[v]`, and where among them each one is, `[n]`.

    Whole numbers that lie close together are looked up, in a time that grows with n; all others are sorted.

    >>> rank(torch.tensor([7, 5, 7, -1]))
    (tensor([-1,  5,  7]), tensor([2, 1, 2, 0]))
    """
    values = plain(values)
    if len(values) and not values.is_floating_point():
        low, high = (int(bound) for bound in values.aminmax())
        if high - low < 2 * len(values):
            offset = values.long() - low
            occurs = torch.zeros(high - low + 1, dtype=torch.bool, device=values.device)
            occurs[offset] = True
            place = offset if occurs.all() else (occurs.cumsum(0) - 1)[offset]
            return (occurs.nonzero()[:, 0] + low).to(values.dtype), place
    return values.unique(return_inverse=True)


def recode(codes: Tensor, vocabulary: Sequence[Any], absent: int | None = None, what: str = "codes") -> Tensor:
    """Number codes as another vocabulary does.

    Args:
        codes: of a `Coded` tensor; others are given back as they are.
        vocabulary: the values in the order of the new codes.
        absent: what becomes of values that are not there.
        what: what the values are, for errors.

    Raises:
        DataError: A value that occurs is not there, and `absent` is None.

    >>> recode(coded(torch.tensor([0, 1, -1]), ["b", "c"]), ["a", "b", "c"])
    tensor([ 1,  2, -1])
    """
    if not isinstance(codes, Coded) or codes.vocabulary is vocabulary or codes.vocabulary == vocabulary:
        return plain(codes)
    place = {value: code for code, value in enumerate(vocabulary)}
    found = [place.get(value, absent) for value in codes.vocabulary]
    for code, value in enumerate(codes.vocabulary):
        if found[code] is None:
            if bool((plain(codes) == code).any()):
                raise DataError(
                    f"{what}: the value {value!r} is not among the {len(vocabulary)} that are known; "
                    f"{nearest(str(value), list(map(str, vocabulary)))}"
                )
            found[code] = -1
    table = torch.tensor([*found, -1], device=codes.device)  # code −1 is the last
    return table[plain(codes)]


def occurring(codes: Coded) -> list:
    """The values that occur among codes, in their order.

    >>> occurring(coded(torch.tensor([2, -1, 0]), ["a", "b", "c"]))
    ['a', 'c']
    """
    return [codes.vocabulary[code] for code in plain(codes).unique().tolist() if code >= 0]


def read_vocabulary(name: str, values: Any) -> list:
    """Read the values that codes shall be over.

    Raises:
        DataError: They are no list of different values.
    """
    if isinstance(values, str) or not isinstance(values, Iterable) or len(set(wanted := list(values))) < len(wanted):
        raise DataError(f"recode: {name}: expected a list of values, each once, got {values!r}")
    return wanted
