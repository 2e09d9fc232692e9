"""AnnData: a matrix of cells by features, and what is known of each cell."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coset.data.memory_map import MappedRows
from coset.data.sources.source import Source, chosen, needed
from coset.errors import DataError, nearest


def read_anndata(data: Any, layer: str | None, factors: str | Sequence[str] | None) -> Source:
    """Read AnnData, see `FactorTable.from_anndata`.

    Raises:
        DataError: As there.
    """
    where = str(data) if isinstance(data, str | Path) else "AnnData"
    found = _open(Path(data)) if isinstance(data, str | Path) else data
    if layer is not None and layer not in found.layers:
        raise DataError(f"{where}: there is no layer {layer!r}; {nearest(layer, list(found.layers))}")
    matrix = found.X if layer is None else found.layers[layer]
    if matrix is None:
        raise DataError(f"{where}: X is empty; give layer=..., one of {sorted(found.layers)}")
    discrete = [name for name in found.obs.columns if found.obs[name].dtype.kind in "biuOUT"]
    named = chosen(where, factors, list(found.obs.columns), discrete)
    items = MappedRows(matrix.tocsr()) if hasattr(matrix, "tocsr") else matrix
    return Source(items, {name: found.obs[name].tolist() for name in named}, [str(name) for name in found.var_names])


def _open(path: Path) -> Any:
    try:
        import anndata
    except ModuleNotFoundError as reason:
        raise needed("anndata", "anndata", f"reading {path}") from reason
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files in an older format, which are read all the same
            return anndata.read_h5ad(path)
    except Exception as reason:  # h5py and anndata have many
        raise DataError(f"{path}: cannot be read as AnnData ({' '.join(str(reason).split())[:200]})") from reason
