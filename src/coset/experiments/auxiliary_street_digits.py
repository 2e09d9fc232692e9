"""What a digit is and which colours it has, in codes of their own (ICLR 2019 submission, sections 3.1 and 3.2)."""

import copy
import re
import time
from collections.abc import Mapping
from itertools import chain
from statistics import median
from typing import Any

import torch
from sklearn.cluster import KMeans
from torch import Tensor

import coset.plots as plots
from coset.batch import SetBatch
from coset.data.files import locate
from coset.data.table import FactorTable
from coset.datasets import SVHN
from coset.errors import DataFileError
from coset.experiments.shared.exchanging import (
    exchanged,
    over_seeds,
    photographs_at_hand,
    pictures,
    with_colours_of,
)
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.metrics import clustering_accuracy, load_or_train_classifier, placement
from coset.models import AuxiliaryTaskVAE
from coset.programs import Programs
from coset.runs import Run
from coset.training import default_objective, fit

SEEDS, BETAS = (0, 1, 2), (0.5, 2.0, 8.0)
CLUSTERS, DRAWN = 30, 8
PUBLISHED = {"reconstructed": 86.0, "local_resampled": 80.0, "global_resampled": 11.0, "clustering": 58.2}
"""On SVHN: figure 3, whose classifier has 95 %, and Table 1."""
PLACED = 4000
"""Items on which it is judged where a transform put things."""


class AuxiliaryStreetDigits(Experiment):
    """Exchange shapes and colours, read both, and cluster by shapes; likewise on SVHN where its files are."""

    label = "street digits, shuffled patches"
    rows = (
        Row("digit read right, reconstructed, %", "reconstructed", "published_reconstructed"),
        Row("the same, colours drawn anew", "local_resampled", "published_local_resampled"),
        Row("the same, shape drawn anew", "global_resampled", "published_global_resampled"),
        Row("hue read right, colours drawn anew, %", "hue_local_resampled"),
        Row("the same, shape drawn anew", "hue_global_resampled"),
        Row("digit of one and hue of another, both right, %", "both_taken"),
        Row("the same by matching means and deviations of channels", "both_taken_by_rule"),
        Row("30 clusters, many to one with digits, %", "clustering_accuracy", "published_clustering"),
        Row("the same without the auxiliary task", "clustering_accuracy_without_task"),
        Row("k-means of pixels, 30 clusters", "clustering_accuracy_k_means"),
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        figures: dict[str, Any] = {f"published_{name}": value for name, value in PUBLISHED.items()}
        runs = [_train(request, "", seed) for seed in SEEDS]
        data = runs[0].splits  # of all, as they take minutes to be composed
        figures |= over_seeds([request.once(run, "exchanged", lambda run=run: _measure(run, data)) for run in runs])
        swept = {1.0: runs[0]} | {beta: _train(request, "", 0, *_weighed(beta)) for beta in BETAS}
        figures["by_beta"] = [
            {"beta": beta} | request.once(run, "exchanged", lambda run=run: _measure(run, data))
            for beta, run in sorted(swept.items())
        ]
        grouped = {
            name: [_train(request, "clusters", seed, *options) for seed in seeds]
            for name, (seeds, options) in GROUPED.items()
        }
        for name, each in grouped.items():
            figures |= _over_clusters(request, each, name, data["test"])
        plain = _train(request, "vae", 0)
        figures |= request.once(plain, "k-means", lambda: _k_means(plain, data, request.seed))
        placed = {"patch-shuffle": runs[0]} | {name: _train(request, "", 0, *_by(name)) for name in ("grey", "blur")}
        figures["placement"] = {
            name: request.once(run, "placement", lambda run=run: placement(run.model, data["test"][:PLACED]).as_dict())
            for name, run in placed.items()
        }
        figures["placement"]["middle covered"] = request.once(
            runs[0], "placement-covered", lambda: placement(_covering(runs[0]), data["test"][:PLACED]).as_dict()
        )
        figures["shuffling_share"] = _shuffling(runs[0])
        house = _on_svhn(request)
        if house:
            found = over_seeds(
                [request.once(run, "exchanged", lambda run=run: _measure(run, house[0].splits)) for run in house]
            )
            figures |= {f"{name}_svhn": value for name, value in found.items()}
        drawn = pictures(runs[0], data["test"].x(), request.seed)
        drawn |= _of_clusters(grouped[""][0].model, data["test"], request.seed)
        drawn |= {"betas": _betas(figures["by_beta"]), "curves": curves(runs[0])}
        every = [*runs, *(swept[beta] for beta in BETAS), *chain(*grouped.values()), plain]
        every += [placed["grey"], placed["blur"], *house]
        lines = [f"{name:<40} {value:6.2f}" for name, value in figures.items() if isinstance(value, float)]
        return request.write(figures, drawn, every, "\n".join(lines))


GROUPED: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "": ((0, 1, 2, 3, 4), ()),
    "_without_task": (
        SEEDS[:2],
        ("--model.transform=null", "--objective.bound.discrete={cluster: enumerate, lost: sample}"),
    ),
}
"""Ours, and the same where nothing is transformed → training seeds, and what is changed."""


def _train(request: Request, part: str, seed: int, *overrides: str) -> Run:
    recipe = "-".join(filter(None, (request.name, part)))
    changed = (re.sub("[^a-z0-9.]+", "-", option.rpartition("=")[2].lower()).strip("-") for option in overrides)
    label = "-".join([*changed, f"{seed}"])
    form = f"--data.photographs={photographs_at_hand()}"
    return request.run(recipe, label=label, overrides=[form, f"--training.seed={seed}", *overrides])


def _weighed(beta: float) -> tuple[str, ...]:
    return "--schedule.class=Fixed", f"--schedule.weights={{lost: {beta}, kept: {beta}}}"


def _by(transform: str) -> tuple[str, ...]:
    return (f"--model.transform={transform}",)


def _on_svhn(request: Request) -> list[Run]:
    """Runs on SVHN, where its files are."""
    try:
        [locate(file) for file in SVHN(extra=True).files]
    except DataFileError:
        return []
    return [request.run("auxiliary-svhn", label=f"{seed}", overrides=[f"--training.seed={seed}"]) for seed in SEEDS]


def _measure(run: Run, data: Mapping[str, FactorTable]) -> dict[str, float]:
    """Percentages of held-out items, reconstructed and exchanged, of which digit and hue are read right."""
    train, test = (data[part].recode() for part in ("train", "test"))
    items = test.x()
    made = exchanged(run, items, seed=0)
    made |= {"classifier": items, "taken_by_rule": with_colours_of(items, items.roll(1, 0))}
    right: dict[str, Tensor] = {}
    for factor, prefix in (("digit", ""), ("hue", "hue_")):
        if factor in test.factors:
            reader = load_or_train_classifier(train, factor, cache=run.folder.parent / "classifiers")
            levels = torch.as_tensor(test.factors[factor]).cpu()
            for name, images in made.items():
                wanted = levels.roll(1) if prefix and name.startswith("taken") else levels
                right[prefix + name] = torch.as_tensor(reader.predict(images)).cpu() == wanted
    for name in ("taken", "taken_by_rule"):
        if f"hue_{name}" in right:
            right[f"both_{name}"] = right[name] & right[f"hue_{name}"]
    return {name: 100 * float(each.double().mean()) for name, each in right.items()}


def _over_clusters(request: Request, runs: list[Run], name: str, test: FactorTable) -> dict[str, float]:
    def measure(run: Run) -> dict[str, float]:
        clusters = run.model.classify(test.items).argmax(1).cpu()
        found = clustering_accuracy(clusters, torch.as_tensor(test.factors["digit"]).cpu())
        beside = clustering_accuracy(clusters, torch.as_tensor(test.factors["neighbours"]).cpu())
        return {
            "clustering_accuracy": found.many_to_one,
            "clustering_one_to_one": found.one_to_one,
            "clustering_nmi": found.nmi,
            "clustering_ari": found.ari,
            "neighbours_nmi": beside.nmi,
        }

    found = over_seeds([request.once(run, "clusters", lambda run=run: measure(run)) for run in runs])
    return {f"{figure}{name}": value for figure, value in found.items()}


def _k_means(run: Run, data: Mapping[str, FactorTable], seed: int) -> dict[str, float]:
    """Many-to-one accuracy of k-means on pixels, and on what a VAE makes of them."""
    train, test = data["train"], data["test"]
    digits = torch.as_tensor(test.factors["digit"]).cpu()
    figures = {}
    for name, read in (("", lambda x: x.flatten(1)), ("_vae", run.model.embed)):
        learn, judge = (read(table.x()).cpu().numpy() for table in (train, test))
        found = KMeans(CLUSTERS, random_state=seed).fit(learn)
        figures[f"clustering_accuracy_k_means{name}"] = clustering_accuracy(found.predict(judge), digits).many_to_one
    return figures


def cover_middle(x: Tensor) -> Tensor:
    """Images `[n, C, 32, 32]` without the digit in the middle, in the mean colour of what is around it."""
    covered = x.clone()
    covered[..., 3:29, 7:25] = torch.cat([x[..., :7], x[..., 25:]], -1).mean((2, 3), keepdim=True)
    return covered


def _covering(run: Run) -> AuxiliaryTaskVAE:
    """A model like that of a run, with a transform of the user's own."""
    options = {name: value for name, value in run.recipe.sections["model"].items() if name != "class"}
    train = run.splits["train"]
    torch.manual_seed(0)
    model = AuxiliaryTaskVAE.for_data(train, **options | {"transform": cover_middle})
    fit(model, train, sets=run.recipe.sections["sets"], **run.recipe.sections["training"])
    return model


def _shuffling(run: Run) -> float:
    """Time of a step of training that goes into shuffling patches, in percent: medians, one beside the other."""
    model = copy.deepcopy(run.model).train()
    flat = run.splits["test"].x()[: run.recipe.sections["sets"]["batch"]]
    batch = SetBatch(flat.unsqueeze(1)).to(model.device)
    objective = default_objective(model)
    taken: dict[str, list[float]] = {"shuffling": [], "step": []}
    for _ in range(9):
        for name, work in (
            ("shuffling", lambda: model.transform(flat)),
            ("step", lambda: objective(Programs(model, batch)).value.mean().backward()),
        ):
            started = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - started)
    return 100 * median(taken["shuffling"]) / median(taken["step"])


def _betas(by_beta: list[dict[str, float]]) -> Any:
    """Figure 3: what is read right, over β."""
    places = [one["beta"] for one in by_beta]
    names = ("reconstructed", "local_resampled", "global_resampled", "hue_local_resampled", "hue_global_resampled")
    return plots.lines(
        {name.replace("_", " "): (places, [one[name] for one in by_beta], None) for name in names}, "β", "read right, %"
    )


def _of_clusters(model: Any, test: FactorTable, seed: int) -> dict[str, Any]:
    """Clusters by digit and by neighbours (figure 4), and draws of some in colours of one item or more (5, 6)."""
    clusters = model.classify(test.items).argmax(1).cpu()
    drawn: dict[str, Any] = {}
    shares: dict[str, Tensor] = {}
    for factor in ("digit", "neighbours"):
        count = len(test.values[factor])
        pairs = clusters * count + torch.as_tensor(test.factors[factor]).cpu()
        counts = pairs.bincount(minlength=CLUSTERS * count).view(CLUSTERS, count)
        shares[factor] = 100 * counts / counts.sum(1, keepdim=True).clamp_min(1)
    order = shares["digit"].argmax(1).argsort(stable=True)
    for factor, of_factor in shares.items():
        drawn[f"clusters-{factor}"] = plots.heatmap(
            of_factor[order].T.tolist(),
            test.values[factor],
            order.tolist(),
            title=f"{factor} of items in a cluster, %",
        )

    def draw(code: int, kept: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # the same draws in every row
            return model.compose(kept=kept, code=code).cpu()

    items = test.x()[:DRAWN]
    crowded = shares["neighbours"][:, test.values["neighbours"].index("both")]
    alone = shares["neighbours"][:, test.values["neighbours"].index("neither")]
    pair = [int(share.argmax()) for share in (alone, crowded)]
    panels = [draw(code, items[:1].expand(DRAWN**2, -1, -1, -1)).unflatten(0, (DRAWN, DRAWN)) for code in pair]
    drawn["neighbours"] = plots.side_by_side(panels, ["most often alone", "most often with both neighbours"])
    chosen = [int(code) for code in order[:: CLUSTERS // 6][:6]]
    rows = items[: DRAWN // 2].split(1)
    panels = [torch.stack([draw(code, row.expand(DRAWN, -1, -1, -1)) for row in rows]) for code in chosen]
    drawn["drawn"] = plots.side_by_side(panels, [f"cluster {code}" for code in chosen])
    return drawn
