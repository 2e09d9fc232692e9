"""Training throughput and bound of a VAE on MNIST, beside the trainer of a public library.

    git clone https://github.com/clementchadebec/benchmark_VAE PEER
    pip install pydantic imageio
    COSET_DATA=… python benchmarks/autoencoder.py --peer PEER

Both train the same network with the same batches' size, optimiser and number of passes over the same images, by the way
that each library documents: `BaseTrainer.train` there, `coset.fit` here, without checkpoints in between. Passes of the
two alternate, so that whatever else the machine does slows both. Nothing in the peer is changed.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from coset.datasets.mnist import MNIST
from coset.metrics import log_likelihood
from coset.models import VAE
from coset.training import fit

HIDDEN, LATENT, BATCH = 512, 16, 100


def load_peer(folder: Path) -> Any:
    """The peer's modules, models and trainers."""
    if not (folder / "src" / "pythae").is_dir():
        sys.exit(f"{folder}/src/pythae: not there; --peer takes a checkout of clementchadebec/benchmark_VAE")
    sys.path.insert(0, str(folder / "src"))
    import pythae.models  # pyright: ignore[reportMissingImports]
    import pythae.trainers  # pyright: ignore[reportMissingImports]

    logging.getLogger("pythae").setLevel(logging.ERROR)
    return pythae


def main() -> None:
    """Train both for some passes, and compare seconds and the bound on test images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True, help="checkout of clementchadebec/benchmark_VAE")
    parser.add_argument("--images", type=int, default=20_000, help="images of a pass")
    parser.add_argument("--passes", type=int, default=3, help="passes of each; the first warms up and is not timed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    pythae = load_peer(options.peer)
    train, test = MNIST().load()
    train, test = train[torch.arange(options.images)], test[torch.arange(2000)]
    torch.manual_seed(0)
    theirs = pythae.models.VAE(
        pythae.models.VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    )
    ours = VAE((28, 28), z_dim=LATENT, architecture="plain", features=HIDDEN, channels=[], norm="none")
    images = train.x().unsqueeze(1)
    seconds = {"peer": 0.0, "ours": 0.0}
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        for index in range(options.passes):
            started = time.perf_counter()
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                config = pythae.trainers.BaseTrainerConfig(
                    output_dir=folder, num_epochs=1, learning_rate=1e-3, per_device_train_batch_size=BATCH, no_cuda=True
                )
                data = pythae.data.datasets.BaseDataset(images, torch.zeros(len(images)))
                pythae.trainers.BaseTrainer(model=theirs, train_dataset=data, training_config=config).train()
            between = time.perf_counter()
            fit(
                ours,
                train,
                epochs=1,
                seed=index,
                sets={"batch": BATCH},
                learning_rate=1e-3,
                learning_rate_schedule="constant",
                enable_progress_bar=False,
            )
            if index:
                seconds["peer"] += between - started
                seconds["ours"] += time.perf_counter() - between
    x = test.x()
    with torch.no_grad():
        theirs.eval()
        their_bound = -float(theirs({"data": x.unsqueeze(1)}).loss)
    count = options.images * (options.passes - 1)
    figures = {
        "items_per_second_peer": count / seconds["peer"],
        "items_per_second_ours": count / seconds["ours"],
        "ratio": seconds["peer"] / seconds["ours"],
        "bound_peer": their_bound,
        "bound_ours": float(log_likelihood(ours, x, 1).mean()),
        "parameters_peer": sum(part.numel() for part in theirs.parameters()),
        "parameters_ours": sum(part.numel() for part in ours.parameters()),
    }
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<24} {value:.4f}")


if __name__ == "__main__":
    main()
