"""Digits and clothes in ten clusters, found without labels (ICLR 2019 submission, section 3.2)."""

import json
from statistics import mean, stdev
from typing import Any

import torch
from sklearn.cluster import KMeans

import coset.plots as plots
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.metrics import clustering_accuracy
from coset.runs import Run

CLUSTERS, DRAWN = 10, 12
RUNS = {"": ("auxiliary-mnist", 10), "_fashion": ("auxiliary-fashion-mnist", 5)}
"""What stands behind a figure's name → the recipe, and how many training seeds it has."""
ALONE = "--schedule.weights={invariance: 0}"
"""The mixture by itself, a GMVAE or VaDE: no copies are looked at."""
SEEDS_ALONE = 3
SCORES = {"one_to_one": "clustering_accuracy", "many_to_one": "purity", "nmi": "nmi", "ari": "ari"}
"""Of `clustering_accuracy` → what figures are called."""


class AuxiliaryMNIST(Experiment):
    """Cluster by a mixture prior, with clusters that copies agree on and without, beside k-means."""

    label = "MNIST in ten clusters, found without labels"
    rows = (
        Row("one to one with digits, mean over seeds, %", "clustering_accuracy_mean"),
        Row("the same, of the run with the best held-out bound", "clustering_accuracy_by_bound", "published_vade"),
        Row("the mixture by itself (GMVAE, VaDE)", "clustering_accuracy_mean_alone"),
        Row("k-means of pixels", "clustering_accuracy_k_means"),
        Row("clothes, one to one, mean over seeds, %", "clustering_accuracy_mean_fashion", "published_vade_fashion"),
        Row("clothes, k-means of pixels", "clustering_accuracy_k_means_fashion"),
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        figures: dict[str, Any] = {"published_vade": 94.46, "published_vade_fashion": 57.8}
        every: list[Run] = []
        drawn: dict[str, Any] = {}
        for name, (recipe, count) in RUNS.items():
            ours = [_run(request, recipe, seed) for seed in range(count)]
            alone = [_run(request, recipe, seed, ALONE) for seed in range(SEEDS_ALONE)]
            figures |= _over_seeds(request, ours, name) | _over_seeds(request, alone, f"_alone{name}")
            figures[f"clustering_accuracy_k_means{name}"] = request.once(
                ours[0], "k-means", lambda run=ours[0]: _k_means(run, request.seed)
            )
            chosen = ours[figures[f"seed_by_bound{name}"]]
            drawn |= _pictures(chosen, name, request.seed)
            every += [*ours, *alone]
        return request.write(figures, drawn | {"curves": curves(every[0])}, every, _report(figures))


def _run(request: Request, recipe: str, seed: int, *overrides: str) -> Run:
    label = f"alone-{seed}" if overrides else f"{seed}"
    return request.run(recipe, label=label, overrides=[*overrides, f"--training.seed={seed}"])


def _measure(run: Run) -> dict[str, Any]:
    """Clusters of held-out items beside their classes, and the bound of other held-out items."""
    test = run.splits["test"]
    (factor,) = test.factors
    clusters = run.model.classify(test.items).argmax(1).cpu()
    history = json.loads((run.folder / "record.json").read_text())["history"]
    bound = [row["validation"] for row in history if "validation" in row][-1]
    return clustering_accuracy(clusters, torch.as_tensor(test.factors[factor]).cpu()).as_dict() | {"bound": bound}


def _over_seeds(request: Request, runs: list[Run], name: str) -> dict[str, Any]:
    found = [request.once(run, "clusters", lambda run=run: _measure(run)) for run in runs]
    best = max(range(len(found)), key=lambda seed: found[seed]["bound"])
    figures: dict[str, Any] = {
        f"clustering_accuracy_by_bound{name}": found[best]["one_to_one"],
        f"seed_by_bound{name}": best,
        f"by_seed{name}": [{key: one[key] for key in (*SCORES, "bound")} for one in found],
    }
    for key, said in SCORES.items():
        values = [one[key] for one in found]
        figures |= {f"{said}_mean{name}": mean(values), f"{said}_sd{name}": stdev(values)}
    return figures


def _k_means(run: Run, seed: int) -> float:
    """One-to-one accuracy of k-means on training pixels, the best of three, on held-out items."""
    train, test = (run.splits[part] for part in ("train", "test"))
    (factor,) = test.factors
    found = KMeans(CLUSTERS, n_init=3, random_state=seed)  # pyright: ignore[reportArgumentType]
    found.fit(train.x().flatten(1).cpu().numpy())
    clusters = found.predict(test.x().flatten(1).cpu().numpy())
    return clustering_accuracy(clusters, torch.as_tensor(test.factors[factor]).cpu()).one_to_one


def _pictures(run: Run, name: str, seed: int) -> dict[str, Any]:
    """Clusters by class (figure 4), in the order of the classes that they go with, and draws of each (figure 6)."""
    test = run.splits["test"]
    (factor,) = test.factors
    classes = len(test.values[factor])
    pairs = run.model.classify(test.items).argmax(1).cpu() * classes + torch.as_tensor(test.factors[factor]).cpu()
    counts = pairs.bincount(minlength=CLUSTERS * classes).view(CLUSTERS, classes)
    order = counts.argmax(1).argsort(stable=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        draws = [run.model.sample(n=DRAWN, code=int(code)).cpu() for code in order]
    shares = 100 * counts[order].T / counts[order].sum(1).clamp_min(1)
    label = name.replace("_", "-").strip("-") or "digits"
    return {
        f"{label}-clusters": plots.heatmap(
            shares.tolist(), test.values[factor], order.tolist(), title="items of each cluster (column), by class, %"
        ),
        f"{label}-drawn": plots.grid(torch.stack(draws), row_labels=order.tolist(), title="drawn from each cluster"),
    }


def _report(figures: dict[str, Any]) -> str:
    lines = []
    for name in RUNS:
        for label, way in (("ours", name), ("mixture by itself", f"_alone{name}")):
            lines.append(
                f"{name.strip('_') or 'digits':<8} {label:<18} {figures[f'clustering_accuracy_mean{way}']:.1f} ± "
                f"{figures[f'clustering_accuracy_sd{way}']:.1f} %, by the bound "
                f"{figures[f'clustering_accuracy_by_bound{way}']:.1f} %, NMI {figures[f'nmi_mean{way}']:.3f}"
            )
        lines.append(f"{'':<8} k-means of pixels  {figures[f'clustering_accuracy_k_means{name}']:.1f} %")
    return "\n".join(lines)
