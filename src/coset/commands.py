"""What the `coset` command does, a function a command; its help is the docstring.

Heavy libraries are imported where they are used, so that help answers at once.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coset.console import check_output, needs_contexts, quiet_stdout
from coset.errors import ConfigurationError


def demo(output: Path = Path("runs/demo"), json: bool = False) -> None:
    """Learn digits and rotations from 8 x 8 handwriting, then put together pairs nobody showed; no network needed.

    Args:
        output: folder for the trained model and the picture; a demo that stands there already is replaced.
        json: print one JSON object and nothing else.
    """
    from coset.experiments.shared.composition import run_demo

    with quiet_stdout(json):
        outcome = run_demo(output)
    if json:
        return _print_json(outcome.figures)
    print(outcome.report)


def train(
    recipe: str,
    output: Path | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    json: bool = False,
) -> None:
    """Train a recipe. Any option of it can be changed: --model.context_dim 32 --trainer.max_epochs 3.

    Args:
        recipe: name of a bundled recipe, or path of a YAML file; `coset recipes` lists them.
        output: folder of the run: checkpoints, logs, the final model; runs/RECIPE where not given.
        overrides: --section.option value; sections are data, model, sets, objective, schedule, training and trainer.
        resume: go on with the run in the folder, exactly as if it had never stopped.
        json: print one JSON object and nothing else.
    """
    from coset.runs import is_first, train_run

    with quiet_stdout(json):
        run, record = train_run(recipe, output or Path("runs", Path(recipe).stem), overrides, resume)
    last = record.history[-1] if record.history else {}
    bound, took = last.get("bound", float("nan")), record.seconds
    if json and is_first():  # of several processes one speaks
        _print_json({"run": str(run.folder), "seconds": round(took, 1), **last})
    elif is_first():
        print(f"trained in {took:.0f} s; bound {bound:.2f} nats per set; see {run.folder}")


def recipes() -> None:
    """List the bundled recipes."""
    from coset.recipes import about, recipe_names

    for name in recipe_names():
        print(f"{name:<28} {about(name)}")


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
        return _print_json(found.as_dict() | {"output": str(output)})
    print(f"{found.table()}\n{output}")


def evaluate(
    run: Path, temperature: float = 1.0, samples: int = 250, runs: int = 5, seed: int = 0, json: bool = False
) -> None:
    """Score compositions of held-out sets with a classifier of real items (the 2018 paper's Table 1 protocol).

    Args:
        run: folder of a run with two contexts.
        temperature: spread of p(z | c); the published table counts at 1.
        samples: items scored in each cell and run.
        runs: repetitions with sets drawn afresh.
        seed: of the sets and draws.
        json: print one JSON object and nothing else.
    """
    from coset.experiments.shared.composition import score_composition
    from coset.runs import open_run

    opened = open_run(run)
    needs_contexts(opened.model, len(opened.model.contexts) == 2, "evaluate scores the combinations of two")
    with quiet_stdout(json):
        result = score_composition(opened, temperature, samples, runs, seed)
    if json:
        return _print_json(result.as_dict())
    print(result.table())


def plot(run: Path, output: Path = Path("curves.png")) -> None:
    """Draw a run's training curves, one panel for each term of the bound.

    Args:
        run: folder of a run, finished or not.
        output: the picture.
    """
    from coset.experiments.shared.outcome import plot_curves

    check_output(output, endings=(".png",))
    plot_curves(run, output)
    print(output)


def reproduce(
    target: str,
    runs: Path = Path("runs"),
    results: Path = Path("results"),
    seed: int = 0,
    json: bool = False,
) -> None:
    """Repeat an experiment of the papers: train what is missing, measure, write results/.

    Args:
        target: {experiments}; a table or figure of a paper, such as table1; or readme, to renew its tables.
        runs: folder of trained runs; finished ones in it are used, unfinished ones resumed.
        results: folder for the JSON file and the pictures.
        seed: of the measurement.
        json: print one JSON object and nothing else.
    """
    from coset.experiments import reproduce as run

    with quiet_stdout(json):
        outcome = run(target, runs, results, seed)
    if json:
        return _print_json(outcome.figures)
    print(outcome.report)


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


def _print_json(figures: Any) -> None:
    print(json.dumps(figures))


def _seeded(run: Path, seed: int) -> Any:
    import torch

    from coset.runs import open_run

    opened = open_run(run)
    torch.manual_seed(seed)
    return opened


def _save_rows(items: Any, output: Path, separators: Sequence[int] = ()) -> None:
    from coset.plots import save_rows

    print(save_rows(items, output, separators))


COMMANDS = {
    command.__name__: command
    for command in (demo, train, recipes, sample, condition, compose, complete, evaluate, plot, reproduce)
} | {"data": data_sets}
