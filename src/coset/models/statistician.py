"""The neural statistician: what the items of a set share, and how large the set makes us sure of it.

Generative process of the full model (Edwards & Storkey 2016; thesis 5.8-5.9), for each set D:

    c         ~ N(0, I)                        once a set
    z_1^(n)   ~ p(z_1 | c)                     once an item
    z_l^(n)   ~ p(z_l | z_(l-1)^(n), c)        for l = 2 … L
    x^(n)     ~ p(x | z_1^(n) … z_L^(n), c)
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, kl_divergence

from coset.batch import SetBatch
from coset.distributions import standard_normal
from coset.errors import ConfigurationError, ShapeError
from coset.models.base import Model
from coset.networks.heads import GaussianHead
from coset.networks.items import Architecture, ItemDecoder, ItemEncoder, default_architecture
from coset.networks.likelihoods.base import LikelihoodName, build_likelihood
from coset.networks.normalization import Normalization
from coset.networks.pooling import SetPosterior, pooled
from coset.networks.units import Units
from coset.queries import SetQueries, inference
from coset.shapes import join, spread
from coset.trace import Trace

CONTRASTIVE = {
    "class": "Penalised",
    "bound": {"class": "EvidenceLowerBound"},
    "penalties": [{"class": "ContrastiveSetIdentification"}],
}
"""What makes the items of a set tell it from others, for posteriors that are products over items."""


class NeuralStatistician(SetQueries, Model):
    """Learns one context per set, of any size, and L layers of what is left to each item.

    Args:
        item_shape: event axes of an item: `(D,)`, `(H, W)` or `(C, H, W)`, sides from 8 up for convolutions.
        contexts: the name of what a set holds constant, one.
        likelihood: `bernoulli` for intensities in [0, 1], `gaussian` for real values, `negative-binomial` for counts,
            or another one of `coset.networks.likelihoods`.
        pooling: how items make the posterior of the context, `mean` (the papers'), `size` or `product`; see
            `SetPosterior`.
        context_dim: C, dimensions of the context.
        z_dim: Z, dimensions of each stochastic layer.
        layers: L, how many of those.
        skips: decode items from all layers and the context (the full model, thesis 5.8-5.13), or from the last layer
            alone (with `layers=1` the basic model, thesis 5.2-5.7).
        features: size of an item's features.
        hidden: units of the networks of the distributions.
        architecture: `convolutional`, `dense`, `plain` or `none`, see `ItemEncoder`; by the items' shape where None.
        channels: channels of the convolutional groups, or units of further plain layers.
        norm: `batch`, `layer` or `none`.
        units: location and scale of real values, see `coset.networks.units`; those of the data by `for_data`.
        width: of a gaussian likelihood, where learning begins; make it small if codes die, see `Likelihood`.

    Raises:
        ConfigurationError: More or fewer contexts than one, an unknown option, or a size below 1.

    >>> model = NeuralStatistician((4,), context_dim=3, z_dim=2, layers=2, features=8, hidden=8)
    >>> model.condition(torch.rand(6, 10, 4), n=5).shape
    torch.Size([6, 5, 4])
    >>> model.summarise(torch.rand(10, 4), keep=3).shape
    torch.Size([3])
    """

    limitations = """
    It has one context, for whatever the items of a set share: factors that always come together are not told apart.
    A set of one or two items says little, and its posterior is wide. Sets that differ in what training sets never
    differed in look alike to it.
    """

    def __init__(
        self,
        item_shape: Sequence[int],
        contexts: Sequence[str] = ("context",),
        likelihood: LikelihoodName = "bernoulli",
        pooling: Literal["product", "size", "mean"] = "product",
        context_dim: int = 64,
        z_dim: int = 16,
        layers: int = 1,
        skips: bool = True,
        features: int = 256,
        hidden: int = 128,
        architecture: Architecture | None = None,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
        width: float | None = None,
        units: Units = (0.0, 1.0),
    ):
        super().__init__()
        if len(contexts) != 1 or isinstance(contexts, str):
            raise ConfigurationError(
                f"contexts: a neural statistician has one, got {contexts!r}; for several use ContextAwareLearner"
            )
        sizes = dict(context_dim=context_dim, z_dim=z_dim, layers=layers, features=features, hidden=hidden)
        for name, size in sizes.items():
            if size < 1:
                raise ConfigurationError(f"{name}: expected a whole number from 1 up, got {size}")
        self.item_shape, self.contexts, self.skips = tuple(item_shape), list(contexts), skips
        self.item_sites = [f"z.{layer + 1}" for layer in range(layers)]
        self.codes, self.context_dim = ["context", *self.item_sites], context_dim
        if pooling == "product":
            self.default_objective = CONTRASTIVE
        architecture = architecture or default_architecture(self.item_shape)
        self.likelihood = build_likelihood(likelihood, self.item_shape, units, width)
        self.encoder = ItemEncoder(self.item_shape, features, architecture, channels, norm, self.likelihood.reading)
        self.context_posterior = SetPosterior(self.encoder.features, hidden, context_dim, pooling, norm)
        above = [context_dim] + [context_dim + z_dim] * (layers - 1)
        self.z_posteriors = nn.ModuleList(
            GaussianHead(self.encoder.features + size, hidden, z_dim, norm=norm) for size in above
        )
        self.z_priors = nn.ModuleList(GaussianHead(size, hidden, z_dim, norm=norm) for size in above)
        decoded = context_dim + layers * z_dim if skips else z_dim
        self.decoder = ItemDecoder(decoded, self.likelihood.parameter_shape, features, architecture, channels, norm)

    def infer(self, q: Trace, batch: SetBatch) -> None:
        """q(c | D) Π q(z_1^(n) | c, x^(n)) Π q(z_l^(n) | z_(l-1)^(n), c, x^(n)); thesis A.2.2."""
        features = self.encoder(batch.x, q.mask)  # [B, N, F]
        items = self.context_posterior.encode(features, q.mask)  # [B, N, P]
        if self.context_posterior.kind == "product":
            linear, precision = items.unsqueeze(-2).chunk(2, -1)  # [B, N, 1, C]
            q.note("linear", linear)
            q.note("precision", precision)
            q.note("constant", torch.ones_like(items[:, 0, :1]))
        context = q.sample("context", self.context_posterior.of_sum(*pooled(items, q.mask)), axes="B")
        known = join(features, spread(context, features.shape[-2]))
        z = None
        for name, head in zip(self.item_sites, self.z_posteriors, strict=True):
            z = q.sample(name, head(known if z is None else join(known, z), q.mask), axes="BN")

    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """p(c) Π p(z_1^(n) | c) Π p(z_l^(n) | z_(l-1)^(n), c) p(x^(n) | z^(n), c); thesis 5.8-5.9."""
        sets, items = shape
        like = next(self.parameters())
        context = p.sample("context", standard_normal(like.new_zeros(sets, self.context_posterior.dim)), axes="B")
        known = spread(context, items)  # [B, N, C]
        layers: list[Tensor] = []
        for name, head in zip(self.item_sites, self.z_priors, strict=True):
            prior = (
                head(join(known, layers[-1]), p.mask) if layers else _for_each_item(head(context.unsqueeze(-2)), items)
            )
            layers.append(p.sample(name, prior, axes="BN"))
        parameters = self.decoder(join(known, *layers) if self.skips else layers[-1], p.mask)
        return self.emit(p, parameters)

    @inference
    def posterior(self, x: Any, mask: Tensor | None = None) -> Independent:
        """q(c | D) of sets `[B, N, *item_shape]`: a Gaussian with batch axes `[B]` and event `[C]`.

        One set `[N, *item_shape]` counts as `B = 1`; a list of sets of differing lengths is taken as well.
        """
        batch, _ = self.read_sets(x, mask)
        return self.context_posterior(self.encoder(batch.x, batch.mask), batch.mask)

    @inference
    def statistics(self, items: Any) -> Tensor:
        """What each item `[n, *item_shape]` adds to the sum that q(c | D) is made of, `[n, P]`; see `SetPosterior`."""
        return torch.cat([self.context_posterior.encode(self.encoder(x)) for x in self.read_blocks(items)])

    def set_codes(self, batch: SetBatch, names: Sequence[str], sample: bool = False) -> Tensor:
        """Contexts of sets: means of q(c | D), or draws from it: `[B, 1, C]`."""
        posterior = self.context_posterior(self.encoder(batch.x, batch.mask), batch.mask)
        return (posterior.sample() if sample else posterior.mean).unsqueeze(1)

    def hold(self, a: Tensor, codes: Tensor | None = None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Replay the context `[B, 1, C]`, where there is one; a set always holds it constant.

        Raises:
            ConfigurationError: The context is to vary within a set.
        """
        if not bool(a.all()):
            raise ConfigurationError(f"constant: a set always holds {self.contexts[0]!r} constant in this model")
        return {}, {} if codes is None else {"context": codes[:, 0]}

    @inference
    def summarise(self, x: Any, keep: int) -> Tensor:
        """Choose the few items that say of a set what the whole set says (Edwards & Storkey 2016).

        Starting from all items, the one is left out without which KL( q(c | D) ‖ q(c | rest) ) is least, until `keep`
        are left. All candidates of a step are tried at once: each is a subtraction from the pooled sum.

        Args:
            x: one set `[N, *item_shape]`, or sets of one size `[B, N, *item_shape]`.
            keep: how many items to choose.

        Returns:
            Positions of the chosen items in ascending order, `[keep]` or `[B, keep]`.

        Raises:
            ShapeError: Sets of differing sizes.
            ConfigurationError: Fewer items than one, or more than a set has.
        """
        batch, single = self.read_sets(x)
        x = batch.x
        if batch.mask is not None:
            raise ShapeError("summarise: give sets of one size, or one set at a time")
        if not 1 <= keep <= x.shape[1]:
            raise ConfigurationError(f"keep: expected 1 to {x.shape[1]}, the items of the set, got {keep}")
        items = self.context_posterior.encode(self.encoder(x))  # [B, N, P]
        whole = self._spread(*pooled(items, None))
        left = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)  # [B, N]
        rows = torch.arange(len(x), device=x.device)
        for count in range(x.shape[1] - 1, keep - 1, -1):
            total = torch.where(left.unsqueeze(-1), items, 0.0).sum(1, keepdim=True)  # [B, 1, P]
            without = total - items  # [B, N, P]
            rest = self.context_posterior.of_sum(without, torch.full_like(without[..., 0], count))
            loss = kl_divergence(whole, rest).masked_fill(~left, torch.inf)  # [B, N]
            left[rows, loss.argmin(1)] = False
        chosen = left.nonzero()[:, 1].view(len(x), keep)
        return chosen[0] if single else chosen

    @inference
    def compare(self, x: Any, mask: Tensor | None = None) -> Tensor:
        """Symmetric divergences between sets, KL(q_i ‖ q_j) + KL(q_j ‖ q_i) of their contexts: `[B, B]`, in nats."""
        sets = self._pooled(self.read_sets(x, mask)[0])
        divergences = self._divergences(sets, sets)
        return divergences + divergences.T

    @inference
    def classify(self, items: Any, classes: Any, mask: Tensor | None = None) -> Tensor:
        """Assign items to classes known by a few examples: the least KL( q(c | class) ‖ q(c | x) ).

        Args:
            items: queries `[n, *item_shape]`.
            classes: examples `[classes, shots, *item_shape]`, or a list of sets of differing lengths.
            mask: which examples are present, `[classes, shots]`.

        Returns:
            Positions of the classes `[n]`.
        """
        known = self._pooled(self.read_sets(classes, mask)[0])
        queries = (self._pooled(SetBatch(x.unsqueeze(1))) for x in self.read_blocks(items))
        return torch.cat([self._divergences(known, some).argmin(0) for some in queries])

    def _pooled(self, batch: SetBatch) -> tuple[Tensor, Tensor]:
        """What q(c | D) is made of, of each set: sums `[B, P]` over its items, and their number `[B]`."""
        return pooled(self.context_posterior.encode(self.encoder(batch.x, batch.mask), batch.mask), batch.mask)

    def _divergences(self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
        """KL( first_i ‖ second_j ) of the contexts of every pair of pooled sets: `[i, j]`."""
        return kl_divergence(self._spread(*first), self.context_posterior.of_sum(*second))

    def _spread(self, total: Tensor, count: Tensor) -> Independent:
        """The posteriors of sets with batch axes `[B, 1]`, to be compared with many."""
        return self.context_posterior.of_sum(total.unsqueeze(-2), count.unsqueeze(-1))


def _for_each_item(prior: Distribution, items: int) -> Distribution:
    """The same distribution for every item of a set: batch axes `[B, 1]` → `[B, N]`, without computing it N times."""
    return prior.expand(torch.Size([*prior.batch_shape[:-1], items]))
