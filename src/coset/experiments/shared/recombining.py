"""Items of combinations that are wanted, made from items of others: from codes without names, or from contexts."""

from collections.abc import Mapping

import torch
from torch import Tensor

from coset.data import FactorTable
from coset.metrics import ImageClassifier
from coset.runs import Run


def recombine(run: Run, seen: FactorTable, wanted: Mapping[str, Tensor], each: int, seed: int) -> Tensor:
    """Items of each wanted combination, made from items that are not of it: `[cells · each, *item_shape]`.

    Args:
        run: a model with contexts by the names of the factors, or one whose items have a code each.
        seen: what they are made from.
        wanted: factor → its level in each combination, `[cells]`.
        each: items of a combination, and of a set that is shown.
        seed: of what is drawn.
    """
    make = _from_contexts if run.model.contexts else _from_codes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(run, seen, wanted, each)


def right(readers: Mapping[str, ImageClassifier], x: Tensor, levels: Mapping[str, Tensor]) -> Tensor:
    """Whether each factor of items `[n, ...]` is read as it should be, levels `[n]`: `[n, F]`."""
    return torch.stack([torch.as_tensor(reader.predict(x)) == levels[name] for name, reader in readers.items()], 1)


def _from_codes(run: Run, seen: FactorTable, wanted: Mapping[str, Tensor], each: int) -> Tensor:
    """Codes of seen items, moved by what distinguishes the levels of each wanted cell from those that they have.

    The mean code of each level is a main effect; this is what can be done with a code whose dimensions have no names.
    """
    train = run.splits["train"]
    codes = run.model.embed(train.x()).cpu()
    shown = torch.randint(len(seen), (each * len(next(iter(wanted.values()))),))
    moved = run.model.embed(seen.x(shown)).cpu()
    for name, column in wanted.items():
        levels = torch.as_tensor(train.factors[name])
        means = torch.stack([codes[levels == level].mean(0) for level in range(len(train.values[name]))])
        moved = moved + means[column.repeat_interleave(each)] - means[torch.as_tensor(seen.factors[name])[shown]]
    return run.model.decode_codes(moved).cpu()


def _from_contexts(run: Run, seen: FactorTable, wanted: Mapping[str, Tensor], each: int) -> Tensor:
    """Contexts of sets that hold one factor constant each, put together for each wanted cell."""
    made = []
    for levels in zip(*(column.tolist() for column in wanted.values()), strict=True):
        sets = {}
        for name, level in zip(wanted, levels, strict=True):
            rows = (torch.as_tensor(seen.factors[name]) == level).nonzero()[:, 0]
            sets[name] = seen.x(rows[torch.randint(len(rows), (each,))])
        made.append(run.model.compose(n=each, **sets).cpu())
    return torch.cat(made)
