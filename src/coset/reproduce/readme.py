"""The README's table, from the files in `results/`."""

import json
import os
from pathlib import Path

from coset.errors import ConfigurationError
from coset.reproduce.outcome import Outcome

# Name → label, and rows: measure, and the keys of the published figure, that of the papers' design, and ours.
Row = tuple[str, str | None, str | None, str]
COMPOSITION: list[Row] = [
    ("composition, mean %", "published_mean", "paper_design_mean", "mean"),
    ("composition, worst cell %", "published_worst", "paper_design_worst", "worst"),
]
ROWS: dict[str, tuple[str, list[Row]]] = {
    "rotated-mnist-4": ("rotated MNIST, 4 angles", COMPOSITION),
    "rotated-mnist-8": ("rotated MNIST, 8 angles", COMPOSITION),
    "black-white-mnist": (
        "black & white MNIST",
        [
            ("digit kept, %", None, None, "digit_right"),
            ("background kept, %", None, None, "background_right"),
            ("black backgrounds given a digit, %", None, None, "black_share"),
            ("entropy of digits given a background, bits", None, None, "digit_entropy_bits"),
        ],
    ),
    "vae-mnist-likelihood": (
        "MNIST, 50 latent dimensions",
        [
            ("test log-likelihood, VAE, nats", "published_vae", None, "vae"),
            ("the same, importance-weighted with 5 particles", "published_importance", None, "importance"),
        ],
    ),
    "one-dimensional-families": (
        "one-dimensional families",
        [
            ("family named right, %", None, None, "family_right"),
            ("R² of a set's mean", None, None, "mean_r2_sample"),
            ("R² of a set's variance", None, None, "variance_r2_sample"),
        ],
    ),
    "omniglot-few-shot": (
        "Omniglot, unseen alphabets (published: trained on 30 alphabets, ours on 5)",
        [
            ("5-way 1-shot, %", "published_5_way_1_shot", None, "5_way_1_shot"),
            ("5-way 5-shot, %", None, None, "5_way_5_shot"),
            ("20-way 1-shot, %", "published_20_way_1_shot", None, "20_way_1_shot"),
            ("20-way 5-shot, %", None, None, "20_way_5_shot"),
        ],
    ),
}


def results_table(results: Path) -> str:
    """The table paper / ours, in Markdown, from the JSON files in `results`."""
    lines = ["| experiment | measure | published | the papers' design here | coset |", "|---|---|---|---|---|"]
    for name, (label, rows) in ROWS.items():
        file = results / f"{name}.json"
        if not file.is_file():
            continue
        figures = json.loads(file.read_text())["figures"]
        for measure, *keys in rows:
            cells = (_cell(measure, figures.get(key)) for key in keys)
            lines.append(f"| {label} | {measure} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(measure: str, value: float | None) -> str:
    digits = 3 if measure.startswith("R²") else 2 if measure.endswith(("bits", "nats", "particles")) else 1
    return "" if value is None else f"{value:.{digits}f}"


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
