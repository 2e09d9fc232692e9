"""The `coset` command. Heavy libraries are imported where they are used, so that help answers at once."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coset.console import Terminated, check_output, leave, needs_contexts, quiet_stdout, terminable
from coset.discovery import file_names
from coset.errors import ConfigurationError, CosetError


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


_REPRODUCE = str(reproduce.__doc__)
"""Help that names the experiments found when it is asked for."""


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


COMMANDS = {
    command.__name__: command
    for command in (demo, train, recipes, sample, condition, compose, evaluate, plot, reproduce)
} | {"data": data_sets}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; errors that users can mend are printed without a traceback, and exit with 2."""
    from importlib.metadata import version

    from jsonargparse import ArgumentParser

    words = list(sys.argv[1:] if arguments is None else arguments)
    overrides: list[str] = []
    if words[:1] == ["train"]:
        words, overrides = _separate_overrides(words)
    parser = ArgumentParser(
        prog="coset",
        description="Learn what a collection of data sets has in common, and recombine it.",
        version=version("coset"),
        allow_abbrev=False,
    )
    names = ", ".join(name.replace("_", "-") for name in file_names("coset.experiments"))
    reproduce.__doc__ = _REPRODUCE.replace("{experiments}", names)
    commands = parser.add_subcommands(dest="command", required=True)
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").split("\n")[0]
        one = ArgumentParser(description=summary, allow_abbrev=False)
        if name in words[:1]:  # reading the signatures of all commands would take a second
            one.add_function_arguments(command, None, as_group=False, as_positional=True, skip={"overrides"})
        commands.add_subcommand(name, one, help=summary)
    parsed = parser.parse_args(_spell_out(words))
    options = parsed[parsed.command].as_dict()
    if parsed.command == "train":
        options["overrides"] = overrides
    try:
        with terminable():
            COMMANDS[parsed.command](**options)
    except CosetError as reason:
        leave(parsed.command, 2, str(reason))
    except OSError as reason:  # a full disk, a folder that may not be written to, ...
        place = reason.filename or options.get("output") or "a file"
        leave(parsed.command, 2, f"{place}: {reason.strerror or reason}; nothing was left half-written")
    except (KeyboardInterrupt, Terminated) as reason:
        again = "go on with the same command and --resume" if parsed.command == "train" else "nothing was written"
        word, status = ("interrupted", 130) if isinstance(reason, KeyboardInterrupt) else ("terminated", 143)
        leave(parsed.command, status, f"{word}; {again}")


def _separate_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take `--section.option value` and `--section.option=value` out of the command line."""
    rest, overrides = [], []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if re.match(r"--\w+\.", word):
            overrides.append(word)
            if "=" not in word and queue:
                overrides.append(queue.pop(0))
        else:
            rest.append(word)
    return rest, overrides


def _spell_out(words: Sequence[str]) -> list[str]:
    """Write -o and -n in full, and `digit=5 rotation=90` as the list that one argument takes."""
    short = {"-o": "--output", "-n": "--n"}
    given = [word for word in words if re.fullmatch(r"\w+=.*", word)]
    if words[:1] in (["condition"], ["compose"]) and given:
        rest = [word for word in words if word not in given]
        words = [*rest[:2], json.dumps(given), *rest[2:]]
    if words[:2] == ["data", "fetch"] and words[2:3] and not words[2].startswith("-"):
        words = [*words[:2], "--name", *words[2:]]
    return [f"{word}=true" if word in ("--json", "--resume") else short.get(word, word) for word in words]


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
