"""How contexts are coded: the posteriors and priors of constant and varying contexts, all K at once."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from coset.distributions import AggregateNormal, standard_normal
from coset.networks.heads import EvidenceHead, GaussianHead, posterior_from_evidence
from coset.networks.mlp import Normalization
from coset.networks.pooling import StatisticNetwork
from coset.shapes import join, spread

PROTOTYPES = 256
"""J: how many posteriors of training data make the prior of a context."""


class SeparateContexts(nn.Module):
    """The papers' contexts: 2K distributions, half for constant and half for varying contexts, all at once.

    q(c_k | a, D)            a statistic network, mean over the set
    q(c_k | c_Ac, a, x)      from an item's features, the constant contexts and a
    p(c_k | a), p(c_k | c_Ac, a)   learned
    """

    def __init__(self, contexts: int, dim: int, features: int, hidden: int, norm: Normalization):
        super().__init__()
        self.contexts, self.dim = contexts, dim
        known = contexts * dim + contexts  # the constant contexts, zero where varying, and a
        self.pool = StatisticNetwork(features, features, features, extra=contexts, norm=norm)
        self.constant = GaussianHead(features, hidden, dim, contexts, norm)
        self.varying = GaussianHead(features + known, hidden, dim, contexts, norm)
        self.constant_prior = GaussianHead(contexts, hidden, dim, contexts, norm)
        self.varying_prior = GaussianHead(known, hidden, dim, contexts, norm)

    def read(self, features: Tensor) -> Tensor:
        """What the posteriors need of each item: its features as they are."""
        return features

    def constant_posterior(self, read: Tensor, mask: Tensor | None, a: Tensor) -> Independent:
        """q(c_k | a, D) for every k: `[B, K]`, event `[C]`."""
        return self.constant(self.pool(read, mask, a))

    def varying_posterior(self, read: Tensor, constant: Tensor, a: Tensor) -> Independent:
        """q(c_k | c_Ac, a, x) for every k: `[B, N, K]`, event `[C]`."""
        known = spread(self._known(constant, a), read.shape[-2])
        return self.varying(join(read, known))

    def constant_prior_given(self, a: Tensor) -> Independent:
        """p(c_k | a) for every k: `[B, K]`, event `[C]`."""
        return self.constant_prior(a)

    def varying_prior_given(self, constant: Tensor, a: Tensor, items: int) -> Independent:
        """p(c_k | c_Ac, a) for every k: `[B, N, K]`, event `[C]`; the same for each of the set's items."""
        prior = self.varying_prior(self._known(constant, a))  # [B, K], event [C]
        shape = torch.Size([*prior.batch_shape[:-1], items, prior.batch_shape[-1]])
        base = prior.base_dist
        spread = (part.unsqueeze(-3).expand(*shape, self.dim) for part in (base.loc, base.scale))  # [B, N, K, C]
        return Independent(type(base)(*spread, validate_args=False), 1)

    def _known(self, constant: Tensor, a: Tensor) -> Tensor:
        return join((a.unsqueeze(-1) * constant).flatten(-2), a)  # [B, K·C + K]


class TiedContexts(nn.Module):
    """Contexts whose constant and varying codes live in one space, because one network reads both.

    Every item contributes Gaussian evidence about each of its contexts (`coset.networks.EvidenceHead`). A varying
    context has the posterior of its item's evidence alone; a constant one that of the summed evidence of its set,
    a product of experts (compare Bouchacourt et al. 2017). Both priors are N(0, I) until the end of
    training (see `settle`). Whatever the posteriors are, the bound of thesis 6.5 holds. What the papers'
    two separate families lack is any reason why the code of a constant digit should mean to the decoder what the code
    of a varying digit does, and so for pairs never seen together.
    """

    settled: Tensor
    prototype_location: Tensor
    prototype_scale: Tensor

    def __init__(self, contexts: int, dim: int, features: int, hidden: int, norm: Normalization):
        super().__init__()
        self.contexts, self.dim = contexts, dim
        self.evidence = EvidenceHead(features, hidden, dim, contexts, norm)
        self.register_buffer("settled", torch.tensor(False))
        self.register_buffer("prototype_location", torch.zeros(contexts, PROTOTYPES, dim))
        self.register_buffer("prototype_scale", torch.ones(contexts, PROTOTYPES, dim))

    def read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What the posteriors need of each item: its evidence, pull and precision `[B, N, K, C]`."""
        return self.evidence(features)

    def constant_posterior(self, read: tuple[Tensor, Tensor], mask: Tensor | None, a: Tensor) -> Independent:
        """q(c_k | D) for every k: `[B, K]`, event `[C]`."""
        return posterior_from_evidence(*_total(read, mask))

    def varying_posterior(self, read: tuple[Tensor, Tensor], constant: Tensor, a: Tensor) -> Independent:
        """q(c_k | x) for every k: `[B, N, K]`, event `[C]`."""
        return posterior_from_evidence(*read)

    def constant_prior_given(self, a: Tensor) -> Distribution:
        """N(0, I) for every k in training, the aggregate posterior once settled: `[B, K]`, event `[C]`."""
        return self._prior(a.shape, a)

    def varying_prior_given(self, constant: Tensor, a: Tensor, items: int) -> Distribution:
        """The same for every k and item: `[B, N, K]`, event `[C]`."""
        return self._prior((*a.shape[:-1], items, self.contexts), a)

    def _prior(self, shape: Sequence[int], like: Tensor) -> Distribution:
        if self.training or not self.settled:
            return standard_normal(like.new_zeros(*shape, self.dim))
        wide = (*shape, PROTOTYPES, self.dim)
        return AggregateNormal(self.prototype_location.expand(wide), self.prototype_scale.expand(wide))

    def settle(self, location: Tensor, scale: Tensor, used: Tensor) -> None:
        """Take posteriors of training sets as the prior of contexts from now on, constant or varying.

            p(c_k) = 1/J Σ_j q(c_k | D_j)

        N(0, I) keeps codes together while they are learned, but much of what it draws lies between the codes of things
        that exist. The prior for which the bound on constant contexts is largest is the aggregate posterior (Tomczak &
        Welling 2018), which the posteriors of J training sets approach. It is fixed before any other set is seen, so
        that the bound with it is one on log p(D | a) as before. A varying context gets the same prior, for it is the
        same context; a set of many items knows its value far better than one item does. What is drawn from it is
        sharp. The bound on sets in which much varies is then looser than with N(0, I), for the posterior of a single
        item is wide beside it.

        Args:
            location: means of q(c_k | D), `[sets, K, C]`.
            scale: their standard deviations.
            used: which of them count, `[sets, K]`; a context without any keeps its prior.
        """
        self.settled.fill_(True)
        for index in range(self.contexts):
            rows = torch.nonzero(used[:, index] > 0)[:, 0]
            if len(rows):
                places = torch.arange(PROTOTYPES, device=rows.device) * max(1, len(rows) // PROTOTYPES)
                chosen = rows[places % len(rows)]
                self.prototype_location[index] = location[chosen, index]
                self.prototype_scale[index] = scale[chosen, index]


def membership(read: tuple[Tensor, Tensor], mask: Tensor | None, a: Tensor) -> Tensor:
    """How badly each item's evidence tells which set it was drawn from: nats per set `[B]`, never negative.

    With contexts c_k ~ N(0, I) and conjugate evidence, the odds that item x shares its c_k with the items of a set
    D rather than having one of its own are known in closed form,

        s(x, D) = log ∫ p(c | x) p(c | D) / p(c) dc = log Z(η + η_D, τ + τ_D) − log Z(η, τ) − log Z(η_D, τ_D),
        log Z(η, τ) = η² / (2 (1 + τ)) − log(1 + τ) / 2,   summed over dimensions,

    and softmax over the sets that hold k constant gives the posterior probability that x was drawn from each (an
    item is left out of its own set's evidence). The result is −log of that of the true set, summed over items and
    constant contexts. As a cross-entropy it is not negative, so subtracting it, with any weight, from a lower bound
    on log p(D | a) leaves a lower bound. It moves into c_k what a set's items agree on and other sets' do not.
    """
    pull, precision = read  # [B, N, K, C]
    present = torch.ones_like(pull[..., 0, 0]) if mask is None else mask  # [B, N]
    if mask is not None:  # no evidence of padding: taken out of a set that it isn't in, its precision is negative
        pull, precision = (torch.where(mask[..., None, None] > 0, part, 0.0) for part in read)
    set_pull, set_precision = pull.sum(1), precision.sum(1)  # [B, K, C]
    alone = _log_normalizer(pull, precision).sum(-1)  # [B, N, K]
    others = _log_normalizer(set_pull, set_precision).sum(-1)  # [B, K]
    together = _log_normalizer(
        pull.unsqueeze(-2) + set_pull.transpose(0, 1), precision.unsqueeze(-2) + set_precision.transpose(0, 1)
    ).sum(-1)  # [B, N, K, B]; the sum over C is over all pairs of an item and a set, hence the cost of this method
    score = together - alone.unsqueeze(-1) - others.T
    own_pull, own_precision = set_pull.unsqueeze(1), set_precision.unsqueeze(1)  # [B, 1, K, C]
    rest = _log_normalizer(own_pull - pull, own_precision - precision).sum(-1)  # [B, N, K]
    own = others.unsqueeze(1) - alone - rest  # [B, N, K]: the item beside the rest of its own set
    itself = torch.eye(len(a), dtype=torch.bool, device=a.device)[:, None, None, :]
    score = torch.where(itself, own.unsqueeze(-1), score)
    score = score.masked_fill(a.T <= 0, -torch.inf)  # sets in which k varies are no candidates
    loss = -torch.diagonal(score.log_softmax(-1), dim1=0, dim2=-1).permute(2, 0, 1)  # [B, N, K]
    counts = present.unsqueeze(-1) * a.unsqueeze(1)  # [B, N, K]
    return torch.where(counts > 0, loss * counts, 0.0).sum((1, 2))


def _total(read: tuple[Tensor, Tensor], mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Sum evidence over the present items: `[B, N, K, C] → [B, K, C]`."""
    if mask is None:
        return read[0].sum(-3), read[1].sum(-3)
    weight = mask[..., None, None]
    return tuple(torch.where(weight > 0, part * weight, 0.0).sum(-3) for part in read)  # type: ignore[return-value]


def _log_normalizer(pull: Tensor, precision: Tensor) -> Tensor:
    """Log ∫ N(c; 0, 1) exp(η c − τ c² / 2) dc, elementwise."""
    return 0.5 * (pull.square() / (1 + precision) - precision.log1p())
