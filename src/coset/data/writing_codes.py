"""Codes of items, written beside what is known of the items."""

import csv
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from coset.data.sources.source import needed
from coset.data.table import FactorTable
from coset.writing import whole

AT_ONCE = 1000
"""Items that are encoded and written at a time."""


def write_codes(
    embed: Callable[[Tensor], Tensor], table: FactorTable, path: Path, names: Sequence[str] | None = None
) -> int:
    """Write the codes of a table's items, whole or not at all, a block of items at a time, and return how many.

    Args:
        embed: of a trained model: items `[n, *item_shape]` → codes `[n, D]`.
        table: the items.
        path: ends in `.csv` (factors, then codes), `.npy` (`[n, D]`) or `.h5ad` (codes as `X`, factors as `obs`).
        names: of the numbers of a code, D of them; `code_0`, `code_1`, … where None.

    Raises:
        ConfigurationError: The library that a kind of file takes is not installed.
    """
    columns = {name: table.column(name) for name in table.factors}
    if path.suffix == ".h5ad":
        _check_anndata()
    with whole(path) as partial:
        if path.suffix == ".csv":
            _write_lines(partial, _blocks(embed, table), columns, names)
        elif path.suffix == ".npy":
            with partial.open("wb") as file:
                np.save(file, torch.cat([*_blocks(embed, table)]).numpy())
        else:
            _write_anndata(partial, torch.cat([*_blocks(embed, table)]), columns, names)
    return len(table)


def _blocks(embed: Callable[[Tensor], Tensor], table: FactorTable) -> Iterator[Tensor]:
    for rows in torch.arange(len(table)).split(AT_ONCE):
        yield embed(table.x(rows.to(table.device))).cpu()


def _numbered(codes: Tensor) -> list[str]:
    return [f"code_{index}" for index in range(codes.shape[1])]


def _write_lines(path: Path, blocks: Iterator[Tensor], columns: dict[str, list], names: Sequence[str] | None) -> None:
    """A line for each item, written as its block comes: as text, codes take ten times as much."""
    start = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        for codes in blocks:
            if not start:
                lines.writerow([*columns, *(names or _numbered(codes))])
            for row, code in enumerate(codes.tolist(), start):
                lines.writerow([*(column[row] for column in columns.values()), *code])
            start += len(codes)


def _check_anndata() -> None:
    """Ask for the library before anything is embedded.

    Raises:
        ConfigurationError: It is not installed.
    """
    if find_spec("anndata") is None:
        raise needed("anndata", "anndata", "writing .h5ad")


def _write_anndata(path: Path, codes: Tensor, columns: dict[str, list], names: Sequence[str] | None) -> None:
    import anndata
    import pandas

    rows = pandas.Index([str(row) for row in range(len(codes))])
    data = anndata.AnnData(codes.numpy(), obs=pandas.DataFrame(columns, index=rows))
    data.var_names = list(names or _numbered(codes))
    data.write_h5ad(path)
