"""Small digits at four angles, ten of forty combinations never seen."""

from coset.experiments.shared.outcome import Experiment, Outcome, Request
from coset.experiments.shared.unseen import UNSEEN, unseen_rotated


class UnseenRotatedDigits(Experiment):
    """Compose each of scikit-learn's digits at the angle that it was never seen at."""

    label = "digits at 4 angles, 10 of 40 combinations unseen"
    rows = UNSEEN

    def run(self, request: Request) -> Outcome:
        """Train, choose, measure and draw."""
        return unseen_rotated(request, steps=300)
