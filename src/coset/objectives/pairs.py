"""How likely each value is under the posterior of every unit of a batch: what an aggregate posterior is estimated from.

A unit is what a latent variable belongs to: an item, or a set; of K contexts or R repetitions, each by itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from coset.batch import SetBatch
from coset.objectives.latents import latent_sites
from coset.objectives.normal_pairs import NormalPairs
from coset.programs import Programs
from coset.sites import Site
from coset.trace import Trace


class Pairs(Protocol):
    """How likely the values of U units are under the posteriors of U′ units, those of other processes included."""

    @property
    def shape(self) -> tuple[int, int]:
        """(U, U′)."""
        ...

    def aggregate(self, columns: Sequence[int], log_weights: Tensor) -> Tensor:
        """Log-densities of some dimensions together under the weighted sum of all posteriors, `[U]`."""
        ...

    def marginals(self, log_weights: Tensor) -> Tensor:
        """Log-densities of each dimension by itself under the weighted sum of all posteriors, `[U, D]`."""
        ...


@dataclass(frozen=True)
class EveryPair:
    """Log-densities of any distributions, one by one.

    Attributes:
        under: `[U, U′, D]`.
    """

    under: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(U, U′)."""
        return len(self.under), self.under.shape[1]

    def aggregate(self, columns: Sequence[int], log_weights: Tensor) -> Tensor:
        """Log-densities of some dimensions together under the weighted sum of all posteriors, `[U]`."""
        return (self.under[..., list(columns)].sum(-1) + log_weights).logsumexp(1)

    def marginals(self, log_weights: Tensor) -> Tensor:
        """Log-densities of each dimension by itself under the weighted sum of all posteriors, `[U, D]`."""
        return (self.under + log_weights.unsqueeze(-1)).logsumexp(1)


@dataclass(frozen=True)
class Block:
    """Latent variables of the same U units, of which the aggregate posterior is taken apart together.

    Attributes:
        sizes: dimensions of each site.
        own: log-density of each unit's value under its own posterior, by dimension `[U, D]`.
        pairs: each unit's value under the posteriors of all units.
        first: where this process's units begin among all.
        prior: log-density of each unit's value under its prior, given all that this depends on `[U]`.
        weight: how much each unit counts, 1 but for contexts that are held constant in part `[U]`.
        sets: the set of the batch that each unit belongs to `[U]`.
    """

    sizes: Mapping[str, int]
    own: Tensor
    pairs: Pairs
    first: int
    prior: Tensor
    weight: Tensor
    sets: Tensor


def blocks(programs: Programs, q: Trace, p: Trace) -> Iterator[Block]:
    """All latent variables in blocks.

    Those of independent items, none of them known of some, are one block, since one may read another. All others are
    taken one by one, each given the draws of those that it reads.
    """
    sites = latent_sites(q)
    together = all(site.axes == "BN" and site.provenance != "partial" for site in sites)
    if len(sites) > 1 and together and not programs.model.contexts:
        yield _joint(programs, sites, p)
        return
    for site in sites:
        shape = site.value.shape[: len(site.axes)]
        for index in range(shape[-1]) if site.axes[-1] in "KR" else [None]:
            units = _units(site, shape, index)
            if len(units.present):
                yield _alone(site, p[site.name], units)


@dataclass(frozen=True)
class _Units:
    """Which entries of a site are looked at: those at `index` of its last axis, or all, where they are `present`."""

    shape: torch.Size
    index: int | None
    present: Tensor
    weight: Tensor
    sets: Tensor

    def pick(self, value: Tensor) -> Tensor:
        """What belongs to the units, of `[*axes, ...]`: `[U, ...]`."""
        some = value if self.index is None else value.select(len(self.shape) - 1, self.index)
        axes = len(self.shape) - (self.index is not None)
        return some.flatten(0, axes - 1)[self.present]


def _units(site: Site, shape: torch.Size, index: int | None) -> _Units:
    weight = torch.ones(shape, device=site.value.device)
    if site.mask is not None:
        weight = weight * site.mask
    if site.known is not None:
        weight = weight * (1 - site.known)
    weight = weight if index is None else weight[..., index]
    sets = torch.arange(len(weight), device=weight.device)
    sets = sets if weight.ndim == 1 else sets.unsqueeze(1).expand_as(weight)
    everywhere = site.mask is None and site.known is None  # which need not be looked up on the device
    flat = weight.flatten()
    present = torch.arange(len(flat), device=flat.device) if everywhere else (flat > 0).nonzero()[:, 0]
    return _Units(shape, index, present, flat[present], sets.flatten()[present])


def _alone(q: Site, p: Site, units: _Units) -> Block:
    """A site by itself: its values under the posteriors of all units."""
    of: Any = q.distribution
    value = units.pick(q.value)
    own = {name: units.pick(each) for name, each in parameters(of, units.shape).items()}
    everyone = {name: gathered(each) for name, each in own.items()}
    if isinstance(getattr(of, "base_dist", None), Normal) and value.ndim == 2:
        pairs: Pairs = NormalPairs(value, everyone["loc"], everyone["scale"])
    else:
        pairs = EveryPair(columns(again(of, everyone), value.unsqueeze(1)))
    side = columns(again(of, own), value)
    first = _first(len(value), value.device)
    prior = units.pick(columns(p.distribution, q.value).expand(*units.shape, -1)).sum(-1)
    return Block({q.name: side.shape[-1]}, side, pairs, first, prior, units.weight, units.sets)


def _joint(programs: Programs, sites: Sequence[Site], p: Trace) -> Block:
    """All variables of items: the inference program is run once more, with the values of item i as particle i.

    Of q(y | x) q(z | x, y) the pair (i, j) has y and z of item i, and x of item j.
    """
    shape = programs.batch.shape
    units = _units(sites[0], torch.Size(shape), None)
    flat = {site.name: units.pick(site.value) for site in sites}
    own = {site.name: units.pick(columns(site.distribution, site.value).expand(*shape, -1)) for site in sites}
    prior = [units.pick(columns(p[name].distribution, p[name].value).expand(*shape, -1)).sum(-1) for name in flat]
    items = gathered(units.pick(programs.batch.x)).unsqueeze(1)  # [U', 1, ...]
    count, many = len(units.present), len(items)
    again = {name: value[:, None, None].expand(count, many, 1, *value.shape[1:]) for name, value in flat.items()}
    q = replace(programs, batch=SetBatch(items)).infer(particles=count, replay=again, observed={})
    under = torch.cat([columns(q[name].distribution, again[name])[:, :, 0] for name in flat], -1)
    sizes = {name: part.shape[-1] for name, part in own.items()}
    first = _first(count, items.device)
    side = torch.cat([*own.values()], -1)
    return Block(sizes, side, EveryPair(under), first, torch.stack(prior).sum(0), units.weight, units.sets)


def columns(distribution: Distribution | None, value: Tensor) -> Tensor:
    """Log-densities of each dimension of a vector whose dimensions are independent, or of a value as a whole."""
    assert distribution is not None
    if isinstance(distribution, Independent) and distribution.reinterpreted_batch_ndims == 1:
        return distribution.base_dist.log_prob(value)
    return distribution.log_prob(value).unsqueeze(-1)


def parameters(distribution: Any, shape: torch.Size) -> dict[str, Tensor]:
    """What a distribution, or the one inside of `Independent`, is made from, `[*shape, ...]`."""
    of = getattr(distribution, "base_dist", distribution)
    names = ["logits"] if hasattr(of, "logits") else [name for name in of.arg_constraints if name in vars(of)]
    return {name: getattr(of, name).expand(*shape, *distribution.event_shape) for name in names}


def again(distribution: Any, parameters: Mapping[str, Tensor]) -> Distribution:
    """A distribution of the same family with other parameters."""
    if isinstance(distribution, Independent):
        made = type(distribution.base_dist)(**parameters, validate_args=False)
        return Independent(made, distribution.reinterpreted_batch_ndims, validate_args=False)
    return type(distribution)(**parameters, validate_args=False)


def gathered(part: Tensor) -> Tensor:
    """Rows of all processes, in the order of their ranks, with gradient; those at hand where there is one process."""
    counts = _counts(len(part), part.device)
    if len(counts) == 1:
        return part
    from torch.distributed.nn.functional import all_gather

    padded = torch.cat([part, part.new_zeros(max(counts) - len(part), *part.shape[1:])])
    every = all_gather(padded) if padded.requires_grad else _plain_gather(padded)
    return torch.cat([each[:count] for each, count in zip(every, counts, strict=True)])


def _plain_gather(part: Tensor) -> list[Tensor]:
    every = [torch.empty_like(part) for _ in range(dist.get_world_size())]
    dist.all_gather(every, part.contiguous())
    return every


def _counts(rows: int, device: torch.device) -> list[int]:
    """How many rows each process has."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return [rows]
    return [int(count) for count in _plain_gather(torch.tensor([rows], device=device))]


def _first(rows: int, device: torch.device) -> int:
    """How many rows the processes before this one have."""
    counts = _counts(rows, device)
    return sum(counts[: dist.get_rank()]) if len(counts) > 1 else 0


def log_weights(block: Block, estimator: str, size: int) -> Tensor:
    """Logarithms of how much each posterior counts in the aggregate of each unit `[U, U′]`; see `Decomposed`."""
    count, many = block.pairs.shape
    row, own = torch.arange(count), block.first + torch.arange(count)
    weight = torch.full((count, many), 1 / (size * many), dtype=torch.float64)
    if estimator == "leave-one-out":
        weight[:] = 1 / (many - 1)
        weight[row, own] = 0.0
    elif estimator == "importance":
        weight[:] = (size - 1) / (size * (many - 1))
        weight[row, own] = 1 / size
    elif estimator == "stratified":  # the unit before stands for all those that are not in the batch
        weight[:] = 1 / (many - 1)
        weight[row, own] = 1 / size
        weight[row, own - 1] = (size - many + 1) / (size * (many - 1))
    return weight.log().to(block.own)
