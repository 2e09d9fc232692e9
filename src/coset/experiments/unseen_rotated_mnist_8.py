"""MNIST at eight angles, twenty of eighty combinations never seen."""

from coset.experiments.shared.outcome import Experiment, Outcome, Request
from coset.experiments.shared.unseen import TOLD, unseen_told


class UnseenRotatedMNIST8(Experiment):
    """Compose each digit of MNIST at the two angles that it was never seen at, where the eight angles are told."""

    label = "rotated MNIST, 20 of 80 combinations unseen"
    rows = TOLD

    def run(self, request: Request) -> Outcome:
        """Train, measure and draw."""
        return unseen_told(request)
