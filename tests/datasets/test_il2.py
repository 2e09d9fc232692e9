import numpy as np
import pooch
import pytest

from coset.cells import find_cells
from coset.datasets.il2 import CELLS, IL2, LIGANDS, SHAPE
from coset.errors import DataFileError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder without the file, and no tensorly."""
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "il-2").mkdir()
    return tmp_path


def responses():
    """Numbers that tell where they stand; the last time lacks two ligands, as in the published array."""
    found = np.arange(np.prod(SHAPE), dtype=np.float64).reshape(SHAPE)
    found[3:5, 3] = np.nan
    return found


def test_items_are_three_times_by_twelve_doses(folder):
    np.save(folder / "il-2" / "IL2_Response_Tensor.npy", responses())
    table = IL2().load()
    assert len(table) == 104 and table.item_shape == (36,)
    assert table.column("ligand")[:9] == [LIGANDS[0]] * 8 + [LIGANDS[1]] and table.column("cell")[:8] == list(CELLS)
    item = table.where(ligand=LIGANDS[3], cell=CELLS[5]).x()[0].reshape(3, 12)
    np.testing.assert_allclose(item, responses()[3, :3, :, 5])


def test_parts_share_no_combination(folder):
    np.save(folder / "il-2" / "IL2_Response_Tensor.npy", responses())
    splits = IL2().load_splits()
    assert {name: len(part) for name, part in splits.items()} == {"train": 85, "validation": 9, "test": 10}
    cells = [set(zip(part.column("ligand"), part.column("cell"), strict=True)) for part in splits.values()]
    assert len(set.union(*cells)) == 104
    assert len(find_cells(splits["train"], ["ligand", "cell"])) == 85


def test_the_wheel_of_tensorly_has_the_published_array(monkeypatch, tmp_path):
    monkeypatch.setenv("COSET_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    table = IL2().load()
    assert bool(table.x().isfinite().all()) and 0 <= table.range()[0] <= table.range()[1] <= 1


def test_a_missing_or_another_file_is_refused(folder):
    with pytest.raises(DataFileError, match=r"il-2/IL2_Response_Tensor.npy is not there.*or install tensorly"):
        IL2().load()
    target = folder / "il-2" / "IL2_Response_Tensor.npy"
    target.write_bytes(b"nothing")
    with pytest.raises(DataFileError, match="no array that NumPy can read"):
        IL2().load()
    np.save(target, responses()[:5])
    with pytest.raises(DataFileError, match=r"expected numbers \[13, 4, 12, 8\], got \[5, 4, 12, 8\]"):
        IL2().load()
