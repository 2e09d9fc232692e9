"""Omniglot: characters of many alphabets, each drawn once by each of twenty people."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from coset.data.files import DataFile, difference, locate, read_members
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.errors import ConfigurationError, DataFileError, nearest

SOURCE = "B. Lake, R. Salakhutdinov, J. Tenenbaum: Human-level concept learning, Science 2015 (MIT licence)"
URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
PARTS = {
    "small1": ("images_background_small1.zip", "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4"),
    "small2": ("images_background_small2.zip", "3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f"),
    "background": ("images_background.zip", None),
    "evaluation": ("images_evaluation.zip", None),
}
RUNS = DataFile(
    "omniglot",
    "omniglot/all_runs.zip",
    f"{URL}/one-shot-classification/all_runs.zip",
    "437c1eeab0af8484112e1b4cc0f3d541ec727f7c47b9b202da738af9dfd6c325",
)
DRAWING = re.compile(r"[^/]+/([^/]+)/(character\d+)/\d+_(\d+)\.png")
CONTRAST = 2.0
"""What averaged ink is multiplied by: strokes three pixels wide would be pale once 105 pixels have become 28."""

Part = Literal["small1", "small2", "background", "evaluation"]


@dataclass(frozen=True)
class Omniglot(DataSet):
    """Characters of many alphabets, 20 drawings of each: white on black, 105 × 105 made smaller.

    Factors: `character`, such as "Greek/character03", with "/90" and so on behind it where it is turned; `alphabet`;
    and `drawer`, a number. A turned character is a character of its own.

    Args:
        train: Alphabets to train on: "small1" or "small2", five each, or "background", all thirty.
        test: Alphabets to test on: "small1", "small2", or "evaluation", twenty.
        side: Of the images, in pixels; they are made smaller by averaging over areas.
        turns: Of the training characters, in quarter turns: 1 for upright ones only, 4 for all directions.
        validation: Share of the training characters held out for validation, in all directions.
        seed: Chooses which are held out.

    Raises:
        ConfigurationError: There is no such part, or an option makes no sense.

    >>> [file.path for file in Omniglot().files][:2]
    ['omniglot/images_background_small1.zip', 'omniglot/images_background_small2.zip']
    """

    name: ClassVar[str] = "omniglot"
    source: ClassVar[str] = SOURCE

    train: Part = "small1"
    test: Part = "small2"
    side: int = 28
    turns: int = 4
    validation: float = 0.1
    seed: int = 0

    def __post_init__(self):
        for part in (self.train, self.test):
            if part not in PARTS:
                raise ConfigurationError(f"Omniglot: no part {part!r}; {nearest(part, PARTS)}")
        if self.train == self.test:
            raise ConfigurationError(f"Omniglot: train and test are both {self.train!r}; test on other alphabets")
        if self.turns not in (1, 2, 3, 4) or not 0 <= self.validation < 1 or not 8 <= self.side <= 105:
            raise ConfigurationError(
                f"Omniglot: expected turns from 1 to 4, validation below 1 and side from 8 to 105, got "
                f"turns={self.turns}, validation={self.validation}, side={self.side}"
            )

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The archives of training and test alphabets, and of the one-shot runs."""
        return (_file(self.train), _file(self.test), RUNS)

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test, of which no two share a character; test is upright.

        Raises:
            DataFileError: An archive is missing or damaged; says how to get it.
            ConfigurationError: Validation would take every character.
        """
        images, names = _read(_file(self.train), self.side)
        characters = sorted({(alphabet, character) for alphabet, character, _ in names})
        order = torch.randperm(len(characters), generator=torch.Generator().manual_seed(self.seed)).tolist()
        if round(self.validation * len(characters)) == len(characters):
            raise ConfigurationError(
                f"Omniglot: validation={self.validation} of {len(characters)} characters leaves none to train on; hold "
                "out fewer"
            )
        held_out = {characters[place] for place in order[: round(self.validation * len(characters))]}
        is_held = torch.tensor([name[:2] in held_out for name in names])
        splits = {}
        for split, rows in (("train", ~is_held), ("validation", is_held)):
            chosen = [name for name, row in zip(names, rows.tolist(), strict=True) if row]
            if chosen:
                splits[split] = _table(images[rows], chosen, self.turns)
        splits.setdefault("validation", splits["train"])
        return splits | {"test": _table(*_read(_file(self.test), self.side), turns=1)}


def one_shot_runs(side: int = 28) -> tuple[Tensor, Tensor, Tensor]:
    """The 20 published runs of one-shot classification among 20 characters of one alphabet.

    Returns:
        One example of each class `[runs, 20, side, side]`, the drawings to be classified `[runs, 20, side, side]`, both
        uint8, and the class of each `[runs, 20]`.

    Raises:
        DataFileError: The archive is missing or damaged; says how to get it.
    """
    path = locate(RUNS)
    members = _members(RUNS)
    runs = sorted({name.split("/")[0] for name in members if name.startswith("run")})
    images: dict[str, list[Tensor]] = {"training/class": [], "test/item": []}
    answers = []
    for run in runs:
        try:
            for kind, found in images.items():
                pictures = [_image(members[f"{run}/{kind}{number:02d}.png"], path) for number in range(1, 21)]
                found.append(_shrink(np.stack(pictures), side))
            lines = members[f"{run}/class_labels.txt"].decode().split()
            answer = {item: int(label[-6:-4]) - 1 for item, label in zip(lines[::2], lines[1::2], strict=True)}
            answers.append([answer[f"{run}/test/item{number:02d}.png"] for number in range(1, 21)])
        except (KeyError, ValueError) as error:
            raise DataFileError(f"{path}: {run} is not as published ({error}); {_again}") from error
    if not runs:
        raise DataFileError(f"{path}: holds no runs; {_again}")
    return torch.stack(images["training/class"]), torch.stack(images["test/item"]), torch.tensor(answers)


_again = "delete it and run `coset data fetch omniglot`"


def _file(part: str) -> DataFile:
    archive, checksum = PARTS[part]
    return DataFile("omniglot", f"omniglot/{archive}", f"{URL}/{archive}", checksum)


def _read(file: DataFile, side: int) -> tuple[Tensor, list[tuple[str, str, int]]]:
    """Drawings `[n, side, side]`, and the alphabet, character and drawer of each."""
    path, pictures, names = locate(file), [], []
    for name, content in sorted(_members(file).items()):
        if found := DRAWING.fullmatch(name):
            pictures.append(_image(content, path))
            names.append((found[1], found[2], int(found[3])))
    if not pictures:
        raise DataFileError(f"{path}: holds no drawings such as NAME/Greek/character01/0001_01.png; {_again}")
    return _shrink(np.stack(pictures), side), names


def _members(file: DataFile) -> dict[str, bytes]:
    path = locate(file)
    if problem := difference(file, path.read_bytes()):
        raise DataFileError(f"{path} is not the file that was published: {problem}; {_again}")
    return dict(read_members(path, lambda name: not name.endswith("/"), _again))


def _image(content: bytes, path: Any) -> np.ndarray:
    try:
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataFileError(f"{path}: a drawing cannot be read: {error}; {_again}") from error
    if picture.shape != (105, 105):
        raise DataFileError(f"{path}: drawings should be 105 × 105, one is {picture.shape}; {_again}")
    return picture


def _shrink(pictures: np.ndarray, side: int) -> Tensor:
    """Black ink on white `[n, 105, 105]` to white on black, `[n, side, side]`."""
    ink = 1 - torch.from_numpy(pictures).float().unsqueeze(1) / 255
    shrunk = F.interpolate(ink, (side, side), mode="area").squeeze(1)
    contrast = 1.0 if side == 105 else CONTRAST
    return (contrast * shrunk).clamp(max=1).mul(255).round().to(torch.uint8)


def _table(images: Tensor, names: Sequence[tuple[str, str, int]], turns: int) -> FactorTable:
    suffixes = ["", "/90", "/180", "/270"][:turns]
    return FactorTable(
        torch.cat([torch.rot90(images, quarter, dims=(1, 2)) for quarter in range(turns)]),
        character=[f"{alphabet}/{character}{suffix}" for suffix in suffixes for alphabet, character, _ in names],
        alphabet=[alphabet for alphabet, _, _ in names] * turns,
        drawer=[drawer for _, _, drawer in names] * turns,
    )
