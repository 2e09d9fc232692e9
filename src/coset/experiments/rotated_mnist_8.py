"""Rotated MNIST with 8 angles (thesis 6.4.2, figures 6.5-6.7)."""

from coset.experiments.shared.composition import COMPOSITION, rotated_mnist
from coset.experiments.shared.outcome import Experiment, Outcome, Request


class RotatedMNIST8(Experiment):
    """Compose every digit with each of 8 angles, beside the papers' design."""

    aliases = ("thesis-figure-6.5", "thesis-figure-6.6", "thesis-figure-6.7")
    label = "rotated MNIST, 8 angles"
    rows = COMPOSITION

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        return rotated_mnist(request)
