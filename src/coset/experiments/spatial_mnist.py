"""Spatial MNIST: digits as sets of points, sampled and summarised (Edwards & Storkey 2016, section 5.2)."""

import torch
from sklearn.neighbors import KNeighborsClassifier

import coset.plots as plots
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.metrics import mean_and_error
from coset.objectives.elbo import elbo

SETS, KEPT = 12, 6
TRAINING_SETS, TEST_SETS = 4000, 1000


class SpatialDigits(Experiment):
    """Sets of 50 points, new points given each, and the six points that say the most of it.

    The digit is named by the five nearest contexts of training images, which learned without it.
    """

    label = "MNIST as sets of 50 points"
    rows = (
        Row("bound of a point, nats", "bound_per_point"),
        Row("digit named by the nearest contexts, learned without it, %", "digit_accuracy"),
    )

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        first = request.run(request.name)
        run = request.run("spatial-mnist-long", start=first)
        model = run.model
        known, batch = (
            run.splits[part].sets(["image"], items=None, batch=count, seed=request.seed).draw(0).to(model.device)
            for part, count in (("train", TRAINING_SETS), ("test", TEST_SETS))
        )
        torch.manual_seed(request.seed)
        with torch.no_grad():
            terms = elbo(*model.trace(batch))
        bound, error = mean_and_error(terms.value / batch.shape[1])
        (codes, digits), (unseen, named) = (
            (model.embed_sets(sets.x).cpu(), sets.factors["digit"][:, 0].cpu()) for sets in (known, batch)
        )
        shown = batch.x[:SETS]
        chosen = model.summarise(shown, keep=KEPT)
        summary = torch.stack([part[rows] for part, rows in zip(shown, chosen, strict=True)])
        generator = torch.Generator(shown.device).manual_seed(request.seed)
        any_six = torch.randint(shown.shape[1], (SETS, KEPT), generator=generator, device=shown.device)
        random = torch.stack([part[rows] for part, rows in zip(shown, any_six, strict=True)])
        whole = model.embed_sets(shown)
        figures = {
            "bound_per_point": bound,
            "bound_standard_error": error,
            "context_nats": float(terms.terms["context"].mean()),
            "digit_accuracy": 100 * float(KNeighborsClassifier(5).fit(codes, digits).score(unseen, named)),
            "context_distance_of_summary": float((model.embed_sets(summary) - whole).norm(dim=-1).mean()),
            "context_distance_of_random_points": float((model.embed_sets(random) - whole).norm(dim=-1).mean()),
        }
        rows = {
            "set of 50": shown.cpu(),
            "given the set": model.condition(shown, n=50, draw=True).cpu(),
            f"summary of {KEPT}": summary.cpu(),
            f"given the {KEPT}": model.condition(summary, n=50, draw=True).cpu(),
        }
        pictures = {"sampled": plots.points(rows), "curves": curves(run), "first-curves": curves(first)}
        report = "\n".join(f"{key}: {value:.3f}" for key, value in figures.items())
        return request.write(figures, pictures, [first, run], report)
