"""How contexts are coded: the posteriors and priors of constant and varying contexts, all K at once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from coset.distributions import AggregateNormal, normal_from_natural, standard_normal
from coset.networks.heads import GaussianHead, NaturalHead
from coset.networks.normalization import Normalization
from coset.networks.pooling import StatisticNetwork
from coset.shapes import join, spread

PROTOTYPES = 256
"""J: how many posteriors of training data make an aggregate posterior."""


class SeparateContexts(nn.Module):
    """The papers' contexts: 2K distributions, half for constant and half for varying contexts, all at once.

    q(c_k | a, D)            a statistic network, mean over the set
    q(c_k | c_Ac, a, x)      from an item's features, the constant contexts and a
    p(c_k | a), p(c_k | c_Ac, a)   learned

    Args:
        contexts: K.
        dim: dimensions C of each context.
        features: size of an item's features.
        hidden: units of the networks of the distributions.
        norm: `batch`, `layer` or `none`.
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

    def encode(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the posteriors need of each item: its features as they are."""
        return features

    def constant_posterior(self, encoded: Tensor, mask: Tensor | None, a: Tensor) -> Independent:
        """q(c_k | a, D) for every k: `[B, K]`, event `[C]`."""
        return self.constant(self.pool(encoded, mask, a))

    def varying_posterior(
        self, encoded: Tensor, constant: Tensor, a: Tensor, mask: Tensor | None = None
    ) -> Independent:
        """q(c_k | c_Ac, a, x) for every k: `[B, N, K]`, event `[C]`."""
        known = spread(self._known(constant, a), encoded.shape[-2])
        return self.varying(join(encoded, known), mask)

    def constant_prior_given(self, a: Tensor) -> Independent:
        """p(c_k | a) for every k: `[B, K]`, event `[C]`."""
        return self.constant_prior(a)

    def varying_prior_given(self, constant: Tensor, a: Tensor, items: int) -> Distribution:
        """p(c_k | c_Ac, a) for every k: `[B, N, K]`, event `[C]`; computed once for all items of a set."""
        prior = self.varying_prior(self._known(constant, a).unsqueeze(-2))  # [B, 1, K], event [C]
        return prior.expand(torch.Size([*prior.batch_shape[:-2], items, self.contexts]))

    def _known(self, constant: Tensor, a: Tensor) -> Tensor:
        return join((a.unsqueeze(-1) * constant).flatten(-2), a)  # [B, K·C + K]


class TiedContexts(nn.Module):
    """Contexts whose constant and varying codes live in one space, because one network encodes both.

    Every item contributes the natural parameters of a Gaussian likelihood of each of its contexts (see `NaturalHead`).
    A varying context has the posterior of its item alone; a constant one that of the summed parameters of its set, a
    product of experts (compare Bouchacourt et al. 2017). Both priors are the same (see `AggregatePrior`). Whatever the
    posteriors are, the bound of thesis 6.5 holds. What the papers' two separate families lack is any reason why the
    code of a constant digit should mean to the decoder what the code of a varying digit does, and so for pairs never
    seen together.

    Args:
        contexts: K.
        dim: dimensions C of each context.
        features: size of an item's features.
        hidden: units of the network.
        norm: `batch`, `layer` or `none`.
    """

    def __init__(self, contexts: int, dim: int, features: int, hidden: int, norm: Normalization):
        super().__init__()
        self.contexts, self.dim = contexts, dim
        self.natural = NaturalHead(features, hidden, dim, contexts, norm)
        self.prior = AggregatePrior(contexts, dim)

    def encode(self, features: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the posteriors need of each item: its natural parameters η and τ, each `[B, N, K, C]`."""
        return self.natural(features, mask)

    def constant_posterior(self, encoded: tuple[Tensor, Tensor], mask: Tensor | None, a: Tensor) -> Independent:
        """q(c_k | D) for every k: `[B, K]`, event `[C]`."""
        return normal_from_natural(*_total(encoded, mask))

    def varying_posterior(
        self, encoded: tuple[Tensor, Tensor], constant: Tensor, a: Tensor, mask: Tensor | None = None
    ) -> Independent:
        """q(c_k | x) for every k: `[B, N, K]`, event `[C]`."""
        return normal_from_natural(*encoded)

    def constant_prior_given(self, a: Tensor) -> Distribution:
        """p(c_k) for every k: `[B, K]`, event `[C]`."""
        return self.prior(a.shape[:-1], a)

    def varying_prior_given(self, constant: Tensor, a: Tensor, items: int) -> Distribution:
        """p(c_k) for every k and item: `[B, N, K]`, event `[C]`."""
        return self.prior((*a.shape[:-1], items), a)


class AggregatePrior(nn.Module):
    """A prior of K contexts: N(0, I) while they are learned, and afterwards the aggregate posterior of training sets.

        p(c_k) = 1/J Σ_j q(c_k | D_j)

    N(0, I) keeps codes together while they are learned, but much of what it draws lies between the codes of things
    that exist. The prior for which the bound on constant contexts is largest is the aggregate posterior (Tomczak &
    Welling 2018), which the posteriors of J training sets approach. It is fixed before any other set is seen, so that
    the bound with it is one on log p(D | a) as before. A varying context gets the same prior, for it is the same
    context; a set of many items knows its value far better than one item does. What is drawn from it is sharp. The
    bound on sets in which much varies is then looser than with N(0, I), for the posterior of a single item is wide
    beside it.

    Args:
        contexts: K.
        dim: dimensions C of each context.
    """

    estimated: Tensor
    location: Tensor
    scale: Tensor

    def __init__(self, contexts: int, dim: int):
        super().__init__()
        self.contexts, self.dim = contexts, dim
        self.register_buffer("estimated", torch.tensor(False))
        self.register_buffer("location", torch.zeros(contexts, PROTOTYPES, dim))
        self.register_buffer("scale", torch.ones(contexts, PROTOTYPES, dim))
        # The buffer is what is saved. A program asks the flag, because to look at a buffer makes the host wait.
        self.is_estimated = False
        self.register_load_state_dict_post_hook(_read_flag)

    def forward(self, shape: Sequence[int], like: Tensor) -> Distribution:
        """The prior with batch axes `[*shape, K]` and event `[C]`, where `like` lives."""
        if not self.is_estimated:
            return standard_normal(like.new_zeros(*shape, self.contexts, self.dim))
        wide = (*shape, self.contexts, PROTOTYPES, self.dim)
        return AggregateNormal(self.location.expand(wide), self.scale.expand(wide))

    def forget(self) -> None:
        """Be N(0, I) again."""
        self.estimated.fill_(False)
        self._read_flag()

    def estimate(self, location: Tensor, scale: Tensor, used: Tensor) -> None:
        """Take posteriors of training sets as the prior from now on.

        Args:
            location: means of q(c_k | D), `[sets, K, C]`.
            scale: their standard deviations.
            used: which of them count, `[sets, K]`; a context without any keeps its prior.
        """
        self.estimated.fill_(True)
        self._read_flag()
        for index in range(self.contexts):
            rows = torch.nonzero(used[:, index] > 0)[:, 0]
            if len(rows):
                places = torch.arange(PROTOTYPES, device=rows.device) * max(1, len(rows) // PROTOTYPES)
                chosen = rows[places % len(rows)]
                self.location[index] = location[chosen, index]
                self.scale[index] = scale[chosen, index]

    def _read_flag(self) -> None:
        self.is_estimated = bool(self.estimated)


def _read_flag(module: nn.Module, _: Any) -> None:
    module._read_flag()  # type: ignore[operator]


def _total(encoded: tuple[Tensor, Tensor], mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Sum natural parameters over the present items: `[B, N, K, C] → [B, K, C]`."""
    if mask is None:
        return encoded[0].sum(-3), encoded[1].sum(-3)
    weight = mask[..., None, None]
    return tuple(torch.where(weight > 0, part * weight, 0.0).sum(-3) for part in encoded)  # type: ignore[return-value]
