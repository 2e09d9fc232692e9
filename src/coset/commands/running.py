"""Commands that train, and that repeat experiments."""

from collections.abc import Sequence
from pathlib import Path

from coset.console import check_output, print_json, quiet_stdout
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
        return print_json(outcome.figures)
    print(outcome.report)


def train(
    recipe: str,
    output: Path | None = None,
    contexts: list[str] | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    json: bool = False,
) -> None:
    """Train a recipe, or your own data. Any option can be changed: --model.context_dim 32 --training.steps 300.

    Args:
        recipe: name of a bundled recipe, see `coset recipes`; path of a YAML file; or path of data, such as
            'faces/{person}/{light}.jpg', a folder with a folder a label, or a file in .csv, .parquet, .h5ad or .npz.
        output: folder of the run: checkpoints, logs, the final model; runs/RECIPE where not given.
        contexts: of your own data, the factors that sets hold constant; all discrete ones where not given.
        overrides: --section.option value; sections are data, model, sets, objective, schedule, training and trainer.
        resume: go on with the run in the folder, exactly as if it had never stopped.
        json: print one JSON object and nothing else.

    Raises:
        ConfigurationError: Contexts for a recipe.
    """
    from coset.recipes import is_recipe
    from coset.recipes.own_data import name_of, recipe_for
    from coset.runs import is_first, train_run

    own = None if is_recipe(recipe) else recipe_for(recipe, contexts, overrides)
    if own is None and contexts:
        raise ConfigurationError("--contexts: a recipe says its own; change them by --model.contexts")
    folder = output or Path("runs", name_of(recipe) if own else Path(recipe).stem)
    with quiet_stdout(json):
        run, record = train_run(own or recipe, folder, overrides, resume)
    last = record.history[-1] if record.history else {}
    bound, took = last.get("bound", float("nan")), record.seconds
    if json and is_first():  # of several processes one speaks
        print_json({"run": str(run.folder), "seconds": round(took, 1), **last})
    elif is_first():
        print(f"trained in {took:.0f} s; bound {bound:.2f} nats per set; see {run.folder}")


def recipes() -> None:
    """List the bundled recipes."""
    from coset.recipes import about, recipe_names

    for name in recipe_names():
        print(f"{name:<28} {about(name)}")


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
        return print_json(outcome.figures)
    print(outcome.report)
