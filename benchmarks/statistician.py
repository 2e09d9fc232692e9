"""Training throughput and bound of the 1-D experiment, beside a public implementation of the neural statistician.

    git clone https://github.com/conormdurkan/neural-statistician PEER
    python benchmarks/statistician.py --peer PEER

Both models have a context of 3, two stochastic layers of 32 and networks of 128 units, of three hidden layers here and
up to five there, so that the peer does more: operations of both are counted, and the ratio is given for the same
operations too. Both see the same batches of 16 sets of 200 numbers, with the same fused Adam at 1e-3 and gradients
clipped to ±0.5. Steps of the two alternate, so that whatever else the machine does slows both. The peer was written for
PyTorch 0.3: what is changed to make it run is listed in CHANGES, applied to its text in memory, and printed.
"""

import argparse
import json
import sys
import time
import types
from functools import partial
from pathlib import Path

import torch
from operations import beside_peer, operations

from coset.data import SetBatch
from coset.datasets.families import draw_families
from coset.models import NeuralStatistician
from coset.objectives import Annealed, Progress, elbo

WARM = 3
"""Steps before any is timed."""

CHANGES = (
    (".cuda()", "", "tensors stay on the CPU"),
    ("init.xavier_normal(", "init.xavier_normal_(", "renamed in PyTorch 0.4"),
    ("init.constant(", "init.constant_(", "renamed in PyTorch 0.4"),
    ("vlb.data[0]", "vlb.item()", "a scalar can no longer be indexed"),
)


def load_peer(folder: Path) -> type:
    """The peer's model class, from its own text with CHANGES applied."""
    for name, path in (
        ("utils", "utils.py"),
        ("synthnets", "synthetic/synthnets.py"),
        ("synthmodel", "synthetic/synthmodel.py"),
    ):
        file = folder / path
        if not file.is_file():
            sys.exit(f"{file}: not there; --peer takes a checkout of conormdurkan/neural-statistician")
        text = file.read_text()
        for old, new, _ in CHANGES:
            text = text.replace(old, new)
        module = types.ModuleType(name)
        module.__file__ = str(file)
        sys.modules[name] = module
        exec(compile(text, str(file), "exec"), module.__dict__)
    return sys.modules["synthmodel"].Statistician


def main() -> None:
    """Time both, then compare the bound on sets that neither has seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True, help="checkout of conormdurkan/neural-statistician")
    parser.add_argument("--steps", type=int, default=300, help="training steps of each")
    parser.add_argument(
        "--norm", choices=("batch", "none"), default="none", help="ours; the peer's hidden layers have none"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.manual_seed(0)
    peer = load_peer(options.peer)(
        batch_size=16,
        sample_size=200,
        c_dim=3,
        n_hidden_statistic=3,
        hidden_dim_statistic=128,
        n_stochastic=2,
        z_dim=32,
    )
    ours = NeuralStatistician(
        (1,),
        likelihood="gaussian",
        pooling="mean",
        context_dim=3,
        z_dim=32,
        layers=2,
        architecture="none",
        features=128,
        hidden=128,
        norm=options.norm,
    )
    sets, *_ = draw_families(16 * options.steps, 200, seed=1)
    unseen, *_ = draw_families(160, 200, seed=2)
    weights = Annealed("statistician")
    their_optimizer, our_optimizer = (torch.optim.Adam(model.parameters(), 1e-3, fused=True) for model in (peer, ours))
    peer.train(), ours.train()

    def our_step(x: torch.Tensor, epoch: int) -> None:
        loss = -elbo(*ours.trace(SetBatch(x))).weighted(weights(Progress(epoch, 0.0))).mean() / 200
        our_optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(ours.parameters(), 0.5)
        our_optimizer.step()

    seconds, flop = {"peer": 0.0, "ours": 0.0}, {}
    for index, x in enumerate(sets.split(16)):
        epoch = index * 50 // options.steps
        steps = {"peer": partial(peer.step, x, 0.5**epoch, their_optimizer), "ours": partial(our_step, x, epoch)}
        if index < WARM:
            flop = {who: (options.steps - WARM) * operations(step) for who, step in steps.items()}
            continue
        for who, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[who] += time.perf_counter() - started
    peer.eval(), ours.eval()
    with torch.no_grad():
        theirs = torch.stack([peer.loss(peer(x), 1.0)[1] for x in unseen.split(16)]).mean()
        bound = elbo(*ours.trace(SetBatch(unseen))).value.mean() / 200
    count = 16 * (options.steps - WARM)
    figures = {
        "sets_per_second_peer": count / seconds["peer"],
        "sets_per_second_ours": count / seconds["ours"],
        **beside_peer(seconds, flop),
        "bound_per_item_peer": float(theirs),
        "bound_per_item_ours": float(bound),
        "parameters_peer": sum(part.numel() for part in peer.parameters()),
        "parameters_ours": sum(part.numel() for part in ours.parameters()),
    }
    if options.json:
        print(json.dumps(figures))
        return
    for old, new, why in CHANGES:
        print(f"changed in the peer: {old!r} to {new!r}: {why}")
    for name, value in figures.items():
        print(f"{name:<24} {value:.4f}")


if __name__ == "__main__":
    main()
