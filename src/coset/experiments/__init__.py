"""Experiments of the papers, one file each: train what is missing, measure, and write `results/`.

A new file is a new experiment: it appears in `coset reproduce --help`, and in the README's table once it has results.
"""

from pathlib import Path

from coset.discovery import classes, file_names
from coset.errors import ConfigurationError, nearest
from coset.experiments.shared.outcome import Experiment, Outcome, Request
from coset.experiments.shared.readme import renew_readme


def experiments() -> dict[str, Experiment]:
    """Every experiment by its name, which is that of its file."""
    found = classes(__name__, Experiment).values()
    named = {made.__module__.rpartition(".")[2].replace("_", "-"): made() for made in found}
    return dict(sorted(named.items()))


def reproduce(target: str, runs: Path, results: Path, seed: int = 0) -> Outcome:
    """Run one experiment by its name or an alias; `readme` renews the README's table.

    Raises:
        ConfigurationError: An unknown name.
    """
    known = experiments()
    if target == "readme":
        return renew_readme(Path("README.md"), results, known)
    names = {alias: name for name, each in known.items() for alias in (name, *each.aliases)}
    if target not in names:
        raise ConfigurationError(f"unknown experiment {target!r}; {nearest(target, [*names, 'readme'])}")
    return known[names[target]].run(Request(names[target], runs, results, seed))


def experiment_names() -> list[str]:
    """Names of the experiments, found without importing any of them."""
    return [name.replace("_", "-") for name in file_names(__name__)]
