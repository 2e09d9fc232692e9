"""Responses of immune cells to variants of interleukin 2, as the wheel of `tensorly` ships them."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from coset.data.combinations import hold_out_combinations
from coset.data.files import DataFile, locate
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.errors import DataFileError

SHAPE = (13, 4, 12, 8)
"""Ligands, times, doses, kinds of cells."""

LIGANDS = (
    *("IL-2", "IL-15", "wild type N bivalent", "H16N N bivalent", "R38Q N bivalent", "R38Q/H16N bivalent"),
    *("wild type N", "H16N N", "wild type C", "V91K C", "R38Q N", "F42Q N", "N88D C"),
)
"""Monovalent where nothing else is said; N or C is the end of the antibody that they are fused to."""

CELLS = ("Treg high", "Treg", "Treg low", "Thelper high", "Thelper", "Thelper low", "CD8", "NK")
"""Of T cells with how much of the receptor's chain α they carry."""

HOURS = (4.0, 2.0, 1.0, 0.5)


@dataclass(frozen=True)
class IL2(DataSet):
    """Signalling of 8 kinds of cells after 13 ligands: 104 items of 36 numbers, three times by twelve doses.

    Factors: `ligand` and `cell`, see `LIGANDS` and `CELLS`. Of the four times the last, half an hour, was not measured
    for two of the ligands, and is left out. The array is found among the user's data, or where `tensorly` is installed.

    Args:
        held_out: Share of the cells of the table in the test part, whole combinations; as many are for validation.
        seed: Chooses which are held out.

    >>> IL2().name
    'il-2'
    """

    name: ClassVar[str] = "il-2"
    source: ClassVar[str] = (
        "B. Orcutt-Jahns et al.: Multivalency enhances the specificity of Fc-cytokine fusions, 2021 (licence of the "
        "Regents of the University of California, free to use and distribute)"
    )
    files: ClassVar[tuple[DataFile, ...]] = (
        DataFile(
            "il-2",
            "il-2/IL2_Response_Tensor.npy",
            "https://raw.githubusercontent.com/tensorly/tensorly/main/tensorly/datasets/data/IL2_Response_Tensor.npy",
        ),
    )

    held_out: float = 0.1
    seed: int = 0

    def load(self) -> FactorTable:
        """All cells of the table.

        Raises:
            DataFileError: The array is not there, or is another one.
        """
        path = _place(self.files[0])
        try:
            responses = np.load(path)
        except (OSError, ValueError, EOFError) as reason:
            raise DataFileError(f"{path} is no array that NumPy can read ({reason}); get it anew") from None
        if responses.shape != SHAPE or not np.issubdtype(responses.dtype, np.floating):
            raise DataFileError(f"{path}: expected numbers {list(SHAPE)}, got {list(responses.shape)}; get it anew")
        items = np.moveaxis(responses, 3, 1)[:, :, :3].reshape(len(LIGANDS) * len(CELLS), -1).astype(np.float32)
        cell = list(CELLS) * len(LIGANDS)
        return FactorTable(items, ligand=[name for name in LIGANDS for _ in CELLS], cell=cell)

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test, of which no two share a combination."""
        train, test = hold_out_combinations(self.load(), ["ligand", "cell"], self.held_out, self.seed)
        train, validation = hold_out_combinations(train, ["ligand", "cell"], self.held_out, self.seed)
        return {"train": train, "validation": validation, "test": test}


def _place(file: DataFile) -> Path:
    """The file among the user's data, or in the folder of an installed `tensorly`, which need not be imported.

    Raises:
        DataFileError: It is in neither.
    """
    try:
        return locate(file)
    except DataFileError as reason:
        found = importlib.util.find_spec("tensorly")
        shipped = Path(found.origin or "").parent / "datasets" / "data" / Path(file.path).name if found else None
        if shipped is not None and shipped.is_file():
            return shipped
        raise DataFileError(f"{reason}; or install tensorly, whose wheel has it") from None
