"""Several digits on a canvas: a program that repeats another one, a random number of times.

Generative process (Siddharth et al. 2017, figure 8), for each canvas on its own:

    count   ~ Cat(1 / (R + 1))
    where_r ~ N(m_count, s_count²)                    for r = 1 … count
    class_r, style_r  as in `ClassStyle`              for r = 1 … count
    x       ~ Bernoulli( Σ_r place(digit_r, where_r) )
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, OneHotCategorical

from coset.batch import SetBatch
from coset.distributions import diagonal_normal
from coset.errors import ConfigurationError
from coset.models.base import Model, SizeFromLabel
from coset.models.class_style import ClassStyle
from coset.networks.convolutional import convolutions
from coset.networks.heads import GaussianHead
from coset.networks.likelihoods.base import Blocks, Likelihood
from coset.networks.likelihoods.reading import InUnits
from coset.networks.mlp import layers
from coset.networks.placing import glimpse, place
from coset.programs import evaluating, fixed
from coset.queries import ItemQueries, inference
from coset.shapes import for_present, join, repetitions
from coset.trace import Trace

PIECE = 28
"""Side of a digit before it is placed, in pixels."""

LEAST, MOST = 0.01, 0.99
"""Probabilities of a pixel, so that no canvas is impossible."""


class MultiDigit(ItemQueries, Model):
    """Counts the digits of a canvas, finds them, and reads and draws each with one model of single digits.

    Args:
        item_shape: `(side, side)` of a canvas.
        most: R, most digits on a canvas.
        label: the factor that tells the count, where it is known.
        classes: kinds of digits.
        style_dim: of the model of single digits.
        features: units of what says where there is what on a canvas.
        channels: of the convolutions that look at it, each of stride 2; two more of the last follow.
        digit_features: units of the model of single digits.
        digit_channels: channels of its encoder.
        fixed_digits: hold the model of single digits as it is, for one that was trained on digits in isolation.

    Raises:
        ConfigurationError: Canvases are not square, or there is no digit at all.

    >>> model = MultiDigit((50, 50), features=16, channels=(4, 4), digit_features=16, digit_channels=(4,))
    >>> model.sample(n=5, count=2).shape, model.count(torch.rand(7, 50, 50)).shape
    (torch.Size([5, 50, 50]), torch.Size([7, 4]))
    """

    limitations = """
    It counts up to the number it was built for, of things that look like those it was trained on, on an empty
    canvas. Things that cover each other are missed.
    """

    codes = ("where", "digit.style")
    item_sites = ("digit.style",)
    given = MappingProxyType({"count": "count"})
    size_from_label = SizeFromLabel("most", usual="count", counts=True)

    def __init__(
        self,
        item_shape: Sequence[int],
        most: int = 3,
        label: str = "count",
        classes: int = 10,
        style_dim: int = 16,
        features: int = 256,
        channels: Sequence[int] = (16, 32, 64),
        digit_features: int = 256,
        digit_channels: Sequence[int] = (16, 32),
        fixed_digits: bool = False,
    ):
        super().__init__()
        if len(item_shape) != 2 or item_shape[0] != item_shape[1]:
            raise ConfigurationError(f"item_shape: expected square canvases (side, side), got {tuple(item_shape)}")
        if most < 1:
            raise ConfigurationError(f"most: expected 1 digit or more, got {most}")
        self.item_shape, self.most, self.fixed_digits = tuple(item_shape), most, fixed_digits
        self.discrete, self.labels = {"count": most + 1, "digit.class": classes}, {"count": [label]}
        self.digit = ClassStyle(
            (PIECE, PIECE),
            classes,
            style_dim=style_dim,
            features=digit_features,
            architecture="strided",
            channels=digit_channels,
        )
        self.encoder = convolutions(1, channels, further=2)
        self.count_posterior = nn.Linear(2 * channels[-1], most + 1)
        side = functools.reduce(lambda side, _: (side + 1) // 2, channels, self.item_shape[0])
        self.layout = layers(channels[-1] * side * side, [features], norm="layer")
        self.where_posterior = GaussianHead(features + most + 1, features, 3, most, norm="layer")
        self.where_prior = nn.Parameter(torch.zeros(most + 1, 6))
        self.likelihood = PixelProbabilities(self.item_shape, InUnits(self.item_shape))

    def infer(self, q: Trace, batch: SetBatch) -> None:
        """q(count | x) Π_r q(where_r | x, count) q(class_r | piece_r) q(style_r | piece_r, class_r)."""
        logits, layout = self._look(batch.x, q.mask)  # [B, N, R + 1], [B, N, F]
        count = q.sample("count", OneHotCategorical(logits=logits, validate_args=False))
        present = repetitions(count)  # [(S,) B, N, R]
        where = q.sample("where", self.where_posterior(join(layout, count)), axes="BNR", mask=present)
        lead = where.shape[:-2]
        canvas = batch.x.expand(*lead, *self.item_shape).reshape(-1, *self.item_shape)  # [(S)BN, H, W]
        pieces = glimpse(canvas, _window(where).reshape(-1, self.most, 3), PIECE)
        with self._digit() as digit:
            digit.infer(q.repeated("digit", present), SetBatch(pieces.view(*lead, self.most, PIECE, PIECE)))

    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """p(count) Π_r p(where_r | count) p(class_r) p(style_r) p(x | count, where, class, style)."""
        evenly = self.where_prior.new_zeros(*shape, self.most + 1)
        count = p.sample("count", OneHotCategorical(logits=evenly, validate_args=False))
        present = repetitions(count)  # [(S,) B, N, R]
        location, raw_scale = (count @ self.where_prior).unsqueeze(-2).chunk(2, -1)  # [(S,) B, N, 1, 3]
        alike = (*(-1,) * (count.ndim - 1), self.most, -1)
        where = p.sample(
            "where", diagonal_normal(location.expand(alike), raw_scale.expand(alike)), axes="BNR", mask=present
        )
        with self._digit() as digit:
            latents = digit.latents(p.repeated("digit", present), (*shape, self.most))
            pieces = digit.decode_latents(*latents, p.repeated("digit", present).mask).sigmoid()  # [(S,) B, N, R, h, w]
        lead = torch.broadcast_shapes(pieces.shape[:-3], where.shape[:-2])
        pieces = pieces.expand(*lead, -1, -1, -1).reshape(-1, self.most, PIECE, PIECE)
        window = _window(where).expand(*lead, -1, -1).reshape(-1, self.most, 3)
        placed = place(pieces, window, self.item_shape[0]).view(*lead, self.most, *self.item_shape)
        return p.sample("x", self.likelihood((placed * present[..., None, None]).sum(-3)))

    @contextmanager
    def _digit(self) -> Iterator[ClassStyle]:
        """The model of single digits, held as it is if that was asked for."""
        if not self.fixed_digits:
            yield self.digit
            return
        with evaluating(self.digit), fixed(self.digit):
            yield self.digit

    def _look(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Of canvases `[..., H, W]` the logits of the count `[..., R + 1]`, and where there is what `[..., F]`.

        How many there are does not depend on where: the count is read from the mean and the maximum over all places.
        """
        seen = for_present(lambda rows: self.encoder(rows.unsqueeze(1)), x, mask, event_dims=2)  # [..., C, h, w]
        pooled = torch.cat([seen.mean((-2, -1)), seen.amax((-2, -1))], -1)  # [..., 2C]
        return self.count_posterior(pooled), self.layout(seen.flatten(-3).flatten(0, -2)).view(*x.shape[:-2], -1)

    @inference
    def count(self, items: Any) -> Tensor:
        """Probabilities of the counts 0 … R of canvases `[n, side, side]`: `[n, R + 1]`."""
        return torch.cat([self._look(x)[0] for x in self.read_blocks(items)]).softmax(-1)

    @inference
    def places(self, items: Any) -> Tensor:
        """Where the digits of canvases lie, one after the other: centre from the left and from the top, and side.

        As shares of the canvas's side, `[n, R, 3]`; NaN beyond the most probable count.
        """
        return torch.cat([self._places(x) for x in self.read_blocks(items)])

    def _places(self, x: Tensor) -> Tensor:
        q = self.encode(SetBatch(x.unsqueeze(1)))
        absent = repetitions(q["count"].value) < 0.5
        return _window(q["where"].value).masked_fill(absent.unsqueeze(-1), torch.nan)[:, 0]


class PixelProbabilities(Likelihood):
    """p(x | canvas) of a canvas of ink: Bernoulli, with the ink kept between 0.01 and 0.99."""

    low, high = 0.0, 1.0

    @classmethod
    def complete(cls, options: Mapping[str, Any], blocks: Blocks, item_shape: tuple[int, ...]) -> dict[str, Any]:
        """As they are: 0 and 1 are its units."""
        return dict(options)

    def forward(self, ink: Tensor, library: Tensor | None = None) -> Independent:
        """Map canvases `[..., H, W]` to a distribution over them."""
        return Independent(Bernoulli(probs=ink.clamp(LEAST, MOST), validate_args=False), 2)


def _window(where: Tensor) -> Tensor:
    """Centre and side, as shares of the canvas's side, of what the latent variable `[..., 3]` says."""
    return torch.cat([0.5 + 0.2 * where[..., :2].clamp(-4, 4), 0.45 * (0.35 * where[..., 2:].clamp(-4, 4)).exp()], -1)
