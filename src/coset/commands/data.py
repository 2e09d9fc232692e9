"""Commands about data, published and your own."""

from pathlib import Path
from typing import Any

from coset.console import check_output, print_json, quiet_stdout
from coset.errors import ConfigurationError


def data_sets(action: str, name: str | None = None) -> None:
    """Say where each data set comes from and where it is looked for (list), or download one (fetch NAME).

    Args:
        action: list or fetch.
        name: of the data set to fetch.

    Raises:
        ConfigurationError: Another action, or no data set of this name.
    """
    from coset.datasets.base import fetch, listing

    if action == "list" and name is None:
        print("\n".join(listing()))
    elif action == "fetch":
        print("\n".join(str(path) for path in fetch(str(name))))
    else:
        raise ConfigurationError(f"data: expected `list` or `fetch NAME`, got {action!r}")


def inspect(
    data: str,
    contexts: list[str] | None = None,
    options: dict[str, Any] | None = None,
    output: Path | None = None,
    json: bool = False,
) -> None:
    """Look through your own data before anything is trained: factors, seen combinations, and what will go wrong.

    Args:
        data: path, or a pattern such as 'faces/{person}/{light}.jpg'.
        contexts: the factors that sets will hold constant; all discrete ones where not given.
        options: how to read it, such as '{size: 64}'.
        output: a picture (.png) of how many items each combination of the first two has.
        json: print one JSON object and nothing else.

    Raises:
        ConfigurationError: A picture of data that has no two factors.
    """
    import warnings

    from coset.data import FactorTable
    from coset.data.inspection import inspect_table
    from coset.plots import heatmap, save

    if output is not None:
        check_output(output, endings=(".png",))
    with warnings.catch_warnings(), quiet_stdout(json):
        warnings.simplefilter("ignore")  # it is said below
        found = inspect_table(FactorTable.from_path(data, **options or {}), contexts)
    if output is not None:
        if not found.pair:
            raise ConfigurationError(f"--output {output}: draws combinations of two factors, and there are fewer")
        save(heatmap(found.counts, *found.levels, title=" × ".join(found.pair), most=None), output)
    if json:
        return print_json(found.as_dict())
    print(found.table())


def embed(run: Path, data: str, output: Path = Path("codes.csv"), options: dict[str, Any] | None = None) -> None:
    """Write the codes of your own items beside their factors.

    Args:
        run: folder of a run.
        data: path of the items, or a pattern, as for `coset train`.
        output: a line for each item (.csv), an array (.npy), or AnnData (.h5ad).
        options: how to read the data, such as '{size: 64}'.
    """
    from coset.data import FactorTable
    from coset.data.writing_codes import write_codes
    from coset.runs import open_run

    check_output(output, endings=(".csv", ".npy", ".h5ad"))
    model = open_run(run).model
    table = model.agree_with(FactorTable.from_path(data, **options or {}))
    print(f"{write_codes(model.embed, table, output, model.code_names())} items: {output}")
