"""Training throughput and bound of a VAE on MNIST, beside the trainer of a public library.

    git clone https://github.com/clementchadebec/benchmark_VAE PEER
    pip install pydantic imageio
    COSET_DATA=… python benchmarks/autoencoder.py --peer PEER

Both train the same network with the same batches' size, optimiser and number of passes over the same images, by the way
that each library documents: `BaseTrainer.train` there, `coset.fit` here, without checkpoints in between. Two things
favour us: the peer's Adam is not fused, and it saves its model after each pass. So the peer is timed as it comes, and
with both taken away, which is what `ratio` compares. Passes alternate, so that whatever else the machine does slows
all. Nothing in the peer is changed.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from operations import beside_peer, operations

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


def a_pass(pythae: Any, model: Any, images: torch.Tensor, as_it_comes: bool = False) -> None:
    """One pass of the peer's trainer, with fused Adam and without saving, or as it comes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        config = pythae.trainers.BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1,
            learning_rate=1e-3,
            optimizer_params={} if as_it_comes else {"fused": True},
            per_device_train_batch_size=BATCH,
            no_cuda=True,
        )
        data = pythae.data.datasets.BaseDataset(images, torch.zeros(len(images)))
        trainer = pythae.trainers.BaseTrainer(model=model, train_dataset=data, training_config=config)
        if not as_it_comes:
            trainer.save_model = lambda *_, **__: None
        trainer.train()


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
    config = pythae.models.VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    theirs, same = pythae.models.VAE(config), pythae.models.VAE(config)
    ours = VAE((28, 28), z_dim=LATENT, architecture="plain", features=HIDDEN, channels=[], norm="none")
    images = train.x().unsqueeze(1)
    settings: dict[str, Any] = {
        "epochs": 1,
        "sets": {"batch": BATCH},
        "learning_rate": 1e-3,
        "learning_rate_schedule": "constant",
        "enable_progress_bar": False,
    }
    passes = {
        "peer": partial(a_pass, pythae, theirs, images),
        "peer_as_it_comes": partial(a_pass, pythae, same, images, as_it_comes=True),
        "ours": partial(fit, ours, train, **settings),
    }
    flop, seconds = {who: operations(run) for who, run in passes.items()}, dict.fromkeys(passes, 0.0)
    for index in range(1, options.passes):
        for who, run in passes.items():
            started = time.perf_counter()
            run(seed=index) if who == "ours" else run()
            seconds[who] += time.perf_counter() - started
    x = test.x()
    with torch.no_grad():
        theirs.eval()
        their_bound = -float(theirs({"data": x.unsqueeze(1)}).loss)
    count = options.images * (options.passes - 1)
    figures = {
        "items_per_second_peer": count / seconds["peer"],
        "items_per_second_ours": count / seconds["ours"],
        "ratio_as_it_comes": seconds["peer_as_it_comes"] / seconds["ours"],
        **beside_peer(seconds, {who: (options.passes - 1) * count for who, count in flop.items()}),
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
