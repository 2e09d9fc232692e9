"""Likelihood: importance-sampled estimates of the log evidence."""

import math
from typing import Any

import torch
from torch import Tensor

from coset.batch import SetBatch
from coset.errors import ConfigurationError
from coset.models.base import Model
from coset.objectives.importance import log_ratios
from coset.programs import evaluating

AT_ONCE = 5_000
"""Items times particles that are decoded at a time: what bounds the memory, and few enough to stay in a cache."""


@torch.no_grad()
def log_likelihood(
    model: Model,
    x: Any,
    particles: int = 5000,
    *,
    mask: Tensor | None = None,
    constant: Tensor | None = None,
    seed: int = 0,
    at_once: int = AT_ONCE,
) -> Tensor:
    """Estimate log p of every set by importance sampling, log 1/S Σ_s p(x, latents_s) / q(latents_s | x).

    A lower bound in expectation, which rises with the number of particles S (Burda et al. 2016, whose tables have
    S = 5000). Particles are averaged a block at a time, so that memory does not grow with S.

    Args:
        model: any model.
        x: for a model of independent items, items `[n, *item_shape]`, each scored by itself; for a model of sets, sets
            `[B, N, *item_shape]`, one set, or a list of sets of differing lengths.
        particles: S.
        mask: which items are present `[B, N]`.
        constant: which contexts are constant `[B, K]`, for a context-aware learner; the result is then log p(x | a).
        seed: of the particles; the state of torch's generators is left alone.
        at_once: items times particles that are decoded at a time.

    Returns:
        Nats of each item `[n]`, or each set `[B]`, on the CPU. Divide by the sets' sizes for nats per item.

    Raises:
        ConfigurationError: `particles` or `at_once` is below 1.
        ShapeError, DataError: `x` is not of this model's items.

    >>> from coset.models import VAE
    >>> log_likelihood(VAE((4,), z_dim=2, features=8), torch.rand(3, 4).round(), particles=10).shape
    torch.Size([3])
    """
    for name, number in (("particles", particles), ("at_once", at_once)):
        if number < 1:
            raise ConfigurationError(f"{name}: expected a whole number from 1 up, got {number}")
    if model.contexts:
        sets, _ = model.read_sets(x, mask)
        items, mask = sets.x, sets.mask
    else:
        items = model.read_items(x).reshape(-1, 1, *model.item_shape)  # [n, 1, ...]
    if constant is not None:
        constant = torch.as_tensor(constant).to(items).expand(len(items), -1)
    count = items.shape[1]
    rows = max(1, at_once // (count * min(particles, 100)))  # sets at a time: the encoder reads them once a block
    parts = []
    devices = [items.device] if items.is_cuda else []
    with torch.random.fork_rng(devices=devices), evaluating(model):
        torch.manual_seed(seed)
        for start in range(0, len(items), rows):
            block = slice(start, start + rows)
            a, present = (None if part is None else part[block] for part in (constant, mask))
            batch = SetBatch(items[block], a, present)
            parts.append(_estimate(model, batch, particles, max(1, at_once // (len(batch.x) * count))))
    return torch.cat(parts).cpu()


def _estimate(model: Model, batch: SetBatch, particles: int, block: int) -> Tensor:
    total = batch.x.new_full((len(batch.x),), -torch.inf)  # [B]
    for start in range(0, particles, block):
        ratios = log_ratios(*model.trace(batch, min(block, particles - start)))
        total = total.logaddexp(torch.stack(list(ratios.values())).sum(0).logsumexp(0))
    return total - math.log(particles)


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean of values `[n]` and its standard error.

    >>> mean_and_error(torch.tensor([1.0, 2.0, 3.0]))
    (2.0, 0.5773502588272095)
    """
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))
