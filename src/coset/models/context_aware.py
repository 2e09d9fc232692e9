"""The context-aware learner: sets whose contexts are constant or vary, and what they have in common.

Generative process (thesis 6.1-6.4), for each set D with a ∈ {0, 1}^K telling which contexts are constant:

    a        ~ p(a)
    c_k      ~ p(c_k | a)                   for k constant, once a set
    c_k^(n)  ~ p(c_k | c_Ac, a)             for k varying, once an item
    z^(n)    ~ p(z | c^(n))
    x^(n)    ~ p(x | z^(n), c^(n))

How a context acts may be said: it then does one of V things to what z and the free contexts made, which the encoder
undoes before it reads these. So an item is recognised in a combination that was never observed.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, OneHotCategorical

from coset.batch import SetBatch
from coset.distributions import natural_parameters, probability_vector
from coset.errors import ConfigurationError, DataError
from coset.models.acting import SITES, ActingContexts, check_actions
from coset.models.base import Model
from coset.networks.constancy import ConstancyNetwork
from coset.networks.contexts import SeparateContexts, TiedContexts
from coset.networks.heads import GaussianHead
from coset.networks.items import Architecture, ItemDecoder, ItemEncoder, default_architecture
from coset.networks.likelihoods.base import LikelihoodName, build_likelihood
from coset.networks.normalization import Normalization
from coset.networks.pooling import StatisticNetwork
from coset.networks.units import Units
from coset.queries import SetQueries, inference
from coset.queries.completion import Way
from coset.shapes import join, spread
from coset.trace import Trace

RELAXED = {"discrete": {"a": "straight-through"}, "relaxation": [1.0, 0.5]}
"""How an unknown a is drawn while it is learned: the temperature falls over training (thesis 6.4.3)."""

TIED: dict[str, Any] = {
    "class": "Penalised",
    "bound": {"class": "EvidenceLowerBound"},
    "penalties": [
        {"class": "ContrastiveSetIdentification"},
        {"class": "ContextCycleConsistency", "site": "context.constant", "fresh": ["z"]},
        {"class": "AggregatePosterior", "site": "context.constant", "prior": "coding.prior"},
    ],
    # z and varying contexts cost the same, or information moves to whichever is cheaper. Cycles wait until there is
    # something to exchange.
    "schedule": {
        "class": "Warmup",
        "first": {"z": 6.0, "context.varying": 6.0, "contrastive": 5.0, "cycle": 0.0},
        "last": {"z": 2.0, "context.varying": 2.0, "contrastive": 5.0, "cycle": 1.0},
    },
}
"""What trains tied contexts to compose; the papers' model takes the bound itself, with the papers' schedules."""


SEARCHING: dict[str, Any] = {
    "class": "Warmup",
    "first": {"z": 6.0, "context.varying": 6.0, "contrastive": 0.0, "cycle": 0.0, "classes": 1000.0},
    "last": {"z": 2.0, "context.varying": 2.0, "contrastive": 5.0, "cycle": 1.0, "classes": 100.0},
    "until": 0.3,
}
"""Where nobody says what is constant, that is found first, by `SetClasses`: beside a bound it would not be heard."""


class ContextAwareLearner(SetQueries, Model):
    """Learns the contexts that sets hold constant, reads them from new sets, and recombines them.

    Args:
        item_shape: event axes of an item: `(D,)`, `(H, W)` or `(C, H, W)`, sides from 8 up for convolutions.
        contexts: names of the K ≥ 1 contexts.
        likelihood: `bernoulli` for intensities in [0, 1], `gaussian` for real values, `negative-binomial` for counts,
            or another one of `coset.networks.likelihoods`.
        pooling: `mean` is the papers' model; `product` ties constant and varying contexts and pools by product of
            experts, which recombines far better.
        context_dim: C, dimensions of each context.
        z_dim: Z, dimensions of what no context explains.
        features: size of an item's features, and units of the statistic network and the decoder's dense layers.
        hidden: units of the networks of the distributions over contexts and z.
        architecture: `convolutional` or `dense`; chosen by the items' shape where None.
        channels: channels of the convolutional groups.
        norm: `batch` (the papers'), `layer` or `none`. Where None it is `batch`, or `layer` if contexts act: items with
            the wrong action undone are no part of what a batch is like.
        infer_a: the form of q(a | D) where `a` is not given: `any` (K independent bits), `exactly-one` (one choice
            over K), or None if every set comes with its `a`. How an unknown a is drawn is up to the objective. With
            `mean` a statistic network reads it (thesis 6.4.3); with `product` classes of items that sets agree on do,
            see `ConstancyNetwork`.
        classes: C, of each context, where those tell what is constant.
        actions: how contexts act on what z and the other contexts made, context → name of an action, such as `warp`,
            or `{"class": "Warp", "turns": 4}`; in the order of `contexts`. All others are free: the decoder is given
            their codes.
        completion: how empty cells of a table are filled: by `composition`, or by main effects plus `interaction`; the
            latter for vectors where None, unless contexts act.

    Raises:
        ConfigurationError: Contexts without names of their own, an unknown option, or a size below 1.

    >>> model = ContextAwareLearner((4,), ["digit", "rotation"], context_dim=3, z_dim=2, features=8, hidden=8)
    >>> model.sample(n=5, constant=["digit"]).shape
    torch.Size([5, 4])
    >>> model.compose(digit=torch.rand(3, 4), rotation=torch.rand(7, 4), n=6).shape
    torch.Size([6, 4])
    """

    limitations = """
    Combinations that training never saw are composed right only as far as how a context acts is said, or found by
    leaving out combinations: measure it with coset.metrics.unseen_combinations beside adding the main effects. What
    is composed varies less than real items do; look at diversity and coverage beside accuracy. Contexts that never
    vary independently in the data cannot be told apart.
    """

    codes = ("context.varying", "z")
    constancy = "a"

    def __init__(
        self,
        item_shape: Sequence[int],
        contexts: Sequence[str],
        likelihood: LikelihoodName = "bernoulli",
        pooling: Literal["product", "mean"] = "product",
        context_dim: int = 64,
        z_dim: int = 16,
        features: int = 256,
        hidden: int = 128,
        architecture: Architecture | None = None,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization | None = None,
        units: Units = (0.0, 1.0),
        infer_a: Literal["any", "exactly-one"] | None = None,
        classes: int = 12,
        actions: Mapping[str, Any] | None = None,
        completion: Way | None = None,
    ):
        super().__init__()
        if not contexts or len(set(contexts)) != len(contexts) or any(not name or "+" in name for name in contexts):
            raise ConfigurationError(f"contexts: expected one or more distinct names without '+', got {contexts!r}")
        if pooling not in ("product", "mean"):
            raise ConfigurationError(f"pooling: expected product or mean, got {pooling!r}")
        if infer_a not in (None, "any", "exactly-one"):
            raise ConfigurationError(f"unknown infer_a {infer_a!r}: None, 'any' or 'exactly-one'")
        for name, size in dict(context_dim=context_dim, z_dim=z_dim, features=features, hidden=hidden).items():
            if size < 1:
                raise ConfigurationError(f"{name}: expected a whole number from 1 up, got {size}")
        check_actions(actions or {}, contexts, infer_a is None)
        self.item_shape = tuple(item_shape)
        self.contexts = list(contexts)
        self.infer_a = infer_a
        self.completion = completion or ("interaction" if len(self.item_shape) == 1 and not actions else "composition")
        self.free = [index for index, name in enumerate(self.contexts) if name not in (actions or {})]
        count, norm = len(self.free), norm or ("layer" if actions else "batch")
        architecture = architecture or default_architecture(self.item_shape)
        joined = count * context_dim
        tied = pooling == "product"
        self.likelihood = build_likelihood(likelihood, self.item_shape, units)
        networks = features, architecture, channels, norm
        self.encoder = ItemEncoder(self.item_shape, *networks, self.likelihood.reading)
        self.coding = (TiedContexts if tied else SeparateContexts)(count, context_dim, features, hidden, norm)
        self.z_posterior = GaussianHead(features + joined, hidden, z_dim, norm=norm)
        self.z_prior = GaussianHead(joined, hidden, z_dim, norm=norm)
        self.decoder = ItemDecoder(joined + z_dim, self.likelihood.parameter_shape, *networks)
        self.acting = ActingContexts(actions or {}, self.contexts, self.likelihood, self.encoder.features)
        self.context_dim = max(context_dim, *self.acting.sizes.values(), 0)  # of a code: it may be a choice
        if infer_a is not None:
            self.a_posterior = _constancy(tied, features, count, norm, classes)
            self.discrete = {"a": 2**count if infer_a == "any" else count}
        bound = {"class": "EvidenceLowerBound"} | ({} if infer_a is None else RELAXED)
        if actions:
            self.discrete = self.acting.groups
            self.codes = (*(SITES[1].format(name) for name in self.acting.sizes), *self.codes)
            bound |= self.acting.drawn
        self.default_objective = _tied(bound, self.acting.groups, infer_a is not None) if tied else bound

    def infer(self, q: Trace, batch: SetBatch) -> None:
        """q(a | D) Π q(c_k | a, D) Π q(c_k^(n) | c_Ac, a, x^(n)) Π q(z^(n) | c^(n), x^(n)); thesis A.2.3.

        Contexts that act have sites of their own, see `ActingContexts`, and are undone before all others are read.
        """
        of_a = self._a_posterior(batch, q)
        a = q.sample("a", of_a, axes="B")
        encoded, features = self._encode(q, batch.x, a)
        a = a[..., self.free]
        q.note("constant", a if a.ndim == 2 else probability_vector(of_a))
        constant = q.sample("context.constant", self.coding.constant_posterior(encoded, q.mask, a), axes="BK", mask=a)
        of_items = self.coding.varying_posterior(encoded, constant, a, q.mask)
        if isinstance(self.coding, TiedContexts):
            linear, precision = natural_parameters(of_items)
            q.note("linear", linear)
            q.note("precision", precision)
        varying = q.sample("context.varying", of_items, axes="BNK", mask=_varying_mask(a, features.shape[-2]))
        context = self._select(a, constant, varying)
        q.sample("z", self.z_posterior(join(features, context), q.mask), axes="BN")

    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """p(a) Π p(c_k | a) Π p(c_k^(n) | c_Ac, a) Π p(z^(n) | c^(n)) p(x^(n) | z^(n), c^(n)); thesis 6.1-6.4."""
        sets, items = shape
        a = p.sample("a", self._a_prior(sets), axes="B")
        chosen = self.acting.generate(p, a, items)
        a = a[..., self.free]
        constant = p.sample("context.constant", self.coding.constant_prior_given(a), axes="BK", mask=a)
        varying = p.sample(
            "context.varying",
            self.coding.varying_prior_given(constant, a, items),
            axes="BNK",
            mask=_varying_mask(a, items),
        )
        context = self._select(a, constant, varying)
        z = p.sample("z", self.z_prior(context, p.mask), axes="BN")
        parameters = self.acting.do(self.decoder(join(context, z), p.mask), chosen)
        return self.emit(p, parameters)

    def _encode(self, q: Trace, x: Tensor, a: Tensor) -> tuple[Any, Tensor]:
        """What the posteriors of contexts need of items, and their features, with all actions undone: `[..., B, N, F]`.

        The former is a mean over what the actions may have been, so that contexts do not depend on them.
        """
        features = self.acting.infer(q, x, a, self.encoder)
        encoded = self.coding.encode(features, q.mask)
        if not self.acting.columns:
            return encoded, features
        if isinstance(encoded, Tensor):
            return q.expect(encoded, "BN"), features
        return tuple(q.expect(part, "BN") for part in encoded), features

    def _select(self, a: Tensor, constant: Tensor, varying: Tensor) -> Tensor:
        """Each item's contexts: the set's where constant, its own where varying: `[B, N, K·C]` (thesis 6.3.1)."""
        chosen = a[..., None, :, None]  # [B, 1, K, 1]
        return (chosen * constant.unsqueeze(-3) + (1 - chosen) * varying).flatten(-2)

    def _a_posterior(self, batch: SetBatch, q: Trace) -> Distribution:
        if self.infer_a is None:
            if "a" not in q.observed:
                raise DataError(
                    "these sets come without their constant contexts `a`, and the model has no q(a | D); "
                    "give `constant`, or build the model with infer_a='any' or 'exactly-one'"
                )
            return self._a_prior(len(batch))
        read = self.a_posterior(self.encoder(batch.x, batch.mask), batch.mask)
        if isinstance(self.a_posterior, StatisticNetwork):
            return self._of_a(read)
        q.note("constancy", read[0])
        q.note("classes", read[1])
        return self._of_a(self.a_posterior.best(read[0]))

    def _a_prior(self, sets: int) -> Distribution:
        return self._of_a(next(self.parameters()).new_zeros(sets, len(self.contexts)))

    def _of_a(self, logits: Tensor) -> Distribution:
        if self.infer_a == "exactly-one":
            return OneHotCategorical(logits=logits, validate_args=False)
        return Independent(Bernoulli(logits=logits, validate_args=False), 1)

    def set_codes(self, batch: SetBatch, names: Sequence[str], sample: bool = False) -> Tensor:
        """Codes `[B, len(names), C]`, each as if a set held that context alone constant, which every model has seen."""
        patterns = torch.eye(len(self.contexts)).to(batch.x).unsqueeze(1).expand(-1, len(batch), -1)
        encoded: Any = None  # once for all contexts that do not act
        codes: list[Tensor] = []
        for name in names:
            index = self.contexts.index(name)
            only, q = patterns[index], Trace(mask=batch.mask, temperature=float(sample))
            if name in self.acting.columns:
                self.acting.infer(q, batch.x, only, self.encoder)
                codes.append(q[SITES[0].format(name)].value)
                continue
            encoded = self._encode(q, batch.x, torch.zeros_like(only))[0] if encoded is None else encoded
            posterior = self.coding.constant_posterior(encoded, batch.mask, only[:, self.free])
            code = posterior.sample() if sample else posterior.mean
            codes.append(code[:, self.free.index(index)])
        return torch.stack([F.pad(code, (0, self.context_dim - code.shape[-1])) for code in codes], dim=1)

    def hold(self, a: Tensor, codes: Tensor | None = None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Observe a `[B, K]`, and replay the codes of constant contexts `[B, K, C]`, where there are some."""
        if codes is None:
            return {"a": a}, {}
        chosen = {
            SITES[0].format(name): codes[:, self.contexts.index(name), :size]
            for name, size in self.acting.sizes.items()
        }
        return {"a": a}, {"context.constant": codes[:, self.free, : self.coding.dim]} | chosen

    @inference
    def infer_constant(self, x: Any, mask: Tensor | None = None) -> Tensor:
        """Probability that each context is constant, q(a_k = 1 | D): `[B, K]`, or `[K]` for one set.

        Raises:
            ConfigurationError: The model was built without q(a | D).
        """
        if self.infer_a is None:
            raise ConfigurationError("this model was built without q(a | D); use infer_a='any' or 'exactly-one'")
        batch, single = self.read_sets(x, mask)
        probability = probability_vector(self._a_posterior(batch, Trace()))
        return probability[0] if single else probability


def _constancy(
    tied: bool, features: int, count: int, norm: Normalization, classes: int
) -> ConstancyNetwork | StatisticNetwork:
    """The network of q(a | D)."""
    if tied:
        return ConstancyNetwork(features, count, classes)
    # Thesis 6.4.3, with the dispersion over the set beside its mean: agreement is what tells constant contexts.
    return StatisticNetwork(features, features, count, norm=norm, dispersion=True)


def _tied(bound: Mapping[str, Any], groups: Collection[str], finds_a: bool) -> dict[str, Any]:
    """The objective of tied contexts, where contexts that act are taught to items as well, and `a` may be unknown."""
    tied: dict[str, Any] = TIED | {"bound": bound}
    if groups:
        tied["penalties"] = [*TIED["penalties"], {"class": "ItemAgreement", "groups": list(groups)}]
    if finds_a:
        tied["penalties"] = [*TIED["penalties"], {"class": "SetClasses"}]
        tied["schedule"] = SEARCHING
    return tied


def _varying_mask(a: Tensor, items: int) -> Tensor:
    return spread(1 - a, items)  # [B, N, K]
