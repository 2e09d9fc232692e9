"""Test log-likelihood of MNIST by importance sampling, in the setting of Burda et al. (2016)."""

import math

import torch
from torch import Tensor

import coset.plots as plots
from coset.experiments.shared.binary import fixed_sample
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.metrics import log_likelihood, mean_and_error
from coset.runs import Run

PARTICLES, FEW = 5000, 100
"""Particles of the estimate, and of that which it corrects."""
CHECKED = 1000
"""Test items that are estimated with all particles."""
PUBLISHED = {"vae": -86.76, "iwae_5": -85.54}
"""Nats of a test item, one stochastic layer of 50 dimensions; five particles for the importance-weighted bound."""


class MNISTLikelihood(Experiment):
    """A VAE trained with the evidence lower bound, and one with the importance-weighted bound of five particles."""

    label = "MNIST, 50 latent dimensions"
    rows = (
        Row("test log-likelihood, VAE, nats", "vae", published="published_vae"),
        Row("the same, importance-weighted with 5 particles", "iwae_5", published="published_iwae_5"),
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        plain = request.run("vae-mnist-long", start=request.run("vae-mnist"))
        weighted = request.run("vae-mnist-importance", start=plain)
        test = plain.splits["test"]
        x = fixed_sample(test.x())
        figures: dict[str, float] = {"particles": PARTICLES}
        for label, run in (("vae", plain), ("iwae_5", weighted)):
            for name, count in (("", PARTICLES), ("_bound", 1)):
                estimate, error = score(request, run, x, count)
                figures |= {f"{label}{name}": estimate, f"{label}{name}_standard_error": error}
            figures[f"published_{label}"] = PUBLISHED[label]
        torch.manual_seed(request.seed)
        shown = x[:10]
        pictures = {
            "sampled": plots.pair(
                *(run.model.sample(n=100).cpu().unflatten(0, (10, 10)) for run in (plain, weighted)),
                titles=("evidence lower bound", "importance-weighted bound"),
            ),
            "reconstructed": torch.stack([shown, *(run.model.reconstruct(shown).cpu() for run in (plain, weighted))]),
            "curves": curves(plain),
            "importance-curves": curves(weighted),
        }
        report = "\n".join(
            f"{label}: {figures[label]:.2f} ± {figures[f'{label}_standard_error']:.2f} nats (published "
            f"{PUBLISHED[label]}), bound {figures[f'{label}_bound']:.2f}"
            for label in PUBLISHED
        )
        return request.write(figures, pictures, [plain, weighted], report)


def score(request: Request, run: Run, x: Tensor, particles: int) -> tuple[float, float]:
    """Mean log-likelihood of items by importance sampling with so many particles, and its standard error.

    With a few particles all items are estimated, and with all particles `CHECKED` random ones, which tell how much the
    few fall short: the mean of what many particles give, from a twentieth of the work. With `FEW` particles or less
    nothing is left to correct.
    """

    def measure() -> tuple[float, float]:
        few = log_likelihood(run.model, x, min(particles, FEW), seed=request.seed)
        if particles <= FEW:
            return mean_and_error(few)
        rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(request.seed))[:CHECKED]
        short, short_error = mean_and_error(
            log_likelihood(run.model, x[rows], particles, seed=request.seed) - few[rows]
        )
        mean, error = mean_and_error(few)
        return mean + short, math.hypot(error, short_error)

    estimate, error = request.once(run, f"likelihood-{particles}", measure)
    return estimate, error
