"""The evidence lower bound with its divergence taken apart, and the objectives that weigh its parts differently."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from coset.distributions import ENUMERATED, Discrete
from coset.errors import ConfigurationError, nearest
from coset.objectives.base import Bound, Objective, Relaxation, relaxed_to
from coset.objectives.elbo import check_matching
from coset.objectives.groups import Groups, Node, of_site, read_columns, read_groups
from coset.objectives.latents import latent_sites
from coset.objectives.pairs import Block, blocks, log_weights
from coset.objectives.schedules import Fixed
from coset.programs import Programs
from coset.sites import Site

Estimator = Literal["importance", "weighted", "stratified", "leave-one-out"]

PRESETS: Mapping[str, Callable[..., dict[str, float]]] = {
    "vae": lambda: {},
    "beta-vae": lambda beta=4.0: {"information": beta, "correlation": beta, "marginals": beta},
    "kumar": lambda scale=10.0: {"correlation": scale, "marginals": scale},
    "zhao": lambda scale=10.0: {"information": 0.0, "correlation": scale, "marginals": scale},
    "gao": lambda scale=1.0: {"anchors": -scale},
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

    with the terms of what is observed, ① and ③ up to a constant, this is the bound. With a weight of 1 each they sum to
    it exactly, draw by draw, whatever the estimate of q(z) is. Where the prior depends on other variables, as that of z
    on the contexts of a set, ⓘⓘ has the prior given these.

    Variables of independent items are taken apart together, as one vector. Those of sets, each of K contexts, and those
    that are known of some items are taken apart one by one, given the draws of those that they read, each with the
    aggregate over its own units: items, sets, or the sets that hold a context constant. Their terms are added up. The
    aggregate posterior is estimated from the M items of a batch, with pairs of items (i, j)::

        importance      q(z_i | x_i) / N + (N − 1) / (N (M − 1)) Σ_{j≠i} q(z_i | x_j)      (Esmaeili et al. 2018)
        weighted        1 / (N M) Σ_j q(z_i | x_j)                                         (Chen et al. 2018, eq. S3)
        stratified      q(z_i | x_i) / N + 1 / (M − 1) Σ q(z_i | x_j) over all others but one, and that one
                        by (N − M + 1) / (N (M − 1))                                       (Chen et al. 2018, eq. S4)
        leave-one-out   1 / (M − 1) Σ_{j≠i} q(z_i | x_j)

    `weighted` is too small by log N where posteriors overlap; `leave-one-out` lacks the item's own posterior, which is
    most of q(z_i) where they do not. From 8 of 60 items whose posteriors overlap in part, log q(z) is estimated 0.43
    nats too small by `importance`, 0.44 by `stratified`, 3.0 by `weighted` and 5.5 by `leave-one-out` in the tests. All
    pairs of normal posteriors are looked at block by block and take a few megabytes; of other kinds they are kept.

    Args:
        preset: a row of the slides' table, see `PRESETS`.
        coefficients: those of the preset, such as `{"beta": 12}`; its own where not given.
        groups: nested sequences whose innermost members are a site, `z`, or some of its dimensions, `z[:5]`; all of the
            latent dimensions, each once. Sites where None, and dimensions where there is but one site.
        anchors: dimensions, such as `z[0]`, of which each item should tell much: the term `anchors`, no part of the
            bound, is log q(z_a | x) − log q(z_a) of all of them together, which Gao et al. (2018) reward.
        estimator: of the aggregate posterior.
        data_size: N, number of items in the data, for which sets count as well; that of the training data where None.
        discrete: how discrete sites are drawn, see `coset.distributions.Discrete`; not enumerated.
        relaxation: temperature of relaxed draws, see `coset.objectives.base.relaxed_to`.

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
        anchors: Sequence[str] = (),
        estimator: Estimator = "importance",
        data_size: int | None = None,
        discrete: Mapping[str, Discrete] | None = None,
        relaxation: Relaxation = 0.5,
    ):
        super().__init__()
        if preset not in PRESETS:
            raise ConfigurationError(f"Decomposed: no preset {preset!r}; {nearest(preset, PRESETS)}")
        if estimator not in get_args(Estimator):
            raise ConfigurationError(
                f"Decomposed: no estimator {estimator!r}; {nearest(estimator, get_args(Estimator))}"
            )
        if not ENUMERATED.isdisjoint((discrete or {}).values()):
            raise ConfigurationError("Decomposed: discrete sites are drawn, not enumerated; 'relaxed' passes gradients")
        try:
            self.schedule = Fixed(PRESETS[preset](**(coefficients or {})))
        except TypeError as reason:
            known = list(PRESETS[preset].__code__.co_varnames)
            raise ConfigurationError(
                f"Decomposed: {preset} has the coefficients {known}, got {[*(coefficients or {})]}"
            ) from reason
        if (preset == "gao") != bool(anchors):
            raise ConfigurationError("Decomposed: the preset gao rewards what dimensions, anchors=, tell; it alone")
        self.groups, self.anchors, self.estimator, self.data_size = groups, anchors, estimator, data_size
        self.discrete: Mapping[str, Discrete] = dict(discrete or {})
        self.relaxation = relaxation

    def bind(self, model: Any, data_size: int) -> None:
        """Take the number of items of the training data, unless another one was given."""
        self.data_size = self.data_size or data_size

    def forward(self, programs: Programs) -> Bound:
        """Run both programs once, and take the divergence of all latent variables apart.

        Raises:
            ConfigurationError: Groups that are no partition, a batch of one item, or more items in it than in the data
                or a number of these that is not known.
        """
        q = programs.infer(discrete=self.discrete, relaxation=relaxed_to(self.relaxation, programs.progress))
        p = programs.generate(q)
        check_matching(q, p)
        size, none = self._check_size(programs), programs.batch.x.new_zeros(len(programs.batch))
        terms = {site.name: p.total(site.score, site.axes) for site in p if site.provenance == "observed"}
        gains = frozenset(terms)
        terms |= {site.name: -p.total(site.score, site.axes) for site in p if site.distribution is None}
        sizes = {site.name: _dimensions(site) for site in latent_sites(q)}
        root = read_groups(self.groups, sizes)
        for block in blocks(programs, q, p):
            node = root if len(block.sizes) == len(sizes) else of_site(root, next(iter(block.sizes)), sizes)
            anchors = read_columns(self.anchors, sizes, list(block.sizes))
            for name, value in self._split(node, block, size, anchors).items():
                terms[name] = terms.get(name, none).index_add(0, block.sets, block.weight * value)
        return Bound(terms, gains, frozenset({"anchors"} & terms.keys()), q=q, p=p)

    def _check_size(self, programs: Programs) -> int:
        """How many items the data has."""
        mask = programs.batch.mask
        items = programs.batch.x.shape[:2].numel() if mask is None else int((mask > 0).sum())
        if self.data_size is None:
            raise ConfigurationError("Decomposed: how many items the data has is not known; give data_size=")
        if items < 2 or items > self.data_size:
            raise ConfigurationError(
                f"Decomposed: expected 2 items in a batch or more, and no more than the {self.data_size} of the data, "
                f"got {items}"
            )
        return self.data_size

    def _split(self, root: Node, block: Block, size: int, anchors: Sequence[int]) -> dict[str, Tensor]:
        """The terms of the divergence, `[U]` each."""
        total = block.own.sum(-1)  # log q(z | x)
        if block.pairs.shape[1] < 2:  # a single set that holds a context constant has no aggregate but itself
            return {"information": total - block.prior}
        weights = log_weights(block, self.estimator, max(size, block.pairs.shape[1]))
        single = block.pairs.marginals(weights)  # [U, D]

        def total_of(nodes: Sequence[Node]) -> Tensor:
            """Of single dimensions all at once, for there may be many."""
            alone = [node.columns[0] for node in nodes if len(node.columns) == 1]
            groups = [block.pairs.aggregate(node.columns, weights) for node in nodes if len(node.columns) > 1]
            return torch.stack([*groups, *([single[:, alone].sum(-1)] if alone else [])]).sum(0)

        terms = {"information": total - total_of([root])}
        level, depth = [root], 0
        while inner := [node for node in level if node.children]:
            below = [child for node in inner for child in node.children]
            terms["correlation" if depth == 0 else f"correlation.{depth}"] = total_of(inner) - total_of(below)
            level, depth = below, depth + 1
        terms["marginals"] = single.sum(-1) - block.prior
        if anchors:
            terms["anchors"] = block.own[:, anchors].sum(-1) - block.pairs.aggregate(anchors, weights)
        return terms


def _dimensions(site: Site) -> int:
    """Of each unit's value; a choice of one of several is one."""
    event = site.value.shape[len(site.axes) :]
    return event.numel() if getattr(site.distribution, "base_dist", None) is not None else 1
