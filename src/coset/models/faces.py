"""Intrinsic faces: who is seen, under which light, how that light shades the face, and what the face is like.

Generative process (Siddharth et al. 2017, section 4.2), for each photograph on its own:

    identity    ~ Cat(1 / V)
    light       ~ N(0, I), in three dimensions
    shading     ~ p(shading | identity, light)
    reflectance ~ p(reflectance | identity)
    x           ~ p(x | shading, reflectance)
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import OneHotCategorical

from coset.distributions import standard_normal
from coset.errors import ConfigurationError, ShapeError
from coset.models.base import Batch, Items, Model, inference, label_options
from coset.networks.agreement import Agreement
from coset.networks.heads import GaussianHead, Likelihood
from coset.networks.items import Architecture, ItemDecoder, ItemEncoder, default_architecture
from coset.networks.mlp import Normalization
from coset.networks.warp import local_contrast, random_affine, random_light
from coset.shapes import flatten_items, join
from coset.trace import Partial, Trace

DIRECTION = ("light_x", "light_y", "light_z")
"""The factors that tell the light, where they are known: a unit vector from the face towards it, x to the right."""

WINDOW = 9
"""Side of the window within which the contrast of a photograph is evened out, in pixels."""

PRECISION = 100.0
"""How closely the lights of a photograph and of its copy should agree: as if measured to 0.1, some six degrees."""


class IntrinsicFaces(Model):
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
        likelihood: `bernoulli` for intensities in [0, 1], `gaussian` for real values.
        shading_dim: dimensions of the shading.
        reflectance_dim: dimensions of the reflectance.
        features: units of the last layer of the encoder, of the first of the decoder, and of those between identity,
            light and shading.
        architecture: of the encoder and the decoder, see `ItemEncoder`; by the items' shape where None.
        channels: channels of the convolutional groups, or units of further plain layers.
        norm: `batch`, `layer` or `none`.
        agreement: weight of the penalty for reading a photograph and a distorted copy of it differently; 0 for none.

    >>> model = IntrinsicFaces((4,), people=3, shading_dim=2, reflectance_dim=2, features=8)
    >>> model.sample(n=5, identity=2).shape, model.swap(torch.rand(7, 4)).shape
    (torch.Size([5, 4]), torch.Size([7, 3, 4]))
    """

    item_sites = ("shading", "reflectance")

    def __init__(
        self,
        item_shape: Sequence[int],
        people: int,
        label: str = "identity",
        likelihood: Literal["bernoulli", "gaussian"] = "bernoulli",
        shading_dim: int = 20,
        reflectance_dim: int = 20,
        features: int = 256,
        architecture: Architecture | None = None,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
        agreement: float = 0.0,
    ):
        super().__init__()
        sizes = dict(people=people - 1, shading_dim=shading_dim, reflectance_dim=reflectance_dim, features=features)
        for name, size in sizes.items():
            if size < 1:
                raise ConfigurationError(f"{name}: too small; there are 2 people or more, other sizes are 1 or more")
        self.item_shape, self.agreement = tuple(item_shape), agreement
        if agreement < 0 or (agreement and len(self.item_shape) not in (2, 3)):
            raise ConfigurationError(f"agreement: 0, or for images a weight above 0; got {agreement}")
        self.discrete, self.labels = {"identity": people}, {"identity": [label], "light": list(DIRECTION)}
        architecture = architecture or default_architecture(self.item_shape)
        self.face_encoder = ItemEncoder(self.item_shape, features, architecture, channels, norm)
        self.encoder = ItemEncoder(self.item_shape, features, architecture, channels, norm)
        self.identity_posterior = nn.Linear(self.encoder.features, people)
        self.light_posterior = GaussianHead(self.encoder.features, None, 3)
        self.reflectance_posterior = GaussianHead(self.encoder.features, None, reflectance_dim)
        self.shading = GaussianHead(people + 3, features, shading_dim, norm=norm)
        self.reflectance = GaussianHead(people, None, reflectance_dim)
        inputs = shading_dim + reflectance_dim
        self.decoder = ItemDecoder(inputs, self.item_shape, features, architecture, channels, norm)
        self.likelihood = Likelihood(likelihood, self.item_shape)
        if likelihood == "gaussian":  # from a width of 1, thousands of steps would lead to that of intensities
            nn.init.constant_(self.likelihood.raw_scale, -3.0)
        self.agree = Agreement(people)

    @classmethod
    def data_options(cls, data: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        """The people are the values of the label in the data: of `identity`, or else its first discrete factor."""
        return label_options(data, options, "people", usual="identity")

    def infer(self, q: Trace, batch: Batch) -> None:
        """q(identity | x) q(light | x) q(shading | identity, light) q(reflectance | x)."""
        features = self.encoder(batch.x)  # [B, N, F]
        identity = q.sample("identity", OneHotCategorical(logits=self._recognise(batch.x), validate_args=False))
        light = q.sample("light", self.light_posterior(features))
        q.sample("shading", self.shading(join(identity, light)))
        q.sample("reflectance", self.reflectance_posterior(features))

    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """p(identity) p(light) p(shading | identity, light) p(reflectance | identity) p(x | shading, reflectance)."""
        like = self.identity_posterior.weight
        evenly = like.new_zeros(*shape, self.discrete["identity"])
        identity = p.sample("identity", OneHotCategorical(logits=evenly, validate_args=False))
        light = p.sample("light", standard_normal(like.new_zeros(*shape, 3)))
        shading = p.sample("shading", self.shading(join(identity, light)))
        reflectance = p.sample("reflectance", self.reflectance(identity))
        return p.sample("x", self.likelihood(self.decoder(join(shading, reflectance))))

    def suggested_weights(self) -> dict[str, dict[str, float]]:
        """Those of the penalties."""
        weights = {"agreement": self.agreement}
        return {"first": weights, "last": weights} if self.agreement else {}

    def penalties(self, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Where their weight is above 0, two for reading a distorted copy of a photograph differently; in nats per set.

        - `agreement.identity`: −log q(identity | copy), see `Agreement`; this copy is also lit differently.
        - `agreement.light`: half the squared distance between the light, known or as it is read from the photograph,
          and that of the copy, times `PRECISION`.

        Half of the copies are mirrored, and so are their lights.
        """
        if not self.agreement:
            return {}
        x = p["x"].value  # [B, N, ..., H, W]
        side = 1.0 - 2.0 * torch.randint(2, (*x.shape[:2], 1), device=x.device).to(x.dtype)  # [B, N, 1], −1 to mirror
        copies = _distort(x, mirrored=side < 0)
        features = self.encoder(copies)
        posterior: Any = q["identity"].distribution
        lit = random_light(copies.flatten(0, 1)).view_as(x) if len(self.item_shape) == 2 else copies
        read = self._recognise(lit).log_softmax(-1)
        identity = self.agree(posterior.probs, read, q.observed.get("identity"), q.mask)
        with torch.no_grad():
            direction: Any = q["light"].distribution
            light, given = direction.mean, q.observed.get("light")
            if isinstance(given, Partial):
                light = torch.where(given.known.unsqueeze(-1) > 0, given.value, light)
            light = join(light[..., :1] * side, light[..., 1:])  # [B, N, 3]
        apart = (self.light_posterior(features).mean - light).square().sum(-1) * PRECISION / 2  # [B, N]
        apart = apart if q.mask is None else apart * q.mask
        return {"agreement.identity": identity, "agreement.light": apart.sum(1)}

    def _recognise(self, x: Tensor) -> Tensor:
        """Logits of the people on photographs `[..., *item_shape]`, read from what a change of light leaves alone."""
        if len(self.item_shape) == 2 and min(self.item_shape) > WINDOW // 2:
            flat, _ = flatten_items(x, event_dims=2)
            x = local_contrast(flat, WINDOW).view_as(x)
        return self.identity_posterior(self.face_encoder(x))

    # What users do with a trained model.

    @inference
    def classify(self, items: Any) -> Tensor:
        """Probabilities of the people on photographs `[n, *item_shape]`: `[n, V]`."""
        return self._recognise(self.read_items(items)).softmax(-1)

    @inference
    def light(self, items: Any) -> Tensor:
        """Directions from which light falls on photographs `[n, *item_shape]`, as unit vectors `[n, 3]`."""
        return F.normalize(self.light_posterior(self.encoder(self.read_items(items))).mean, dim=-1)

    @inference
    def embed(self, items: Any, sample: bool = False) -> Tensor:
        """Reflectances of photographs `[n, *item_shape]`: means, or draws, `[n, R]`."""
        return self._read(self.read_items(items), sample)["reflectance"].value[:, 0]

    @inference
    def reconstruct(self, items: Any, sample: bool = False) -> Tensor:
        """Photographs as the model sees them, `[n, *item_shape]`, of their most probable person."""
        x = self.read_items(items)
        return self.decode((len(x), 1), replay=self._read(x, sample))[:, 0]

    @inference
    def relight(self, items: Any, light: Any) -> Tensor:
        """Photographs `[n, *item_shape]` as they would be under other lights, `[n, 3]` or one `[3]` for all.

        >>> model = IntrinsicFaces((4,), people=3, features=8)
        >>> model.relight(torch.rand(7, 4), light=[-1.0, 0.0, 0.0]).shape
        torch.Size([7, 4])
        """
        x = self.read_items(items)
        kept = self._read(x, False).values("identity", "reflectance")
        return self.decode((len(x), 1), replay=kept | {"light": self._lights(light, len(x))}, temperature=0.0)[:, 0]

    @inference
    def swap(self, items: Any, identities: Sequence[int] | None = None) -> Tensor:
        """Photographs `[n, *item_shape]` as they would be of other people, or of everyone, under the light they show.

        Reflectance is what the model expects of each person. Returns `[n, len(identities), *item_shape]` (figure 7).

        >>> IntrinsicFaces((4,), people=3, features=8).swap(torch.rand(7, 4), [2, 0]).shape
        torch.Size([7, 2, 4])
        """
        x = self.read_items(items)
        codes = range(self.discrete["identity"]) if identities is None else identities
        identity = torch.stack([self._one_hot(code) for code in codes])  # [m, V]
        light = self._read(x, False)["light"].value.expand(-1, len(codes), -1)  # [n, m, 3]
        kept = {"identity": identity.expand(len(x), -1, -1), "light": light}
        return self.decode((len(x), len(codes)), replay=kept, temperature=0.0)

    @inference
    def sample(
        self,
        n: int = 8,
        identity: int | None = None,
        light: Any = None,
        temperature: float = 1.0,
        draw: bool = False,
    ) -> Tensor:
        """New photographs `[n, *item_shape]`, of the person with this code or of anyone, under a light or any.

        Args:
            n: how many.
            identity: code of the person.
            light: `[n, 3]`, or one `[3]` for all.
            temperature: as in `decode`.
            draw: as in `decode`.

        >>> IntrinsicFaces((4,), people=3, features=8).sample(n=2, light=[0.0, 0.0, 1.0]).shape
        torch.Size([2, 4])
        """
        given = {} if identity is None else {"identity": self._one_hot(identity).expand(n, 1, -1)}
        given |= {} if light is None else {"light": self._lights(light, n)}
        return self.decode((n, 1), observed=given, temperature=temperature, draw=draw)[:, 0]

    def _lights(self, light: Any, n: int) -> Tensor:
        """Read `[n, 3]` or `[3]` as `[n, 1, 3]`."""
        given = torch.as_tensor(light).to(self.identity_posterior.weight)
        if tuple(given.shape) not in ((3,), (n, 3)):
            raise ShapeError(f"light: expected a direction [3], or one an item [{n}, 3], got {list(given.shape)}")
        return given.expand(n, 3).unsqueeze(1)

    def _one_hot(self, code: int) -> Tensor:
        people = self.discrete["identity"]
        if not 0 <= code < people:
            raise ConfigurationError(f"identity: expected a code from 0 to {people - 1}, got {code}")
        return F.one_hot(torch.tensor(code, device=self.device), people).to(self.identity_posterior.weight)

    def _read(self, x: Tensor, sample: bool) -> Trace:
        q = Trace(temperature=1.0 if sample else 0.0)
        self.infer(q, Items(x.unsqueeze(1)))
        return q


def _distort(images: Tensor, mirrored: Tensor) -> Tensor:
    """Photographs `[B, N, ..., H, W]`, some `[B, N, 1]` mirrored, all turned, scaled and shifted a little."""
    flat = images.flatten(0, 1)  # [BN, ..., H, W]
    flat = torch.where(mirrored.view(-1, *(1,) * (flat.ndim - 1)), flat.flip(-1), flat)
    return random_affine(flat, angle=0.1, scale=0.08, shift=0.06).view_as(images)
