"""Items in a memory map or a sparse matrix: tables that are larger than memory once dense are read row by row."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from coset.batch import tensor_over


class MappedRows:
    """Rows of a memory map: shape and type are known at once, bytes are read when rows are asked for.

    Args:
        storage: a memory map `[n, ...]`, or a sparse matrix by rows `[n, D]`, whose rows are then made dense.
        rows: those that are chosen; all where None.
    """

    def __init__(self, storage: Any, rows: np.ndarray | None = None):
        self.storage, self.rows = storage, rows

    def __len__(self) -> int:
        return self.storage.shape[0] if self.rows is None else len(self.rows)

    @property
    def shape(self) -> torch.Size:
        """Shape with the number of chosen rows first."""
        return torch.Size((len(self), *self.storage.shape[1:]))

    @property
    def dtype(self) -> torch.dtype:
        """Type of the tensors that come out."""
        return tensor_over(np.empty(0, self.storage.dtype)).dtype

    def select(self, rows: Tensor) -> "MappedRows":
        """Choose among the rows without reading any."""
        chosen = rows.cpu().numpy()
        return MappedRows(self.storage, chosen if self.rows is None else self.rows[chosen])

    def __getitem__(self, indices: Any) -> Tensor:
        if isinstance(indices, Tensor):
            indices = indices.cpu().numpy()
        place = indices if self.rows is None else self.rows[indices]
        if isinstance(self.storage, np.ndarray):
            return tensor_over(np.array(self.storage[place]))
        place = np.arange(len(self))[place] if self.rows is None else place  # a sparse matrix takes a list of rows
        dense = self.storage[np.reshape(place, -1)].toarray()
        return tensor_over(dense.reshape(*np.shape(place), dense.shape[1]))

    def __getstate__(self) -> dict[str, Any]:
        # Pickled as it is, a map would be read whole. A worker process opens the same file instead; a view of a map
        # does not know its place in the file, and only that is copied.
        mapped = self.storage
        if not isinstance(mapped, np.memmap):
            return {"storage": mapped, "rows": self.rows}
        if isinstance(mapped.base, np.memmap) or mapped.filename is None:
            return {"storage": np.array(mapped), "rows": self.rows}
        order = "C" if mapped.flags.c_contiguous else "F"
        reopen = (str(mapped.filename), mapped.dtype, "r", mapped.offset, mapped.shape, order)
        return {"reopen": reopen, "rows": self.rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.rows = state["rows"]
        self.storage = np.memmap(*state["reopen"]) if "reopen" in state else state["storage"]
