"""Experiments of the papers: train what is missing, measure, and write `results/`."""

from collections.abc import Callable
from pathlib import Path

from coset.errors import ConfigurationError, nearest
from coset.reproduce.black_white import black_white_mnist
from coset.reproduce.composition import rotated_mnist
from coset.reproduce.faces import yale_b
from coset.reproduce.families import one_dimensional_families
from coset.reproduce.few_shot import omniglot_few_shot
from coset.reproduce.likelihood import mnist_likelihood, mnist_plane
from coset.reproduce.multi_mnist import multi_mnist
from coset.reproduce.outcome import Outcome, Request
from coset.reproduce.readme import renew_readme
from coset.reproduce.semi_supervised import semi_supervised_mnist
from coset.reproduce.spatial import spatial_mnist

TARGETS: dict[str, Callable[[Request], Outcome]] = {
    "rotated-mnist-4": rotated_mnist,
    "rotated-mnist-8": rotated_mnist,
    "black-white-mnist": black_white_mnist,
    "vae-mnist-2d": mnist_plane,
    "vae-mnist-likelihood": mnist_likelihood,
    "one-dimensional-families": one_dimensional_families,
    "omniglot-few-shot": omniglot_few_shot,
    "multi-mnist": multi_mnist,
    "semi-supervised-mnist": semi_supervised_mnist,
    "spatial-mnist": spatial_mnist,
    "yale-b": yale_b,
}
ALIASES = {
    "thesis-figure-4.3": "vae-mnist-2d",
    "thesis-figure-5.3": "one-dimensional-families",
    "thesis-figure-5.4": "one-dimensional-families",
    "table1": "rotated-mnist-4",
    "paper-figure-2": "rotated-mnist-4",
    "paper-figure-3": "rotated-mnist-4",
    "thesis-figure-6.2": "black-white-mnist",
    "thesis-figure-6.3": "black-white-mnist",
    "thesis-figure-6.4": "black-white-mnist",
    "thesis-figure-6.5": "rotated-mnist-8",
    "thesis-figure-6.6": "rotated-mnist-8",
    "thesis-figure-6.7": "rotated-mnist-8",
}


def reproduce_target(target: str, runs: Path, results: Path, seed: int = 0) -> Outcome:
    """Run one experiment by name; see `TARGETS` and `ALIASES`.

    Raises:
        ConfigurationError: an unknown name.
    """
    name = ALIASES.get(target, target)
    if name == "readme":
        return renew_readme(Path("README.md"), results)
    if name not in TARGETS:
        raise ConfigurationError(f"unknown experiment {target!r}; {nearest(target, [*TARGETS, *ALIASES, 'readme'])}")
    return TARGETS[name](Request(name, runs, results, seed))
