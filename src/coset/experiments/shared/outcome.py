"""What an experiment leaves: figures for machines, a report for people, and files, whole or not at all."""

import json
import os
import platform
import re
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.errors import ConfigurationError
from coset.runs import Run, open_run, train_run
from coset.writing import whole


@dataclass
class Outcome:
    """What an experiment found: `figures` for machines, `report` for people, and the files it wrote."""

    figures: dict[str, Any]
    report: str
    files: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Request:
    """What an experiment is asked for.

    Attributes:
        name: of the experiment, and of the files it writes.
        runs: folder of trained runs; finished ones in it are used, unfinished ones resumed.
        results: folder for the JSON file and the pictures.
        seed: of the measurement.
        started: when, on the monotonic clock.
    """

    name: str
    runs: Path
    results: Path
    seed: int = 0
    started: float = field(default_factory=time.monotonic)

    def run(
        self,
        recipe: str,
        start: Run | Mapping[str, Run] | None = None,
        label: str = "",
        overrides: Sequence[str] = (),
    ) -> Run:
        """The run of a bundled recipe: as it stands if finished, else trained or resumed.

        Args:
            recipe: its name.
            start: a run whose weights training begins with, or runs by the names of the model's parts.
            label: joined to the name of the run's folder, where overrides make another run of the recipe.
            overrides: `--section.option=value`, as on the command line.
        """
        folder = self.runs / "-".join(filter(None, (recipe, label)))
        if (folder / "record.json").is_file():
            return open_run(folder)
        resume = (folder / "recipe.yaml").is_file()
        return train_run(recipe, folder, overrides, resume=resume, start=start)[0]

    def once(self, run: Run, what: str, measure: Callable[[], Any]) -> Any:
        """The result of a measurement that takes long, kept beside the run as JSON: an interruption loses none."""
        kept = run.folder / f"{what}-seed-{self.seed}.json"
        if not kept.is_file():
            found = json.dumps(measure())
            with whole(kept) as partial:
                partial.write_text(found)
        return json.loads(kept.read_text())

    def write(
        self,
        figures: Mapping[str, Any],
        pictures: Mapping[str, Any],
        runs: list[Run],
        report: str,
        seeds: Sequence[int] = (),
    ) -> Outcome:
        """Write `NAME.json` and a PNG for each picture, a figure or a grid of images.

        Args:
            figures: by name.
            pictures: by what is joined to the experiment's name.
            runs: what was trained.
            report: for people.
            seeds: of what was fitted without being a run.
        """
        files = [self.results / f"{self.name}-{label}.png" for label in pictures]
        for file, picture in zip(files, pictures.values(), strict=True):
            plots.save(picture if not isinstance(picture, Tensor) else plots.grid(picture), file)
        trained = sum(json.loads((run.folder / "record.json").read_text())["seconds"] for run in runs)
        outcome = {
            "command": f"coset reproduce {self.name}" + (f" --seed {self.seed}" if self.seed else ""),
            "commit": _commit(),
            "seeds": {
                "training": [run.recipe.sections["training"].get("seed", 0) for run in runs] or list(seeds),
                "measurement": self.seed,
            },
            "hardware": _hardware(runs[0].model.device if runs else torch.device("cpu")),
            "wall_seconds": round(trained + time.monotonic() - self.started),
            "figures": _rounded(dict(figures)),
            "recipes": {run.recipe.name: run.recipe.sections for run in runs},
            "pictures": [file.name for file in files],
        }
        target = self.results / f"{self.name}.json"
        with whole(target) as partial:
            partial.write_text(json.dumps(outcome, indent=1) + "\n")
        return Outcome(outcome["figures"], f"{report}\n\nwritten: {target}", [target, *files])


@dataclass(frozen=True)
class Row:
    """A line of the table of results.

    Attributes:
        measure: what is measured, in which unit.
        ours: key of the figure.
        published: key of the published figure, if there is one.
        design: key of the figure of the papers' design, trained here.
        headline: whether it stands in the README as well, which shows a few.
    """

    measure: str
    ours: str
    published: str = ""
    design: str = ""
    headline: bool = False


class Experiment(ABC):
    """One file of `coset.experiments`, which is called like the experiment: what it trains, measures and draws.

    Attributes:
        aliases: further names, such as the tables and figures of papers that it repeats.
        label: what the table of results calls it.
        rows: its lines of that table.
    """

    aliases: Sequence[str] = ()
    label: str
    rows: Sequence[Row]

    @abstractmethod
    def run(self, request: Request) -> Outcome:
        """Train what is missing, measure, and write figures and pictures."""


def curves(run: Run) -> Any:
    """The training curves of a finished run."""
    return plots.curves(json.loads((run.folder / "record.json").read_text())["history"])


def plot_curves(folder: Path, output: Path) -> None:
    """Training curves of a run, finished or not, from its record or else its last checkpoint.

    Raises:
        ConfigurationError: The folder holds no run.
    """
    record, last = folder / "record.json", folder / "checkpoints" / "last.ckpt"
    if record.is_file():
        history = json.loads(record.read_text())["history"]
    elif last.is_file():
        history = torch.load(last, map_location="cpu", weights_only=True)["coset"]["history"]
    else:
        raise ConfigurationError(f"{folder}: expected the folder of a run, found neither record.json nor a checkpoint")
    plots.save(plots.curves(history), output)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def _commit() -> str:
    """The commit of the sources that ran, or the installed version where there is no repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    from importlib.metadata import version

    return f"version {version('coset')}"


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file() and (found := re.search(r"model name\s*: (.*)", information.read_text())):
        model = found.group(1)
    return f"{os.cpu_count()} x {model}, torch {torch.__version__}"
