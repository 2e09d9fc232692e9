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
            ("the same, importance-weighted with 5 particles", "published_iwae_5", None, "iwae_5"),
        ],
    ),
    "one-dimensional-families": (
        "one-dimensional families",
        [
            ("family named right, %", None, None, "family_accuracy"),
            ("R² of the mean", None, None, "mean_r2"),
            ("R² of the mean, by Bayes' rule from all distributions", None, None, "bayes_mean_r2"),
            ("R² of the set's own mean", None, None, "mean_r2_sample"),
            ("R² of the variance", None, None, "variance_r2"),
            ("R² of the variance, by Bayes' rule from all distributions", None, None, "bayes_variance_r2"),
            ("R² of the set's own variance", None, None, "variance_r2_sample"),
        ],
    ),
    "vae-mnist-2d": ("MNIST, 2 latent dimensions", [("bound of test items, nats", None, None, "bound")]),
    "spatial-mnist": (
        "MNIST as sets of 50 points",
        [
            ("bound of a point, nats", None, None, "bound_per_point"),
            ("digit named by the nearest contexts, learned without it, %", None, None, "digit_accuracy"),
        ],
    ),
    "omniglot-few-shot": (
        "Omniglot, unseen alphabets (published: trained on 30 alphabets, ours on 5)",
        [
            ("5-way 1-shot, %", "published_five_way_one_shot", None, "five_way_one_shot"),
            ("5-way 5-shot, %", None, None, "five_way_five_shot"),
            ("20-way 1-shot, %", "published_twenty_way_one_shot", None, "twenty_way_one_shot"),
            ("20-way 5-shot, %", None, None, "twenty_way_five_shot"),
        ],
    ),
    "semi-supervised-mnist": (
        "MNIST, class and style (published: Siddharth et al. 2017)",
        [
            ("error with 100 labels, %", "published_100", None, "error_100"),
            ("error with 600 labels, %", "published_600", None, "error_600"),
            ("error with 1,000 labels, %", "published_1000", None, "error_1000"),
            ("error with 3,000 labels, %", "published_3000", None, "error_3000"),
            ("class kept when the style is another digit's, %", None, None, "class_kept_borrowed_style"),
        ],
    ),
    "multi-mnist": (
        "multi-MNIST, digits counted",
        [
            (f"error, {labels} labels at {rate} %", f"published_{labels}_{rate}", None, f"count_error_{labels}_{rate}")
            for labels, rate in ((500, 1), (500, 10), (1000, 1), (1000, 10))
        ],
    ),
    "yale-b": (
        "Extended Yale B (published: another version of the data)",
        [
            ("identity error, all labels, %", "published_identity_error_full", None, "identity_error_full"),
            ("light error, all labels, %", "published_light_error_full", None, "light_error_full"),
            ("identity error, 20 labels a person, %", "published_identity_error_semi", None, "identity_error_semi"),
            ("light error, 20 lights known, %", "published_light_error_semi", None, "light_error_semi"),
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
