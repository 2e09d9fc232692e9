"""What weighing the total correlation costs: beside the plain bound, and beside the objectives of a public library.

    python benchmarks/total_correlation.py
    git clone https://github.com/clementchadebec/benchmark_VAE PEER
    pip install pydantic imageio
    python benchmarks/total_correlation.py --peer PEER

First, a step of training by β-TC beside a step by the bound, 256 pictures of 64 × 64 and 64 latent dimensions, in
turns, with convolutions. With a peer, whole passes of `fit` beside passes of its trainers, of the same fully connected
networks (ours, given to both), over the same pictures: β-TC by pairs of items, and FactorVAE by a critic of the same
size. Nothing in the peer is changed; Adam is fused for both, and the peer's model is not saved after a pass. Its
FactorVAE takes the bound of half of each batch, and only the codes of the other half, for its critic; ours takes the
bound of all of it, and shuffles the same codes. So a ratio is also given for the same operations.
"""

import argparse
import contextlib
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from operations import beside_peer, operations
from torch import nn

from coset.batch import SetBatch
from coset.datasets import Sprites
from coset.models import VAE
from coset.objectives import Preset
from coset.objectives.base import parts
from coset.programs import Programs
from coset.training import fit

BATCH, LATENT = 256, 64
CRITIC = {"units": 1000, "layers": 5}
QUIET: dict[str, Any] = {
    "sets": {"batch": BATCH},
    "enable_progress_bar": False,
    "learning_rate_schedule": "constant",
}


def build(architecture: Any = "convolutional") -> VAE:
    """A VAE of 64 × 64 pictures."""
    torch.manual_seed(0)
    plain = {"features": 512, "channels": [], "norm": "none"} if architecture == "plain" else {}
    return VAE((64, 64), z_dim=LATENT, architecture=architecture, **plain)


def step(objective: Any, images: torch.Tensor) -> Callable[[], None]:
    """One step of training, ready to be called again."""
    model = build()
    for part in parts(objective, "bind"):
        part.bind(model, len(images))
    optimizer = torch.optim.Adam(model.parameters())

    def run() -> None:
        x = images[torch.randint(len(images), (BATCH,))].unsqueeze(1)
        optimizer.zero_grad()
        (-objective(Programs(model, SetBatch(x))).weighted(objective.schedule(None)).mean()).backward()
        optimizer.step()

    return run


def in_turns(runs: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each, taken in turns so that whatever else the machine does slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(rounds + 2):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if index > 1:  # the first two warm up
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(found) for name, found in seconds.items()}


def load_peer(folder: Path) -> Any:
    """The peer's modules, models and trainers."""
    source = folder / "src" if (folder / "src").is_dir() else folder
    if not (source / "pythae").is_dir():
        sys.exit(f"{source}/pythae: not there; --peer takes a checkout of clementchadebec/benchmark_VAE")
    sys.path.insert(0, str(source))
    import pythae.models  # pyright: ignore[reportMissingImports]
    import pythae.trainers  # pyright: ignore[reportMissingImports]

    logging.getLogger("pythae").setLevel(logging.ERROR)
    return pythae


def their_model(pythae: Any, name: str) -> Any:
    """The peer's model around our networks."""
    from pythae.models.base.base_utils import ModelOutput  # pyright: ignore[reportMissingImports]
    from pythae.models.nn import BaseDecoder, BaseEncoder  # pyright: ignore[reportMissingImports]

    ours = build("plain")

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.network, self.head = ours.encoder, nn.Linear(ours.encoder.features, 2 * LATENT)

        def forward(self, x: torch.Tensor) -> Any:
            mean, log_variance = self.head(self.network(x)[:, 0]).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.network = ours.decoder

        def forward(self, z: torch.Tensor) -> Any:
            return ModelOutput(reconstruction=self.network(z.unsqueeze(1)).sigmoid())

    options = {"input_dim": (1, 64, 64), "latent_dim": LATENT, "reconstruction_loss": "bce"}
    if name == "factor-vae":  # whose critic has five layers of 1,000 units
        config = pythae.models.FactorVAEConfig(**options)
        return pythae.models.FactorVAE(config, encoder=Encoder(), decoder=Decoder())
    config = pythae.models.BetaTCVAEConfig(**options)
    return pythae.models.BetaTCVAE(config, encoder=Encoder(), decoder=Decoder())


def a_pass(pythae: Any, name: str, theirs: Any, images: torch.Tensor) -> None:
    """One pass of the peer's trainer."""
    adversarial, fused = name == "factor-vae", {"fused": True}
    kind = "AdversarialTrainer" if adversarial else "BaseTrainer"
    which = ("autoencoder_optimizer_params", "discriminator_optimizer_params") if adversarial else ("optimizer_params",)
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        settings = {"output_dir": folder, "num_epochs": 1, "per_device_train_batch_size": BATCH, "no_cuda": True}
        config = getattr(pythae.trainers, f"{kind}Config")(**settings, **dict.fromkeys(which, fused))
        data = pythae.data.datasets.BaseDataset(images, torch.zeros(len(images)))
        trainer = getattr(pythae.trainers, kind)(model=theirs, train_dataset=data, training_config=config)
        trainer.save_model = lambda *_, **__: None
        trainer.train()


def main() -> None:
    """Time steps, and whole passes beside the peer's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, help="checkout of clementchadebec/benchmark_VAE")
    parser.add_argument("--rounds", type=int, default=10, help="steps of each that are timed")
    parser.add_argument("--passes", type=int, default=3, help="passes of each beside the peer that are timed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    table = Sprites(side=64).load()
    images = table.x()
    runs = {name: step(Preset(name), images) for name in ("vae", "beta-tc")}
    seconds = in_turns(runs, options.rounds)
    figures = {f"seconds a step, {name}": value for name, value in seconds.items()}
    figures["ratio, β-TC over VAE"] = seconds["beta-tc"] / seconds["vae"]
    if options.peer:
        pythae = load_peer(options.peer)
        for name in ("beta-tc", "factor-vae"):
            theirs, model = their_model(pythae, name), build("plain")
            objective = Preset(name, CRITIC if name == "factor-vae" else {})
            both = {
                "peer": partial(a_pass, pythae, name, theirs, images.unsqueeze(1)),
                "ours": partial(fit, model, table, epochs=1, objective=objective, **QUIET),
            }
            flop, found = {who: operations(run) for who, run in both.items()}, in_turns(both, options.passes)
            figures |= {f"pictures a second, {name}, {who}": len(table) / value for who, value in found.items()}
            figures |= {f"{name}, {key}": value for key, value in beside_peer(found, flop).items()}
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<64} {value:.3f}")


if __name__ == "__main__":
    main()
