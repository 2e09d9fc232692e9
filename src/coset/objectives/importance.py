"""Importance-weighted bounds: tighter the more particles they average."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from coset.errors import ConfigurationError, TraceError
from coset.objectives.base import Bound, Objective
from coset.objectives.elbo import check_matching
from coset.programs import Programs
from coset.shapes import sum_to
from coset.trace import Trace


def log_ratios(q: Trace, p: Trace) -> dict[str, Tensor]:
    """What each site contributes to the log-weight of a particle, by name: `[S, B]`, in nats.

    For a latent log p(value | ·) − log q(value | ·), for what is observed log p(value | ·); 0 for a latent that was
    observed in `q`, which is conditioned on. Their sum is log p(x, latents) − log q(latents | x).

    Raises:
        TraceError: The traces don't match, or have no axis of particles.
    """
    check_matching(q, p)
    if q.particles is None or p.particles is None:
        raise TraceError("importance weights need particles: run both programs with particles=S")
    for name, how in q.discrete.items():
        if how != "sample":
            raise TraceError(f"site {name!r}: importance weights need draws of its posterior, not {how!r}")
    ratios = {}
    for site in p:
        ratio = site.log_prob
        if site.name in q:
            inferred = q[site.name]
            if inferred.provenance == "observed":
                ratio = torch.zeros_like(ratio)
            elif inferred.known is None:
                ratio = ratio - inferred.log_prob
            else:
                unknown = 1 - inferred.known
                ratio = sum_to(site.score * unknown, site.axes, "SB") - sum_to(
                    inferred.score * unknown, inferred.axes, "SB"
                )
        ratios[site.name] = ratio.expand(q.particles, ratio.shape[-1])
    return ratios


def importance_weighted(q: Trace, p: Trace) -> Bound:
    """The importance-weighted bound (Burda et al. 2016) from traces with S particles.

        L_S = E log 1/S Σ_s w_s  ≤  log p(observed),     w_s = p(x, latents_s) / q(latents_s | x)

    With the normalised weights v_s = w_s / Σ w it falls into terms, one a site and one for the particles:

        L_S = Σ_s v_s log w_s − KL( v ‖ uniform ),     log w_s = Σ_sites log p(site) − log q(site)

    so that `terms[site]` is a weighted average, and `particles` what the unevenness of the weights costs. S = 1 gives
    the evidence lower bound with sampled divergences; the bound rises with S.

    Raises:
        TraceError: The traces don't match, or have no axis of particles.
    """
    return _bound(log_ratios(q, p), q, p)


class Particles(Objective):
    """An objective that averages S particles.

    Args:
        particles: S.

    Raises:
        ConfigurationError: No particle at all.
    """

    def __init__(self, particles: int = 5):
        super().__init__()
        if particles < 1:
            raise ConfigurationError(f"particles: expected a whole number from 1 up, got {particles}")
        self.particles = particles


class ImportanceWeighted(Particles):
    """The importance-weighted bound as a training objective: its gradient is that of log 1/S Σ w."""

    def forward(self, programs: Programs) -> Bound:
        """Run both programs with S particles and return the bound."""
        q = programs.infer(self.particles)
        return importance_weighted(q, programs.generate(q))


class DoublyReparametrized(Particles):
    """The importance-weighted bound with the doubly reparametrised gradient of its inference network.

        ∇_θ L = E Σ_s v_s ∇_θ log p(x, z_s),     ∇_φ L = E Σ_s v_s² ∂ log w_s / ∂z_s · ∇_φ z_s

    (Tucker et al. 2019). The usual gradient in φ drowns in noise as S grows; this one does not. Only what reaches φ
    through the values of latents counts, at any depth: programs are run once more with their parameters held fixed, so
    the score of φ itself, whose mean is zero, is not there in the first place. All latents that are drawn must be
    reparametrised.
    """

    def forward(self, programs: Programs) -> Bound:
        """Run the programs and return the bound, whose gradient is the doubly reparametrised one.

        Raises:
            TraceError: A latent variable is drawn without reparametrisation.
        """
        q = programs.infer(self.particles)
        drawn = {site.name: site.value for site in q if site.provenance in ("sampled", "partial")}
        for site in q:
            if site.name in drawn and site.distribution is not None and not site.distribution.has_rsample:
                raise TraceError(f"site {site.name!r} is not reparametrised; use ImportanceWeighted instead")
        generated = programs.generate(q, replay=q.values() | {name: value.detach() for name, value in drawn.items()})
        inferred = programs.infer(self.particles, replay=drawn, fixed_parameters=True)
        through = log_ratios(inferred, programs.generate(inferred, fixed_parameters=True))
        with torch.no_grad():
            bound = _bound(through, q, generated)
            share = torch.stack(list(through.values())).sum(0).softmax(0)  # [S, B]
        terms = dict(bound.terms)
        for name, ratio in through.items():
            gradient = (share * generated[name].log_prob + share.square() * ratio).sum(0)
            signed = gradient if name in bound.gains else -gradient
            terms[name] = terms[name] + signed - signed.detach()
        return replace(bound, terms=terms)


def _bound(ratios: dict[str, Tensor], q: Trace, p: Trace) -> Bound:
    weight = torch.stack(list(ratios.values())).sum(0)  # [S, B]
    share = weight.log_softmax(0)
    gains = frozenset(site.name for site in p if site.provenance == "observed")
    terms = {}
    for name, ratio in ratios.items():
        mean = (share.exp() * ratio).sum(0)
        terms[name] = mean if name in gains else -mean
    terms["particles"] = (share.exp() * (share + math.log(len(weight)))).sum(0)
    return Bound(terms, gains, q=q, p=p)
