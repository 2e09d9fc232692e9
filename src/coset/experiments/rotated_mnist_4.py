"""Rotated MNIST with 4 angles (2018, Table 1 and figures 2 and 3)."""

from coset.experiments.shared.composition import COMPOSITION, DIVERSITY, rotated_mnist
from coset.experiments.shared.outcome import Experiment, Outcome, Request


class RotatedMNIST4(Experiment):
    """Compose every digit with each of 4 angles, over three training seeds, beside the papers' design."""

    aliases = ("table1", "paper-figure-2", "paper-figure-3")
    label = "rotated MNIST, 4 angles"
    rows = (*COMPOSITION, *DIVERSITY)

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        return rotated_mnist(request, seeds=(0, 1, 2))
