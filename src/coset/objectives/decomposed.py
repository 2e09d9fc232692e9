"""The evidence lower bound with its divergence taken apart, and the objectives that weigh its parts differently."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from coset.batch import SetBatch
from coset.distributions import Discrete
from coset.errors import ConfigurationError, nearest
from coset.objectives.base import Bound, Objective, straight_line
from coset.objectives.elbo import check_matching
from coset.objectives.schedules import Fixed
from coset.programs import Programs
from coset.sites import Site
from coset.trace import Trace

Estimator = Literal["importance", "weighted", "stratified", "leave-one-out"]
Groups = Sequence[Any]
"""Nested sequences whose innermost members name a site, `z`, or some of its dimensions, `z[:5]`."""

PRESETS: Mapping[str, Callable[..., dict[str, float]]] = {
    "vae": lambda: {},
    "beta-vae": lambda beta=4.0: {"information": beta, "correlation": beta, "marginals": beta},
    "kumar": lambda scale=10.0: {"correlation": scale, "marginals": scale},
    "zhao": lambda scale=10.0: {"information": 0.0, "correlation": scale, "marginals": scale},
    "achille-soatto": lambda beta=1.0, gamma=1.0: {"information": beta, "correlation": gamma, "marginals": 0.0},
    "beta-tc": lambda beta=6.0: {"correlation": beta},
    "hfvae": lambda alpha=1.0, beta=12.0, gamma=4.0: {
        "information": alpha,
        "correlation": beta,
        "correlation.1": gamma,
    },
}
"""The rows of the slides' table, as weights of terms: what a paper's name stands for with these coefficients."""


class Decomposed(Objective):
    """The evidence lower bound, its divergence in parts that are weighed each by itself (slides; Esmaeili et al. 2018).

    For a draw z of q(z | x), groups g of its dimensions d, and the aggregate posterior q(z) = 1/N Σ_n q(z | x_n)::

        log q(z | x) − log p(z) = ② + Ⓐ + ⓘ + ⓘⓘ
        information     ②    log q(z | x) − log q(z)
        correlation     Ⓐ    log q(z) − Σ_g log q(z_g)
        correlation.1   ⓘ    Σ_g [ log q(z_g) − Σ_d log q(z_gd) ], and correlation.2 … where groups have groups
        marginals       ⓘⓘ   Σ_d [ log q(z_d) − log p(z_d) ]

    for a prior whose dimensions are independent; with the terms of what is observed, ① and ③ up to a constant, this is
    the bound. With a weight of 1 each they sum to it exactly, draw by draw, whatever the estimate of q(z) is. The
    aggregate posterior is estimated from the M items of a batch, with pairs of items (i, j)::

        importance      q(z_i | x_i) / N + (N − 1) / (N (M − 1)) Σ_{j≠i} q(z_i | x_j)      (Esmaeili et al. 2018)
        weighted        1 / (N M) Σ_j q(z_i | x_j)                                         (Chen et al. 2018, eq. S3)
        stratified      q(z_i | x_i) / N + 1 / (M − 1) Σ q(z_i | x_j) over all others but one, and that one
                        by (N − M + 1) / (N (M − 1))                                       (Chen et al. 2018, eq. S4)
        leave-one-out   1 / (M − 1) Σ_{j≠i} q(z_i | x_j)

    `weighted` is too small by log N where posteriors overlap; `leave-one-out` lacks the item's own posterior, which is
    most of q(z_i) where they do not. From 8 of 60 items whose posteriors overlap in part, log q(z) is estimated 0.43
    nats too small by `importance`, 0.44 by `stratified`, 3.0 by `weighted` and 5.5 by `leave-one-out` in the tests.

    Args:
        preset: a row of the slides' table, see `PRESETS`.
        coefficients: those of the preset, such as `{"beta": 12}`; its own where not given.
        groups: nested sequences whose innermost members are a site, `z`, or some of its dimensions, `z[:5]`; all of the
            latent dimensions, each once. Sites where None, and dimensions where there is but one site.
        estimator: of the aggregate posterior.
        data_size: N, number of items in the data; that of the training data where None.
        discrete: how discrete sites are drawn, see `coset.distributions.Discrete`; not enumerated.
        relaxation: temperature of relaxed draws, or where it begins and ends over training.

    Raises:
        ConfigurationError: No such preset, coefficient or estimator.

    >>> objective = Decomposed("hfvae", {"beta": 12.0, "gamma": 4.0}, groups=["z[:5]", "z[5:]"])
    >>> objective.schedule.weights["correlation.1"]
    4.0
    """

    def __init__(
        self,
        preset: str = "vae",
        coefficients: Mapping[str, float] | None = None,
        groups: Groups | None = None,
        estimator: Estimator = "importance",
        data_size: int | None = None,
        discrete: Mapping[str, Discrete] | None = None,
        relaxation: float | Sequence[float] = 0.5,
    ):
        super().__init__()
        if preset not in PRESETS:
            raise ConfigurationError(f"Decomposed: no preset {preset!r}; {nearest(preset, PRESETS)}")
        if estimator not in get_args(Estimator):
            raise ConfigurationError(
                f"Decomposed: no estimator {estimator!r}; {nearest(estimator, get_args(Estimator))}"
            )
        if {"enumerate", "tempered"} & {*(discrete or {}).values()}:
            raise ConfigurationError("Decomposed: discrete sites are drawn, not enumerated; 'relaxed' passes gradients")
        try:
            self.schedule = Fixed(PRESETS[preset](**(coefficients or {})))
        except TypeError as reason:
            known = list(PRESETS[preset].__code__.co_varnames)
            raise ConfigurationError(
                f"Decomposed: {preset} has the coefficients {known}, got {[*(coefficients or {})]}"
            ) from reason
        self.groups, self.estimator, self.data_size = groups, estimator, data_size
        self.discrete: Mapping[str, Discrete] = dict(discrete or {})
        self.relaxation = relaxation

    def bind(self, model: Any, data_size: int) -> None:
        """Take the number of items of the training data, unless another one was given."""
        self.data_size = self.data_size or data_size

    def forward(self, programs: Programs) -> Bound:
        """Run both programs once, and take the divergence of the items' latent variables apart.

        Raises:
            ConfigurationError: Groups that are no partition, a batch of one item, more items in it than in the data or
                a number of these that is not known, a variable of sets, or a prior that is not factorised.
        """
        q = programs.infer(discrete=self.discrete, relaxation=straight_line(self.relaxation, programs.progress))
        p = programs.generate(q)
        check_matching(q, p)
        sites = _latent(q, p)
        present = _present(programs.batch)
        own = {site.name: _columns(site.distribution, site.value).flatten(0, 1)[present] for site in sites}
        prior = sum(_columns(p[site.name].distribution, site.value).flatten(0, 1)[present].sum(-1) for site in sites)
        root = _tree(self.groups, {name: part.shape[-1] for name, part in own.items()})
        pairs = _pairs(programs, sites, present)
        weights = self._log_weights(len(pairs)).to(pairs)
        total = torch.cat([*own.values()], -1).sum(-1)  # log q(z | x), [M]
        found = _split(root, pairs, weights, total, prior)
        terms = {site.name: p.total(site.score, site.axes) for site in p if site.provenance == "observed"}
        gains = frozenset(terms)
        for name, value in found.items():
            spread = value.new_zeros(len(present)).masked_scatter(present, value)
            terms[name] = spread.view(programs.batch.shape).sum(1)
        return Bound(terms, gains, q=q, p=p)

    def _log_weights(self, items: int) -> Tensor:
        """Logarithms of how much each item's posterior counts in each item's aggregate: `[M, M]`."""
        size = self.data_size
        if size is None:
            raise ConfigurationError("Decomposed: how many items the data has is not known; give data_size=")
        if items < 2 or items > size:
            raise ConfigurationError(
                f"Decomposed: expected 2 items in a batch or more, and no more than the {size} of the data, got {items}"
            )
        own = torch.eye(items, dtype=torch.bool)
        match self.estimator:
            case "weighted":
                weight = torch.full((items, items), 1 / (size * items), dtype=torch.float64)
            case "leave-one-out":
                weight = torch.where(own, 0.0, 1 / (items - 1)).double()
            case "importance":
                weight = torch.where(own, 1 / size, (size - 1) / (size * (items - 1))).double()
            case _:  # stratified: the item before stands for all those that are not in the batch
                weight = torch.where(own, 1 / size, 1 / (items - 1)).double()
                weight[torch.arange(items), torch.arange(items) - 1] = (size - items + 1) / (size * (items - 1))
        return weight.log()


@dataclass(frozen=True)
class _Node:
    """Some latent dimensions, and the groups that they fall into."""

    columns: tuple[int, ...]
    children: tuple["_Node", ...] = ()


def _latent(q: Trace, p: Trace) -> list[Site]:
    """The latent sites of items.

    Raises:
        ConfigurationError: One is of sets, or has a prior that depends on others.
    """
    sites = [site for site in q if site.distribution is not None and site.provenance != "observed"]
    for site in sites:
        if site.axes != "BN" or site.provenance == "partial":
            raise ConfigurationError(
                f"Decomposed: takes latent variables of items that are all unknown, {site.name!r} has the axes "
                f"{site.axes} and is {site.provenance}"
            )
        of: Any = p[site.name].distribution
        like = getattr(of, "base_dist", of)
        numbers = [getattr(like, name) for name in like.arg_constraints if name in vars(like)]
        if any(bool((part != part[:1, :1]).any()) for part in numbers):
            raise ConfigurationError(
                f"Decomposed: the prior of {site.name!r} depends on other variables; its marginals are not known"
            )
    return sites


def _columns(distribution: Distribution | None, value: Tensor) -> Tensor:
    """Log-densities of each dimension of a vector whose dimensions are independent, or of a value as a whole."""
    assert distribution is not None
    if isinstance(distribution, Independent) and distribution.reinterpreted_batch_ndims == 1:
        return distribution.base_dist.log_prob(value)
    return distribution.log_prob(value).unsqueeze(-1)


def _present(batch: SetBatch) -> Tensor:
    """Which of all items are there: `[B · N]`."""
    if batch.mask is None:
        return torch.ones(math.prod(batch.shape), dtype=torch.bool, device=batch.x.device)
    return batch.mask.flatten() > 0


def _pairs(programs: Programs, sites: Sequence[Site], present: Tensor) -> Tensor:
    """Log q(z_i | x_j) of every dimension of every pair of items: `[M, M, D]`.

    A single site depends on items alone, and is scored as it is. Of several one may read another: the inference program
    is run once more, with the values of item i in the place of particle i.
    """
    flat = {site.name: site.value.flatten(0, 1)[present] for site in sites}  # [M, *event]
    if len(sites) == 1:
        of: Any = sites[0].distribution
        of = getattr(of, "base_dist", of)
        like = {name: getattr(of, name).flatten(0, 1)[present] for name in of.arg_constraints if name in vars(of)}
        return _columns(_again(sites[0].distribution, like), flat[sites[0].name].unsqueeze(1))
    items = programs.batch.x.flatten(0, 1)[present].unsqueeze(1)  # [M, 1, ...]
    count = len(items)
    replay = {name: value[:, None, None].expand(count, count, 1, *value.shape[1:]) for name, value in flat.items()}
    shown = replace(programs, batch=SetBatch(items))
    q = shown.infer(particles=count, replay=replay, observed={})
    return torch.cat([_columns(q[name].distribution, replay[name])[:, :, 0] for name in flat], -1)


def _again(distribution: Any, parameters: Mapping[str, Tensor]) -> Distribution:
    """A distribution of the same family with other parameters."""
    if isinstance(distribution, Independent):
        made = type(distribution.base_dist)(**parameters, validate_args=False)
        return Independent(made, distribution.reinterpreted_batch_ndims, validate_args=False)
    return type(distribution)(**parameters, validate_args=False)


def _split(root: _Node, pairs: Tensor, weights: Tensor, total: Tensor, prior: Any) -> dict[str, Tensor]:
    """The terms of the divergence, `[M]` each."""

    def aggregate(node: _Node) -> Tensor:
        return (pairs[..., list(node.columns)].sum(-1) + weights).logsumexp(1)

    single = (pairs + weights.unsqueeze(-1)).logsumexp(1)  # [M, D]
    whole = aggregate(root)
    terms = {"information": total - whole}
    level, depth = [(root, whole)], 0
    while inner := [(node, value) for node, value in level if node.children]:
        below = [
            (child, single[:, child.columns[0]] if len(child.columns) == 1 else aggregate(child))
            for node, _ in inner
            for child in node.children
        ]
        apart = torch.stack([value for _, value in inner]).sum(0) - torch.stack([value for _, value in below]).sum(0)
        terms["correlation" if depth == 0 else f"correlation.{depth}"] = apart
        level, depth = below, depth + 1
    terms["marginals"] = single.sum(-1) - prior
    return terms


def _tree(groups: Groups | None, sizes: Mapping[str, int]) -> _Node:
    """Dimensions in groups; a group of one group is that group.

    Raises:
        ConfigurationError: They are no partition of all dimensions, or name what is not there.
    """
    starts = dict(zip(sizes, torch.tensor([0, *sizes.values()]).cumsum(0).tolist(), strict=False))
    root = _node(list(sizes) if groups is None else groups, sizes, starts)
    if sorted(root.columns) != list(range(sum(sizes.values()))):
        raise ConfigurationError(
            f"Decomposed: groups hold each latent dimension once; {groups} are no partition of "
            f"{', '.join(f'{name}[:{size}]' for name, size in sizes.items())}"
        )
    return root


def _node(part: Any, sizes: Mapping[str, int], starts: Mapping[str, int]) -> _Node:
    if not isinstance(part, str):
        children = tuple(_node(each, sizes, starts) for each in part)
        return children[0] if len(children) == 1 else _Node(sum((each.columns for each in children), ()), children)
    found = re.fullmatch(r"(.+?)(?:\[(\d*):(\d*)\]|\[(\d+)\])?", part)
    if found is None or found[1] not in sizes:
        raise ConfigurationError(f"Decomposed: no latent site for the group {part!r}; {nearest(part, sizes)}")
    name, first, last, one = found.groups()
    if one:
        first, last = one, str(int(one) + 1)
    chosen = range(sizes[name])[slice(int(first) if first else None, int(last) if last else None)]
    columns = tuple(starts[name] + index for index in chosen)
    return _Node(columns, tuple(_Node((column,)) for column in columns) if len(columns) > 1 else ())
