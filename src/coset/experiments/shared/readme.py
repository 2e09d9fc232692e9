"""Tables and pictures of all experiments, from the files in `results/`: the README's, and a page of their own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coset.errors import ConfigurationError
from coset.experiments.shared.outcome import Experiment, Outcome
from coset.writing import whole

BEGIN, END = "<!-- results: written by `coset reproduce readme` -->", "<!-- end of results -->"
HEAD = """# Results

Every figure, from the files beside this page, which `coset reproduce NAME` wrote; each holds the command, the commit,
the seeds, the hardware and the time it took. "The papers' design" is `pooling: mean` with the same small networks and
training as ours; recipes with the published networks and schedules (`rotated-mnist-4-paper`, `rotated-mnist-8-paper`,
`black-white-mnist-paper`) are meant for a GPU.
"""


def results_table(results: Path, experiments: Mapping[str, Experiment], headline: bool = False) -> str:
    """The table paper / ours, in Markdown, from the JSON files in `results`, in the order of the experiments.

    Args:
        results: the folder of the files.
        experiments: by name.
        headline: only the few rows that the README shows.
    """
    lines = ["| experiment | measure | published | the papers' design here | coset |", "|---|---|---|---|---|"]
    for name, experiment in experiments.items():
        found = _read(results, name)
        for row in experiment.rows if found else ():
            cells = (_cell(row.measure, found["figures"].get(key)) for key in (row.published, row.design, row.ours))
            if row.headline or not headline:
                lines.append(f"| {experiment.label} | {row.measure} | {' | '.join(cells)} |")
    return "\n".join(lines)


def results_page(results: Path, experiments: Mapping[str, Experiment]) -> str:
    """All rows, and the pictures of each experiment beside its command."""
    parts = [HEAD, results_table(results, experiments)]
    for name, experiment in experiments.items():
        if found := _read(results, name):
            label, minutes = experiment.label, found.get("wall_seconds", 0) / 60
            where = f"{minutes:.0f} minutes on {found.get('hardware')}"
            about = f"`{found.get('command')}`, {where}; [{name}.json](./{name}.json)"
            pictures = "\n".join(f"![{Path(each).stem}]({each})" for each in found.get("pictures", ()))
            parts.append(f"\n## {label[0].upper()}{label[1:]}\n\n{about}\n\n{pictures}")
    return "\n".join(parts) + "\n"


def _read(results: Path, name: str) -> dict[str, Any]:
    file = results / f"{name}.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def _cell(measure: str, value: float | None) -> str:
    """A figure with as many digits as its unit asks for; what has no unit is a share or a score, up to about 1."""
    digits = (
        1 if measure.endswith(("%", "dB", "of ten")) else 2 if measure.endswith(("bits", "nats", "particles")) else 3
    )
    return "" if value is None else f"{value:.{digits}f}"


def renew_readme(readme: Path, results: Path, experiments: Mapping[str, Experiment]) -> Outcome:
    """Write the table between the README's markers anew, and the page of all results.

    Raises:
        ConfigurationError: The file does not have the markers.
    """
    text = readme.read_text()
    if BEGIN not in text or END not in text:
        raise ConfigurationError(f"{readme}: expected the markers {BEGIN!r} and {END!r}")
    table = results_table(results, experiments, headline=True)
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    with whole(readme) as partial:
        partial.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")
    page = results / "README.md"
    with whole(page) as partial:
        partial.write_text(results_page(results, experiments))
    return Outcome({"readme": str(readme), "results": str(page)}, table, [readme, page])
