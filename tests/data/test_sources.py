"""Tables made of what users have: folders, frames, AnnData, data sets of Hugging Face, arrays in files."""

import pickle
import sys

import anndata
import datasets
import numpy as np
import pandas
import polars
import pytest
import torch
from PIL import Image
from scipy import sparse

from coset import FactorTable
from coset.errors import ConfigurationError, DataError


def picture(path, height=6, width=4, mode="L", shade=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width) if mode == "L" else (height, width, 3)
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8) if shade is None else np.full(shape, shade)
    Image.fromarray(array.astype(np.uint8)).save(path)
    return array


@pytest.fixture
def faces(tmp_path):
    for person in ("ann", "bob"):
        for light in (0, 10, 20):
            picture(tmp_path / "faces" / person / f"{light}.png", shade=light + (person == "bob") * 100)
    return tmp_path / "faces"


def test_a_pattern_names_the_factors(faces):
    table = FactorTable.from_folder(f"{faces}/{{person}}/{{light}}.png")
    assert table.values == {"person": ["ann", "bob"], "light": [0, 10, 20]}
    assert table.item_shape == (6, 4)
    assert float(table.where(person="bob", light=10).x()[0, 0, 0]) == pytest.approx(110 / 255)


def test_folders_of_a_folder_are_labels_and_other_files_are_passed_over(faces):
    (faces / "ann" / "notes.txt").write_text("nothing to see")
    (faces / "readme.md").write_text("nothing to see")
    table = FactorTable.from_folder(faces)
    assert table.values == {"label": ["ann", "bob"]}
    assert len(table) == 6


def test_patterns_with_stars_and_a_name_that_comes_twice(tmp_path):
    for name in ("a/a-x1.png", "a/b-x2.png", "b/b-x3.png"):
        picture(tmp_path / name)
    table = FactorTable.from_folder(f"{tmp_path}/{{who}}/{{who}}-*.png")
    assert table.column("who") == ["a", "b"]


def test_numbers_written_in_two_ways_stay_words(tmp_path):
    for name in ("01", "1"):
        picture(tmp_path / f"{name}.png")
    assert FactorTable.from_folder(f"{tmp_path}/{{number}}.png").values["number"] == ["01", "1"]


def test_pictures_in_colour_are_resized_on_reading(tmp_path):
    for index, side in enumerate((6, 9)):
        picture(tmp_path / f"{index}.png", side, side, mode="RGB", shade=50)
    table = FactorTable.from_folder(f"{tmp_path}/{{index}}.png", size=(4, 8))
    assert table.item_shape == (3, 4, 8)
    assert float((table.x() - 50 / 255).abs().max()) < 0.01
    assert FactorTable.from_folder(f"{tmp_path}/{{index}}.png", size=5, colour=False).item_shape == (5, 5)


def test_a_cache_is_read_until_a_picture_changes(faces, tmp_path):
    pattern, cache = f"{faces}/{{person}}/{{light}}.png", tmp_path / "cache"
    first = FactorTable.from_folder(pattern, cache=cache)
    (kept,) = cache.iterdir()
    again = FactorTable.from_folder(pattern, cache=cache)
    torch.testing.assert_close(first.x(), FactorTable.from_folder(pattern).x())
    torch.testing.assert_close(again.x(), first.x())
    assert not isinstance(again.items, torch.Tensor)
    assert [*cache.iterdir()] == [kept]
    picture(faces / "ann" / "0.png", shade=200)
    changed = FactorTable.from_folder(pattern, cache=cache)
    assert float(changed.where(person="ann", light=0).x().mean()) == pytest.approx(200 / 255)


def test_what_cannot_be_read_is_named_and_skipped_only_when_told(faces):
    broken = faces / "ann" / "10.png"
    broken.write_bytes(broken.read_bytes()[:40])
    pattern = f"{faces}/{{person}}/{{light}}.png"
    with pytest.raises(DataError, match=r"ann/10\.png: cannot be read as a picture.*unreadable='skip'"):
        FactorTable.from_folder(pattern)
    with pytest.warns(UserWarning, match=r"1 of 6 files cannot be read.*ann/10\.png"):
        table = FactorTable.from_folder(pattern, unreadable="skip")
    assert len(table) == 5
    assert table.where(person="bob", light=0).x().mean() == pytest.approx(100 / 255)
    with pytest.warns(UserWarning, match="1 of 6"), pytest.raises(DataError, match="not kept in a cache"):
        FactorTable.from_folder(pattern, unreadable="skip", cache=faces.parent / "cache")
    assert not list((faces.parent / "cache").iterdir())


@pytest.mark.parametrize(
    ("pattern", "options", "error", "message"),
    [
        ("{person}/{light}.jpg", {}, DataError, r"nothing in .* matches.*it holds 6 files, such as ann/0\.png"),
        ("nowhere/{person}.png", {}, DataError, "there is no folder .*nowhere"),
        ("{person 1}/*.png", {}, DataError, "nothing in|expected the name of a factor"),
        ("{person}/*.png", {"size": (4,)}, ConfigurationError, "size: expected"),
        ("{person}/*.png", {"size": 0}, ConfigurationError, "size: expected"),
        ("{person}/*.png", {"unreadable": "maybe"}, ConfigurationError, "unreadable: expected error or skip"),
    ],
)
def test_folders_that_cannot_be_read(faces, pattern, options, error, message):
    with pytest.raises(error, match=message):
        FactorTable.from_folder(f"{faces}/{pattern}", **options)


def test_pictures_of_two_sizes_or_of_many_bits_are_refused(faces, tmp_path):
    picture(faces / "bob" / "30.png", height=7)
    with pytest.raises(DataError, match=r"bob/30\.png: is 7 x 4, but .*ann/0\.png is 6 x 4; give size"):
        FactorTable.from_folder(faces)
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: more than 8 bits"):
        FactorTable.from_folder(f"{tmp_path}/{{name}}.png")


def frame_of(library):
    columns = {"height": [1.5, 2.5, 3.5], "weight": [1.0, 2.0, 3.0], "who": ["x", None, "y"], "batch": [1, 2, 2]}
    return {"pandas": pandas, "polars": polars}[library].DataFrame(columns)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_give_items_by_columns_and_factors_by_all_others(library):
    table = FactorTable.from_frame(frame_of(library))
    assert table.feature_names == ("height", "weight")
    assert table.column("who") == ["x", None, "y"]
    assert table.values["batch"] == [1, 2]
    torch.testing.assert_close(table.x(), torch.tensor([[1.5, 1.0], [2.5, 2.0], [3.5, 3.0]]))
    one = FactorTable.from_frame(frame_of(library), items=["batch", "height"], factors="who")
    assert one.feature_names == ("batch", "height")
    assert list(one.factors) == ["who"]
    assert one[[0]].feature_names == one.feature_names


def test_categories_gaps_and_columns_of_arrays_are_kept_as_they_are_meant():
    frame = pandas.DataFrame(
        {"type": pandas.Categorical(["b", None, "a"]), "count": pandas.array([3, None, 5], "Int64")}
    )
    frame["items"] = [np.ones((2, 3)) * row for row in range(3)]
    table = FactorTable.from_frame(frame, items="items")
    assert table.item_shape == (2, 3)
    assert table.column("type") == ["b", None, "a"]
    assert table.column("count") == [3, None, 5]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_files_of_frames_are_read(tmp_path, ending):
    frame, path = frame_of("polars"), tmp_path / f"table.{ending}"
    if ending == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="\t" if ending == "tsv" else ",")
    table = FactorTable.from_path(path, factors=["who", "batch"])
    assert table.values["batch"] == [1, 2]
    assert table.column("who") == ["x", None, "y"]
    assert table.feature_names == ("height", "weight")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"items": ["hight"]}, "there is no column 'hight'.*did you mean 'height'"),
        ({}, {"factors": "whom"}, "there is no column 'whom'"),
        ({}, {"items": ["height"], "factors": ["height"]}, "'height' is part of the items and a factor"),
        ({}, {"items": ["who"]}, "column 'who' holds String, not numbers"),
        ({"height": [1.0, None, 2.0]}, {}, "column 'height' has no number in row 1"),
        ({"height": ["a", "b", "c"], "weight": ["a", "b", "c"]}, {}, "no column of floating-point numbers"),
        (
            {"height": [[1.0], [1.0, 2.0], [3.0]]},
            {"items": "height"},
            r"column 'height' holds .* of shape \[2\] in row 1",
        ),
    ],
)
def test_frames_that_cannot_be_read(change, options, message):
    frame = polars.DataFrame(frame_of("polars").to_dict(as_series=False) | change)
    with pytest.raises(DataError, match=message):
        FactorTable.from_frame(frame, **options)


def long_frame(library="polars"):
    rows = [(who, hour, who * 10.0 + hour) for hour in (0, 6) for who in (1, 2, 3)]
    columns = dict(zip(("who", "hour", "level"), map(list, zip(*rows, strict=True)), strict=True))
    return {"pandas": pandas, "polars": polars}[library].DataFrame(columns)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_long_frames_are_spread_over_the_levels_of_a_column(library):
    table = FactorTable.from_frame(long_frame(library), pivot="hour")
    assert table.feature_names == ("hour=0", "hour=6") and table.column("who") == [1, 2, 3]
    torch.testing.assert_close(table.x(), torch.tensor([[10.0, 16.0], [20.0, 26.0], [30.0, 36.0]]))
    assert FactorTable.from_frame(long_frame(library), pivot="who").feature_names == ("who=1", "who=2", "who=3")


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (long_frame().head(5), {"pivot": "hour"}, "who=3 has no row at hour=6; add it, or leave"),
        (polars.concat([long_frame(), long_frame().tail(1)]), {"pivot": "hour"}, "row 6 is another of who=3 at hour=6"),
        (long_frame(), {"pivot": ["hour", "who"]}, "no column is left that tells items apart"),
        (long_frame(), {"pivot": "hour", "factors": ["hour"]}, "'hour' is part of the items and a factor"),
        (long_frame(), {"pivot": "hours"}, "there is no column 'hours'.*did you mean 'hour'"),
        (long_frame(), {"pivot": "hour", "items": ["level", "who"]}, "one column, got .*'level', 'who'"),
    ],
)
def test_long_frames_that_cannot_be_spread(frame, options, message):
    with pytest.raises(DataError, match=message):
        FactorTable.from_frame(frame, **options)


def test_what_is_no_frame_and_no_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="expected a data frame or its file, got list"):
        FactorTable.from_frame([1, 2])
    with pytest.raises(DataError, match=r"absent\.csv: there is no such file"):
        FactorTable.from_frame(tmp_path / "absent.csv")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"bad\.parquet: cannot be read as a table"):
        FactorTable.from_frame(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="has no row"):
        FactorTable.from_frame(frame_of("polars").head(0))


@pytest.mark.parametrize(
    ("library", "read", "extra"),
    [
        ("narwhals", lambda path: FactorTable.from_frame(path / "x.csv"), "frames"),
        ("anndata", lambda path: FactorTable.from_anndata(path / "x.h5ad"), "anndata"),
        ("datasets", lambda path: FactorTable.from_dataset(path), "datasets"),
    ],
)
def test_a_library_that_is_missing_is_one_line(tmp_path, monkeypatch, library, read, extra):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        ConfigurationError, match=rf"takes {library}, which is not installed: pip install 'coset\[{extra}\]'"
    ):
        read(tmp_path)


@pytest.fixture
def cells():
    matrix = sparse.random(12, 5, 0.4, format="csc", random_state=0, dtype=np.float32)
    data = anndata.AnnData(matrix)
    data.layers["dense"] = matrix.toarray() + 1
    data.obs["type"] = ["a", "b", "c"] * 4
    data.obs["batch"] = [1, 2] * 6
    data.obs["depth"] = np.linspace(0.5, 1.5, 12)
    data.var_names = [f"gene {index}" for index in range(5)]
    return data


def test_sparse_rows_are_made_dense_as_they_are_drawn(cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    for table in (FactorTable.from_anndata(cells), FactorTable.from_path(tmp_path / "cells.h5ad")):
        dense = torch.from_numpy(cells.X.toarray())
        assert not isinstance(table.items, torch.Tensor)
        assert table.feature_names[1] == "gene 1"
        assert list(table.factors) == ["type", "batch"]
        torch.testing.assert_close(table.x(), dense)
        rows = torch.tensor([[0, 3], [5, 5]])
        torch.testing.assert_close(table.x(rows), dense[rows])
        torch.testing.assert_close(table.where(type="b").x([1]), dense[[4]])
        torch.testing.assert_close(table[2:7].x(slice(1, 3)), dense[3:5])
        torch.testing.assert_close(pickle.loads(pickle.dumps(table)).x(rows), dense[rows])
        torch.testing.assert_close(torch.cat([*table.blocks()]), dense)
        assert table.sets(["type"], items=3, batch=2).draw(0).x.shape == (2, 3, 5)


def test_layers_and_columns_of_anndata(cells, tmp_path):
    table = FactorTable.from_anndata(cells, layer="dense", factors=["depth"])
    assert isinstance(table.items, torch.Tensor)
    assert list(table.factors) == ["depth"]
    with pytest.raises(DataError, match=r"there is no layer 'dens'.*did you mean 'dense'"):
        FactorTable.from_anndata(cells, layer="dens")
    with pytest.raises(DataError, match="there is no column 'kind'"):
        FactorTable.from_anndata(cells, factors=["kind"])
    (tmp_path / "bad.h5ad").write_bytes(b"no such thing")
    with pytest.raises(DataError, match=r"bad\.h5ad: cannot be read as AnnData"):
        FactorTable.from_anndata(tmp_path / "bad.h5ad")
    with pytest.raises(DataError, match=r"absent\.h5ad: there is no such file"):
        FactorTable.from_anndata(tmp_path / "absent.h5ad")


def test_data_sets_of_hugging_face(tmp_path):
    datasets.disable_progress_bars()
    shades = [Image.fromarray(np.full((5, 4), 10 * row, np.uint8)) for row in range(4)]
    data = datasets.Dataset.from_dict({"image": shades, "label": [0, 1, -1, 0], "site": ["n", "s", None, "n"]})
    data = data.cast_column("label", datasets.ClassLabel(names=["no", "yes"]))
    data.save_to_disk(tmp_path / "saved")
    for table in (FactorTable.from_dataset(data), FactorTable.from_path(tmp_path / "saved")):
        assert table.item_shape == (5, 4)
        assert table.column("label") == ["no", "yes", None, "no"]
        assert table.column("site") == ["n", "s", None, "n"]
        assert float(table.x()[3].mean()) == pytest.approx(30 / 255)
    vectors = datasets.Dataset.from_dict({"codes": [[1.0, 2.0], [3.0, 4.0]], "word": ["u", "v"]})
    torch.testing.assert_close(FactorTable.from_dataset(vectors).x(), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    with pytest.raises(DataError, match=r"columns of pictures or arrays are \[\]"):
        FactorTable.from_dataset(vectors.remove_columns("codes"))
    with pytest.raises(DataError, match="expected one split of a Dataset, got DatasetDict"):
        FactorTable.from_dataset(datasets.DatasetDict(train=vectors))
    ragged = datasets.Dataset.from_dict({"codes": [[1.0, 2.0], [3.0]]})
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "dataset_info.json").write_text("{}")
    with pytest.raises(DataError, match="bad: cannot be opened as a data set"):
        FactorTable.from_path(tmp_path / "bad")
    deep = datasets.Dataset.from_dict({"image": [Image.fromarray(np.zeros((4, 4), np.uint16))]})
    with pytest.raises(DataError, match="row 0: more than 8 bits"):
        FactorTable.from_dataset(deep)
    with pytest.raises(DataError, match=r"'codes' is \[1\] in row 1 and \[2\] in row 0"):
        FactorTable.from_dataset(ragged)


def test_arrays_in_files(tmp_path):
    x = np.random.default_rng(0).random((4, 3))
    np.savez(tmp_path / "both.npz", x=x, digit=[1, 2, 1, 2], scale=2.0)
    table = FactorTable.from_path(tmp_path / "both.npz")
    assert table.values == {"digit": [1, 2]}
    torch.testing.assert_close(table.x(), torch.from_numpy(x))
    np.save(tmp_path / "items.npy", x)
    polars.DataFrame({"who": ["a", "b", "a", "b"]}).write_csv(tmp_path / "items.csv")
    beside = FactorTable.from_path(tmp_path / "items.npy")
    assert beside.column("who") == ["a", "b", "a", "b"]
    assert not isinstance(beside.items, torch.Tensor)
    torch.testing.assert_close(
        FactorTable.from_arrays(tmp_path / "items.npy", factors=tmp_path / "items.csv").x(), beside.x()
    )


def test_arrays_that_cannot_be_read(tmp_path):
    np.savez(tmp_path / "two.npz", x=np.zeros((2, 3)), y=np.zeros((2, 3)))
    np.save(tmp_path / "items.npy", np.zeros((3, 2)))
    polars.DataFrame({"who": ["a", "b"]}).write_csv(tmp_path / "items.csv")
    (tmp_path / "bad.npz").write_bytes(b"PK and no more")
    for path, options, message in (
        ("two.npz", {}, r"arrays of two axes or more are \['x', 'y'\]"),
        ("two.npz", {"items": "z"}, "there is no column 'z'"),
        ("items.npy", {}, "2 lines for 3 items"),
        ("items.npy", {"items": "x"}, "holds one array"),
        ("items.npy", {"factors": ["who"]}, "give its path"),
        ("bad.npz", {}, "cannot be read as arrays"),
        ("absent.npy", {}, "there is no such file"),
    ):
        with pytest.raises(DataError, match=message):
            FactorTable.from_arrays(tmp_path / path, **options)


def test_paths_of_no_kind_and_options_of_another(faces):
    with pytest.raises(ConfigurationError, match=r"expected a folder of pictures.*\.parquet"):
        FactorTable.from_path(faces / "table.xlsx")
    with pytest.raises(ConfigurationError, match=r"from_folder: no option is called 'layer'"):
        FactorTable.from_path(faces, layer="counts")
