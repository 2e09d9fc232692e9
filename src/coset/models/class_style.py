"""Class and style: what an item is, of which some labels are known, and how it looks.

Generative process (Kingma et al. 2014, model M2; Siddharth et al. 2017, figure 3), for each item on its own:

    class ~ Cat(1 / V)
    style ~ N(0, I)
    x     ~ p(x | class, style)
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import OneHotCategorical

from coset.distributions import standard_normal
from coset.errors import ConfigurationError, ShapeError
from coset.models.base import Batch, Items, Model, fixed, inference, label_options
from coset.networks.agreement import Agreement
from coset.networks.heads import GaussianHead, Likelihood
from coset.networks.items import Architecture, ItemDecoder, ItemEncoder, default_architecture
from coset.networks.mlp import Normalization
from coset.networks.warp import random_affine
from coset.shapes import flatten_items, join
from coset.trace import Repeated, Trace


class ClassStyle(Model):
    """Learns a class, from a few labels and many items without, and a style that leaves the class alone.

    Args:
        item_shape: event axes of an item: `(D,)`, `(H, W)` or `(C, H, W)`.
        classes: V.
        label: the factor that tells the class, where it is known.
        likelihood: `bernoulli` for intensities in [0, 1], `gaussian` for real values.
        style_dim: Z, dimensions of the style.
        features: units of the last layer of the encoder, and of the first of the decoder.
        architecture: of the encoder and the decoder, see `ItemEncoder`; by the items' shape where None.
        channels: channels of the convolutional groups, or units of further plain layers.
        norm: `batch`, `layer` or `none`.
        agreement: weight of the penalty for reading an image and a distorted copy of it differently; 0 for none.
        exchange: weight of the penalty for an item whose class was exchanged, its style kept, that does not read as the
            new class; 0 for none.

    >>> model = ClassStyle((4,), classes=3, style_dim=2, features=8)
    >>> model.sample(n=5, code=2).shape, model.analogies(torch.rand(7, 4)).shape
    (torch.Size([5, 4]), torch.Size([7, 3, 4]))
    """

    item_sites = ("style",)

    def __init__(
        self,
        item_shape: Sequence[int],
        classes: int,
        label: str = "class",
        likelihood: Literal["bernoulli", "gaussian"] = "bernoulli",
        style_dim: int = 50,
        features: int = 256,
        architecture: Architecture | None = None,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
        agreement: float = 0.0,
        exchange: float = 0.0,
    ):
        super().__init__()
        for name, size in dict(classes=classes - 1, style_dim=style_dim, features=features).items():
            if size < 1:
                raise ConfigurationError(f"{name}: too small; a class has 2 values or more, other sizes 1 or more")
        self.item_shape, self.style_dim = tuple(item_shape), style_dim
        self.agreement, self.exchange = agreement, exchange
        if exchange < 0:
            raise ConfigurationError(f"exchange: expected 0, or a weight above 0; got {exchange}")
        if agreement < 0 or (agreement and len(self.item_shape) not in (2, 3)):
            raise ConfigurationError(f"agreement: 0, or for images a weight above 0; got {agreement}")
        self.discrete, self.labels = {"class": classes}, {"class": [label]}
        architecture = architecture or default_architecture(self.item_shape)
        self.encoder = ItemEncoder(self.item_shape, features, architecture, channels, norm)
        self.class_posterior = nn.Linear(self.encoder.features, classes)
        self.style_posterior = GaussianHead(self.encoder.features + classes, None, style_dim)
        self.decoder = ItemDecoder(classes + style_dim, self.item_shape, features, architecture, channels, norm)
        self.likelihood = Likelihood(likelihood, self.item_shape)
        self.agree = Agreement(classes)

    @classmethod
    def data_options(cls, data: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        """The classes are the values of the label in the data: of `class`, or else its first discrete factor."""
        return label_options(data, options, "classes", usual="class")

    def infer(self, q: Trace | Repeated, batch: Batch) -> None:
        """q(class | x) q(style | x, class)."""
        features = self.encoder(batch.x)  # [B, N, F]
        label = q.sample("class", OneHotCategorical(logits=self.class_posterior(features), validate_args=False))
        q.sample("style", self.style_posterior(join(features, label)))

    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """p(class) p(style) p(x | class, style)."""
        return p.sample("x", self.likelihood(self.decode_latents(*self.latents(p, shape))))

    def latents(self, p: Trace | Repeated, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """p(class) p(style)."""
        like = self.class_posterior.weight
        evenly = like.new_zeros(*shape, self.discrete["class"])
        label = p.sample("class", OneHotCategorical(logits=evenly, validate_args=False))
        return label, p.sample("style", standard_normal(like.new_zeros(*shape, self.style_dim)))

    def decode_latents(self, label: Tensor, style: Tensor) -> Tensor:
        """Parameters of p(x | class, style) `[..., *item_shape]`."""
        # As long as a style is on average: a one-hot vector of length 1 is drowned by it for thousands of steps.
        return self.decoder(join(label * math.sqrt(self.style_dim), style))

    def suggested_weights(self) -> dict[str, dict[str, float]]:
        """Those of the penalties."""
        weights = {name: weight for name in ("agreement", "exchange") if (weight := getattr(self, name))}
        return {"first": weights, "last": weights} if weights else {}

    def penalties(self, q: Trace, p: Trace) -> dict[str, Tensor]:
        """What keeps class and style apart beyond the bound, where its weight is above 0; in nats per set.

        - `agreement`: −log q(class | distorted copy) of an image's class; see `Agreement`.
        - `exchange`: −log q(other class | x′) of x′ that is decoded from a random other class and the item's own style.
          It teaches the decoder and the style, not how classes are read. Without it, what of the class the style
          learned at first is slow to leave it.
        """
        found = {}
        if self.agreement:
            posterior: Any = q["class"].distribution
            copies = self._distort(p["x"].value)
            read = self.class_posterior(self.encoder(copies)).log_softmax(-1)
            found["agreement"] = self.agree(posterior.probs, read, q.observed.get("class"), q.mask)
        if self.exchange:
            style, classes = p["style"].value, self.discrete["class"]
            code = torch.randint(classes, style.shape[:-1], device=style.device)  # [(S,) B, N]
            decoded = self.likelihood(self.decode_latents(F.one_hot(code, classes).to(style.dtype), style)).mean
            with fixed(self.encoder, self.class_posterior):
                read = self.class_posterior(self.encoder(self._distort(decoded))).log_softmax(-1)
            missed = -read.gather(-1, code.unsqueeze(-1)).squeeze(-1)  # [(S,) B, N]
            missed = missed if q.mask is None else missed * q.mask
            found["exchange"] = missed.sum(-1) if missed.ndim == 2 else missed.sum(-1).mean(0)
        return found

    def _distort(self, x: Tensor) -> Tensor:
        """Distorted copies of images `[..., *item_shape]` that show the same; other items as they are."""
        if len(self.item_shape) not in (2, 3):
            return x
        flat, _ = flatten_items(x, event_dims=len(self.item_shape))
        return random_affine(flat, angle=0.3, scale=0.15, shift=0.075, shear=0.3).view_as(x)

    # What users do with a trained model.

    @inference
    def classify(self, items: Any) -> Tensor:
        """Probabilities of the classes of items `[n, *item_shape]`: `[n, V]`."""
        return self.class_posterior(self.encoder(self.read_items(items))).softmax(-1)

    @inference
    def embed(self, items: Any, sample: bool = False) -> Tensor:
        """Styles of items `[n, *item_shape]`, given their most probable class: means, or draws, `[n, Z]`."""
        return self._read(self.read_items(items), sample)["style"].value[:, 0]

    @inference
    def reconstruct(self, items: Any, sample: bool = False) -> Tensor:
        """Items as the model sees them, `[n, *item_shape]`, decoded from their most probable class and their style."""
        x = self.read_items(items)
        return self.decode((len(x), 1), replay=self._read(x, sample))[:, 0]

    @inference
    def analogies(self, items: Any) -> Tensor:
        """Items `[n, *item_shape]` as they would look if they were of each class in turn: `[n, V, *item_shape]`."""
        x, classes = self.read_items(items), self.discrete["class"]
        style = self._read(x, False)["style"].value.expand(-1, classes, -1)  # [n, V, Z]
        label = torch.eye(classes, device=x.device, dtype=x.dtype).expand(len(x), -1, -1)  # [n, V, V]
        return self.decode((len(x), classes), replay={"class": label, "style": style})

    @inference
    def decode_styles(self, code: int, style: Any) -> Tensor:
        """Items of a class with given styles `[n, Z]`: `[n, *item_shape]`, such as those of a grid (figure 4 b)."""
        like = self.class_posterior.weight
        style = torch.as_tensor(style).to(like)
        if style.ndim != 2 or style.shape[1] != self.style_dim:
            raise ShapeError(f"style: expected [n, {self.style_dim}], got {list(style.shape)}")
        label = self._one_hot(code).expand(len(style), 1, -1)
        return self.decode((len(style), 1), replay={"class": label, "style": style.unsqueeze(1)})[:, 0]

    @inference
    def sample(self, n: int = 8, code: int | None = None, temperature: float = 1.0, draw: bool = False) -> Tensor:
        """New items `[n, *item_shape]`, of the class with this code or of any; `temperature`, `draw` as in `decode`."""
        given = {} if code is None else {"class": self._one_hot(code).expand(n, 1, -1)}
        return self.decode((n, 1), observed=given, temperature=temperature, draw=draw)[:, 0]

    def _one_hot(self, code: int) -> Tensor:
        classes = self.discrete["class"]
        if not 0 <= code < classes:
            raise ConfigurationError(f"class: expected a code from 0 to {classes - 1}, got {code}")
        return F.one_hot(torch.tensor(code, device=self.device), classes).to(self.class_posterior.weight)

    def _read(self, x: Tensor, sample: bool) -> Trace:
        q = Trace(temperature=1.0 if sample else 0.0)
        self.infer(q, Items(x.unsqueeze(1)))
        return q
