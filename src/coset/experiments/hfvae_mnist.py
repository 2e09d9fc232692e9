"""MNIST and Fashion-MNIST by objectives that move information about: which dimensions carry it, as on the slides."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import torch

import coset.plots as plots
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.experiments.shared.traversing import traversals
from coset.metrics import mutual_information_gap, posterior_information
from coset.runs import Run

SEEDS = (0, 1, 2)
ROWS = 2000
"""Held-out items whose posteriors make an aggregate."""
CARRIES = 0.1
"""Nats from which a dimension counts as carrying something."""

OBJECTIVES: Mapping[str, Sequence[str]] = {
    "vae": ("--objective.name=vae", "--objective.settings={}"),
    "beta_vae": ("--objective.name=beta-vae", "--objective.settings={beta: 4.0}"),
    "hfvae": (),
}
VARIANTS = {"mnist": "digit", "fashion-mnist": "article"}


class HFVAEMNIST(Experiment):
    """Train the bound, β-VAE with β = 4, and HFVAE with β = 12 and γ = 4, on digits and on clothing."""

    label = "MNIST, ten latent dimensions in two groups"
    rows = (
        Row("VAE, dimensions that carry anything, of ten", "carrying_vae_mnist"),
        Row("β-VAE, dimensions that carry anything, of ten", "carrying_beta_vae_mnist"),
        Row("HFVAE, dimensions that carry anything, of ten", "carrying_hfvae_mnist"),
        Row("total correlation of normal draws, VAE, nats", "gaussian_total_correlation_vae_mnist"),
        Row("total correlation of normal draws, β-VAE, nats", "gaussian_total_correlation_beta_vae_mnist"),
        Row("total correlation of normal draws, HFVAE, nats", "gaussian_total_correlation_hfvae_mnist"),
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        figures: dict[str, Any] = {}
        pictures: dict[str, Any] = {}
        every: list[Run] = []
        for variant, factor in VARIANTS.items():
            told, shown = {}, {}
            for name, overrides in OBJECTIVES.items():
                runs = [_run(request, variant, name, overrides, seed) for seed in SEEDS]
                found = [request.once(run, "told", lambda r=run, f=factor: _measure(r, f)) for run in runs]
                figures |= _summary(found, f"{name}_{variant.replace('-', '_')}")
                told[name.replace("_", "-")] = found[0]["items"]
                shown[name] = traversals(runs[0], found[0]["items"])
                every += runs
            pictures[f"information-{variant}"] = plots.bars(told, "nats of an item")
            pictures |= {f"traversals-{variant}-{name.replace('_', '-')}": made for name, made in shown.items()}
        pictures["curves"] = curves(every[2 * len(SEEDS)])
        return request.write(figures, pictures, every, _report(figures))


def _run(request: Request, variant: str, name: str, overrides: Sequence[str], seed: int) -> Run:
    overrides = [f"--data.variant={variant}", *overrides, f"--training.seed={seed}"]
    return request.run("hfvae-mnist", label=f"{variant}-{name}-{seed}", overrides=overrides)


def _measure(run: Run, factor: str) -> dict[str, Any]:
    test = run.splits["test"]
    chosen = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:ROWS]
    means, deviations = (part.cpu().double().numpy() for part in run.model.posteriors(test.x(chosen)))
    codes = torch.as_tensor(test.factors[factor])[chosen].numpy()
    found = posterior_information(means, deviations, {factor: codes})
    gap = mutual_information_gap(means, {factor: codes}, resamples=0).value
    return found.as_dict() | {"mig": gap}


def _summary(found: Sequence[Mapping[str, Any]], label: str) -> dict[str, Any]:
    """Means over seeds, and what each dimension tells in each."""
    figures: dict[str, Any] = {
        f"items_{label}": [one["items"] for one in found],
        f"factor_{label}": [[told for (told,) in one["factors"]] for one in found],
        f"carrying_{label}": mean(sum(value > CARRIES for value in one["items"]) for one in found),
    }
    # I(x; z) and total correlation of 2,000 rows stop at the logarithm of their number; the normal one does not.
    for name in ("total", "gaussian_total_correlation", "gaussian_total_correlation_of_means", "mig"):
        values = [one[name] for one in found]
        figures |= {f"{name}_{label}": mean(values), f"{name}_sd_{label}": stdev(values)}
    return figures


def _report(figures: Mapping[str, Any]) -> str:
    lines = []
    for variant in VARIANTS:
        for name in OBJECTIVES:
            label = f"{name}_{variant.replace('-', '_')}"
            lines.append(
                f"{label:<24} {figures[f'total_{label}']:.2f} nats in {figures[f'carrying_{label}']:.1f} dimensions, "
                f"correlation {figures[f'gaussian_total_correlation_{label}']:.2f}, MIG {figures[f'mig_{label}']:.3f}"
            )
    return "\n".join(lines)
