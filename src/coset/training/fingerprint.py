"""What a training is, written down: a run is only resumed by a training that would have gone the same way."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coset.data import SetSampler
from coset.errors import CheckpointError

ROWS = 64
"""Rows of a table, evenly spaced, whose content is compared."""

SHOWN = 3
"""Differences that an error names."""


def fingerprint(
    model: Any, sampler: SetSampler, held_out: SetSampler | None, engine: Any, length: tuple[int, int], **settings: Any
) -> dict[str, Any]:
    """Everything that decides how training goes, by dotted names, as numbers, words and lists of them."""
    whole = {
        "model": {"class": type(model).__name__, **dict(getattr(model, "_hub_mixin_config", None) or {})},
        "data": _of_table(sampler.table),
        "sets": _of_sampler(sampler),
        "validation": None if held_out is None else _of_table(held_out.table),
        "length": {"epochs": length[0], "steps": length[1]},
        "accumulate_grad_batches": engine.accumulate_grad_batches,
        "processes": engine.world_size,
        **settings,
    }
    return _flatten(_plain(whole))


def compare(path: Path, kept: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse to resume a run of other settings, data or length.

    Raises:
        CheckpointError: Names what differs, and what to do.
    """
    missing = object()
    differing = [name for name in kept if kept[name] != found.get(name, missing)]
    differing += [name for name in found if name not in kept and name.partition(".")[0] in {"model", "objective"}]
    if differing:
        said = "; ".join(
            f"{name} was {_short(kept.get(name, 'not there'))}, and now is {_short(found.get(name, 'not there'))}"
            for name in differing[:SHOWN]
        )
        more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise CheckpointError(
            f"{path}: the run to be resumed is another one: {said}{more}. Resume it with the settings it began with; "
            "to train a finished model further, load it (coset.load) and fit it into another folder"
        )


def _of_table(table: Any) -> dict[str, Any]:
    rows = torch.linspace(0, len(table) - 1, min(ROWS, len(table)), dtype=torch.float64).long()
    content = hashlib.sha256(np.ascontiguousarray(table.x(rows.to(table.device)).cpu().double().numpy()).tobytes())
    for codes in table.factors.values():
        content.update(np.ascontiguousarray(codes.cpu().numpy()).tobytes())
    return {
        "items": len(table),
        "item_shape": list(table.item_shape),
        "factors": sorted(table.factors),
        "content": content.hexdigest()[:16],
    }


def _of_sampler(sampler: SetSampler) -> dict[str, Any]:
    groups = sampler.groups
    return {
        "contexts": list(sampler.contexts),
        "patterns": [groups.constant[groups.first].tolist(), groups.weight.tolist()],
        "items": sampler.items,
        "batch": sampler.batch,
        "batches": sampler.batches,
        "seed": sampler.seed,
        "binarize": sampler.binarize,
        "supervision": sampler.supervision,
    }


def _plain(value: Any) -> Any:
    """A value as numbers, words, and lists and mappings of them; of an object its class and what it was given."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic | np.ndarray | Tensor):
        numbers = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        return numbers.tolist() if numbers.size <= ROWS else hashlib.sha256(numbers.tobytes()).hexdigest()[:16]
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    if isinstance(value, nn.Module):
        given = {name: part for name, part in vars(value).items() if not name.startswith("_") and name != "training"}
        return {"class": type(value).__name__, **_plain(given), **_plain(dict(value.named_children()))}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"class": type(value).__name__, **_plain(vars(value))}
    return getattr(value, "__qualname__", type(value).__qualname__)


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: value}
    return {
        name: leaf
        for key, part in value.items()
        for name, leaf in _flatten(part, f"{prefix}.{key}" if prefix else key).items()
    }


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
