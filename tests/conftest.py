import os
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
import torch

collect_ignore = [] if shutil.which("chromium") and shutil.which("chromedriver") else ["test_page.py"]
"""What a machine without a browser cannot show; `make test-page` says what that takes."""


@pytest.fixture(autouse=True)
def repeatable() -> Iterator[None]:
    """Start every test from the same seeds, in float64, so that identities hold to rounding error on any processor.

    One thread: networks here are small, and a busy machine stays quick. `COSET_TEST_THREADS` asks for more.
    """
    torch.manual_seed(0)
    np.random.seed(0)  # scikit-learn draws from it where no random_state is given
    torch.set_num_threads(int(os.environ.get("COSET_TEST_THREADS", "1")))
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def single(repeatable: None) -> None:
    """Float32 by default within one test, as users have it; what it computes is compared with float32's tolerance."""
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def hasty_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classifiers that have hardly been trained, where only the way to the figures is tested."""
    import coset.experiments.shared.composition as home
    from coset.metrics import train_classifier

    def train(table, factor, **options):
        return train_classifier(table, factor, steps=3)

    monkeypatch.setattr(home, "load_or_train_classifier", train)
