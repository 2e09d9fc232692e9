"""Runs: a recipe trained into a folder, and read back from it."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout

from coset.data import FactorTable
from coset.errors import CheckpointError, ConfigurationError, nearest
from coset.models.saving import load
from coset.recipes import Recipe, load_recipe
from coset.training import Record, fit
from coset.training.options import check_seed
from coset.training.resuming import check_folder, is_first
from coset.writing import whole


@dataclass(frozen=True)
class Run:
    """A trained recipe in a folder: `recipe.yaml`, `model/`, `record.json`, `checkpoints/` and `logs/`."""

    folder: Path
    recipe: Recipe

    @cached_property
    def model(self) -> Any:
        """The trained model, on the best device there is."""
        return load(self.folder / "model").to("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def splits(self) -> dict[str, FactorTable]:
        """The data of the recipe, `train`, `validation` and `test`."""
        return self.recipe.splits()

    def read_values(self, given: Sequence[str]) -> dict[str, Any]:
        """Read `digit=5` as the value 5 of the context digit.

        Raises:
            ConfigurationError: A context that the model does not have, or no value.
        """
        values = {}
        for word in given:
            name, equals, value = word.partition("=")
            if name not in self.model.contexts or not equals:
                raise ConfigurationError(f"{word!r}: expected CONTEXT=VALUE; {nearest(name, self.model.contexts)}")
            values[name] = yaml.safe_load(value)
        return values

    def held_out(self, values: Mapping[str, Any], items: int) -> torch.Tensor:
        """A set `[items, ...]` of held-out items with the given factor values, drawn with replacement.

        Raises:
            DataError: No held-out item has them.
        """
        table = self.splits["test"].where(**values)
        return table.x(torch.randint(len(table), (items,)))


def open_run(folder: str | Path) -> Run:
    """Read a run back.

    Raises:
        CheckpointError: The folder holds no finished run.
    """
    folder = Path(folder).expanduser()
    if not (folder / "recipe.yaml").is_file() or not (folder / "model" / "config.json").is_file():
        state = "an unfinished run; finish it with `coset train … --resume`" if folder.is_dir() else "no folder"
        raise CheckpointError(f"{folder}: expected a finished run of `coset train`, found {state}")
    return Run(folder, load_recipe(folder / "recipe.yaml"))


def train_run(
    recipe: str | Path | Recipe,
    folder: str | Path,
    overrides: Sequence[str] = (),
    resume: bool = False,
    start: Run | Mapping[str, Run] | None = None,
    **trainer: Any,
) -> tuple[Run, Record]:
    """Train a recipe into a folder, or take up the training in it where it stopped.

    Args:
        recipe: name, file, or a recipe itself, with overrides applied.
        folder: of the run.
        overrides: as on the command line.
        resume: go on with the run in the folder.
        start: a finished run of the same model, with whose weights training begins instead of random ones; or such runs
            by the names of the model's parts, which are models themselves.
        trainer: options of `lightning.Trainer`, over those of the recipe.

    Raises:
        ConfigurationError: An unknown recipe or option; a folder that holds a run, without `resume`; or a run of
            other settings, with it.
    """
    plan = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    folder = Path(folder).expanduser()
    check_folder(folder, resume)
    kept = folder / "recipe.yaml"
    if is_first() and kept.is_file():
        if not resume:
            raise ConfigurationError(f"{folder} already holds a run; choose another folder, or add --resume")
        if yaml.safe_load(kept.read_text("utf-8")) != yaml.safe_load(plan.as_yaml()):
            raise ConfigurationError(f"{kept} differs from the recipe asked for; a run resumes with its own settings")
    run = Run(folder, plan)
    seed = plan.sections["training"].get("seed", 0)
    check_seed(seed)
    splits = run.splits
    with torch.random.fork_rng(devices=[]):  # so that equal seeds begin with equal weights
        torch.manual_seed(seed)
        model = plan.model(splits["train"])
    for part, begun in ({"": start} if isinstance(start, Run) else start or {}).items():
        try:
            model.get_submodule(part).load_state_dict(begun.model.state_dict())
        except (AttributeError, RuntimeError) as reason:
            raise ConfigurationError(f"{begun.folder}: another model than {plan.name}'s {part}: {reason}") from reason
    options = plan.fit_options() | trainer
    with _held(folder, plan.as_yaml()):
        record = fit(model, splits["train"], validation=splits["validation"], output=folder, resume=resume, **options)
    return run, record


@contextlib.contextmanager
def _held(folder: Path, recipe: str) -> Iterator[None]:
    """Hold the folder of a run against other processes; write its recipe, and take it back if nothing was trained.

    Raises:
        ConfigurationError: Another process trains into the folder.
    """
    if not is_first():  # another process of the same training has done all this
        yield
        return
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    kept, lock = folder / "recipe.yaml", FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as reason:
        raise ConfigurationError(f"{folder}: another process trains there; wait, or choose another folder") from reason
    try:
        if new := not kept.is_file():
            with whole(kept) as partial:
                partial.write_text(recipe, "utf-8")
        yield
    except BaseException:
        if new and not (folder / "checkpoints").exists():
            kept.unlink(missing_ok=True)
        raise
    finally:
        lock.release()
        if not kept.is_file():
            (folder / ".lock").unlink(missing_ok=True)
            shutil.rmtree(folder / "logs", ignore_errors=True)  # of a training that made no checkpoint
            for place in made:  # the innermost first
                with contextlib.suppress(OSError):  # something else is in it
                    place.rmdir()
