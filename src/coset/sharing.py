"""Sharing a run: its model and a card that says what it is, on the Hugging Face Hub."""

import json
import re
import shutil
import tempfile
from pathlib import Path

from coset.errors import CheckpointError, ConfigurationError
from coset.models.card import write_card
from coset.runs import Run

EVALUATION = "evaluation.json"
"""Where `coset evaluate` leaves its figures in the folder of a run."""


def run_card(run: Run, repository: str, license: str | None = None) -> str:
    """The card of a run's model: with its recipe, its data, and the figures of `coset evaluate` if there are any.

    Raises:
        ConfigurationError: A licence that is no word.
    """
    data = run.recipe.data()
    source = getattr(data, "source", "")
    sections = {
        "Data": f"`{type(data).__name__}`. {source}".strip(),
        "Figures": _figures(run),
        "Recipe": f"```yaml\n{_without_places(run.recipe.as_yaml()).strip()}\n```",
    }
    return write_card(run.model, repository, license, sections)


def _without_places(text: str) -> str:
    """A recipe without the folders of the machine it was made on, which are nobody's business."""
    return re.sub(r"(?<=[\s'\"])/\S*/(?=[^/\s]+)", "…/", text)


def _figures(run: Run) -> str:
    file = run.folder / EVALUATION
    if not file.is_file():
        return "Not evaluated; `coset evaluate` composes held-out sets and has a classifier of real items read them."
    found = json.loads(file.read_text("utf-8"))
    chance = 100 / max(1, len(found["columns"]))
    rows = [
        ("composed of held-out sets, read right, %", found["mean"], found["ceiling_mean"], chance),
        ("the same, worst combination, %", found["worst"], found["ceiling_worst"], chance),
        ("pixel variance, share of real", found["diversity"] / found["real_diversity"], 1.0, 0.0),
    ]
    lines = [f"| {what} | {ours:.2f} | {real:.2f} | {least:.2f} |" for what, ours, real, least in rows]
    return "\n".join(["| | this model | real held-out items | guessing, or a mean |", "|---|---|---|---|", *lines])


def push(run: Run, repository: str, license: str | None = None, private: bool = False) -> str:
    """Upload the model of a run, with its card, and return where it is.

    Args:
        run: finished.
        repository: `user/name`; made if it is not there.
        license: as the Hub calls it.
        private: whether a new repository is.

    Raises:
        ConfigurationError: A name that is no `user/name`.
        CheckpointError: The Hub refuses, or cannot be reached; no file was uploaded.
    """
    from huggingface_hub import HfApi

    user, _, name = repository.partition("/")
    if not user or not name or "/" in name:
        raise ConfigurationError(f"push: expected user/name, got {repository!r}")
    card = run_card(run, repository, license)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for file in ("config.json", "model.safetensors"):
            shutil.copy(run.folder / "model" / file, folder / file)
        (folder / "README.md").write_text(card, "utf-8")
        try:
            api = HfApi()
            address = api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload a model of coset")
        except Exception as reason:  # whatever the network, the Hub or the user's token do wrong
            raise CheckpointError(
                f"push: {repository} could not be uploaded ({type(reason).__name__}: {reason}); log in with "
                "`hf auth login`, and look at the name"
            ) from reason
    return str(address)
