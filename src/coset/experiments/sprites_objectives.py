"""Objectives of the literature on disentanglement on sprites, all with the same network and as many steps."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch

import coset.plots as plots
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.experiments.shared.traversing import traversals
from coset.metrics import dci, factor_vae_score, infomec, mutual_information_gap, posterior_information
from coset.runs import Run

SEEDS = (0, 1, 2, 3, 4)
"""Training seeds."""
FEWER: Mapping[str, Sequence[int]] = {"factor_vae": (0, 4)}
"""Those of a preset whose critic, five layers of 1,000 units, makes a step six times as long."""
ROWS = 3000
"""Sprites that are scored, drawn at random among all."""
POSTERIORS = 1000
"""Sprites whose posteriors make an aggregate."""

PAIRS = (
    "--sets.items=2",
    "--sets.batch=128",
    "--sets.incomplete=skip",
    "--sets.contexts=[shape, scale, orientation, x, y]",
)
ALL_BUT_ONE = (*PAIRS, "--sets.patterns=4")
"""Pairs that differ in one factor, whichever it is (Locatello et al. 2020)."""
TOLD = (*PAIRS, "--sets.patterns={shape+scale: 1}", "--objective.settings={shared: [0, 1, 2, 3, 4]}")
"""Pairs of which it is told that shape and scale are the same, for which half of the dimensions stand."""

PRESETS: Mapping[str, Sequence[str]] = {
    **{
        name.replace("-", "_"): (f"--objective.name={name}",)
        for name in (
            "vae",
            "beta-vae",
            "dip-vae-i",
            "dip-vae-ii",
            "info-vae",
            "gao",
            "achille-soatto",
            "factor-vae",
            "beta-tc",
        )
    },
    "hfvae": ("--objective.name=hfvae", "--objective.settings={groups: ['z[:5]', 'z[5:]']}"),
    "gvae": ("--objective.name=gvae", *TOLD),
    "ml_vae": ("--objective.name=ml-vae", *TOLD),
    "ada_gvae": ("--objective.name=ada-gvae", *ALL_BUT_ONE),
}
"""Name → overrides of the recipe: the settings of the papers, and none was tried besides."""

SCORES: Mapping[str, str] = {
    "mig": "MIG",
    "dci": "DCI",
    "factor_vae_score": "Factor-\nVAE",
    "infom": "InfoM",
    "infoc": "InfoC",
    "infoe": "InfoE",
}
"""Key → how it is called in the picture."""
SHOWN = ("vae", "beta_tc", "hfvae", "ada_gvae")


class SpritesObjectives(Experiment):
    """Train every preset with five seeds, or fewer, and score the codes against the factors of the sprites."""

    label = "sprites, codes against factors, 5 seeds"
    rows = tuple(
        Row(f"{score}, {name}", f"{key}_{preset}")
        for score, key in (("MIG", "mig"), ("DCI disentanglement", "dci"))
        for name, preset in (("VAE", "vae"), ("β-TC", "beta_tc"), ("HFVAE", "hfvae"), ("Ada-GVAE, pairs", "ada_gvae"))
    )

    def run(self, request: Request) -> Outcome:
        """Train, score and draw."""
        runs = {name: [_run(request, name, seed) for seed in FEWER.get(name, SEEDS)] for name in PRESETS}
        found = {
            name: [request.once(run, "scores", lambda run=run: _score(run)) for run in runs[name]] for name in runs
        }
        figures: dict[str, Any] = {}
        for name, scores in found.items():
            for score in scores[0]:
                values = [one[score] for one in scores if isinstance(one[score], float)]
                if values:
                    figures |= {f"{score}_{name}": mean(values), f"{score}_sd_{name}": stdev(values)}
                    figures[f"{score}_interval_{name}"] = _interval(values)
        figures["explained_by_objective"] = {
            score: _explained([[one[score] for one in scores] for scores in found.values()]) for score in SCORES
        }
        figures |= {"scores": found, "presets": {name: list(told) for name, told in PRESETS.items()}}
        pictures = {"curves": curves(runs["beta_tc"][0]), "scores": _scores(figures)}
        for name in SHOWN:
            pictures[f"traversals-{name.replace('_', '-')}"] = traversals(runs[name][0], found[name][0]["information"])
            pictures[f"matrix-{name.replace('_', '-')}"] = _matrix(found[name][0], runs[name][0])
        flat = [run for each in runs.values() for run in each]
        return request.write(figures, pictures, flat, _report(figures))


def _run(request: Request, name: str, seed: int) -> Run:
    return request.run(request.name, label=f"{name}-{seed}", overrides=[*PRESETS[name], f"--training.seed={seed}"])


def _score(run: Run) -> dict[str, Any]:
    """Scores of the means of posteriors, and what dimensions tell."""
    table = run.recipe.data().load()
    chosen = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))[:ROWS]
    means, deviations = (part.cpu().double().numpy() for part in run.model.posteriors(table.x(chosen)))
    factors = {name: np.asarray(codes[chosen]) for name, codes in table.factors.items()}
    taken = {"resamples": 0}
    trees = dci(means, factors, regressor="random forest", **taken)
    informed = infomec(means, factors, **taken)
    few = slice(POSTERIORS)
    told = posterior_information(means[few], deviations[few], {name: codes[few] for name, codes in factors.items()})
    return {
        "mig": mutual_information_gap(means, factors, **taken).value,
        **{"dci": trees.value, "completeness": trees.parts["completeness"]},
        "informativeness": trees.parts["informativeness"],
        "factor_vae_score": factor_vae_score(means, factors, **taken).value,
        **{name: informed.parts[name] for name in ("infom", "infoe", "infoc")},
        "total_correlation": told.total_correlation,
        "gaussian_total_correlation": told.gaussian_total_correlation,
        "gaussian_total_correlation_of_means": told.gaussian_total_correlation_of_means,
        "information": told.items,
        "information_of_factors": told.factors,
    }


def _interval(values: Sequence[float]) -> list[float]:
    """Where 95 % of the means lie of as many seeds drawn anew."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), (10_000, len(values))).mean(1)
    return [float(np.quantile(drawn, at)) for at in (0.025, 0.975)]


def _explained(values: Sequence[Sequence[float]]) -> float:
    """Share of a score's variance over runs that lies between objectives; the rest is the seed."""
    every = np.concatenate(values)
    between = sum(len(each) * (mean(each) - every.mean()) ** 2 for each in values) / len(every)
    return float(between / max(every.var(), 1e-12))


def _matrix(score: Mapping[str, Any], run: Run) -> Any:
    """What each dimension tells of each factor, in percent of the factor's entropy, that which tells most first."""
    factors = run.splits["test"].values
    told = np.asarray(score["information_of_factors"]) / np.log([len(values) for values in factors.values()])
    order = np.argsort(score["information"])[::-1]
    rows = [f"z{index}: {score['information'][index]:.1f}" for index in order]
    return plots.heatmap(
        np.maximum(0, 100 * told[order]).tolist(), rows, list(factors), "nats of a sprite; % of a factor"
    )


def _scores(figures: Mapping[str, Any]) -> Any:
    """Mean scores of all presets."""
    cells = [[100 * figures[f"{score}_{name}"] for score in SCORES] for name in PRESETS]
    return plots.heatmap(cells, [name.replace("_", "-") for name in PRESETS], [*SCORES.values()], title="score, %")


def _report(figures: Mapping[str, Any]) -> str:
    lines = [" " * 16 + "".join(score[:10].rjust(16) for score in SCORES)]
    for name in PRESETS:
        told = (f"{figures[f'{score}_{name}']:.3f} ± {figures[f'{score}_sd_{name}']:.3f}" for score in SCORES)
        lines.append(f"{name:<16}" + "".join(part.rjust(16) for part in told))
    shares = figures["explained_by_objective"]
    return "\n".join(lines) + "\nexplained by the objective: " + ", ".join(f"{k} {v:.2f}" for k, v in shares.items())
