"""Cycle consistency: what is generated from exchanged values should be inferred to have these values."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import kl_divergence

from coset.batch import SetBatch
from coset.distributions import select
from coset.errors import ConfigurationError, TraceError
from coset.objectives.base import Penalty
from coset.programs import Programs
from coset.trace import Trace


class ContextCycleConsistency(Penalty):
    """Contexts of *different* sets are put together; what is generated from them should be inferred to have them.

        Σ_k KL( q(c_k | D_k) ‖ q(c_k | x̂) ),   x̂ = E p(x | z, c),  c_k ~ q(c_k | D_k),  z ~ p(z | c)

    with D_k a random set of the batch that holds k constant. The generative program is run with the exchanged contexts,
    as sets of one item in which every context is constant, and the inference program, held fixed, on the result. The
    gradient reaches the decoder and p(z | c) alone. The mean over items, times N, is the term `cycle`.

    Args:
        site: the contexts, such as `context.constant`, with the axes `[B, K]`.
        fresh: sites that are drawn from their priors. All others, on which nothing depends, stay at their centres.
        share: items generated for each set, as a share of the set's items.

    Raises:
        ConfigurationError: The share is not above 0.
    """

    def __init__(self, site: str, fresh: Sequence[str] = (), share: float = 0.5):
        super().__init__()
        if share <= 0:
            raise ConfigurationError(f"share: expected a number above 0, got {share}")
        self.site, self.fresh, self.share = site, tuple(fresh), share

    def forward(self, programs: Programs, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Return the penalty of each set `[B]`.

        Raises:
            TraceError: The inference program does not note which contexts are constant.
        """
        if "constant" not in q.noted:
            raise TraceError("cycle consistency of contexts needs an inference program that notes `constant` [B, K]")
        a, posterior = q.noted["constant"].detach(), q[self.site].distribution
        assert posterior is not None
        (sets, items), contexts = programs.batch.shape, a.shape[1]
        count = max(1, round(self.share * items))
        exists = (a.sum(0) > 0).to(a.dtype)  # [K]; a context that no set of the batch holds constant has no donor
        weights = torch.where(exists[:, None] > 0, a.T, 1.0)  # [K, B]
        donors = torch.multinomial(weights, sets * count, replacement=True).T  # [B·M, K]
        donated = select(posterior, (donors, torch.arange(contexts, device=a.device)))
        whole = a.new_ones(len(donors), len(programs.model.contexts))  # every context of a single item is constant
        single = programs.batch.x[:1, :1].expand(len(donors), 1, *programs.batch.x.shape[2:])
        known = programs.model.known(SetBatch(single, whole))
        still = {site.name: 0.0 for site in p if site.name not in self.fresh}
        generated = programs.generate(
            replay={self.site: donated.sample()}, observed=known, shape=(len(donors), 1), temperature=still
        )
        composed = generated["x"].distribution
        assert composed is not None
        # What the item was made with, and is not asked about, such as how it was turned, is told.
        told = generated.values(*(name for name in still if name in p and p[name].provenance == "replayed"))
        again = programs.on(SetBatch(composed.mean, whole)).held()
        inferred = again.infer(replay=told, temperature=0.0, until=(self.site,))[self.site].distribution
        assert inferred is not None
        divergence = (kl_divergence(donated, inferred) * exists).sum(-1)  # [B·M]
        return {"cycle": divergence.view(sets, count).mean(-1) * items}


class ClassCycleConsistency(Penalty):
    """Items are given another class and keep the rest; what is generated should be inferred to be of that class.

        −log q(other class | x′),   x′ = E p(x | other class, the item's own latents)

    summed over items: the term `cycle`. It teaches the decoder and what else an item is made of, not how classes are
    read: parameters are held fixed while x′ is read. Without it, what other sites learned of the class at first is slow
    to leave them.

    Args:
        site: the class, such as `class`, a one-hot site of items.
        augmentation: maps x′ to random copies of it before it is read, such as `coset.networks.RandomCopies`.
    """

    def __init__(self, site: str, augmentation: nn.Module | None = None):
        super().__init__()
        self.site, self.augmentation = site, augmentation

    def forward(self, programs: Programs, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Return the penalty of each set `[B]`."""
        values = p.values(*(site.name for site in p if site.provenance == "replayed"))
        like, own = values.pop(self.site), next(iter(values.values()))
        code = torch.randint(like.shape[-1], own.shape[:-1], device=like.device)  # [(S,) B, N]
        other = F.one_hot(code, like.shape[-1]).to(like.dtype)
        generated = programs.generate(q, values | {self.site: other}, temperature={"x": 0.0}, observed={})
        shown = generated["x"].distribution
        assert shown is not None
        x = shown.mean.reshape(-1, *programs.batch.x.shape[1:])  # [(S·)B, N, ...]
        x = x if self.augmentation is None else self.augmentation(x)[0]
        # Batch statistics of what is generated: with running ones, nothing that is generated reads as real at first.
        again = programs.on(SetBatch(x)).held(evaluating=False)
        inferred = again.infer(temperature=0.0, until=(self.site,))[self.site].distribution
        assert inferred is not None
        missed = -inferred.log_prob(other.reshape(*x.shape[:2], -1)).view(code.shape)
        missed = missed if q.mask is None else missed * q.mask
        return {"cycle": missed.sum(-1) if missed.ndim == 2 else missed.sum(-1).mean(0)}
