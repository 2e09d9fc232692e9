"""The README's table, from the files in `results/`."""

import json
from collections.abc import Mapping
from pathlib import Path

from coset.errors import ConfigurationError
from coset.experiments.shared.outcome import Experiment, Outcome
from coset.writing import whole


def results_table(results: Path, experiments: Mapping[str, Experiment]) -> str:
    """The table paper / ours, in Markdown, from the JSON files in `results`, in the order of the experiments."""
    lines = ["| experiment | measure | published | the papers' design here | coset |", "|---|---|---|---|---|"]
    for name, experiment in experiments.items():
        file = results / f"{name}.json"
        if not file.is_file():
            continue
        figures = json.loads(file.read_text())["figures"]
        for row in experiment.rows:
            cells = (_cell(row.measure, figures.get(key)) for key in (row.published, row.design, row.ours))
            lines.append(f"| {experiment.label} | {row.measure} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(measure: str, value: float | None) -> str:
    digits = 3 if measure.startswith("R²") else 2 if measure.endswith(("bits", "nats", "particles")) else 1
    return "" if value is None else f"{value:.{digits}f}"


def renew_readme(readme: Path, results: Path, experiments: Mapping[str, Experiment]) -> Outcome:
    """Write the table between the README's markers anew.

    Raises:
        ConfigurationError: The file does not have the markers.
    """
    begin, end = "<!-- results: written by `coset reproduce readme` -->", "<!-- end of results -->"
    text = readme.read_text()
    if begin not in text or end not in text:
        raise ConfigurationError(f"{readme}: expected the markers {begin!r} and {end!r}")
    table = results_table(results, experiments)
    head, tail = text.split(begin)[0], text.split(end)[1]
    with whole(readme) as partial:
        partial.write_text(f"{head}{begin}\n{table}\n{end}{tail}")
    return Outcome({"readme": str(readme)}, table, [readme])
