"""Class and style: what an item is, of which some labels are known, and how it looks.

Generative process (Kingma et al. 2014, model M2; Siddharth et al. 2017, figure 3), for each item on its own:

    class ~ Cat(1 / V)
    style ~ N(0, I)
    x     ~ p(x | class, style)
"""

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical

from coset.batch import SetBatch
from coset.distributions import standard_normal
from coset.errors import ConfigurationError
from coset.models.base import Model, SizeFromLabel
from coset.networks.heads import GaussianHead
from coset.networks.items import Architecture, ItemDecoder, ItemEncoder, default_architecture
from coset.networks.likelihoods.base import LikelihoodName, build_likelihood
from coset.networks.normalization import Normalization
from coset.networks.units import Units
from coset.queries import ItemQueries, inference
from coset.shapes import join
from coset.trace import Repeated, Trace


class ClassStyle(ItemQueries, Model):
    """Learns a class, from a few labels and many items without, and a style that leaves the class alone.

    Args:
        item_shape: event axes of an item: `(D,)`, `(H, W)` or `(C, H, W)`.
        classes: V.
        label: the factor that tells the class, where it is known.
        likelihood: `bernoulli` for intensities in [0, 1], `gaussian` for real values, `negative-binomial` for counts,
            or another one of `coset.networks.likelihoods`.
        style_dim: Z, dimensions of the style.
        features: units of the last layer of the encoder, and of the first of the decoder.
        architecture: of the encoder and the decoder, see `ItemEncoder`; by the items' shape where None.
        channels: channels of the convolutional groups, or units of further plain layers.
        norm: `batch`, `layer` or `none`.
        units: location and scale of real values, see `coset.networks.units`; those of the data by `for_data`.

    Raises:
        ConfigurationError: A size is too small, or items and options do not fit together.

    >>> model = ClassStyle((4,), classes=3, style_dim=2, features=8)
    >>> model.sample(n=5, code=2).shape, model.analogies(torch.rand(7, 4)).shape
    (torch.Size([5, 4]), torch.Size([7, 3, 4]))
    """

    limitations = """
    With few labels it finds classes of its own, which need not be those that are meant. Classes are taken to be
    equally frequent. The style of one class may mean something else in another.
    """

    codes = ("style",)
    item_sites = ("style",)
    given = MappingProxyType({"code": "class"})
    size_from_label = SizeFromLabel("classes", usual="class")

    def __init__(
        self,
        item_shape: Sequence[int],
        classes: int,
        label: str = "class",
        likelihood: LikelihoodName = "bernoulli",
        style_dim: int = 50,
        features: int = 256,
        architecture: Architecture | None = None,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
        units: Units = (0.0, 1.0),
    ):
        super().__init__()
        for name, size in dict(classes=classes - 1, style_dim=style_dim, features=features).items():
            if size < 1:
                raise ConfigurationError(f"{name}: too small; a class has 2 values or more, other sizes 1 or more")
        self.item_shape, self.style_dim = tuple(item_shape), style_dim
        self.discrete, self.labels = {"class": classes}, {"class": [label]}
        architecture = architecture or default_architecture(self.item_shape)
        self.likelihood = build_likelihood(likelihood, self.item_shape, units)
        networks = features, architecture, channels, norm
        self.encoder = ItemEncoder(self.item_shape, *networks, self.likelihood.reading)
        self.class_posterior = nn.Linear(self.encoder.features, classes)
        self.style_posterior = GaussianHead(self.encoder.features + classes, None, style_dim)
        self.decoder = ItemDecoder(classes + style_dim, self.likelihood.parameter_shape, *networks)

    def infer(self, q: Trace | Repeated, batch: SetBatch) -> None:
        """q(class | x) q(style | x, class)."""
        features = self.encoder(batch.x, q.mask)  # [B, N, F]
        label = q.sample("class", OneHotCategorical(logits=self.class_posterior(features), validate_args=False))
        q.sample("style", self.style_posterior(join(features, label)))

    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """p(class) p(style) p(x | class, style)."""
        return self.emit(p, self.decode_latents(*self.latents(p, shape), p.mask))

    def latents(self, p: Trace | Repeated, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """p(class) p(style)."""
        like = self.class_posterior.weight
        evenly = like.new_zeros(*shape, self.discrete["class"])
        label = p.sample("class", OneHotCategorical(logits=evenly, validate_args=False))
        return label, p.sample("style", standard_normal(like.new_zeros(*shape, self.style_dim)))

    def decode_latents(self, label: Tensor, style: Tensor, mask: Tensor | None = None) -> Tensor:
        """Parameters of p(x | class, style) `[..., *item_shape]`."""
        # As long as a style is on average: a one-hot vector of length 1 is drowned by it for thousands of steps.
        return self.decoder(join(label * math.sqrt(self.style_dim), style), mask)

    @inference
    def classify(self, items: Any) -> Tensor:
        """Probabilities of the classes of items `[n, *item_shape]`: `[n, V]`, over `values` (see `coset.codes`)."""
        logits = torch.cat([self.class_posterior(self.encoder(x)) for x in self.read_blocks(items)])
        return self.over_values("class", logits.softmax(-1))

    @inference
    def analogies(self, items: Any) -> Tensor:
        """Items `[n, *item_shape]` as they would look if they were of each class in turn: `[n, V, *item_shape]`."""
        return torch.cat([self._analogies(x) for x in self.read_blocks(items)])

    def _analogies(self, x: Tensor) -> Tensor:
        classes = self.discrete["class"]
        style = self.encode(SetBatch(x.unsqueeze(1)))["style"].value.expand(-1, classes, -1)  # [n, V, Z]
        label = torch.eye(classes).to(x).expand(len(x), -1, -1)  # [n, V, V]
        return self.decode((len(x), classes), replay={"class": label, "style": style})

    @inference
    def decode_styles(self, code: int, style: Any) -> Tensor:
        """Items of a class with given styles `[n, Z]`: `[n, *item_shape]`, such as those of a grid (figure 4 b).

        Raises:
            ShapeError: These are no styles of this model.
            DataError: These are no finite numbers.
            ConfigurationError: The class has no such code.
        """
        style = self.read_codes(style, self.style_dim, "style")
        label = self.read_value("class", code, len(style))
        return self.decode((len(style), 1), replay={"class": label, "style": style.unsqueeze(1)})[:, 0]
