"""Several digits on a canvas: a program that repeats another one, a random number of times.

Generative process (Siddharth et al. 2017, figure 8), for each canvas on its own:

    count   ~ Cat(1 / (R + 1))
    where_r ~ N(m_count, s_count²)                    for r = 1 … count
    class_r, style_r  as in `ClassStyle`              for r = 1 … count
    x       ~ Bernoulli( Σ_r place(digit_r, where_r) )
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, OneHotCategorical

from coset.distributions import diagonal_normal
from coset.errors import ConfigurationError, DataError
from coset.models.base import Batch, Items, Model, discrete_values, evaluating, frozen, inference
from coset.models.class_style import ClassStyle
from coset.networks.agreement import Agreement
from coset.networks.convolutional import convolutions
from coset.networks.heads import GaussianHead
from coset.networks.mlp import layers
from coset.networks.placing import glimpse, place
from coset.networks.warp import random_affine
from coset.shapes import flatten_items, join, repetitions
from coset.trace import Trace

PIECE = 28
"""Side of a digit before it is placed, in pixels."""

LEAST, MOST = 0.01, 0.99
"""Probabilities of a pixel, so that no canvas is impossible."""


class MultiDigit(Model):
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
        agreement: weight of the penalty for counting differently on a canvas and a distorted copy of it; 0 for none.
        fixed_digits: hold the model of single digits as it is, for one that was trained on digits in isolation.
        dreams: weight of the penalty for misreading canvases that the model itself drew; 0 for none.

    >>> model = MultiDigit((50, 50), features=16, channels=(4, 4), digit_features=16, digit_channels=(4,))
    >>> model.sample(n=5, count=2).shape, model.count(torch.rand(7, 50, 50)).shape
    (torch.Size([5, 50, 50]), torch.Size([7, 4]))
    """

    item_sites = ("digit.style",)

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
        agreement: float = 0.0,
        dreams: float = 0.0,
    ):
        super().__init__()
        if len(item_shape) != 2 or item_shape[0] != item_shape[1]:
            raise ConfigurationError(f"item_shape: expected square canvases (side, side), got {tuple(item_shape)}")
        if most < 1:
            raise ConfigurationError(f"most: expected 1 digit or more, got {most}")
        for name, weight in (("agreement", agreement), ("dreams", dreams)):
            if weight < 0:
                raise ConfigurationError(f"{name}: expected 0, or a weight above 0; got {weight}")
        self.item_shape, self.most = tuple(item_shape), most
        self.agreement, self.dreams, self.fixed_digits = agreement, dreams, fixed_digits
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
        self.likelihood = PixelProbabilities()
        self.agree = Agreement(most + 1)

    @classmethod
    def data_options(cls, data: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        """The most digits on a canvas, from the values of the label in the data."""
        label = options.get("label", "count")
        values = discrete_values(data).get(label)
        if values is None or "most" in options:
            return {}
        if values != list(range(len(values))):
            raise DataError(f"label: {label!r} should count from 0 up without a gap, its values are {values}")
        return {"most": len(values) - 1}

    def infer(self, q: Trace, batch: Batch) -> None:
        """q(count | x) Π_r q(where_r | x, count) q(class_r | piece_r) q(style_r | piece_r, class_r)."""
        logits, layout = self._look(batch.x)  # [B, N, R + 1], [B, N, F]
        count = q.sample("count", OneHotCategorical(logits=logits, validate_args=False))
        present = repetitions(count)  # [(S,) B, N, R]
        where = q.sample("where", self.where_posterior(join(layout, count)), axes="BNR", mask=present)
        lead = where.shape[:-2]
        canvas = batch.x.expand(*lead, *self.item_shape).reshape(-1, *self.item_shape)  # [(S)BN, H, W]
        pieces = glimpse(canvas, _window(where).reshape(-1, self.most, 3), PIECE)
        with self._digit() as digit:
            digit.infer(q.repeated("digit", present), Items(pieces.view(*lead, self.most, PIECE, PIECE)))

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
            pieces = digit.decode_latents(*latents).sigmoid()  # [(S,) B, N, R, h, w]
        lead = torch.broadcast_shapes(pieces.shape[:-3], where.shape[:-2])
        pieces = pieces.expand(*lead, -1, -1, -1).reshape(-1, self.most, PIECE, PIECE)
        window = _window(where).expand(*lead, -1, -1).reshape(-1, self.most, 3)
        placed = place(pieces, window, self.item_shape[0]).view(*lead, self.most, *self.item_shape)
        return p.sample("x", self.likelihood((placed * present[..., None, None]).sum(-3)))

    @contextmanager
    def _digit(self) -> Iterator[ClassStyle]:
        """The model of single digits, held as it is if that was asked for."""
        with frozen(self.digit) if self.fixed_digits else nullcontext():
            yield self.digit

    def suggested_weights(self) -> dict[str, dict[str, float]]:
        """Those of the penalties."""
        weights = {name: weight for name in ("agreement", "dreams") if (weight := getattr(self, name))}
        return {"first": weights, "last": weights} if weights else {}

    def penalties(self, q: Trace, p: Trace) -> dict[str, Tensor]:
        """What teaches the inference program beyond the bound, where its weight is above 0; in nats per set.

        - `agreement`: −log q(count | distorted copy) of a canvas's count, as `Agreement` has it.
        - `dreams`: −log q(where | x′, count) of canvases x′ that the generative program drew, whose places are known:
          the sleep phase of Hinton et al. (1995). Digits are ordered from left to right, so that they have no more
          than one order. The count is left out, for canvases that are not dreamt hold other sizes and overlaps.
        """
        found = {}
        if self.agreement:
            posterior: Any = q["count"].distribution
            canvas = p["x"].value.flatten(0, 1)
            canvas = canvas.flip(-1) if torch.rand(()) < 0.5 else canvas  # mirrored or turned, it has as many digits
            copies = random_affine(canvas, angle=math.pi, scale=0.1, shift=0.05, shear=0.2).view_as(p["x"].value)
            read = self._look(copies)[0].log_softmax(-1)
            found["agreement"] = self.agree(posterior.probs, read, q.observed.get("count"), q.mask)
        if self.dreams:
            found["dreams"] = self._dream(p["x"].value)
        return found

    def _dream(self, x: Tensor) -> Tensor:
        """−log q(where | x′, count) per set `[B]`, the mean over a quarter as many dreams as there are canvases."""
        with torch.no_grad():
            p = Trace()
            dreamt = self.generate(p, (-(-x.shape[0] // 4), x.shape[1]))
            count, where = p["count"].value, p["where"].value
            present = repetitions(count)
            left = torch.where(present > 0, where[..., 0], torch.inf)  # absent ones stay last
            where = where.gather(-2, left.argsort(-1).unsqueeze(-1).expand_as(where))
        with evaluating(self.encoder):  # dreams must not move what normalisation has learned of the data
            layout = self._look(dreamt)[1]
        placed = self.where_posterior(join(layout, count)).log_prob(where) * present
        return -placed.sum((1, 2)).mean().expand(x.shape[0])

    def _look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of canvases `[..., H, W]` the logits of the count `[..., R + 1]`, and where there is what `[..., F]`.

        How many there are does not depend on where: the count is read from the mean and the maximum over all places.
        """
        flat, lead = flatten_items(x, event_dims=2)
        seen = self.encoder(flat.unsqueeze(1))  # [n, C, h, w]
        pooled = torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], -1)  # [n, 2C]
        return self.count_posterior(pooled).view(*lead, -1), self.layout(seen.flatten(1)).view(*lead, -1)

    # What users do with a trained model.

    @inference
    def count(self, items: Any) -> Tensor:
        """Probabilities of the counts 0 … R of canvases `[n, side, side]`: `[n, R + 1]`."""
        return self._look(self.read_items(items))[0].softmax(-1)

    @inference
    def places(self, items: Any) -> Tensor:
        """Where the digits of canvases lie, one after the other: centre from the left and from the top, and side.

        As shares of the canvas's side, `[n, R, 3]`; NaN beyond the most probable count.
        """
        q = self._read(self.read_items(items), False)
        absent = repetitions(q["count"].value) < 0.5
        return _window(q["where"].value).masked_fill(absent.unsqueeze(-1), torch.nan)[:, 0]

    @inference
    def reconstruct(self, items: Any, sample: bool = False) -> Tensor:
        """Canvases as the model sees them, `[n, side, side]`: counted, found, read and drawn again."""
        x = self.read_items(items)
        return self.decode((len(x), 1), replay=self._read(x, sample))[:, 0]

    @inference
    def embed(self, items: Any, sample: bool = False) -> Tensor:
        """Places and styles of the digits of canvases in turn, 0 where there is none: `[n, R · (3 + Z)]`."""
        q = self._read(self.read_items(items), sample)
        present = repetitions(q["count"].value).unsqueeze(-1)
        return (torch.cat([q["where"].value, q["digit.style"].value], -1) * present)[:, 0].flatten(1)

    @inference
    def sample(self, n: int = 8, count: int | None = None, temperature: float = 1.0, draw: bool = False) -> Tensor:
        """New canvases `[n, side, side]` of so many digits, or of any number; `temperature`, `draw` as in `decode`."""
        given = {}
        if count is not None:
            if not 0 <= count <= self.most:
                raise ConfigurationError(f"count: a canvas has 0 to {self.most} digits, got {count}")
            code = F.one_hot(torch.tensor(count, device=self.device), self.most + 1)
            given = {"count": code.to(self.where_prior).expand(n, 1, -1)}
        return self.decode((n, 1), observed=given, temperature=temperature, draw=draw)[:, 0]

    def _read(self, x: Tensor, sample: bool) -> Trace:
        q = Trace(temperature=1.0 if sample else 0.0)
        self.infer(q, Items(x.unsqueeze(1)))
        return q


class PixelProbabilities(nn.Module):
    """p(x | canvas) of a canvas of ink: Bernoulli, with the ink kept between 0.01 and 0.99."""

    kind = "bernoulli"

    def forward(self, ink: Tensor) -> Independent:
        """Map canvases `[..., H, W]` to a distribution over them."""
        return Independent(Bernoulli(probs=ink.clamp(LEAST, MOST), validate_args=False), 2)


def _window(where: Tensor) -> Tensor:
    """Centre and side, as shares of the canvas's side, of what the latent variable `[..., 3]` says."""
    return torch.cat([0.5 + 0.2 * where[..., :2].clamp(-4, 4), 0.45 * (0.35 * where[..., 2:].clamp(-4, 4)).exp()], -1)
