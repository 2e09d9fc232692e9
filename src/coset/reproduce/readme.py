"""The README's table, from the files in `results/`."""

import json
import os
from pathlib import Path
from typing import Any

from coset.errors import ConfigurationError
from coset.reproduce.outcome import Outcome


def results_table(results: Path) -> str:
    """The table paper / ours, in Markdown, from the JSON files in `results`."""
    rows = ["| experiment | measure | published | the papers' design here | coset |", "|---|---|---|---|---|"]

    def add(experiment: str, measure: str, published: Any, design: Any, ours: Any) -> None:
        cells = ("" if value is None else f"{value:.1f}" for value in (published, design, ours))
        rows.append(f"| {experiment} | {measure} | {' | '.join(cells)} |")

    for angles in (4, 8):
        file = results / f"rotated-mnist-{angles}.json"
        if file.is_file():
            found = json.loads(file.read_text())["figures"]
            label = f"rotated MNIST, {angles} angles"
            add(label, "composition, mean %", found["published_mean"], found["paper_design_mean"], found["mean"])
            add(
                label,
                "composition, worst cell %",
                found["published_worst"],
                found["paper_design_worst"],
                found["worst"],
            )
    file = results / "black-white-mnist.json"
    if file.is_file():
        found = json.loads(file.read_text())["figures"]
        for measure, key in (
            ("digit kept, %", "digit_right"),
            ("background kept, %", "background_right"),
            ("black backgrounds given a digit, %", "black_share"),
            ("entropy of digits given a background, bits", "digit_entropy_bits"),
        ):
            add("black & white MNIST", measure, None, None, found[key])
    return "\n".join(rows)


def renew_readme(readme: Path, results: Path) -> Outcome:
    """Write the table between the README's markers anew."""
    begin, end = "<!-- results: written by `coset reproduce readme` -->", "<!-- end of results -->"
    text = readme.read_text()
    if begin not in text or end not in text:
        raise ConfigurationError(f"{readme}: expected the markers {begin!r} and {end!r}")
    table = results_table(results)
    head, tail = text.split(begin)[0], text.split(end)[1]
    partial = readme.with_suffix(".partial")
    partial.write_text(f"{head}{begin}\n{table}\n{end}{tail}")
    os.replace(partial, readme)
    return Outcome({"readme": str(readme)}, table, [readme])
