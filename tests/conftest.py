from collections.abc import Iterator

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def repeatable() -> None:
    """Every test starts from the same seeds, on one thread: networks here are small, and a busy machine stays quick."""
    torch.manual_seed(0)
    np.random.seed(0)  # scikit-learn draws from it where no random_state is given
    torch.set_num_threads(1)


@pytest.fixture
def double() -> Iterator[None]:
    """Float64 by default within one test: identities are checked to rounding error, not to a tolerance."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def hasty_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classifiers that have hardly been trained, where only the way to the figures is tested."""
    import coset.reproduce.composition as home
    from coset.metrics import train_classifier

    def train(table, factor, **options):
        return train_classifier(table, factor, steps=3)

    monkeypatch.setattr(home, "load_or_train_classifier", train)
