"""MNIST at four angles, ten of forty combinations never seen."""

from coset.experiments.shared.outcome import Experiment, Outcome, Request
from coset.experiments.shared.unseen import UNSEEN, unseen_rotated


class UnseenRotatedMNIST(Experiment):
    """Compose each digit of MNIST at the angle that it was never seen at."""

    label = "rotated MNIST, 10 of 40 combinations unseen"
    rows = UNSEEN

    def run(self, request: Request) -> Outcome:
        """Train, choose, measure and draw."""
        return unseen_rotated(request, steps=600, choosing=1)  # three candidates take half an hour
