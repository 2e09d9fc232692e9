"""Recipes: one YAML file an experiment, with its data, model, sets, objective, schedule and training."""

import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from coset.data.labels import hide_labels
from coset.errors import ConfigurationError, nearest

SECTIONS = ("data", "labels", "model", "sets", "objective", "schedule", "training", "trainer")

# Where a section's `class` is looked for.
_PACKAGES = {
    "data": "coset.data",
    "model": "coset.models",
    "objective": "coset.objectives",
    "schedule": "coset.objectives.schedules",
}


@dataclass(frozen=True)
class Recipe:
    """An experiment, ready to be built.

    Attributes:
        name: of the recipe's file.
        sections: what the file says, with overrides applied.
    """

    name: str
    sections: dict[str, Any]

    def data(self) -> Any:
        """The data set; its `load_splits()` reads the files."""
        return _build(self.sections, "data")

    def splits(self) -> dict[str, Any]:
        """Tables called train, validation and test; of the first, what is to be known of a factor.

        Section `labels` says of how many training items a factor is known, evenly many of each class. Which ones
        depends on the seed of the training.
        """
        splits = self.data().load_splits()
        for factor, count in self.sections["labels"].items():
            balanced = count > 0 and factor in splits["train"].values
            seed = self.sections["training"].get("seed", 0)
            splits["train"] = hide_labels(splits["train"], factor, count, seed, balanced)
        return splits

    def model(self, table: Any) -> Any:
        """A model for the items of a table."""
        options = dict(self.sections["model"])
        return _find(options.pop("class"), "model").for_data(table, **options)

    def fit_options(self) -> dict[str, Any]:
        """Keyword arguments for `coset.fit`."""
        options = {"sets": self.sections["sets"], **self.sections["training"], **self.sections["trainer"]}
        for section in ("objective", "schedule"):
            if self.sections[section]:
                options[section] = _build(self.sections, section)
        return options

    def as_yaml(self) -> str:
        """The recipe as it stands, to be kept beside a run."""
        return yaml.safe_dump({"recipe": self.name, **self.sections}, sort_keys=False)


def recipe_names() -> list[str]:
    """Names of the recipes that come with coset."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))


def about(name: str) -> str:
    """What a recipe is, in one line: the comment on top of its file."""
    return _file(name).read_text().splitlines()[0].removeprefix("# ")


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name, or from a YAML file, and apply overrides.

    Args:
        name: one of `recipe_names()`, or the path of a YAML file.
        overrides: `--section.option value` or `--section.option=value`, as on the command line; values are YAML.

    Raises:
        ConfigurationError: an unknown recipe, section or option, with the nearest name; a value of the wrong type.

    >>> load_recipe("demo", ["--model.context_dim", "8"]).sections["model"]["context_dim"]
    8
    """
    content = yaml.safe_load(_file(name).read_text())
    label = content.pop("recipe", Path(name).stem)
    for section in content:
        if section not in SECTIONS:
            raise ConfigurationError(f"recipe {label}: unknown section {section!r}; {nearest(section, SECTIONS)}")
    sections = {section: dict(content.get(section) or {}) for section in SECTIONS}
    for key, value in _pairs(overrides):
        section, _, option = key.partition(".")
        if section not in SECTIONS or not option:
            raise ConfigurationError(f"override --{key}: no section {section!r}; {nearest(section, SECTIONS)}")
        sections[section][option] = value
    recipe = Recipe(label, sections)
    _check(recipe)
    return recipe


def _file(name: str | Path) -> Path:
    bundled = Path(__file__).parent / f"{name}.yaml"
    if bundled.is_file():
        return bundled
    if str(name).endswith((".yaml", ".yml")):
        if Path(name).is_file():
            return Path(name)
        raise ConfigurationError(f"no recipe file {name}")
    raise ConfigurationError(f"unknown recipe {str(name)!r}; {nearest(str(name), recipe_names())}")


def _pairs(overrides: Sequence[str]) -> list[tuple[str, Any]]:
    """Split command-line words into keys and values."""
    pairs, words = [], list(overrides)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise ConfigurationError(f"override {word!r}: expected --section.option value")
        key, equals, value = word[2:].partition("=")
        if not equals:
            if not words or words[0].startswith("--"):
                raise ConfigurationError(f"override --{key}: a value is missing")
            value = words.pop(0)
        pairs.append((key, _value(value)))
    return pairs


def _value(text: str) -> Any:
    """Read a YAML value; YAML 1.1 takes 2e-3 for text, people mean a number."""
    value = yaml.safe_load(text)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def data_sets() -> dict[str, Any]:
    """Every data set by the name of its class: those of `coset.data` that can load splits. A new file is found."""
    return {name: found for name, found in _classes("coset.data").items() if hasattr(found, "load_splits")}


def _classes(package: str) -> dict[str, Any]:
    """Public, concrete classes that are defined in the modules of a package, or in a module."""
    top = import_module(package)
    names = [module.name for module in pkgutil.iter_modules(getattr(top, "__path__", []))]
    modules = [top, *(import_module(f"{package}.{name}") for name in names)]
    return {
        name: found
        for module in modules
        for name, found in inspect.getmembers(module, inspect.isclass)
        if found.__module__ == module.__name__ and not inspect.isabstract(found) and not name.startswith("_")
    }


def _find(name: str, section: str) -> Any:
    found = data_sets() if section == "data" else _classes(_PACKAGES[section])
    if name not in found:
        raise ConfigurationError(f"{section}.class: nothing is called {name!r}; {nearest(str(name), found)}")
    return found[name]


def _build(sections: Mapping[str, Any], section: str) -> Any:
    options = dict(sections[section])
    return _find(options.pop("class"), section)(**options)


def _check(recipe: Recipe) -> None:
    """Hold every option against the signature that will take it, before anything is loaded."""
    from jsonargparse import ArgumentParser

    from coset.data import FactorTable
    from coset.training import fit

    sections = recipe.sections
    for factor, count in sections["labels"].items():
        if not isinstance(count, int) or count < 0:
            raise ConfigurationError(f"--labels.{factor}: expected how many items are labelled, got {count!r}")
    for section in _PACKAGES:
        if not sections[section] and section in ("objective", "schedule"):
            continue
        if "class" not in sections[section]:
            raise ConfigurationError(f"recipe {recipe.name}: section {section!r} needs a `class`")
        options = {key: value for key, value in sections[section].items() if key != "class"}
        found = _find(sections[section]["class"], section)
        parameters = inspect.signature(found).parameters.values()
        from_data: set[str | int] = {
            part.name for part in parameters if part.default is part.empty and part.name not in options
        }
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(found, None, skip=from_data)
        _hold(parser, section, options)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_method_arguments(FactorTable, "sets", None, skip={"contexts", "seed"})
    _hold(parser, "sets", sections["sets"])
    parser = ArgumentParser(exit_on_error=False)
    skipped: set[str | int] = {
        "model",
        "data",
        "validation",
        "output",
        "resume",
        "sets",
        "objective",
        "schedule",
        "trainer",
    }
    parser.add_function_arguments(fit, None, skip=skipped, fail_untyped=False)
    _hold(parser, "training", sections["training"])
    if sections["trainer"]:
        import lightning

        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(lightning.Trainer, None, skip={"callbacks", "plugins", "profiler", "logger"})
        _hold(parser, "trainer", sections["trainer"])


def _hold(parser: Any, section: str, options: Mapping[str, Any]) -> None:
    from jsonargparse import ArgumentError

    known = {action.dest for action in parser._actions} - {"help", "config"}
    for name in options:
        if name not in known:
            raise ConfigurationError(f"--{section}.{name}: no such option; {nearest(name, sorted(known))}")
    try:
        parser.parse_object(dict(options), defaults=True)
    except ArgumentError as reason:
        text = str(reason).replace("\n", " ")
        raise ConfigurationError(f"section {section}: {text}") from reason
