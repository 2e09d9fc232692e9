"""The evidence lower bound, term by term."""

from collections.abc import Mapping

import torch
from torch import Tensor

from coset.distributions import Discrete
from coset.errors import TraceError, nearest
from coset.objectives.base import Bound, Objective, Relaxation, relaxed_to
from coset.programs import Programs
from coset.trace import Site, Trace, divergence


class EvidenceLowerBound(Objective):
    """The evidence lower bound, from one draw of all latent variables; see `elbo`.

    Args:
        discrete: how discrete sites are drawn where they are unknown, see `coset.distributions.Discrete`.
        relaxation: temperature of tempered, relaxed and straight-through draws, see `coset.objectives.base.relaxed_to`.
    """

    def __init__(
        self,
        discrete: Mapping[str, Discrete] | None = None,
        relaxation: Relaxation = 0.5,
    ):
        super().__init__()
        self.discrete: Mapping[str, Discrete] = dict(discrete or {})
        self.relaxation = relaxation

    def forward(self, programs: Programs) -> Bound:
        """Run both programs and return the bound."""
        q = programs.infer(discrete=self.discrete, relaxation=relaxed_to(self.relaxation, programs.progress))
        return elbo(q, programs.generate(q))


def elbo(q: Trace, p: Trace) -> Bound:
    """The evidence lower bound from an inference trace `q` and the generative trace `p` that replays it.

        L = E_q[ Σ_observed log p(x | ·) ] − Σ_latent KL( q(site | ·) ‖ p(site | ·) )  ≤  log p(observed)

    (Kingma & Welling 2013; for the context-aware learner thesis 6.5-6.10 term by term.) A latent that is observed in
    `q`, such as a known `a`, is conditioned on: its divergence is zero and the bound is one on `log p(D | a)`, as both
    papers have it. A factor of `p` with log-weight `w` enters as a penalty `−w`: the bound remains one if `w ≤ 0`.

    Raises:
        TraceError: A site was misspelt, is latent in one program only, or was not replayed.
    """
    check_matching(q, p)
    terms: dict[str, Tensor] = {}
    gains = set()
    for site in p:
        if site.distribution is None:
            terms[site.name] = -q.total(site.score, site.axes)
        elif site.provenance == "observed":
            terms[site.name] = q.total(site.score, site.axes)
            gains.add(site.name)
        elif q[site.name].provenance == "observed":
            terms[site.name] = torch.zeros_like(q.total(site.score, site.axes))
        else:
            terms[site.name] = q.total(*_mean_of_draws(q, site, *divergence(q[site.name], site)))
    return Bound(terms, frozenset(gains), q=q, p=p)


def _mean_of_draws(q: Trace, site: Site, value: Tensor, axes: str) -> tuple[Tensor, str]:
    """Average a divergence over particles where these are values of other sites, on which it does not depend."""
    if not q.enumerates or "S" not in axes or q[site.name].weight is not None:
        return value, axes
    depends = any(len(each.batch_shape) == len(axes) for each in (q[site.name].distribution, site.distribution) if each)
    return (value, axes) if depends else (value.mean(0), axes[1:])


def check_matching(q: Trace, p: Trace) -> None:
    """Raise a `TraceError` unless `p` replays the latent sites of `q`, all of them and no others.

    Raises:
        TraceError: A site is latent in one program only, or was not replayed.
    """
    q.check_visited()
    p.check_visited()
    for site in p:
        if site.distribution is None or site.provenance == "observed":
            continue
        if site.name not in q:
            raise TraceError(
                f"the generative program drew {site.name!r} afresh: it is neither observed nor a site of the inference "
                f"program; {nearest(site.name, [other.name for other in q])}"
            )
        if site.provenance != "replayed":
            raise TraceError(f"site {site.name!r} was drawn twice: run the generative program with replay=q")
    names = [site.name for site in p]
    for site in q:
        if site.name not in names:
            raise TraceError(
                f"the inference program has a site {site.name!r} that the generative one lacks; "
                f"{nearest(site.name, names)}"
            )
