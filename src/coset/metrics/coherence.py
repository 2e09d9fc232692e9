"""Do the items of a generated set agree in what the set should hold constant?"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from coset.metrics.reading import Reader


def agreement_of(sets: Tensor, readers: Mapping[str, Reader]) -> dict[str, float]:
    """Percentage of a set's items that share its most frequent reading, averaged over sets `[B, N, ...]`.

    >>> sets = torch.tensor([[0.0, 0.0, 1.0, 2.0], [3.0, 3.0, 3.0, 3.0]])
    >>> agreement_of(sets, {"digit": lambda x: x.long()})
    {'digit': 75.0}
    """
    found = {}
    for factor, reader in readers.items():
        codes = reader(sets.flatten(0, 1)).view(sets.shape[:2])  # [B, N]
        most = (codes.unsqueeze(1) == codes.unsqueeze(2)).sum(2).max(1).values  # [B]
        found[factor] = 100 * float(most.float().mean()) / sets.shape[1]
    return found


def agreement(
    model: Any,
    readers: Mapping[str, Reader],
    constant: Sequence[str],
    *,
    sets: int = 500,
    n: int = 10,
    temperature: float = 1.0,
    seed: int = 0,
) -> dict[str, float]:
    """How far the items of a set sampled from the model agree in each factor, given which contexts are constant.

    Thesis figure 6.6 in figures: with both constant it should be near 100, with neither near that of random real sets,
    which `agreement_of` gives.

    Args:
        model: anything with `sample(n=…, sets=…, constant=[…], temperature=…)`.
        readers: factor → reader of items as they are made: at any angle, on any background.
        constant: which contexts the sets hold constant; none, one or all.
        sets: how many are sampled.
        n: items in each.
        temperature: of p(z | c).
        seed: of the samples.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = model.sample(n=n, sets=sets, constant=list(constant), temperature=temperature).cpu()
    return agreement_of(made, readers)
