"""Commands that ask a trained model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coset.console import check_output, needs_contexts, print_json, quiet_stdout
from coset.errors import ConfigurationError


def sample(
    run: Path,
    output: Path = Path("samples.png"),
    constant: str | None = None,
    sets: int = 4,
    n: int = 10,
    temperature: float = 1.0,
    seed: int = 0,
) -> None:
    """Draw new sets from a trained model, for any choice of constant contexts.

    Args:
        run: folder of a run.
        output: a picture (.png) with a row for each set, or an array (.npy).
        constant: the contexts that each set holds constant, such as digit or digit+rotation; `none`; or, where not
            given, drawn from p(a).
        sets: how many sets.
        n: items in each.
        temperature: spread of p(z | c); 1 is the model's own.
        seed: of the draw.
    """
    check_output(output)
    model = _seeded(run, seed).model
    if not model.contexts:
        needs_contexts(model, constant is None, "sample takes no --constant")
        items = model.sample(n=n * sets, temperature=temperature)
        return _save_rows(items.view(sets, n, *items.shape[1:]), output)
    names = None if constant is None else [] if constant == "none" else constant.split("+")
    _save_rows(model.sample(n=n, constant=names, sets=sets, temperature=temperature), output)


def condition(
    run: Path,
    given: list[str],
    output: Path = Path("conditioned.png"),
    n: int = 10,
    items: int = 10,
    temperature: float = 1.0,
    seed: int = 0,
) -> None:
    """Show the model a held-out set that holds some factors constant, and draw more of its kind.

    Args:
        run: folder of a run.
        given: what the set holds constant, such as digit=5.
        output: a picture (.png; the set in the first row), or an array (.npy) of the new items.
        n: items to draw.
        items: items in the set that is shown.
        temperature: spread of p(z | c); 1 is the model's own.
        seed: of the set and of the draw.
    """
    import torch

    check_output(output)
    opened = _seeded(run, seed)
    needs_contexts(opened.model, bool(opened.model.contexts), "condition has no set to show it")
    values = opened.read_values(given)
    shown = opened.held_out(values, items)
    drawn = opened.model.condition(shown, constant=list(values), n=n, temperature=temperature)
    width = min(n, items)
    _save_rows(
        drawn if output.suffix == ".npy" else torch.stack([shown[:width], drawn[:width].cpu()]), output, separators=(1,)
    )


def compose(
    run: Path,
    given: list[str],
    output: Path = Path("composed.png"),
    n: int = 10,
    rows: int = 8,
    items: int = 10,
    temperature: float = 1.0,
    seed: int = 0,
) -> None:
    """Show the model one held-out set for each factor, and draw items that have all of them at once.

    Args:
        run: folder of a run.
        given: what each set holds constant, such as digit=5 rotation=90; factors not given vary.
        output: a picture (.png; the sets in the first rows), or an array (.npy) of the new items.
        n: items in a row.
        rows: rows to draw.
        items: items in each set that is shown.
        temperature: spread of p(z | c); 1 is the model's own.
        seed: of the sets and of the draw.
    """
    import torch

    check_output(output)
    opened = _seeded(run, seed)
    needs_contexts(opened.model, bool(opened.model.contexts), "compose has nothing to put together")
    shown = {name: opened.held_out({name: value}, items) for name, value in opened.read_values(given).items()}
    drawn = opened.model.compose(shown, n=n * rows, temperature=temperature).cpu()
    drawn = drawn.view(rows, n, *drawn.shape[1:])
    if output.suffix == ".npy":
        return _save_rows(drawn.flatten(0, 1), output)
    width = min(n, items)
    picture = torch.cat([*(part[None, :width] for part in shown.values()), drawn[:, :width]])
    _save_rows(picture, output, separators=(len(shown),))


def complete(
    run: Path, output: Path = Path("completed.png"), samples: int = 64, seed: int = 0, json: bool = False
) -> None:
    """Say what would be in the combinations of levels that no training item has: mean, spread, and how sure.

    Args:
        run: folder of a run with two contexts or more.
        output: a picture of the table with its holes and without (.png, of images and two contexts), a line for each
            cell (.csv), or arrays (.npz: mean, spread, support, and the levels of each context).
        samples: items composed for each cell, where the model completes by composing.
        seed: of the sets, the draws, and of what is left out inside.
        json: print one JSON object and nothing else.

    Raises:
        ConfigurationError: A picture of what is no table of images.
    """
    from coset.cells import arrange_means
    from coset.plots import save, side_by_side
    from coset.runs import open_run

    check_output(output, endings=(".png", ".csv", ".npz"))
    opened = open_run(run)
    needs_contexts(opened.model, len(opened.model.contexts) > 1, "complete fills the combinations of two or more")
    model, table = opened.model, opened.splits["train"]
    if output.suffix == ".png" and (len(model.item_shape) not in (2, 3) or len(model.contexts) != 2):
        raise ConfigurationError(f"--output {output}: takes images and two contexts; give a name in .csv or .npz")
    with quiet_stdout(json):
        found = model.complete(table, samples=samples, seed=seed)
        if output.suffix == ".png":
            seen = arrange_means(table, found.factors)
            whole = seen.clone()
            for cell, mean in zip(found.cells, found.mean, strict=True):
                row, column = (list(table.values[name]).index(level) for name, level in cell.items())
                whole[row, column] = mean
            save(side_by_side([seen, whole], ["what was seen, means", "completed"]), output)
        else:
            found.save(output)
    if json:
        return print_json(found.as_dict() | {"output": str(output)})
    print(f"{found.table()}\n{output}")


def evaluate(
    run: Path,
    temperature: float = 1.0,
    samples: int | None = None,
    runs: int = 5,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Score compositions of held-out sets with a classifier of real items (the 2018 paper's Table 1 protocol).

    It reads the first context: from items turned upright where the second is a rotation. The figures are kept in the
    run's folder, for the card that `coset push` writes.

    Args:
        run: folder of a run with two contexts.
        temperature: spread of p(z | c); the published table counts at 1.
        samples: items scored in each cell and run; where not given the paper's 250, or fewer if cells are many, so that
            10,000 are scored in a run.
        runs: repetitions with sets drawn afresh.
        seed: of the sets and draws.
        json: print one JSON object and nothing else.
    """
    from json import dumps as dump
    from math import prod

    from coset.experiments.shared.composition import score_composition
    from coset.runs import open_run
    from coset.sharing import EVALUATION
    from coset.writing import whole

    opened = open_run(run)
    needs_contexts(opened.model, len(opened.model.contexts) == 2, "evaluate scores the combinations of two")
    with quiet_stdout(json):
        cells = prod(len(opened.splits["train"].values[name]) for name in opened.model.contexts)
        each = max(5, min(250, 10_000 // cells)) if samples is None else samples
        result = score_composition(opened, temperature, each, runs, seed)
    with whole(opened.folder / EVALUATION) as partial:
        partial.write_text(dump(result.as_dict(), indent=1))
    if json:
        return print_json(result.as_dict())
    print(result.table())


def _seeded(run: Path, seed: int) -> Any:
    import torch

    from coset.runs import open_run

    opened = open_run(run)
    torch.manual_seed(seed)
    return opened


def _save_rows(items: Any, output: Path, separators: Sequence[int] = ()) -> None:
    from coset.plots import save_rows

    print(save_rows(items, output, separators))
