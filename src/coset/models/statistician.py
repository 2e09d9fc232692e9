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
from torch.distributions import Independent, kl_divergence

from coset.distributions import standard_normal
from coset.errors import ConfigurationError, ShapeError, nearest
from coset.models.base import Batch, Items, Model, inference
from coset.networks.contexts import membership
from coset.networks.heads import GaussianHead, Likelihood
from coset.networks.items import Architecture, ItemDecoder, ItemEncoder, default_architecture
from coset.networks.mlp import Normalization
from coset.networks.pooling import SetPosterior, pooled
from coset.shapes import join, spread
from coset.trace import Trace


class NeuralStatistician(Model):
    """Learns one context per set, of any size, and L layers of what is left to each item.

    Args:
        item_shape: event axes of an item: `(D,)`, `(H, W)` or `(C, H, W)`, sides from 8 up for convolutions.
        contexts: the name of what a set holds constant, one.
        likelihood: `bernoulli` for intensities in [0, 1], `gaussian` for real values.
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
        width: of a gaussian likelihood, where learning begins; make it small if codes die, see `Likelihood`.

    >>> model = NeuralStatistician((4,), context_dim=3, z_dim=2, layers=2, features=8, hidden=8)
    >>> model.condition(torch.rand(6, 10, 4), n=5).shape
    torch.Size([6, 5, 4])
    >>> model.summarise(torch.rand(10, 4), keep=3).shape
    torch.Size([3])
    """

    def __init__(
        self,
        item_shape: Sequence[int],
        contexts: Sequence[str] = ("context",),
        likelihood: Literal["bernoulli", "gaussian"] = "bernoulli",
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
        width: float = 1.0,
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
        architecture = architecture or default_architecture(self.item_shape)
        self.encoder = ItemEncoder(self.item_shape, features, architecture, channels, norm)
        self.context_posterior = SetPosterior(self.encoder.features, hidden, context_dim, pooling, norm)
        above = [context_dim] + [context_dim + z_dim] * (layers - 1)
        self.z_posteriors = nn.ModuleList(
            GaussianHead(self.encoder.features + size, hidden, z_dim, norm=norm) for size in above
        )
        self.z_priors = nn.ModuleList(GaussianHead(size, hidden, z_dim, norm=norm) for size in above)
        decoded = context_dim + layers * z_dim if skips else z_dim
        self.decoder = ItemDecoder(decoded, self.item_shape, features, architecture, channels, norm)
        self.likelihood = Likelihood(likelihood, self.item_shape, width)

    @classmethod
    def context_options(cls, contexts: list[str]) -> dict[str, Any]:
        """The context is the factor that was named, or else the first."""
        return {"contexts": (contexts or ["context"])[:1]}

    def infer(self, q: Trace, batch: Batch) -> None:
        """q(c | D) Π q(z_1^(n) | c, x^(n)) Π q(z_l^(n) | z_(l-1)^(n), c, x^(n)); thesis A.2.2."""
        features = self.encoder(batch.x)  # [B, N, F]
        items = self.context_posterior.read(features)  # [B, N, P]
        q.note("items", items)
        context = q.sample("context", self.context_posterior.of_sum(*pooled(items, batch.mask)), axes="B")
        known = join(features, spread(context, features.shape[-2]))
        z = None
        for name, head in zip(self.item_sites, self.z_posteriors, strict=True):
            z = q.sample(name, head(known if z is None else join(known, z)), axes="BN")

    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """p(c) Π p(z_1^(n) | c) Π p(z_l^(n) | z_(l-1)^(n), c) p(x^(n) | z^(n), c); thesis 5.8-5.9."""
        sets, items = shape
        like = next(self.parameters())
        context = p.sample("context", standard_normal(like.new_zeros(sets, self.context_posterior.dim)), axes="B")
        known = spread(context, items)  # [B, N, C]
        layers: list[Tensor] = []
        for name, head in zip(self.item_sites, self.z_priors, strict=True):
            prior = head(join(known, layers[-1])) if layers else _for_each_item(head(context), items)
            layers.append(p.sample(name, prior, axes="BN"))
        parameters = self.decoder(join(known, *layers) if self.skips else layers[-1])
        return p.sample("x", self.likelihood(parameters), axes="BN")

    def suggested_weights(self) -> dict[str, dict[str, float]]:
        """For `pooling: product` the weight of `membership`; otherwise the bound itself."""
        if self.context_posterior.kind != "product":
            return {}
        return {"first": {"membership": 1.0}, "last": {"membership": 1.0}}

    def penalties(self, q: Trace, p: Trace) -> dict[str, Tensor]:
        """How badly items tell their own set from the others of the batch; see `coset.networks.contexts.membership`."""
        if self.context_posterior.kind != "product":
            return {}
        pull, precision = q.noted["items"].unsqueeze(-2).chunk(2, -1)  # [B, N, 1, C]
        return {"membership": membership((pull, precision), q.mask, torch.ones_like(pull[:, 0, :, 0]))}

    # What users do with a trained model.

    @inference
    def posterior(self, x: Any, mask: Tensor | None = None) -> Independent:
        """q(c | D) of sets `[B, N, *item_shape]`: a Gaussian with batch axes `[B]` and event `[C]`.

        One set `[N, *item_shape]` counts as `B = 1`; a list of sets of differing lengths is taken as well.
        """
        x, mask, _ = self.read_sets(x, mask)
        return self.context_posterior(self.encoder(x), mask)

    @inference
    def read_statistics(self, items: Any) -> Tensor:
        """What each item `[n, *item_shape]` adds to the sum that q(c | D) is made of, `[n, P]`; see `SetPosterior`."""
        return self.context_posterior.read(self.encoder(self.read_items(items)))

    @inference
    def embed_sets(self, x: Any, mask: Tensor | None = None, sample: bool = False) -> Tensor:
        """Contexts of sets: means of q(c | D), or draws from it: `[B, C]`, or `[C]` for one set."""
        x, mask, single = self.read_sets(x, mask)
        posterior = self.context_posterior(self.encoder(x), mask)
        codes = posterior.sample() if sample else posterior.mean
        return codes[0] if single else codes

    @inference
    def embed(self, items: Any, sample: bool = False) -> Tensor:
        """Codes of items `[n, *item_shape]`, each read as a set of its own: c, then z_1 … z_L, `[n, C + L·Z]`."""
        x = self.read_items(items).unsqueeze(1)  # [n, 1, ...]
        q = self._read(x, None, sample)
        return torch.cat([q["context"].value, *(q[name].value[:, 0] for name in self.item_sites)], -1)

    @inference
    def reconstruct(self, x: Any, mask: Tensor | None = None, sample: bool = False) -> Tensor:
        """Items of sets as the model sees them, in the shape of `x`: decoded from means, or from draws."""
        x, mask, single = self.read_sets(x, mask)
        out = self.decode((x.shape[0], x.shape[1]), replay=self._read(x, mask, sample))
        return out[0] if single else out

    @inference
    def sample(self, n: int = 8, sets: int | None = None, temperature: float = 1.0, draw: bool = False) -> Tensor:
        """New sets `[sets, n, *item_shape]`, or one `[n, *item_shape]`; `temperature` and `draw` as in `decode`."""
        out = self.decode((1 if sets is None else sets, n), temperature=temperature, draw=draw)
        return out[0] if sets is None else out

    @inference
    def condition(self, x: Any, n: int = 8, mask: Tensor | None = None, **options: Any) -> Tensor:
        """New items that share with a set what it holds constant.

        Args:
            x: sets `[B, N, *item_shape]`, one set, or a list of sets.
            n: items to generate for each set.
            mask: which items are present, `[B, N]`.
            options: `temperature` and `draw`, as in `decode`.

        Returns:
            `[B, n, *item_shape]`, or `[n, *item_shape]` for one set.
        """
        x, mask, single = self.read_sets(x, mask)
        context = self.context_posterior(self.encoder(x), mask).mean
        out = self.decode((len(x), n), replay={"context": context}, **options)
        return out[0] if single else out

    def compose(self, *, n: int = 8, temperature: float = 1.0, draw: bool = False, **contexts: Any) -> Tensor:
        """The same as `condition`, in the words of models with several contexts: `compose(character=items)`."""
        if set(contexts) != set(self.contexts):
            wrong = next(iter(set(contexts) - set(self.contexts)), "")
            raise ConfigurationError(f"compose: expected {self.contexts[0]}=items; {nearest(wrong, self.contexts)}")
        return self.condition(contexts[self.contexts[0]], n=n, temperature=temperature, draw=draw)

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
        """
        x, mask, single = self.read_sets(x, None)
        if mask is not None:
            raise ShapeError("summarise: give sets of one size, or one set at a time")
        if not 1 <= keep <= x.shape[1]:
            raise ConfigurationError(f"keep: expected 1 to {x.shape[1]}, the items of the set, got {keep}")
        items = self.context_posterior.read(self.encoder(x))  # [B, N, P]
        whole = _spread_over(self.context_posterior.of_sum(*pooled(items, None)))
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
        posterior = self.posterior(x, mask)
        return _divergences(posterior, posterior) + _divergences(posterior, posterior).T

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
        queries = self.posterior(self.read_items(items).unsqueeze(1))
        return _divergences(self.posterior(classes, mask), queries).argmin(0)

    def _read(self, x: Tensor, mask: Tensor | None, sample: bool) -> Trace:
        q = Trace(mask=mask, temperature=1.0 if sample else 0.0)
        self.infer(q, Items(x, mask=mask))
        return q


def _for_each_item(prior: Independent, items: int) -> Independent:
    """The same Gaussian for every item of a set: batch axes `[B]` → `[B, N]`, without computing it N times."""
    base = prior.base_dist
    return Independent(type(base)(spread(base.loc, items), spread(base.scale, items), validate_args=False), 1)


def _spread_over(posterior: Independent) -> Independent:
    """Batch axes `[B]` → `[B, 1]`, to be compared with many."""
    base = posterior.base_dist
    return Independent(type(base)(base.loc.unsqueeze(-2), base.scale.unsqueeze(-2), validate_args=False), 1)


def _divergences(first: Independent, second: Independent) -> Tensor:
    """KL( first_i ‖ second_j ) of every pair: `[i, j]`."""
    return kl_divergence(_spread_over(first), second)
