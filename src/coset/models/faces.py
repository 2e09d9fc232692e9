"""Intrinsic faces: who is seen, under which light, how that light shades the face, and what the face is like.

Generative process (Siddharth et al. 2017, section 4.2), for each photograph on its own:

    identity    ~ Cat(1 / V)
    light       ~ N(0, I), in three dimensions
    shading     ~ p(shading | identity, light)
    reflectance ~ p(reflectance | identity)
    x           ~ p(x | shading, reflectance)
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import OneHotCategorical

from coset.batch import SetBatch
from coset.distributions import standard_normal
from coset.errors import ConfigurationError
from coset.models.base import Model, SizeFromLabel
from coset.networks.distortions import local_contrast
from coset.networks.heads import GaussianHead
from coset.networks.items import Architecture, ItemDecoder, ItemEncoder, default_architecture
from coset.networks.likelihoods.base import LikelihoodName, build_likelihood
from coset.networks.likelihoods.real import Gaussian
from coset.networks.normalization import Normalization
from coset.networks.units import Units
from coset.queries import ItemQueries, inference
from coset.shapes import flatten_items, join
from coset.trace import Trace

DIRECTION = ("light_x", "light_y", "light_z")
"""The factors that tell the light, where they are known: a unit vector from the face towards it, x to the right."""

WINDOW = 9
"""Side of the window within which the contrast of a photograph is evened out, in pixels."""


class IntrinsicFaces(ItemQueries, Model):
    """Learns who is seen and from where the light comes, from a few labels, and so to light a face anew.

    The inference program is that of the paper, figure 6 and appendix: the shading has to be told from identity and
    light alone, so that these must be read right before anything can be shaded right. In the paper's generative program
    nothing depends on identity and light: shading and reflectance have standard Gaussian priors. It can neither draw a
    given person nor a given light, and reflectance, which is read from the photograph, is free to hold both. Here the
    generative program shades by the same conditional as the inference program, so that an exchanged light is seen, and
    reflectance has a prior for each person, so that what it tells beyond the person has its price.

    Args:
        item_shape: event axes of an item: `(D,)`, `(H, W)` or `(C, H, W)`.
        people: V.
        label: the factor that tells the identity, where it is known. The light is told by `light_x`, `light_y` and
            `light_z`; in data without these it is found with the rest.
        likelihood: `bernoulli` for intensities in [0, 1], `gaussian` for real values, `negative-binomial` for counts,
            or another one of `coset.networks.likelihoods`.
        shading_dim: dimensions of the shading.
        reflectance_dim: dimensions of the reflectance.
        features: units of the last layer of the encoder, of the first of the decoder, and of those between identity,
            light and shading.
        architecture: of the encoder and the decoder, see `ItemEncoder`; by the items' shape where None.
        channels: channels of the convolutional groups, or units of further plain layers.
        norm: `batch`, `layer` or `none`.
        units: location and scale of real values, see `coset.networks.units`; those of the data by `for_data`.

    Raises:
        ConfigurationError: A size is too small, or items and options do not fit together.

    >>> import torch
    >>> model = IntrinsicFaces((4,), people=3, shading_dim=2, reflectance_dim=2, features=8)
    >>> model.sample(n=5, identity=2).shape, model.swap(torch.rand(7, 4)).shape
    (torch.Size([5, 4]), torch.Size([7, 3, 4]))
    """

    limitations = """
    It knows the people it was trained on and no others, in the pose they were photographed in. Lights from behind
    and cast shadows are learned by heart rather than computed. It must not be used to identify people.
    """

    codes = ("reflectance",)
    item_sites = ("shading", "reflectance")
    given = MappingProxyType({"identity": "identity", "light": "light"})
    size_from_label = SizeFromLabel("people", usual="identity")

    def __init__(
        self,
        item_shape: Sequence[int],
        people: int,
        label: str = "identity",
        likelihood: LikelihoodName = "bernoulli",
        architecture: Architecture | None = None,
        shading_dim: int = 20,
        reflectance_dim: int = 20,
        features: int = 256,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
        units: Units = (0.0, 1.0),
    ):
        super().__init__()
        sizes = dict(people=people - 1, shading_dim=shading_dim, reflectance_dim=reflectance_dim, features=features)
        for name, size in sizes.items():
            if size < 1:
                raise ConfigurationError(f"{name}: too small; there are 2 people or more, other sizes are 1 or more")
        self.item_shape = tuple(item_shape)
        self.discrete, self.labels = {"identity": people}, {"identity": [label], "light": list(DIRECTION)}
        architecture = architecture or default_architecture(self.item_shape)
        self.likelihood = build_likelihood(likelihood, self.item_shape, units)
        networks = features, architecture, channels, norm
        self.face_encoder = ItemEncoder(
            self.item_shape, features, architecture, channels, norm, self.likelihood.reading
        )
        self.encoder = ItemEncoder(self.item_shape, *networks, self.likelihood.reading)
        self.identity_posterior = nn.Linear(self.encoder.features, people)
        self.light_posterior = GaussianHead(self.encoder.features, None, 3)
        self.reflectance_posterior = GaussianHead(self.encoder.features, None, reflectance_dim)
        self.shading = GaussianHead(people + 3, features, shading_dim, norm=norm)
        self.reflectance = GaussianHead(people, None, reflectance_dim)
        inputs = shading_dim + reflectance_dim
        self.decoder = ItemDecoder(inputs, self.likelihood.parameter_shape, *networks)
        # from a width of 1, thousands of steps would lead to that of intensities
        if isinstance(self.likelihood, Gaussian) and self.likelihood.learned == "element":
            nn.init.constant_(self.likelihood.raw_scale, -3.0)

    def infer(self, q: Trace, batch: SetBatch) -> None:
        """q(identity | x) q(light | x) q(shading | identity, light) q(reflectance | x)."""
        identity = q.sample("identity", OneHotCategorical(logits=self._recognise(batch.x, q.mask), validate_args=False))
        features = self.encoder(batch.x, q.mask)  # [B, N, F]
        light = q.sample("light", self.light_posterior(features))
        q.sample("shading", self.shading(join(identity, light), q.mask))
        q.sample("reflectance", self.reflectance_posterior(features))

    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """p(identity) p(light) p(shading | identity, light) p(reflectance | identity) p(x | shading, reflectance)."""
        like = self.identity_posterior.weight
        evenly = like.new_zeros(*shape, self.discrete["identity"])
        identity = p.sample("identity", OneHotCategorical(logits=evenly, validate_args=False))
        light = p.sample("light", standard_normal(like.new_zeros(*shape, 3)))
        shading = p.sample("shading", self.shading(join(identity, light), p.mask))
        reflectance = p.sample("reflectance", self.reflectance(identity))
        return self.emit(p, self.decoder(join(shading, reflectance), p.mask))

    def _recognise(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits of the people on photographs `[..., *item_shape]`, read from what a change of light leaves alone."""
        if len(self.item_shape) == 2 and min(self.item_shape) > WINDOW // 2:
            flat, _ = flatten_items(x, event_dims=2)
            x = local_contrast(flat, WINDOW).view_as(x)
        return self.identity_posterior(self.face_encoder(x, mask))

    @inference
    def classify(self, items: Any) -> Tensor:
        """Probabilities of the people on photographs `[n, *item_shape]`: `[n, V]`, over `values` (`coset.codes`)."""
        logits = torch.cat([self._recognise(x) for x in self.read_blocks(items)])
        return self.over_values("identity", logits.softmax(-1))

    @inference
    def light(self, items: Any) -> Tensor:
        """Directions from which light falls on photographs `[n, *item_shape]`, as unit vectors `[n, 3]`."""
        means = torch.cat([self.light_posterior(self.encoder(x)).mean for x in self.read_blocks(items)])
        return F.normalize(means, dim=-1)

    @inference
    def relight(self, items: Any, light: Any) -> Tensor:
        """Photographs `[n, *item_shape]` as they would be under other lights, `[n, 3]` or one `[3]` for all.

        Raises:
            ShapeError: The lights are no directions.

        >>> import torch
        >>> model = IntrinsicFaces((4,), people=3, features=8)
        >>> model.relight(torch.rand(7, 4), light=[-1.0, 0.0, 0.0]).shape
        torch.Size([7, 4])
        """
        x = self.read_items(items)
        kept = self.encode(SetBatch(x.unsqueeze(1))).values("identity", "reflectance")
        changed = kept | {"light": self.read_value("light", light, len(x))}
        return self.decode((len(x), 1), replay=changed, temperature=0.0)[:, 0]

    @inference
    def swap(self, items: Any, identities: Sequence[int] | None = None) -> Tensor:
        """Photographs `[n, *item_shape]` as they would be of other people, or of everyone, under the light they show.

        Reflectance is what the model expects of each person. Returns `[n, len(identities), *item_shape]` (figure 7).

        Raises:
            ConfigurationError: A code that no person has.

        >>> import torch
        >>> IntrinsicFaces((4,), people=3, features=8).swap(torch.rand(7, 4), [2, 0]).shape
        torch.Size([7, 2, 4])
        """
        codes = list(range(self.discrete["identity"]) if identities is None else identities)
        identity = self.read_value("identity", codes, len(codes))[:, 0]  # [m, V]
        return torch.cat([self._as_others(x, identity) for x in self.read_blocks(items)])

    def _as_others(self, x: Tensor, identity: Tensor) -> Tensor:
        light = self.encode(SetBatch(x.unsqueeze(1)))["light"].value.expand(-1, len(identity), -1)  # [n, m, 3]
        kept = {"identity": identity.expand(len(x), -1, -1), "light": light}
        return self.decode((len(x), len(identity)), replay=kept, temperature=0.0)
