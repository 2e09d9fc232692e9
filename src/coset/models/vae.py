"""The variational autoencoder.

Generative process (Kingma & Welling 2013; thesis 4.2), for each item on its own:

    z ~ N(0, I)
    x ~ p(x | z)
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from coset.batch import SetBatch
from coset.distributions import standard_normal
from coset.errors import ConfigurationError
from coset.models.base import Model
from coset.networks.heads import GaussianHead
from coset.networks.items import Architecture, ItemDecoder, ItemEncoder, default_architecture
from coset.networks.likelihoods.base import LikelihoodName, build_likelihood
from coset.networks.normalization import Normalization
from coset.networks.units import Units
from coset.queries import ItemQueries, inference
from coset.trace import Trace


class VAE(ItemQueries, Model):
    """Learns a code for each item by itself; what items of a set share plays no part.

    Args:
        item_shape: event axes of an item: `(D,)`, `(H, W)` or `(C, H, W)`, sides from 8 up for convolutions.
        likelihood: `bernoulli` for intensities in [0, 1], `gaussian` for real values, `negative-binomial` for counts,
            or another one of `coset.networks.likelihoods`.
        z_dim: Z, dimensions of the code.
        features: units of the last layer before the code, and of the first after it.
        architecture: `convolutional`, `dense`, `plain` or `none`, see `ItemEncoder`; by the items' shape where None.
        channels: channels of the convolutional groups, or units of further plain layers.
        norm: `batch`, `layer` or `none`.
        units: location and scale of real values, see `coset.networks.units`; those of the data by `for_data`.

    Raises:
        ConfigurationError: A size is below 1, or items and options do not fit together.

    >>> import torch
    >>> model = VAE((4,), z_dim=2, features=8)
    >>> model.sample(n=5).shape, model.embed(torch.rand(7, 4)).shape
    (torch.Size([5, 4]), torch.Size([7, 2]))
    """

    limitations = """
    Items drawn from it are smoother than real ones, the more so the fewer dimensions its code has. What sets of
    items share plays no part, and its codes have no names: what a number tells is found by looking.
    """

    def __init__(
        self,
        item_shape: Sequence[int],
        likelihood: LikelihoodName = "bernoulli",
        z_dim: int = 50,
        features: int = 256,
        architecture: Architecture | None = None,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
        units: Units = (0.0, 1.0),
    ):
        super().__init__()
        for name, size in dict(z_dim=z_dim, features=features).items():
            if size < 1:
                raise ConfigurationError(f"{name}: expected a whole number from 1 up, got {size}")
        self.item_shape, self.z_dim = tuple(item_shape), z_dim
        architecture = architecture or default_architecture(self.item_shape)
        self.likelihood = build_likelihood(likelihood, self.item_shape, units)
        self.encoder = ItemEncoder(self.item_shape, features, architecture, channels, norm, self.likelihood.reading)
        self.z_posterior = GaussianHead(self.encoder.features, None, z_dim)
        self.decoder = ItemDecoder(z_dim, self.likelihood.parameter_shape, features, architecture, channels, norm)

    def infer(self, q: Trace, batch: SetBatch) -> None:
        """q(z | x); thesis 4.2."""
        q.sample("z", self.z_posterior(self.encoder(batch.x, q.mask)), axes="BN")

    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """p(z) p(x | z); thesis 4.2."""
        like = next(self.parameters())
        z = p.sample("z", standard_normal(like.new_zeros(*shape, self.z_dim)), axes="BN")
        return self.emit(p, self.decoder(z, p.mask))

    @inference
    def decode_codes(self, z: Any) -> Tensor:
        """Means of p(x | z) at given codes `[n, Z]`: `[n, *item_shape]`, such as those of a grid (figure 4.3).

        Raises:
            ShapeError: These are no codes of this model.
            DataError: These are no finite numbers.
        """
        codes = self.read_codes(z, self.z_dim, "z")
        return self.decode((len(codes), 1), replay={"z": codes.unsqueeze(1)})[:, 0]
