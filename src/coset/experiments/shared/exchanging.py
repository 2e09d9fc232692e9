"""What auxiliary-task models make of items whose codes are exchanged for others', and the pictures of it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import coset.plots as plots
from coset.data.files import locate
from coset.datasets.cifar10 import CIFAR10
from coset.errors import DataFileError
from coset.runs import Run

SHOWN, MADE = 8, 8


def photographs_at_hand() -> str:
    """The form in which CIFAR-10 lies on this machine: `published`, or else `folder`."""
    try:
        locate(CIFAR10().files[0])
    except DataFileError:
        return "folder"
    return "published"


def exchanged(run: Run, items: Tensor, seed: int) -> dict[str, Tensor]:
    """Items `[n, ...]`, reconstructed, with either code drawn from its prior, and with that of the item before.

    `taken` has what the transform destroys of each item, and what it keeps of the item before it.
    """
    model = run.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = {
            "reconstructed": model.compose(lost=items, kept=items),
            "local_resampled": model.compose(lost=items),
            "global_resampled": model.compose(kept=items),
            "taken": model.compose(lost=items, kept=items.roll(1, 0)),
        }
    return {name: images.cpu() for name, images in made.items()}


def with_colours_of(items: Tensor, others: Tensor) -> Tensor:
    """Images `[n, C, H, W]` with the mean and deviation of each channel of others (Reinhard et al. 2001): no model."""
    of_items, of_others = ((x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True)) for x in (items, others))
    return ((items - of_items[0]) / of_items[1].clamp_min(1e-6) * of_others[1] + of_others[0]).clamp(0, 1)


def pictures(run: Run, items: Tensor, seed: int) -> dict[str, Any]:
    """Figures 1b and 2 of the paper, and items with one code of the row and the other of the column.

    Args:
        run: an auxiliary-task model.
        items: held-out ones `[n, ...]`, `SHOWN` or more.
        seed: of the transform and of what is drawn.
    """
    model, items = run.model, items[:SHOWN]
    placed = model.place(items, seed)
    with torch.no_grad():
        again = model.kept_likelihood(model.kept_decoder(placed["kept"])).mean
    rows = torch.stack([items, *(x.cpu() for x in (placed["transformed"], model.reconstruct(items), again))])
    every = items.repeat_interleave(MADE, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        varied = [model.compose(**{name: every}).cpu().unflatten(0, (-1, MADE)) for name in ("lost", "kept")]
    grid = model.compose(lost=items.repeat(SHOWN, 1, 1, 1), kept=items.repeat_interleave(SHOWN, 0))
    return {
        "reconstructed": plots.grid(
            rows, row_labels=["items", "transformed", "items, again", "transformed, again"], separators=(2,)
        ),
        "varied": plots.side_by_side(
            [items.unsqueeze(1), *varied], ["item", "what is kept is drawn", "what is lost is drawn"]
        ),
        "exchanged": plots.side_by_side(
            [items.unsqueeze(1), grid.cpu().unflatten(0, (SHOWN, SHOWN))],
            ["kept", "what is kept of the row, and lost of the column"],
        ),
    }


def over_seeds(found: list[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each figure over training seeds, and its standard deviation as `NAME_sd`."""
    columns = {name: torch.tensor([one[name] for one in found], dtype=torch.float64) for name in found[0]}
    return {name: float(column.mean()) for name, column in columns.items()} | {
        f"{name}_sd": float(column.std()) for name, column in columns.items()
    }
