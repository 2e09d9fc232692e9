"""The context-aware learner: sets whose contexts are constant or vary, and what they have in common.

Generative process (thesis 6.1-6.4), for each set D with a ∈ {0, 1}^K telling which contexts are constant:

    a        ~ p(a)
    c_k      ~ p(c_k | a)                   for k constant, once a set
    c_k^(n)  ~ p(c_k | c_Ac, a)             for k varying, once an item
    z^(n)    ~ p(z | c^(n))
    x^(n)    ~ p(x | z^(n), c^(n))
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, OneHotCategorical, kl_divergence

from coset.distributions import StraightThroughBernoulli, StraightThroughOneHot
from coset.errors import ConfigurationError, DataError, ShapeError, nearest
from coset.models.base import Batch, Items, Model, frozen, inference
from coset.networks.contexts import SeparateContexts, TiedContexts, membership
from coset.networks.heads import GaussianHead, Likelihood, evidence_behind, posterior_from_evidence
from coset.networks.items import Architecture, ItemDecoder, ItemEncoder, default_architecture
from coset.networks.mlp import Normalization
from coset.networks.pooling import StatisticNetwork
from coset.shapes import join, spread
from coset.trace import Trace


class ContextAwareLearner(Model):
    """Learns the contexts that sets hold constant, reads them from new sets, and recombines them.

    Args:
        item_shape: event axes of an item: `(D,)`, `(H, W)` or `(C, H, W)`, sides from 8 up for convolutions.
        contexts: names of the K ≥ 1 contexts.
        likelihood: `bernoulli` for intensities in [0, 1], `gaussian` for real values.
        pooling: `mean` is the papers' model; `product` ties constant and varying contexts and pools by product of
            experts, which recombines far better.
        context_dim: C, dimensions of each context.
        z_dim: Z, dimensions of what no context explains.
        features: size of an item's features, and units of the statistic network and the decoder's dense layers.
        hidden: units of the networks of the distributions over contexts and z.
        architecture: `convolutional` or `dense`; chosen by the items' shape where None.
        channels: channels of the convolutional groups.
        norm: `batch` (the papers'), `layer` or `none`.
        recombined: items composed for each set in the penalty `recombination`, as a share of the set's items.
        infer_a: how q(a | D) is learned where `a` is not given: `any` (K independent bits), `exactly-one` (one choice
            over K), or None if every set comes with its `a`.

    >>> model = ContextAwareLearner((4,), ["digit", "rotation"], context_dim=3, z_dim=2, features=8, hidden=8)
    >>> model.sample(n=5, constant=["digit"]).shape
    torch.Size([5, 4])
    >>> model.compose(digit=torch.rand(3, 4), rotation=torch.rand(7, 4), n=6).shape
    torch.Size([6, 4])
    """

    relaxation_temperature: Tensor

    def __init__(
        self,
        item_shape: Sequence[int],
        contexts: Sequence[str],
        likelihood: Literal["bernoulli", "gaussian"] = "bernoulli",
        pooling: Literal["product", "mean"] = "product",
        context_dim: int = 64,
        z_dim: int = 16,
        features: int = 256,
        hidden: int = 128,
        architecture: Architecture | None = None,
        channels: Sequence[int] = (16, 32, 64),
        norm: Normalization = "batch",
        recombined: float = 0.5,
        infer_a: Literal["any", "exactly-one"] | None = None,
    ):
        super().__init__()
        if not contexts or len(set(contexts)) != len(contexts) or isinstance(contexts, str):
            raise ConfigurationError(f"contexts: expected one or more distinct names, got {contexts!r}")
        if pooling not in ("product", "mean"):
            raise ConfigurationError(f"unknown pooling {pooling!r}: product or mean")
        if infer_a not in (None, "any", "exactly-one"):
            raise ConfigurationError(f"unknown infer_a {infer_a!r}: None, 'any' or 'exactly-one'")
        for name, size in dict(context_dim=context_dim, z_dim=z_dim, features=features, hidden=hidden).items():
            if size < 1:
                raise ConfigurationError(f"{name}: expected a whole number from 1 up, got {size}")
        self.item_shape = tuple(item_shape)
        self.contexts = list(contexts)
        self.recombined, self.infer_a = recombined, infer_a
        count = len(self.contexts)
        architecture = architecture or default_architecture(self.item_shape)
        joined = count * context_dim
        tie = {"product": TiedContexts, "mean": SeparateContexts}[pooling]
        self.encoder = ItemEncoder(self.item_shape, features, architecture, channels, norm)
        self.coding = tie(count, context_dim, features, hidden, norm)
        self.z_posterior = GaussianHead(features + joined, hidden, z_dim, norm=norm)
        self.z_prior = GaussianHead(joined, hidden, z_dim, norm=norm)
        self.decoder = ItemDecoder(joined + z_dim, self.item_shape, features, architecture, channels, norm)
        self.likelihood = Likelihood(likelihood, self.item_shape)
        if infer_a is not None:
            # Thesis 6.4.3, with the dispersion over the set beside its mean: agreement is what tells constant contexts.
            self.a_posterior = StatisticNetwork(features, features, count, norm=norm, dispersion=True)
            self.register_buffer("relaxation_temperature", torch.tensor(1.0))

    @classmethod
    def context_options(cls, contexts: list[str]) -> dict[str, Any]:
        """Every factor may be a context."""
        return {"contexts": contexts or ["context"]}

    def known(self, batch: Batch) -> dict[str, Tensor]:
        """Which contexts are constant, where the batch says so."""
        return {} if batch.constant is None else {"a": batch.constant}

    # The two programs.

    def infer(self, q: Trace, batch: Batch) -> None:
        """q(a | D) Π q(c_k | a, D) Π q(c_k^(n) | c_Ac, a, x^(n)) Π q(z^(n) | c^(n), x^(n)); thesis A.2.3."""
        features = self.encoder(batch.x)  # [B, N, F]
        read = self.coding.read(features)
        a = q.sample("a", self._a_posterior(features, batch), axes="B")
        constant = q.sample("context.constant", self.coding.constant_posterior(read, batch.mask, a), axes="BK", mask=a)
        varying = q.sample(
            "context.varying",
            self.coding.varying_posterior(read, constant, a),
            axes="BNK",
            mask=_varying_mask(a, features.shape[-2]),
        )
        context = self._select(a, constant, varying)
        q.sample("z", self.z_posterior(join(features, context)), axes="BN")

    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """p(a) Π p(c_k | a) Π p(c_k^(n) | c_Ac, a) Π p(z^(n) | c^(n)) p(x^(n) | z^(n), c^(n)); thesis 6.1-6.4."""
        sets, items = shape
        a = p.sample("a", self._a_prior(sets), axes="B")
        constant = p.sample("context.constant", self.coding.constant_prior_given(a), axes="BK", mask=a)
        varying = p.sample(
            "context.varying",
            self.coding.varying_prior_given(constant, a, items),
            axes="BNK",
            mask=_varying_mask(a, items),
        )
        context = self._select(a, constant, varying)
        z = p.sample("z", self.z_prior(context), axes="BN")
        return p.sample("x", self.likelihood(self.decoder(join(context, z))), axes="BN")

    def _select(self, a: Tensor, constant: Tensor, varying: Tensor) -> Tensor:
        """Each item's contexts: the set's where constant, its own where varying: `[B, N, K·C]` (thesis 6.3.1)."""
        chosen = a[..., None, :, None]  # [B, 1, K, 1]
        return (chosen * constant.unsqueeze(-3) + (1 - chosen) * varying).flatten(-2)

    def _a_posterior(self, features: Tensor, batch: Batch) -> Independent | OneHotCategorical:
        if self.infer_a is None:
            if batch.constant is None:
                raise DataError(
                    "these sets come without their constant contexts `a`, and the model has no q(a | D); "
                    "give `constant`, or build the model with infer_a='any' or 'exactly-one'"
                )
            return self._a_prior(len(features))
        logits = self.a_posterior(features, batch.mask)
        if self.infer_a == "any":
            return Independent(StraightThroughBernoulli(self.relaxation_temperature, logits=logits), 1)
        return StraightThroughOneHot(self.relaxation_temperature, logits=logits)

    def _a_prior(self, sets: int) -> Independent | OneHotCategorical:
        logits = next(self.parameters()).new_zeros(sets, len(self.contexts))
        if self.infer_a == "exactly-one":
            return OneHotCategorical(logits=logits, validate_args=False)
        return Independent(Bernoulli(logits=logits, validate_args=False), 1)

    # What training adds to the bound.

    def suggested_weights(self) -> dict[str, dict[str, float]]:
        """Weights for `pooling: product`; the papers' model takes the papers' schedules.

        z and varying contexts cost the same, or information moves to whichever is cheaper. Recombination waits until
        there is something to recombine.
        """
        if not isinstance(self.coding, TiedContexts):
            return {}
        return {
            "first": {"z": 6.0, "context.varying": 6.0, "membership": 5.0, "recombination": 0.0},
            "last": {"z": 2.0, "context.varying": 2.0, "membership": 5.0, "recombination": 1.0},
        }

    @inference
    def settle(self, batches: Iterable[Batch]) -> None:
        """Take posteriors of training sets as the prior of contexts; see `TiedContexts.settle`.

        Without any batch the prior is N(0, I) again.
        """
        if not isinstance(self.coding, TiedContexts):
            return
        self.coding.settled.fill_(False)
        found = []
        for batch in batches:
            q = Trace(observed=self.known(batch), mask=batch.mask)
            self.infer(q, batch)
            posterior = q["context.constant"].distribution
            assert isinstance(posterior, Independent)
            found.append((posterior.base_dist.loc, posterior.base_dist.scale, q["a"].value))
        if found:
            self.coding.settle(*(torch.cat(part) for part in zip(*found, strict=True)))

    def anneal(self, fraction: float) -> None:
        """Lower the temperature of a relaxed `a` from 1 to 0.5 over training (thesis 6.4.3)."""
        if self.infer_a is not None:
            self.relaxation_temperature.fill_(1.0 - 0.5 * fraction)

    def penalties(self, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Two terms that make tied contexts compose, both never negative, in nats per set `[B]`.

        `membership`: see `coset.networks.contexts.membership`. `recombination`: contexts of *different* sets are put
        together, z is drawn from p(z | c), and the decoded items are read by the encoder held fixed; the penalty is

            Σ_k KL( q(c_k | D_k) ‖ q(c_k | x̂) ),   x̂ = E p(x | z, c),  c_k ~ q(c_k | D_k),  z ~ p(z | c)

        with D_k a random set of the batch that holds k constant. Its gradient reaches the decoder and p(z | c) alone.
        For any weights λ, μ ≥ 0, ELBO − λ membership − μ recombination ≤ ELBO ≤ log p(D | a).
        """
        if not isinstance(self.coding, TiedContexts):
            return {}
        constant, varying = q["context.constant"].distribution, q["context.varying"].distribution
        assert isinstance(constant, Independent) and isinstance(varying, Independent)
        a = q["a"].value.detach()
        return {
            "membership": membership(evidence_behind(varying), q.mask, a),
            "recombination": self._recombination(constant, a, varying.batch_shape[-2]),
        }

    def _recombination(self, constant: Independent, a: Tensor, items: int) -> Tensor:
        sets, contexts = a.shape
        count = max(1, round(self.recombined * items))
        exists = (a.sum(0) > 0).to(a.dtype)  # [K]; a context that no set of the batch holds constant has no donor
        weights = torch.where(exists[:, None] > 0, a.T, 1.0)  # [K, B]
        donors = torch.multinomial(weights, sets * count, replacement=True).T  # [B·M, K]
        which = torch.arange(contexts, device=a.device)
        base = constant.base_dist
        location, scale = (part.detach()[donors, which] for part in (base.loc, base.scale))  # [B·M, K, C]
        donated = Independent(type(base)(location, scale, validate_args=False), 1)
        context = donated.sample().flatten(-2)  # [B·M, K·C]
        z = self.z_prior(context).rsample()
        composed = self.likelihood(self.decoder(join(context, z))).mean  # [B·M, ...]
        with frozen(self.encoder, self.coding):
            reread = posterior_from_evidence(*self.coding.read(self.encoder(composed)))
        divergence = (kl_divergence(donated, reread) * exists).sum(-1)  # [B·M]
        return divergence.view(sets, count).mean(-1) * items

    # What users do with a trained model.

    @inference
    def embed(self, items: Any, sample: bool = False) -> Tensor:
        """Codes of single items: the K contexts, then z.

        Args:
            items: `[n, *item_shape]`.
            sample: draw from the posteriors rather than take their means.

        Returns:
            `[n, K·C + Z]`. Each item is read as a set of its own in which every context varies.
        """
        x = self.read_items(items).unsqueeze(1)  # [n, 1, ...]
        q = self._posterior(x, x.new_zeros(len(x), len(self.contexts)), None, sample)
        return torch.cat([q["context.varying"].value.flatten(1), q["z"].value.flatten(1)], -1)

    @inference
    def embed_sets(self, x: Any, mask: Tensor | None = None, sample: bool = False) -> Tensor:
        """Codes of sets, one a context, as if that context were what the set holds constant.

        Args:
            x: `[B, N, *item_shape]`, or one set `[N, *item_shape]`; or a list of sets of differing lengths.
            mask: which items are present, `[B, N]`.
            sample: draw from q(c_k | D) rather than take its mean.

        Returns:
            `[B, K, C]`, or `[B, C]` with a single context; without `B` for one set.
        """
        x, mask, single = self.read_sets(x, mask)
        codes = self._set_codes(x, mask, sample)
        codes = codes[:, 0] if len(self.contexts) == 1 else codes
        return codes[0] if single else codes

    @inference
    def infer_constant(self, x: Any, mask: Tensor | None = None) -> Tensor:
        """Probability that each context is constant, q(a_k = 1 | D): `[B, K]`; needs `infer_a`."""
        if self.infer_a is None:
            raise ConfigurationError("this model was built without q(a | D); use infer_a='any' or 'exactly-one'")
        x, mask, single = self.read_sets(x, mask)
        logits = self.a_posterior(self.encoder(x), mask)
        probability = logits.sigmoid() if self.infer_a == "any" else logits.softmax(-1)
        return probability[0] if single else probability

    @inference
    def reconstruct(self, x: Any, constant: Any = None, mask: Tensor | None = None, sample: bool = False) -> Tensor:
        """Items as the model sees them: decoded from their own codes, in the shape of `x`.

        Args:
            x: sets `[B, N, *item_shape]`, or one set.
            constant: names of the contexts that each set holds constant, or `a` itself `[B, K]`; none where None.
            mask: which items are present.
            sample: draw the codes rather than take their means.
        """
        x, mask, single = self.read_sets(x, mask)
        q = self._posterior(x, self._read_constant([] if constant is None else constant, len(x)), mask, sample)
        out = self.decode((x.shape[0], x.shape[1]), replay=q)
        return out[0] if single else out

    @inference
    def sample(
        self,
        n: int = 8,
        constant: Any = None,
        sets: int | None = None,
        temperature: float = 1.0,
        draw: bool = False,
    ) -> Tensor:
        """New sets from the model, for any `a`, also one that no training set had.

        Args:
            n: items in each set.
            constant: names of the constant contexts, or `a` `[sets, K]`; drawn from p(a) where None.
            sets: how many; None for one set without that axis.
            temperature: scales the spread of p(z | c).
            draw: return draws from p(x | z, c) rather than its mean.

        Returns:
            `[sets, n, *item_shape]`, or `[n, *item_shape]`.
        """
        count = 1 if sets is None else sets
        known = {} if constant is None else {"a": self._read_constant(constant, count)}
        out = self.decode((count, n), known, temperature=temperature, draw=draw)
        return out[0] if sets is None else out

    @inference
    def condition(self, x: Any, constant: Any = None, n: int = 8, mask: Tensor | None = None, **options: Any) -> Tensor:
        """New items that share with a set what it holds constant (thesis figure 6.4).

        Args:
            x: sets `[B, N, *item_shape]`, or one set `[N, *item_shape]`.
            constant: names of the contexts to keep, or `a` `[B, K]`; all of them where None.
            n: items to generate for each set.
            mask: which items are present, `[B, N]`.
            options: `temperature` and `draw`, as in `sample`.

        Returns:
            `[B, n, *item_shape]`, or `[n, *item_shape]` for one set.
        """
        x, mask, single = self.read_sets(x, mask)
        a = self._read_constant(self.contexts if constant is None else constant, len(x))
        out = self.decode((len(x), n), {"a": a}, {"context.constant": self._set_codes(x, mask)}, **options)
        return out[0] if single else out

    @inference
    def compose(
        self, *, n: int = 8, temperature: float = 1.0, draw: bool = False, codes: bool = False, **contexts: Any
    ) -> Tensor:
        """New items with each context taken from a set of its own (thesis figure 6.7, paper figure 3).

        Args:
            n: items to generate for each combination.
            temperature: scales the spread of p(z | c): 1 is the model, less gives sharper and less diverse items.
            draw: return draws from p(x | z, c) rather than its mean.
            codes: the given contexts are codes `[B, C]` from `embed_sets`, not items.
            contexts: context name → one set `[N, *item_shape]` or `B` sets `[B, N, *item_shape]` holding it constant.
                Contexts that are not given vary freely.

        Returns:
            `[B, n, *item_shape]`, or `[n, *item_shape]` if every context is one set.
        """
        if not contexts:
            raise ConfigurationError(f"compose needs at least one context; {nearest('', self.contexts)}")
        for name in contexts:
            if name not in self.contexts:
                raise ConfigurationError(f"compose: no context {name!r} in this model; {nearest(name, self.contexts)}")
        given: dict[str, Tensor] = {}
        single = True
        for name, items in contexts.items():
            if codes:
                code, one = torch.atleast_2d(items), items.ndim == 1
            else:
                x, mask, one = self.read_sets(items, None, what=name)
                code = self._set_codes(x, mask)[:, self.contexts.index(name)]  # [B, C]
            given[name], single = code, single and one
        sets = max(len(code) for code in given.values())
        if wrong := {name: len(code) for name, code in given.items() if len(code) not in (1, sets)}:
            raise ShapeError(f"compose: contexts come with different numbers of sets: {wrong} beside {sets}")
        example = next(iter(given.values()))
        constant = torch.stack(
            [
                given[name].expand(sets, -1) if name in given else example.new_zeros(sets, example.shape[-1])
                for name in self.contexts
            ],
            dim=1,
        )  # [B, K, C]
        a = self._read_constant(list(contexts), sets)
        out = self.decode((sets, n), {"a": a}, {"context.constant": constant}, temperature, draw)
        return out[0] if single else out

    # How they do it.

    def _posterior(self, x: Tensor, a: Tensor, mask: Tensor | None, sample: bool) -> Trace:
        q = Trace(observed={"a": a}, mask=mask, temperature=1.0 if sample else 0.0)
        self.infer(q, Items(x, a, mask))
        return q

    def _set_codes(self, x: Tensor, mask: Tensor | None, sample: bool = False) -> Tensor:
        """Codes `[B, K, C]`: the k-th as if a set held k constant and nothing else, which every model has seen."""
        read = self.coding.read(self.encoder(x))
        codes = []
        for index, only in enumerate(torch.eye(len(self.contexts), dtype=x.dtype, device=x.device)):
            posterior = self.coding.constant_posterior(read, mask, only.expand(len(x), -1))
            codes.append((posterior.sample() if sample else posterior.mean)[:, index])
        return torch.stack(codes, dim=1)

    def _read_constant(self, constant: Any, sets: int) -> Tensor:
        """Read context names, or rows of 0 and 1, as `a` `[B, K]`."""
        if isinstance(constant, str):
            constant = [constant]
        like = next(self.parameters())
        if isinstance(constant, (list, tuple)) and all(isinstance(name, str) for name in constant):
            for name in constant:
                if name not in self.contexts:
                    raise ConfigurationError(f"constant: no context {name!r}; {nearest(name, self.contexts)}")
            row = [float(name in constant) for name in self.contexts]
            return torch.tensor(row, dtype=like.dtype, device=like.device).expand(sets, -1)
        a = torch.as_tensor(constant, dtype=like.dtype, device=like.device)
        if a.shape[-1:] != (len(self.contexts),) or a.ndim > 2 or (a.ndim == 2 and len(a) not in (1, sets)):
            raise ShapeError(f"constant: expected names or [{sets}, {len(self.contexts)}], got shape {list(a.shape)}")
        if not bool(((a == 0) | (a == 1)).all()):
            raise DataError(
                f"constant: expected 0 (varying) or 1 (constant) for each context, got {a.unique().tolist()}"
            )
        return a.expand(sets, -1)


def _varying_mask(a: Tensor, items: int) -> Tensor:
    return spread(1 - a, items)  # [B, N, K]
