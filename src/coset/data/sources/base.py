"""How a table is made from what users have, by the kind of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from coset.arguments import check_names
from coset.data.sources.source import Source
from coset.errors import ConfigurationError


class FromSources:
    """Ways to make a table of what users have.

    Attributes:
        feature_names: of the numbers of an item, where the source has such.
    """

    feature_names: Sequence[str] = ()

    @classmethod
    def from_folder(
        cls,
        pattern: str | Path,
        *,
        size: int | Sequence[int] | None = None,
        colour: bool | None = None,
        cache: str | Path | None = None,
        unreadable: Literal["error", "skip"] = "error",
    ) -> Self:
        """Read a folder of pictures, whose names say what they show.

        Args:
            pattern: such as `faces/{person}/{light}.jpg`, where a name in braces is a factor and `*` stands for
                anything; or a folder with one folder for each `label`. Values that are all whole numbers are read so.
            size: to which pictures are resized, `[height, width]` or the side of a square; theirs where None.
            colour: whether items are `[3, height, width]` or `[height, width]`; as the first picture is where None.
            cache: folder for a memory map of the pictures, which is then read instead, until one of them changes; where
                None, pictures of more than half a gigabyte in all are kept in the user's cache.
            unreadable: what becomes of a file that is no picture: `error`, or `skip` with a warning.

        Raises:
            DataError: Nothing matches, pictures differ in size, or one cannot be read: says which.
        """
        from coset.data.sources.folder import read_folder

        return cls._made(read_folder(pattern, size, colour, cache, unreadable))

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        items: str | Sequence[str] | None = None,
        factors: str | Sequence[str] | None = None,
        pivot: str | Sequence[str] | None = None,
    ) -> Self:
        """Read a data frame of pandas, Polars or Arrow, or the file of one (.csv, .parquet).

        Args:
            frame: the frame, or its file.
            items: the columns whose numbers make an item, or one column of arrays; every column of floating-point
                numbers that is no factor where None.
            factors: columns; all others where None. Categories and missing values stay what they are.
            pivot: columns of a long frame, one with a single number a row: each combination of their levels is a
                number of an item, which has as many, and rows that agree in the factors are one item.

        Raises:
            DataError: A column that is not there, numbers that are missing, or two for one place of an item.
            ConfigurationError: A library that is not installed.
        """
        from coset.data.sources.frame import read_frame

        return cls._made(read_frame(frame, items, factors, pivot))

    @classmethod
    def from_anndata(cls, data: Any, layer: str | None = None, factors: str | Sequence[str] | None = None) -> Self:
        """Read an AnnData object or its file (.h5ad): a cell an item, with the names of its features.

        Rows of a sparse matrix are made dense as they are drawn.

        Args:
            data: the object, or its file.
            layer: which one; `X` where None.
            factors: columns of `obs`; every one with words, booleans or whole numbers where None.

        Raises:
            DataError: A file that cannot be read, a layer or a column that is not there.
            ConfigurationError: The library anndata is not installed.
        """
        from coset.data.sources.cells import read_anndata

        return cls._made(read_anndata(data, layer, factors))

    @classmethod
    def from_dataset(cls, data: Any, items: str | None = None, factors: str | Sequence[str] | None = None) -> Self:
        """Read a `Dataset` of Hugging Face, or the folder of one that was saved.

        Args:
            data: the data set, one split of it.
            items: the column of pictures or arrays; the only one where None.
            factors: columns; every one of words, booleans, classes or whole numbers where None.

        Raises:
            DataError: A column that is not there, or none or several that could be items.
            ConfigurationError: The library datasets is not installed, to open a folder.
        """
        from coset.data.sources.hub import read_dataset

        return cls._made(read_dataset(data, items, factors))

    @classmethod
    def from_arrays(
        cls, path: str | Path, items: str | None = None, factors: str | Path | Sequence[str] | None = None
    ) -> Self:
        """Read a file of NumPy: items in `.npy` with the factors in a table beside it, or both in `.npz`.

        Args:
            path: of the file. An `.npy` is mapped, not read.
            items: name of the array in an `.npz`; the one of two axes or more where None.
            factors: a `.csv` with a line for each item, which is called like the file where None; or names of arrays
                in the `.npz`, all of one axis where None.

        Raises:
            DataError: No such file, array or column, or a file that cannot be read.
            ConfigurationError: No library that reads tables is installed.
        """
        from coset.data.sources.arrays import read_arrays

        return cls._made(read_arrays(path, items, factors))

    @classmethod
    def from_path(cls, path: str | Path, **options: Any) -> Self:
        """Read what lies at a path, by its ending, with the options of the method that reads this kind.

        Raises:
            ConfigurationError: An ending of no kind that is known, or an option that the kind does not have.
            DataError: What the kind's own method raises.
        """
        read = _kind(cls, path)
        check_names(f"{path}: {read.__name__}", read, list(options))
        return read(path, **options)

    @classmethod
    def _made(cls, source: Source) -> Self:
        table = cls(source.items, **source.factors)  # type: ignore[call-arg]
        table.feature_names = tuple(source.feature_names)
        return table


def _kind(cls: Any, path: str | Path) -> Callable[..., Any]:
    """The method that reads what lies at a path."""
    place = Path(path)
    if "{" in str(path):
        return cls.from_folder
    if place.is_dir():
        return cls.from_dataset if (place / "dataset_info.json").is_file() else cls.from_folder
    endings = {
        ".csv": cls.from_frame,
        ".tsv": cls.from_frame,
        ".parquet": cls.from_frame,
        ".h5ad": cls.from_anndata,
        ".npz": cls.from_arrays,
        ".npy": cls.from_arrays,
    }
    if place.suffix not in endings:
        raise ConfigurationError(
            f"{path}: expected a folder of pictures, a pattern such as faces/{{person}}/{{light}}.jpg, or a file "
            f"ending in {', '.join(endings)}"
        )
    return endings[place.suffix]
