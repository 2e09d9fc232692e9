"""The evidence lower bound, term by term."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from coset.distributions import Discrete
from coset.errors import ConfigurationError, TraceError, nearest
from coset.trace import Trace, divergence


@dataclass(frozen=True)
class Bound:
    """A lower bound on the log evidence of each set, kept in its terms.

        value = Σ_gains term − Σ_others term

    Attributes:
        terms: site name → `[B]` (or `[S, B]`), in nats. A likelihood's term is the expected log-probability (R_D); a
            latent's its divergence (L_D, C_vD, C_cD, A_D of thesis 6.6-6.10); a penalty's its size. In the
            bound the former count for it, the latter two against.
        gains: names of the terms that count for the bound.
    """

    terms: dict[str, Tensor]
    gains: frozenset[str]

    @property
    def value(self) -> Tensor:
        """The bound of each set, in nats: `[B]`, or `[S, B]`."""
        return self.weighted({})

    def weighted(self, weights: Mapping[str, float]) -> Tensor:
        """The sum with a weight per site, 1 where none is given; no longer a bound unless penalties only gain weight.

        A weight for `z` also counts for the sites `z.1`, `z.2` of its group that have none of their own.

        Raises:
            ConfigurationError: a weight for a site that the model does not have.
        """
        known = {*self.terms, *(_group(name) for name in self.terms)}
        for name in weights:
            if name not in known:
                raise ConfigurationError(f"weight for a site {name!r} that is not there; {nearest(name, self.terms)}")
        signed = []
        for name, term in self.terms.items():
            weight = weights.get(name, weights.get(_group(name), 1.0))
            signed.append((weight if name in self.gains else -weight) * term)
        return torch.stack(torch.broadcast_tensors(*signed)).sum(0)


def _group(name: str) -> str:
    return name.partition(".")[0]


class Programs(Protocol):
    """A model's two programs, ready to be run on a batch; `coset.models.base.Programs` is one."""

    def infer(
        self,
        particles: int | None = None,
        replay: Mapping[str, Tensor] | None = None,
        fixed_parameters: bool = False,
        discrete: Mapping[str, Discrete] | None = None,
        relaxation: float = 0.5,
    ) -> Trace:
        """Run the inference program: S particles, or the latent values `replay` scored again."""
        ...

    def generate(self, q: Trace, replay: Mapping[str, Tensor] | None = None, fixed_parameters: bool = False) -> Trace:
        """Run the generative program on the items, replaying `q`, or in its place the values `replay`."""
        ...


Objective = Callable[[Programs], Bound]
"""What training maximises: runs the programs as it needs them, and returns a bound per set."""


@dataclass(frozen=True)
class EvidenceLowerBound:
    """The evidence lower bound, from one draw of all latent variables; see `elbo`."""

    def __call__(self, programs: Programs) -> Bound:
        """Run both programs and return the bound."""
        q = programs.infer()
        return elbo(q, programs.generate(q))


def elbo(q: Trace, p: Trace) -> Bound:
    """The evidence lower bound from an inference trace `q` and the generative trace `p` that replays it.

        L = E_q[ Σ_observed log p(x | ·) ] − Σ_latent KL( q(site | ·) ‖ p(site | ·) )  ≤  log p(observed)

    (Kingma & Welling 2013; for the context-aware learner thesis 6.5-6.10 term by term.) A latent that is observed in
    `q`, such as a known `a`, is conditioned on: its divergence is zero and the bound is one on `log p(D | a)`, as both
    papers have it. A factor of `p` with log-weight `w` enters as a penalty `−w`: the bound remains one if `w ≤ 0`.

    Raises:
        TraceError: a site was misspelt, is latent in one program only, or was not replayed.
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
            terms[site.name] = q.total(*divergence(q[site.name], site))
    return Bound(terms, frozenset(gains))


def check_matching(q: Trace, p: Trace) -> None:
    """Raise a `TraceError` unless `p` replays the latent sites of `q`, all of them and no others."""
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
