"""A plane of digits: a VAE of MNIST with two latent dimensions."""

import torch

import coset.plots as plots
from coset.experiments.shared.binary import fixed_sample
from coset.experiments.shared.outcome import Experiment, Outcome, Request, Row, curves
from coset.metrics import log_likelihood, mean_and_error


class MNISTPlane(Experiment):
    """A VAE with two latent dimensions: thesis section 4.4, figure 4.3."""

    aliases = ("thesis-figure-4.3",)
    label = "MNIST, 2 latent dimensions"
    rows = (Row("bound of test items, nats", "bound"),)

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        run = request.run(request.name)
        test = run.splits["test"]
        codes = run.model.embed(test.x()).cpu()
        digits = test.column("digit")
        axis = torch.linspace(-2.5, 2.5, 15)
        places = torch.cartesian_prod(-axis, axis).flip(1)  # rows from top to bottom, columns from left to right
        images = run.model.decode_codes(places).cpu().unflatten(0, (15, 15))
        bound, error = mean_and_error(log_likelihood(run.model, fixed_sample(test.x()), 1, seed=request.seed))
        figures = {"bound": bound, "bound_standard_error": error, "code_mean_square": float(codes.square().mean())}
        pictures = {"embedded": plots.embedding(codes, digits), "grid": images, "curves": curves(run)}
        return request.write(figures, pictures, [run], f"bound of test items: {bound:.1f} ± {error:.1f} nats")
