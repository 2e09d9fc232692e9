"""Recipes: one YAML file an experiment, with its data, model, sets, objective, schedule and training."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from coset.data.labels import hide_labels
from coset.discovery import build, find_class, is_specification
from coset.errors import ConfigurationError, nearest

SECTIONS = ("data", "labels", "model", "sets", "objective", "schedule", "training", "trainer")

# Where a section's `class` is looked for.
_PACKAGES = {
    "data": "coset.datasets",
    "model": "coset.models",
    "objective": "coset.objectives",
    "schedule": "coset.objectives.schedules",
}

PATHS = ("default_root_dir",)
"""Options of the trainer that are paths, and may have dots."""

_INSIDE = ("coset.objectives", "coset.networks")
"""Where classes are looked for that stand inside of an option: penalties of an objective, an augmentation."""


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
    return sorted(path.stem for folder in __path__ for path in Path(folder).glob("*.yaml"))


def about(name: str) -> str:
    """What a recipe is, in one line: the comment on top of its file."""
    return _file(name).read_text("utf-8").splitlines()[0].removeprefix("# ")


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name, or from a YAML file, and apply overrides.

    Args:
        name: one of `recipe_names()`, or the path of a YAML file.
        overrides: `--section.option value` or `--section.option=value`, as on the command line; values are YAML.

    Raises:
        ConfigurationError: An unknown recipe, section or option, with the nearest name; a value of the wrong type.

    >>> load_recipe("demo", ["--model.context_dim", "8"]).sections["model"]["context_dim"]
    8
    """
    content = _read(_file(name))
    return read_recipe(str(content.pop("recipe", Path(name).stem)), content, overrides)


def is_recipe(name: str) -> bool:
    """Whether a word means a recipe: a bundled one, or a file of one. All else is somebody's data.

    >>> is_recipe("demo"), is_recipe("mine.yaml"), is_recipe("faces/{person}.png"), is_recipe("demoo")
    (True, True, False, True)
    """
    return name.endswith((".yaml", ".yml")) or not ("{" in name or Path(name).suffix or Path(name).is_dir())


def read_recipe(label: str, content: Mapping[str, Any], overrides: Sequence[str] = ()) -> Recipe:
    """Make a recipe of its sections, and apply overrides.

    Args:
        label: its name.
        content: options by section.
        overrides: see `load_recipe`.

    Raises:
        ConfigurationError: As there.
    """
    for section, inside in content.items():
        if section not in SECTIONS:
            raise ConfigurationError(f"recipe {label}: unknown section {section!r}; {nearest(str(section), SECTIONS)}")
        if not isinstance(inside, dict | None) or not all(isinstance(option, str) for option in inside or ()):
            raise ConfigurationError(f"recipe {label}: section {section}: expected options by name, got {inside!r}")
    sections = {section: dict(content.get(section) or {}) for section in SECTIONS}
    for key, value in _pairs(overrides):
        section, _, option = key.partition(".")
        if section not in SECTIONS:
            raise ConfigurationError(f"override --{key}: no section {section!r}; {nearest(section, SECTIONS)}")
        if not option:
            raise ConfigurationError(
                f"override --{key}: names a section, and no option of it: expected --{section}.OPTION=VALUE"
            )
        inside, place = sections[section], option
        while (step := place.partition("."))[1] and isinstance(inside.get(step[0]), dict):  # as objective.bound.weight
            inside, place = inside[step[0]], step[2]
        inside[place] = value
    recipe = Recipe(label, sections)
    for section, options in sections.items():
        _refuse_imports(f"section {section}", options, words=section == "trainer")
    _check(recipe)
    return recipe


def _read(file: Path) -> dict[str, Any]:
    """The content of a recipe's file."""
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as reason:
        raise ConfigurationError(f"{file}: cannot be read as text in UTF-8 ({reason})") from reason
    except yaml.YAMLError as reason:
        raise ConfigurationError(f"{file}: not YAML: {' '.join(str(reason).split())}") from reason
    except RecursionError as reason:
        raise ConfigurationError(f"{file}: nested too deeply to be a recipe") from reason
    if not isinstance(content, dict):
        said = f"expected sections by name ({', '.join(SECTIONS)}), got {str(content)[:60]!r}"
        raise ConfigurationError(f"{file}: {said}")
    return content


def _refuse_imports(where: str, value: Any, words: bool) -> None:
    """Refuse what would make a recipe import a module that is neither ours nor Lightning's: it may come from anyone.

    Args:
        where: for errors.
        value: what stands there.
        words: whether a word with dots may be taken for a class.

    Raises:
        ConfigurationError: Names the place and the word.
    """
    if isinstance(value, Mapping):
        for name, part in value.items():
            named = name in ("class_path", "class") or (words and name not in PATHS)
            _refuse_imports(f"{where}, {name}", part, words=named)
    elif isinstance(value, list | tuple):
        for part in value:
            _refuse_imports(where, part, words)
    elif words and isinstance(value, str) and re.fullmatch(r"(?!coset\.|lightning\.)[^\W\d]\w*(\.\w+)+", value):
        raise ConfigurationError(f"{where}: {value!r} is not of coset or Lightning, and a recipe imports no other")


def _file(name: str | Path) -> Path:
    for folder in __path__:
        if (bundled := Path(folder) / f"{name}.yaml").is_file():
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


def _find(name: str, section: str) -> Any:
    try:
        found = find_class(name, _PACKAGES[section])
    except (ConfigurationError, TypeError) as reason:
        raise ConfigurationError(f"{section}.class: {reason}") from None
    return found


def _build(sections: Mapping[str, Any], section: str) -> Any:
    options = {name: build(value, *_inside(section)) for name, value in sections[section].items()}
    return _find(options.pop("class"), section)(**options)


def _inside(section: str) -> tuple[str, ...]:
    """Where classes are looked for that stand inside of an option of a section."""
    return (_PACKAGES["data"],) if section.partition(".")[0] == "data" else _INSIDE


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
        _check_class(_find(sections[section]["class"], section), section, sections[section])
    parser = ArgumentParser(exit_on_error=False)
    own = "contexts" in inspect.signature(_find(sections["model"]["class"], "model")).parameters
    skipped: set[str | int] = {"seed", "contexts"} if own else {"seed"}
    parser.add_method_arguments(FactorTable, "sets", None, skip=skipped)
    _hold(parser, "sets", sections["sets"])
    parser = ArgumentParser(exit_on_error=False)
    skipped = {
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


def _check_class(found: Any, section: str, specification: Mapping[str, Any]) -> None:
    """Hold options, and what is built inside of them, against the signatures of classes."""
    from jsonargparse import ArgumentParser

    options = {}
    for name, value in specification.items():
        # A model looks up by itself what it names: a likelihood, actions, a transform.
        parts = () if section == "model" else value if isinstance(value, list) else (value,)
        inside = [part for part in parts if is_specification(part)]
        for part in inside:
            _check_class(find_class(part["class"], *_inside(section)), f"{section}.{name}", part)
        if name != "class" and not inside:
            options[name] = value
    parameters = inspect.signature(found).parameters
    if section.partition(".")[0] == "data":
        needed = [name for name, part in parameters.items() if part.default is part.empty and name not in specification]
        if needed:
            raise ConfigurationError(f"section data: {found.__name__} needs {needed[0]}; write it beside the class")
    if unknown := [name for name in specification if name != "class" and name not in parameters]:
        raise ConfigurationError(f"--{section}.{unknown[0]}: no such option; {nearest(unknown[0], sorted(parameters))}")
    skipped: set[str | int] = {  # what the data or `for_data` gives, and what is built apart
        part.name
        for part in parameters.values()
        if part.name not in options and (part.default is part.empty or part.name in specification)
    }
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(found, None, skip=skipped)
    _hold(parser, section, options)


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
