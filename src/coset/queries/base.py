"""What questions to a model share: reading what users hand over, encoding it, and decoding values of sites."""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coset.arguments import check_memory, checked
from coset.batch import SetBatch, as_items, as_tensor, read_items, read_sets
from coset.errors import ConfigurationError, DataError, ShapeError
from coset.programs import Programs, evaluating
from coset.sites import Site
from coset.trace import Partial, Trace

BLOCK = 500
"""Items that are asked about at a time, so that memory does not grow with the question."""

Method = TypeVar("Method", bound=Callable[..., Any])


def inference(method: Method) -> Method:
    """Run a model's method in evaluation mode and without gradient, on arguments of the types that it names."""
    method = checked(method)

    @functools.wraps(method)
    def run(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with evaluating(self), torch.no_grad():
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]


class Queries(nn.Module, ABC):
    """What questions to a model need of it, and what they share.

    Attributes:
        item_shape: event axes of an item.
        likelihood: the module that gives p(x | …), a `coset.networks.likelihoods.Likelihood`; it says which items it
            takes.
        contexts: names of the factors that sets hold constant; none for a model of independent items.
        codes: sites that make the code of an item, in this order.
        item_sites: sites of what items do not share, whose spread `temperature` scales.
        discrete: number of joint values of each discrete site, by name.
        labels: which factors of the data tell the value of a latent site, where they are known: site name → one
            discrete factor for a one-hot site, or as many continuous ones as the site has dimensions.
        given: words of `sample` that fix a site: word → site name.
        full_scale: the byte that stood for 1 in the data that the model was built for; None where these were no bytes.
    """

    item_shape: tuple[int, ...]
    likelihood: Any
    contexts: Sequence[str] = ()
    codes: Sequence[str] = ("z",)
    item_sites: Sequence[str] = ("z",)
    discrete: Mapping[str, int] = MappingProxyType({})
    labels: Mapping[str, Sequence[str]] = MappingProxyType({})
    given: Mapping[str, str] = MappingProxyType({})
    full_scale: int | None = None

    @abstractmethod
    def infer(self, q: Trace, batch: SetBatch) -> None:
        """The inference program: visit every latent site, given a batch of sets."""

    @abstractmethod
    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """The generative program for `shape = (B, N)`: visit every site down to `x`, and return its value."""

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self._like.device

    @property
    def _like(self) -> Tensor:
        return next(self.parameters())

    def decode(
        self,
        shape: tuple[int, int],
        observed: Mapping[str, Tensor | Partial] | None = None,
        replay: Trace | Mapping[str, Tensor] | None = None,
        temperature: float = 1.0,
        draw: bool = False,
    ) -> Tensor:
        """Run the generative program for `shape = (B, N)` and return the items, `[B, N, *item_shape]`.

        Args:
            shape: sets, and items of each.
            observed: values to condition on, by site name.
            replay: values to take over where the program visits them.
            temperature: scales the spread of what items do not share, the sites in `item_sites`.
            draw: return draws from p(x | …) rather than its mean.

        Raises:
            ConfigurationError: No set or no item is asked for, more than fit into memory, or the temperature is
                negative.
        """
        if shape[0] < 1 or shape[1] < 1:
            raise ConfigurationError(f"expected at least one set and one item to generate, got {shape}")
        check_memory(f"{shape[0]} sets of {shape[1]} items", math.prod((*shape, *self.item_shape)))
        if temperature < 0:
            raise ConfigurationError(f"temperature: expected 0, for the centres alone, or more, got {temperature}")
        p = Trace(observed, replay, temperature=dict.fromkeys(self.item_sites, temperature))
        self.generate(p, shape)
        p.check_visited()
        distribution = p["x"].distribution
        assert distribution is not None
        return p["x"].value if draw else distribution.mean

    def encode(self, batch: SetBatch, sample: bool = False) -> Trace:
        """Run the inference program on a batch at the centres of all posteriors, or on draws from them."""
        return Programs(self, batch).infer(temperature=1.0 if sample else 0.0)

    def read_items(self, items: Any, what: str = "items") -> Tensor:
        """Turn an array, tensor or nested list of items `[..., *item_shape]` into numbers where the parameters live.

        Bytes are intensities, on the scale of those that the model was built for.

        Raises:
            ShapeError: The last axes are not this model's items, or there is none.
            DataError: No numbers, not finite ones, or such as the likelihood does not take.
        """
        x = read_items(items, self.item_shape, self._like, what, self.full_scale)
        if not x.numel():
            raise ShapeError(f"{what}: there is no item in {list(x.shape)}; give at least one")
        self.check_items(x, what)
        return x

    def read_blocks(self, items: Any) -> Iterator[Tensor]:
        """What `read_items` makes of single items `[n, *item_shape]`, a block at a time, for answers about each.

        All are checked before the first block is given, and only a block is held as floating-point numbers.

        Raises:
            ShapeError: These are no items of this model, no row of items, or there is none.
            DataError: No numbers, not finite ones, or such as the likelihood does not take.
        """
        x = as_items(items, self.item_shape)
        if x.ndim != 1 + len(self.item_shape):
            raise ShapeError(
                f"items: expected [n, {', '.join(map(str, self.item_shape))}], got {list(x.shape)}; "
                "flatten the axes before those of an item; a single item is items[None]"
            )
        blocks = x.split(BLOCK)
        for block in blocks:
            self.read_items(block)
        for block in blocks:
            yield read_items(block, self.item_shape, self._like, full_scale=self.full_scale)

    def read_sets(self, x: Any, mask: Any = None, what: str = "x") -> tuple[SetBatch, bool]:
        """Turn sets `[B, N, *item_shape]`, one set without `B`, or a list of sets of differing lengths, into a batch.

        Returns:
            The batch, and whether it was a single set.

        Raises:
            ShapeError: These are no sets of this model's items.
            DataError: No numbers, not finite ones, or such as the likelihood does not take.
        """
        batch, single = read_sets(x, mask, self.item_shape, self._like, what, self.full_scale)
        self.check_items(batch.x, what)
        return batch, single

    def check_items(self, x: Tensor, what: str = "items") -> None:
        """Refuse items `[..., *item_shape]` that are not finite, or that the likelihood does not take.

        Raises:
            DataError: Saying which numbers it takes, and what to do.
        """
        if not all(bool(bound.isfinite()) for bound in torch.aminmax(x)):
            raise DataError(f"{what}: contain NaN or infinity; drop or fill those items first")
        if fault := self.likelihood.check(x):
            raise DataError(f"{what}: {fault}")

    def read_value(self, site: str, value: Any, n: int, word: str | None = None) -> Tensor:
        """Turn what a user gives for a site of n items into its value `[n, 1, *event]`.

        Args:
            site: a one-hot site, whose values are given as codes, or a continuous one that `labels` names.
            value: a code or n of them; numbers `[D]`, or `[n, D]`.
            n: how many items.
            word: how errors call it; the site's name by default.

        Raises:
            ConfigurationError: A code that the site does not have.
            ShapeError: Neither one value nor n of them.
        """
        word = word or site
        if site in self.discrete:
            codes = as_tensor(value, word).to(self.device)
            if codes.is_floating_point() or codes.dtype == torch.bool or codes.shape not in ((), (n,)):
                raise ShapeError(f"{word}: expected a code, or one an item [{n}], got {value!r}")
            most = self.discrete[site] - 1
            if codes.numel() and not (int(codes.min()) >= 0 and int(codes.max()) <= most):
                wrong = int(codes.min()) if int(codes.min()) < 0 else int(codes.max())
                raise ConfigurationError(f"{word}: expected a code, from 0 to {most} in this model, got {wrong}")
            return F.one_hot(codes.expand(n), most + 1).to(self._like).unsqueeze(1)
        size = len(self.labels[site])
        numbers = as_tensor(value, word).to(self._like)
        if tuple(numbers.shape) not in ((size,), (n, size)):
            raise ShapeError(f"{word}: expected [{size}], or one an item [{n}, {size}], got {list(numbers.shape)}")
        return numbers.expand(n, size).unsqueeze(1)

    def read_codes(self, codes: Any, size: int, what: str) -> Tensor:
        """Turn codes `[n, size]` into numbers where the parameters live.

        Raises:
            ShapeError: They have another size, or there is none.
            DataError: These are no finite numbers.
        """
        read = as_tensor(codes, what).to(self._like)
        if read.ndim != 2 or read.shape[-1] != size or not len(read):
            raise ShapeError(f"{what}: expected codes [n, {size}] with n of at least 1, got {list(read.shape)}")
        if not bool(read.isfinite().all()):
            raise DataError(f"{what}: codes contain NaN or infinity; look at where they came from")
        return read

    @inference
    def embed(self, items: Any, sample: bool = False) -> Tensor:
        """Codes of single items `[n, *item_shape]`; those of sets as sets of their own in which every context varies.

        Args:
            items: the items.
            sample: draw from the posteriors rather than take their centres.

        Returns:
            The values of `codes` side by side, `[n, D]`.
        """
        return torch.cat([self._code(q, [site.value for site in sites]) for q, sites in self._encoded(items, sample)])

    @inference
    def posteriors(self, items: Any) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of the posteriors of what `embed` gives, `[n, D]` each.

        Args:
            items: `[n, *item_shape]`.
        """
        means, deviations = [], []
        for q, sites in self._encoded(items):
            of: list[Any] = [site.distribution for site in sites]
            means.append(self._code(q, [each.mean for each in of]))
            deviations.append(self._code(q, [each.stddev for each in of]))
        return torch.cat(means), torch.cat(deviations)

    def _encoded(self, items: Any, sample: bool = False) -> Iterator[tuple[Trace, list[Site]]]:
        """Traces of blocks of items, and the sites of their codes."""
        for x in self.read_blocks(items):
            varies = x.new_zeros(len(x), len(self.contexts)) if self.contexts else None
            q = self.encode(SetBatch(x.unsqueeze(1), varies), sample)
            yield q, [q[name] for name in self.codes]

    @inference
    def code_names(self) -> list[str]:
        """What the numbers that `embed` gives are called, in their order: after contexts or sites, `digit_0`, `z_3`."""
        like = next(self.parameters())
        varies = like.new_zeros(1, len(self.contexts)) if self.contexts else None
        q = self.encode(SetBatch(like.new_zeros(1, 1, *self.item_shape), varies))
        names = []
        for name in self.codes:
            site, parts = q[name], [name.partition("_action.")[0]]
            if site.axes[-1] == "K":  # the contexts that are not a choice of an action
                parts = [context for context in self.contexts if f"{context}_action.varying" not in q]
            elif site.axes[-1] == "R":
                parts = [f"{name}_{index}" for index in range(site.value.shape[-2])]
            names += [f"{part}_{index}" for part in parts for index in range(site.value.shape[-1])]
        return names

    def _code(self, q: Trace, values: Sequence[Tensor]) -> Tensor:
        """What belongs to the sites of `codes`, of items encoded as sets of their own, side by side: `[n, D]`."""
        parts = []
        for name, value in zip(self.codes, values, strict=True):
            site = q[name]
            absent = site.mask is not None and site.axes[-1] == "R"  # repetitions that are not there
            value = value * site.mask.unsqueeze(-1) if absent and site.mask is not None else value
            parts.append(value.flatten(1))
        return torch.cat(parts, -1)
