"""What the trace layer, the training loop and the sampler add to the arithmetic: `python benchmarks/overhead.py`.

Ratios are medians of pairs measured in turn, A B A B, in one process, so that a noisy machine disturbs both alike.
"""

import argparse
import json
import math
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import coset
from coset.data import SetBatch, SetSampler
from coset.objectives import elbo


def problem(items: int, sets: int, **options: Any) -> tuple[coset.ContextAwareLearner, SetSampler, coset.FactorTable]:
    """The papers' model, and sets of random pictures of 28 x 28."""
    torch.manual_seed(0)
    count = 400
    pictures = torch.randint(256, (count, 28, 28), dtype=torch.uint8)
    table = coset.FactorTable(pictures, digit=torch.arange(count) % 10, rotation=torch.arange(count) % 7)
    model = coset.ContextAwareLearner.for_data(table, ["digit", "rotation"], pooling="mean", **options)
    return model, table.sets(items=items, batch=sets), table


def traced_bound(model: coset.ContextAwareLearner, batch: SetBatch) -> Tensor:
    """The bound through both programs and their traces, summed over sets."""
    return elbo(*model.trace(batch)).value.sum()


def written_out_bound(model: coset.ContextAwareLearner, batch: SetBatch) -> Tensor:
    """The same networks and sums by hand: no trace, no distributions, one expression a term."""

    def gaussian(network: torch.nn.Module, x: Tensor, *shape: int) -> tuple[Tensor, Tensor]:
        location, raw = network.network(x).chunk(2, -1)
        location, raw = location.reshape(*x.shape[:-1], *shape), raw.reshape(*x.shape[:-1], *shape)
        return location, F.softplus(raw + math.log(math.expm1(0.999))) + 1e-3

    def divergence(q: tuple[Tensor, Tensor], p: tuple[Tensor, Tensor]) -> Tensor:
        (m, s), (n, t) = q, p
        ratio = (s / t) ** 2
        return 0.5 * (ratio + ((m - n) / t) ** 2 - 1 - ratio.log()).sum(-1)

    x, a = batch.x, batch.constant
    items = batch.shape[1]
    coding, count, dim = model.coding, len(model.contexts), model.coding.dim
    features = model.encoder(x)  # [B, N, F]
    pooled = coding.pool.after(torch.cat([coding.pool.before(features).mean(1), a], -1))
    q_constant = gaussian(coding.constant, pooled, count, dim)
    constant = q_constant[0] + q_constant[1] * torch.randn_like(q_constant[0])
    known = torch.cat([(a.unsqueeze(-1) * constant).flatten(-2), a], -1)  # [B, K·C + K]
    spread = known.unsqueeze(1).expand(-1, items, -1)
    q_varying = gaussian(coding.varying, torch.cat([features, spread], -1), count, dim)
    varying = q_varying[0] + q_varying[1] * torch.randn_like(q_varying[0])
    chosen = a[:, None, :, None]
    context = (chosen * constant.unsqueeze(1) + (1 - chosen) * varying).flatten(-2)  # [B, N, K·C]
    q_z = gaussian(model.z_posterior, torch.cat([features, context], -1), model.z_posterior.dim)
    z = q_z[0] + q_z[1] * torch.randn_like(q_z[0])
    p_constant = gaussian(coding.constant_prior, a, count, dim)
    p_varying = tuple(part.unsqueeze(1) for part in gaussian(coding.varying_prior, known, count, dim))
    p_z = gaussian(model.z_prior, context, model.z_prior.dim)
    logits = model.decoder(torch.cat([context, z], -1))
    reconstruction = -F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return (
        reconstruction
        - divergence(q_z, p_z).sum()
        - (divergence(q_varying, p_varying) * (1 - a).unsqueeze(1)).sum()
        - (divergence(q_constant, p_constant) * a).sum()
    )


def timed(work: Callable[[], Any]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratio(first: Callable[[], Any], second: Callable[[], Any], pairs: int) -> float:
    """Median of first / second over pairs measured in turn, after one of each that does not count."""
    first(), second()
    return statistics.median(timed(first) / timed(second) for _ in range(pairs))


def step_ratio(model: coset.ContextAwareLearner, batch: SetBatch, pairs: int) -> float:
    """A training step through traces against one written out by hand."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def step(bound: Callable[[coset.ContextAwareLearner, SetBatch], Tensor]) -> None:
        optimizer.zero_grad()
        (-bound(model, batch)).backward()
        optimizer.step()

    return ratio(lambda: step(traced_bound), lambda: step(written_out_bound), pairs)


def epoch_ratio(
    model: coset.ContextAwareLearner, sampler: SetSampler, table: coset.FactorTable, pairs: int, batches: int
) -> float:
    """An epoch through `coset.fit` against the bare loop of its steps, long enough that its start counts little."""
    items, sets = sampler.items[1], sampler.batch
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def bare() -> None:
        model.train()
        for index in range(batches):
            optimizer.zero_grad()
            (-elbo(*model.trace(sampler.draw(index))).value.mean()).backward()
            optimizer.step()

    def whole() -> None:
        options = {"items": items, "batch": sets, "batches": batches}
        coset.fit(model, table, epochs=1, sets=options, enable_progress_bar=False)

    return ratio(whole, bare, pairs)


def memory_growth(epochs: int) -> float:
    """Growth of the process's largest resident size from the second epoch to the last, in MB."""
    model, _, table = problem(items=5, sets=8, architecture="dense", features=64, hidden=32)
    sizes = []
    for _ in range(epochs):
        coset.fit(model, table, epochs=1, sets={"items": 5, "batch": 8, "batches": 10}, enable_progress_bar=False)
        sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return sizes[-1] - sizes[1]


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="measurements of each ratio")
    parser.add_argument("--batches", type=int, default=40, help="of an epoch")
    parser.add_argument("--sets", type=int, default=32, help="sets in a batch, of ten items each")
    parser.add_argument("--channels", type=int, nargs="+", default=[16, 32, 64], help="of the convolutional model")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    model, sampler, table = problem(10, given.sets, channels=given.channels)
    small, small_sampler, small_table = problem(10, given.sets, architecture="dense")
    batch = sampler.draw(0)
    step = statistics.median(timed(lambda: traced_bound(model, batch).backward()) for _ in range(3))
    sampler.draw(0)
    drawing = statistics.median(timed(lambda: sampler.draw(1)) for _ in range(20))
    found = {
        "step_through_traces_convolutional": step_ratio(model, batch, given.pairs),
        "step_through_traces_dense": step_ratio(small, small_sampler.draw(0), 5 * given.pairs),
        "epoch_through_fit_convolutional": epoch_ratio(model, sampler, table, given.pairs, given.batches),
        "epoch_through_fit_dense": epoch_ratio(small, small_sampler, small_table, given.pairs, 5 * given.batches),
        "drawing_share_of_step": drawing / step,
        "memory_growth_mb": memory_growth(8),
    }
    found = {name: round(value, 4) for name, value in found.items()}
    print(json.dumps(found) if given.json else "\n".join(f"{name:<36} {value:8.4f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
