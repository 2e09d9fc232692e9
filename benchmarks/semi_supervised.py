"""Training throughput and error of a semi-supervised VAE on MNIST with 3,000 labels, beside an example of Pyro.

    git clone https://github.com/pyro-ppl/pyro PEER
    pip install --target SITE --no-deps pyro-api opt_einsum
    COSET_DATA=… python benchmarks/semi_supervised.py --peer PEER --site SITE

The peer is `examples/vae/ss_vae_M2.py` with the options of its example run, but Adam's usual β1 of 0.9: the class
enumerated in parallel, the auxiliary classification loss, hidden layers of 500 units, batches of 200 of which every
sixteenth is supervised while labels last. Its networks, objectives, loaders and loop over batches are its own; modules
that it imports and that something else stands in for are listed in CHANGES, and printed. Ours is `ClassStyle`, trained
by `fit` on the same images, intensities and labels, with the same size of batches, optimiser, share of supervised items
and weight of the classification term; its ReLU are exchanged for the peer's softplus.

Every network of both has one hidden layer, and distributions are not validated in either, as Pyro does by default.
What remains different:

- The peer has a second encoder for the style, of image and class, and passes each image through it once for every
  class; ours reads class and style from the features of one encoder. To take no advantage of that, our hidden layers
  are wider, so that a block costs no fewer operations, forwards and backwards (`--features`).
- The peer's batches are supervised or not, and it makes a second step with each of them for the auxiliary loss; ours
  are all mixed, of the same share of supervised items, and each makes one step.
- The peer's unsupervised items are those without a label, ours are all, with their labels hidden.
- Pyro's Adam steps each parameter on its own, ours is fused; first weights are drawn as each library draws them.

An item counts whenever it is in a batch, supervised or not, and once for both steps of the peer. Blocks of 50 batches
alternate within one call of `fit`, so that whatever else the machine does slows both; medians of blocks are compared,
of the time that went by and of the time that the processor spent.
"""

import argparse
import json
import sys
import time
import types
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch.callbacks import Callback
from operations import beside_peer, operations
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from coset.data import FactorTable, SetBatch
from coset.datasets.mnist import MNIST
from coset.models import ClassStyle
from coset.objectives import Classified
from coset.programs import Programs
from coset.training import fit

LABELS, BATCH, STYLE, HIDDEN = 3000, 200, 50, 500
RATE, WEIGHT = 0.00042, 46.0
BATCHES, SUPERVISED, PERIOD = 50, 3, 16  # of a block, supervised ones among them, and how far those are apart

CHANGES = (
    ("torchvision", "its data set MNIST holds the images of COSET_DATA; nothing else of it is used"),
    ("visdom", "empty; it draws plots after training"),
)


def load_peer(folder: Path, site: Path | None) -> tuple[Any, Any]:
    """Pyro and the module of the example, with stand-ins for what CHANGES names."""
    if not (folder / "examples" / "vae" / "ss_vae_M2.py").is_file():
        sys.exit(f"{folder}/examples/vae/ss_vae_M2.py: not there; --peer takes a checkout of pyro-ppl/pyro")
    parts = dict(zip((True, False), MNIST().load(), strict=True))

    class Images:
        mirrors: ClassVar[list[str]] = []

        def __init__(self, root: str, train: bool, download: bool):
            self.data, self.targets = parts[train].items, parts[train].factors["digit"]

        def __len__(self) -> int:
            return len(self.data)

    stand_in("torchvision.datasets", MNIST=Images)
    stand_in("torchvision", datasets=sys.modules["torchvision.datasets"], transforms=None)
    stand_in("visdom", Visdom=None)
    sys.path[:0] = [str(folder), str(folder / "examples" / "vae")]
    if site is not None:
        sys.path.append(str(site))  # behind everything else, for it may hold older versions of what both use
    import pyro  # pyright: ignore[reportMissingImports]
    import ss_vae_M2  # pyright: ignore[reportMissingImports]

    return pyro, ss_vae_M2


def stand_in(name: str, **content: Any) -> None:
    """Make a module that holds nothing else."""
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(content)


class Endless:
    """A loader's batches, a given number at a time, over and over."""

    def __init__(self, loader: Any, count: int):
        self.loader, self.count, self.rest = loader, count, self.batches()

    def batches(self) -> Iterator[Any]:
        """All that will ever be drawn."""
        while True:
            yield from self.loader

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        return islice(self.rest, self.count)


class Alternate(Callback):
    """A block of the peer's before each epoch of ours, and what both took: seconds, and seconds of the processor.

    The operations of the first blocks, which warm up, are counted.
    """

    def __init__(self, block: Callable[[], Any]):
        self.block, self.started = block, clocks()
        self.theirs: list[Tensor] = []
        self.ours: list[Tensor] = []
        self.flop: dict[str, float] = {}
        self.counter = FlopCounterMode(display=False)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Stop our clocks, which also count what lies between epochs; run the peer's block."""
        now = clocks()
        if not self.theirs:
            self.flop["peer"] = operations(self.block)
            self.counter.__enter__()
            self.started = clocks()
            self.theirs.append(self.started - now)
            return
        if not self.ours:
            self.counter.__exit__(None, None, None)
            self.flop["ours"] = self.counter.get_total_flops()
        self.ours.append(now - self.started)
        self.block()
        self.started = clocks()
        self.theirs.append(self.started - now)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop our clocks for the last time."""
        self.ours.append(clocks() - self.started)


def clocks() -> Tensor:
    """Seconds gone by, and seconds that a processor worked for this process; they differ on a busy machine."""
    return torch.tensor([time.perf_counter(), time.process_time()], dtype=torch.float64)


def use_softplus(model: nn.Module) -> None:
    """Exchange every ReLU."""
    for part in list(model.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.ReLU):
                setattr(part, name, nn.Softplus())


def main() -> None:
    """Train both for some blocks, and compare seconds, the error and the bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True, help="checkout of pyro-ppl/pyro")
    parser.add_argument("--site", type=Path, help="folder with what Pyro imports, where it is not installed")
    parser.add_argument("--blocks", type=int, default=5, help="blocks of each; the first warms up and is not timed")
    parser.add_argument("--features", type=int, default=728, help="units of our hidden layers; the peer's are 500")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.blocks < 2:
        parser.error("--blocks: at least 2, of which the second is timed")
    pyro, example = load_peer(options.peer, options.site)
    pyro.enable_validation(False)
    pyro.set_rng_seed(0)
    loaders = example.setup_data_loaders(example.MNISTCached, False, BATCH, sup_num=LABELS, root="")
    theirs = example.SSVAE(z_dim=STYLE, hidden_layers=[HIDDEN], config_enum="parallel", aux_loss_multiplier=WEIGHT)
    optimizer = pyro.optim.Adam({"lr": RATE, "betas": (0.9, 0.999)})
    guide = pyro.infer.config_enumerate(theirs.guide, "parallel", expand=True)
    their_elbo = pyro.infer.TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False)
    losses = [
        pyro.infer.SVI(theirs.model, guide, optimizer, loss=their_elbo),
        pyro.infer.SVI(theirs.model_classify, theirs.guide_classify, optimizer, loss=pyro.infer.Trace_ELBO()),
    ]
    batches = {"sup": Endless(loaders["sup"], SUPERVISED), "unsup": Endless(loaders["unsup"], BATCHES - SUPERVISED)}
    block = Alternate(lambda: example.run_inference_for_epoch(batches, losses, PERIOD))

    data = example.MNISTCached  # holds what the loaders show: the same images are labelled for both
    images = torch.cat([data.train_data_sup, data.train_data_unsup]).unflatten(1, (28, 28))
    digits = [*data.train_labels_sup.argmax(1).tolist(), *[None] * len(data.train_data_unsup)]
    table = FactorTable(images, digit=digits)
    ours = ClassStyle(
        (28, 28),
        classes=10,
        label="digit",
        style_dim=STYLE,
        features=options.features,
        architecture="plain",
        channels=[],
        norm="none",
    )
    use_softplus(ours)
    objective = Classified(weight=WEIGHT, discrete={"class": "enumerate"})
    fit(
        ours,
        table,
        epochs=options.blocks,
        sets={
            "items": 1,
            "batch": BATCH,
            "batches": BATCHES,
            "supervision": {"factors": ["digit"], "rate": SUPERVISED / BATCHES, "mixed": True},
        },
        objective=objective,
        learning_rate=RATE,
        learning_rate_schedule="constant",
        enable_progress_bar=False,
        callbacks=[block],
    )

    unseen = {"validation": loaders["valid"].dataset, "test": loaders["test"].dataset}
    x = unseen["test"].data[:1000]
    programs = Programs(ours, SetBatch(x.unflatten(1, (28, 28)).unsqueeze(1)))  # [B, 1, 28, 28]
    with torch.no_grad():
        bounds = -their_elbo.loss(theirs.model, guide, x) / len(x), float(objective(programs).value.mean())
    items = BATCHES * BATCH
    their_seconds, our_seconds = (
        torch.stack(each[1:]).quantile(0.5, 0).tolist() for each in (block.theirs, block.ours)
    )
    figures = {
        "items_of_each": items * options.blocks,
        "items_per_second_peer": items / their_seconds[0],
        "items_per_second_ours": items / our_seconds[0],
        **beside_peer({"peer": their_seconds[0], "ours": our_seconds[0]}, block.flop),
        "ratio_of_processor_time": their_seconds[1] / our_seconds[1],
    }
    for name, part in unseen.items():
        codes = part.targets.argmax(1)
        guesses = theirs.classifier(part.data).argmax(1), ours.classify(part.data.unflatten(1, (28, 28))).argmax(1)
        for whose, guess in zip(("peer", "ours"), guesses, strict=True):
            figures[f"{name}_error_{whose}"] = float((guess != codes).double().mean())
    for name, pair in {
        "bound": bounds,
        "parameters": [sum(part.numel() for part in model.parameters()) for model in (theirs, ours)],
    }.items():
        figures |= {f"{name}_peer": pair[0], f"{name}_ours": pair[1]}
    if options.json:
        print(json.dumps(figures))
        return
    for name, what in CHANGES:
        print(f"stands in for a module of the peer's: {name}: {what}")
    for name, value in figures.items():
        print(f"{name:<28} {value:.4f}")


if __name__ == "__main__":
    main()
