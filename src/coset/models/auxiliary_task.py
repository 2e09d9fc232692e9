"""The auxiliary-task model: a transform says what one group of latent variables may know, and so what another must.

Generative process (under review at ICLR 2019, "Explicit Information Placement on Latent Variables Using Auxiliary
Generative Modelling Task", equations 3-5 and 7-10), for each item on its own:

    y    ~ Cat(1 / k)                    where items are to be clustered
    lost ~ N(0, I), or p(lost | y)       the information of interest: z_g, if patches are shuffled
    kept ~ N(0, I)                       the remainder: z_l
    x    ~ p(x | lost, kept)
    x̂    ~ p(x̂ | kept)                   the transformed item
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical

from coset.batch import SetBatch
from coset.discovery import find_named
from coset.distributions import standard_normal
from coset.errors import ConfigurationError, DataError, ShapeError
from coset.models.base import Model
from coset.networks.heads import GaussianHead
from coset.networks.items import Architecture, ItemDecoder, ItemEncoder, default_architecture
from coset.networks.likelihoods.base import LikelihoodName, build_likelihood
from coset.networks.normalization import Normalization
from coset.networks.transforms.base import Transform
from coset.networks.units import Units
from coset.queries import ItemQueries, inference
from coset.shapes import flatten_items, join
from coset.trace import Trace

TransformName = str | Mapping[str, Any] | Callable[[Tensor], Tensor]
"""A transform's name, its class and options, or a function of items `[n, *item_shape]`."""


class AuxiliaryTaskVAE(ItemQueries, Model):
    """Learns two codes for each item: of what a transform keeps, and of what it destroys.

    q(lost | x) q(kept | x̂): what is kept is read from the transformed item alone, and has to explain it alone, so it
    cannot know what the transform destroyed; what is lost need not know the rest, which would cost divergence.

    With clusters, q(y | x) q(lost | x), and the prior of what is lost is a mixture, of one Gaussian a cluster. Clusters
    are summed over exactly unless an objective says otherwise; as nothing but a prior reads them, that costs little.
    Without a transform there is no auxiliary task, nor is anything kept: a mixture-prior autoencoder (GMVAE, VaDE).

    Args:
        item_shape: event axes of an item: `(D,)`, `(H, W)` or `(C, H, W)`.
        transform: such as `patch-shuffle`, or `{"class": "PatchShuffle", "side": 8}`, see `coset.networks.transforms`;
            a function of your own of items `[n, *item_shape]`, with which a model cannot be saved; or None. Where a
            batch has the view `transformed`, that is taken.
        clusters: k; None for a standard normal prior.
        lost_dim: dimensions of what the transform destroys.
        kept_dim: dimensions of what it keeps.
        likelihood: `bernoulli` for intensities in [0, 1], `gaussian` for real values, or another one of
            `coset.networks.likelihoods`; of items and of transformed ones.
        units: location and scale of real values, see `coset.networks.units`; those of the data by `for_data`.
        features: units of the last layer before the codes, and of the first after them.
        architecture: see `ItemEncoder`; by the items' shape where None.
        channels: channels of the convolutional groups, or units of further plain layers.
        norm: `batch`, `layer` or `none`.

    Raises:
        ConfigurationError: A size is too small, there is neither a transform nor clusters, or items and options do not
            fit together.

    >>> model = AuxiliaryTaskVAE((8, 8), lost_dim=2, kept_dim=2, features=8)
    >>> model.compose(lost=torch.rand(5, 8, 8), kept=torch.rand(5, 8, 8)).shape
    torch.Size([5, 8, 8])
    """

    limitations = """
    What a transform destroys is up to the transform: a patch still tells what fits into a patch. What the code of the
    rest need not know it may still know, for as long as that costs little. Clusters are those that the likelihood finds
    worth having, and need not be those that are meant.
    """

    def __init__(
        self,
        item_shape: Sequence[int],
        transform: TransformName | None = "patch-shuffle",
        clusters: int | None = None,
        lost_dim: int = 32,
        kept_dim: int = 32,
        likelihood: LikelihoodName = "bernoulli",
        units: Units = (0.0, 1.0),
        features: int = 256,
        architecture: Architecture | None = None,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
    ):
        super().__init__()
        for name, size in dict(lost_dim=lost_dim, kept_dim=kept_dim, features=features).items():
            if size < 1:
                raise ConfigurationError(f"{name}: expected a whole number from 1 up, got {size}")
        if clusters is not None and clusters < 2:
            raise ConfigurationError(f"clusters: expected 2 or more, or None for none, got {clusters}")
        if transform is None and clusters is None:
            raise ConfigurationError("transform and clusters: neither is given; that is a VAE, see coset.VAE")
        self.item_shape, self.lost_dim, self.kept_dim = tuple(item_shape), lost_dim, kept_dim
        self.transform = None if transform is None else _build(transform, self.item_shape)
        self.item_sites = self.codes = ("lost",) if transform is None else ("lost", "kept")
        if clusters is not None:
            self.discrete, self.given = {"cluster": clusters}, MappingProxyType({"code": "cluster"})
            drawn = {"cluster": "enumerate"} | dict.fromkeys(self.codes, "sample")  # codes once for all clusters
            self.default_objective = MappingProxyType({"class": "EvidenceLowerBound", "discrete": drawn})
        architecture = architecture or default_architecture(self.item_shape)
        networks = features, architecture, channels, norm
        self.likelihood = build_likelihood(likelihood, self.item_shape, units)
        self.encoder = ItemEncoder(self.item_shape, *networks, self.likelihood.reading)
        self.cluster_posterior = None if clusters is None else nn.Linear(self.encoder.features, clusters)
        self.lost_posterior = GaussianHead(self.encoder.features, None, lost_dim)
        self.lost_prior = None if clusters is None else GaussianHead(clusters, None, lost_dim)
        decoded = lost_dim
        if transform is not None:
            self.observed, decoded = ("x", "transformed"), lost_dim + kept_dim
            self.kept_encoder = ItemEncoder(self.item_shape, *networks, self.likelihood.reading)
            self.kept_posterior = GaussianHead(self.kept_encoder.features, None, kept_dim)
            self.kept_likelihood = build_likelihood(likelihood, self.item_shape, units)
            self.kept_decoder = ItemDecoder(kept_dim, self.kept_likelihood.parameter_shape, *networks)
        self.decoder = ItemDecoder(decoded, self.likelihood.parameter_shape, *networks)

    def infer(self, q: Trace, batch: SetBatch) -> None:
        """q(kept | x̂) q(y | x) q(lost | x); equation 6, and before equation 11."""
        if self.transform is not None:
            transformed = batch.views.get("transformed")
            transformed = self._transformed(batch.x) if transformed is None else transformed
            q.note("transformed", transformed)
            q.sample("kept", self.kept_posterior(self.kept_encoder(transformed, q.mask)))
        features = self.encoder(batch.x, q.mask)  # [B, N, F]
        if self.cluster_posterior is not None:
            q.sample("cluster", OneHotCategorical(logits=self.cluster_posterior(features), validate_args=False))
        q.sample("lost", self.lost_posterior(features))

    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """p(y) p(lost | y) p(kept) p(x̂ | kept) p(x | lost, kept); equations 3-5 and 7-10."""
        like = next(self.parameters())
        prior = standard_normal(like.new_zeros(*shape, self.lost_dim))
        if self.lost_prior is not None:
            evenly = like.new_zeros(*shape, self.discrete["cluster"])
            prior = self.lost_prior(p.sample("cluster", OneHotCategorical(logits=evenly, validate_args=False)))
        latent = p.sample("lost", prior)
        if self.transform is not None:
            kept = p.sample("kept", standard_normal(like.new_zeros(*shape, self.kept_dim)))
            p.sample("transformed", self.kept_likelihood(self.kept_decoder(kept, p.mask)))
            latent = join(latent, kept)
        return self.emit(p, self.decoder(latent, p.mask))

    @torch.no_grad()
    def _transformed(self, x: Tensor) -> Tensor:
        """Transformed items `[B, N, *item_shape]`."""
        assert self.transform is not None
        flat, _ = flatten_items(x, event_dims=len(self.item_shape))
        made = self.transform(flat)
        if isinstance(self.transform, _Own):
            self.check_items(made, "transform: the items that it makes")
        return made.view_as(x)

    @inference
    def compose(self, lost: Any = None, kept: Any = None, code: Any = None) -> Tensor:
        """Items `[n, *item_shape]` with what the transform destroys of some items, and what it keeps of others.

        Args:
            lost: items `[n, *item_shape]`; what they would lose is taken over, or drawn from the prior where None.
            kept: items `[n, *item_shape]`; what the transform keeps of them is, likewise.
            code: of the cluster, or clusters `[n]`, from whose prior what is lost is drawn; of any where None.

        Raises:
            ConfigurationError: Neither is given, or the model has no transform; a cluster beside what determines it, or
                one that is not there.
            ShapeError: They are not equally many.
        """
        if self.transform is None:
            raise ConfigurationError("compose: without a transform nothing is kept; items have one code, see embed")
        given = {name: items for name, items in (("lost", lost), ("kept", kept)) if items is not None}
        if not given:
            raise ConfigurationError("compose: give items to take something from, lost or kept; to draw both, sample")
        if code is not None and (self.lost_prior is None or lost is not None):
            raise ConfigurationError(
                "compose: a code says of which cluster to draw what is lost: leave lost out, and "
                "build the model with clusters"
            )
        codes = {name: torch.cat(list(self._codes(name, items))) for name, items in given.items()}
        count, *others = (len(code) for code in codes.values())
        if others not in ([], [count]):
            raise ShapeError(f"compose: expected as many items for lost as for kept, got {count} and {others[0]}")
        known = {} if code is None else {"cluster": self.read_value("cluster", code, count, "code")}
        return self.decode((count, 1), observed=known, replay=codes)[:, 0]

    def _codes(self, name: str, items: Any) -> Any:
        """Centres of q(lost | x), or of q(kept | x̂), of blocks of items, `[n, 1, D]`."""
        for x in self.read_blocks(items):
            yield self.encode(SetBatch(x.unsqueeze(1)))[name].value

    @inference
    def place(self, items: Any, seed: int) -> dict[str, Tensor]:
        """Items `transformed` `[n, *item_shape]`, and what each code knows of them, `lost` and `kept`, `[n, D]`.

        Codes are centres of posteriors. What is random in the transform is drawn anew for each item, as in training,
        from this seed, while other questions have it stand still.

        Raises:
            ConfigurationError: The model has no transform.
        """
        if self.transform is None:
            raise ConfigurationError("place: without a transform there is nothing to place; items have one code")
        found: dict[str, list[Tensor]] = {"transformed": [], "lost": [], "kept": []}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.transform.train()
            for x in self.read_blocks(items):
                made = self._transformed(x.unsqueeze(1))
                q = self.encode(SetBatch(x.unsqueeze(1), views={"transformed": made}))
                for name, values in (("transformed", made), *((name, q[name].value) for name in self.codes)):
                    found[name].append(values[:, 0])
        return {name: torch.cat(parts) for name, parts in found.items()}

    @inference
    def classify(self, items: Any) -> Tensor:
        """Probabilities q(y | x) of the clusters of items `[n, *item_shape]`: `[n, k]`.

        Raises:
            ConfigurationError: The model has no clusters.
        """
        if self.cluster_posterior is None:
            raise ConfigurationError("classify: this model has no clusters; build it with clusters=10, for example")
        return torch.cat([self.cluster_posterior(self.encoder(x)).softmax(-1) for x in self.read_blocks(items)])


class _Own(Transform):
    """A user's function, of which each result is looked at."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Call it on items `[n, *item_shape]`."""
        made = self.function(x)
        if not isinstance(made, Tensor) or made.shape != x.shape or made.dtype != x.dtype:
            got = f"{made.dtype} {list(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
            raise DataError(
                f"transform: expected items like those that it is given, {x.dtype} {list(x.shape)}, got {got}; it maps "
                "items [n, *item_shape] to as many of the same shape and type"
            )
        return made


def _build(given: TransformName, item_shape: tuple[int, ...]) -> Transform:
    """A transform from its name, from its class and options, or around a function."""
    if callable(given):
        return _Own(given)
    made, options = find_named(given, "coset.networks.transforms", Transform, "transform")
    return made(item_shape, **options)
