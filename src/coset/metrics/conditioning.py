"""What does a model make, given sets that hold one factor constant?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from coset.data import FactorTable
from coset.errors import ConfigurationError, nearest
from coset.metrics.reading import BLOCK, Reader, check_discrete, draw_rows, read, rows_with


@dataclass(frozen=True)
class ConditionResult:
    """What items are, given sets that hold one factor constant.

    Attributes:
        right: percentage of items that have the value which their set holds constant.
        shares: factor → value → percentage of all items.
        entropy_bits: factor → entropy of `shares`, in bits.
    """

    right: float
    shares: dict[str, dict[str, float]]
    entropy_bits: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {"right": self.right, "shares": self.shares, "entropy_bits": self.entropy_bits}


def conditional_accuracy(
    model: Any,
    table: FactorTable,
    factor: str,
    readers: Mapping[str, Reader],
    *,
    samples: int = 10_000,
    set_size: int = 10,
    temperature: float = 1.0,
    seed: int = 0,
) -> ConditionResult:
    """Condition on held-out sets that hold one factor constant, and read every factor of what the model makes.

    Args:
        model: anything with `condition(sets, constant=[factor], n=…, temperature=…)`.
        table: held-out items.
        factor: what the sets hold constant; all else varies. Its values are taken in equal numbers.
        readers: factor → reader, for `factor` and any other whose spread is of interest.
        samples: items read in all.
        set_size: items in a conditioning set, and made from each.
        temperature: of p(z | c).
        seed: of sets and samples.

    Raises:
        DataError: A factor that the table lacks, or a value without held-out items.
        ConfigurationError: No reader for `factor`.
    """
    for name in (factor, *readers):
        check_discrete("conditional_accuracy", table, name)
    if factor not in readers:
        raise ConfigurationError(f"conditional_accuracy: no reader for {factor!r}; {nearest(factor, readers)}")
    values = table.values[factor]
    sets = max(1, samples // (set_size * len(values)))
    made, wanted = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for code in range(len(values)):
            shown = table.x(draw_rows(rows_with(table, factor, code), sets * set_size))
            shown = shown.view(sets, set_size, *shown.shape[1:])
            for part in shown.split(BLOCK):
                out = model.condition(part, constant=[factor], n=set_size, temperature=temperature)
                made.append(out.cpu().flatten(0, 1))
                wanted.append(torch.full((len(made[-1]),), code))
    items, codes = torch.cat(made), torch.cat(wanted)
    found_by = {name: read(reader, items, table, name) for name, reader in readers.items()}
    shares, entropy = {}, {}
    for name, found in found_by.items():
        share = torch.bincount(found[found >= 0], minlength=len(table.values[name])).double() / len(found)
        shares[name] = {str(value): 100 * float(part) for value, part in zip(table.values[name], share, strict=False)}
        entropy[name] = float(-(share * share.clamp_min(1e-12).log2()).sum())
    return ConditionResult(100 * float((found_by[factor] == codes).double().mean()), shares, entropy)
