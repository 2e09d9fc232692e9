"""A small convolutional classifier of items, which reads what models generate."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from coset.codes import coded, plain, recode
from coset.data import FactorTable
from coset.errors import DataError, ShapeError, nearest
from coset.networks.distortions import random_affine
from coset.writing import whole

BATCH = 128
STEPS = 1700
"""Four passes over the digits of MNIST; tiny data sets need fewer."""


class ImageClassifier(nn.Module):
    """Reads one factor of images: four convolutional layers and a linear one, as small as the task allows.

    Args:
        item_shape: `(H, W)` or `(C, H, W)`, sides from 8 up.
        values: what the classes stand for; predictions are indices into it, the codes of the table it was trained on.
    """

    def __init__(self, item_shape: tuple[int, ...], values: list[Any]):
        super().__init__()
        self.item_shape, self.values = tuple(item_shape), list(values)
        channels = 1 if len(self.item_shape) == 2 else self.item_shape[0]
        # Large images are halved at once: most of the cost of a convolution lies in its first layers.
        stride = 2 if min(self.item_shape[-2:]) >= 16 else 1
        layers: list[nn.Module] = []
        for inputs, outputs, step in ((channels, 16, stride), (16, 32, 1), (32, 64, 2), (64, 64, 1)):
            layers += [nn.Conv2d(inputs, outputs, 3, step, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.3))
        self.output = nn.Linear(64 * 16, len(self.values))
        # A third less time a step on a CPU. The type stubs of torch don't know the argument.
        self.layers.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[n, *item_shape]` to logits `[n, classes]`.

        Raises:
            ShapeError: These are no images of the classifier's shape.
        """
        return self.output(self._read(x))

    def _read(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.item_shape:
            raise ShapeError(f"classifier: expected images {list(self.item_shape)}, got {list(x.shape[1:])}")
        x = (x.unsqueeze(1) if len(self.item_shape) == 2 else x).to(self.output.weight)  # [n, C, H, W]
        return self.layers(x.contiguous(memory_format=torch.channels_last))

    @torch.no_grad()
    def features(self, x: Tensor, block: int = 2000) -> Tensor:
        """What the last layer reads of images `[n, *item_shape]`, in blocks: `[n, F]`."""
        self.eval()
        return torch.cat([self._read(part) for part in x.split(block)])

    @torch.no_grad()
    def predict(self, x: Tensor, block: int = 2000) -> Tensor:
        """Codes `[n]`, over `values`, of the most probable class of images `[n, *item_shape]`, read in blocks."""
        self.eval()
        return coded(torch.cat([self(part).argmax(-1).to(x.device) for part in x.split(block)]), self.values)

    def accuracy(self, table: FactorTable, factor: str) -> float:
        """Percentage of a table's items that are read right.

        Raises:
            DataError: The table's factor has a value that the classifier does not know.
        """
        codes = recode(_codes("accuracy", table, factor), self.values, what=f"accuracy: factor {factor!r}")
        rows = torch.arange(len(table), device=table.device).split(2000)
        right = sum(int((self.predict(table.x(part)) == codes[part]).sum()) for part in rows)
        return 100 * right / len(table)


def train_classifier(
    table: FactorTable, factor: str, *, steps: int = STEPS, seed: int = 0, augment: bool = True
) -> ImageClassifier:
    """Train a classifier of one factor on a table, where the table lives.

    Args:
        table: images; must not contain what is later scored.
        factor: a discrete factor that is known for all of them.
        steps: batches of 128.
        seed: of the initial weights, the order and the distortions.
        augment: turn, scale and shift images a little, at random.

    Raises:
        DataError: No such factor, or one that is continuous or unknown for some items; items that are no images.
    """
    codes = plain(_codes("train_classifier", table, factor))
    if len(table.item_shape) not in (2, 3) or min(table.item_shape[-2:]) < 8:
        raise DataError(
            f"train_classifier: items should be images [H, W] or [C, H, W] with sides from 8 up, got "
            f"{list(table.item_shape)}; use FactorTable(items.reshape(-1, H, W), …)"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ImageClassifier(tuple(table.item_shape), table.values[factor]).to(table.device)
        per_epoch = max(1, len(table) // BATCH)
        optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps + 1)
        for step in range(steps):
            if step % per_epoch == 0:
                order = torch.randperm(len(table)).to(table.device)
            rows = order[step % per_epoch * BATCH :][:BATCH]
            x = random_affine(table.x(rows)) if augment else table.x(rows)
            loss = F.cross_entropy(model(x), codes[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
    return model.eval()


def load_or_train_classifier(
    table: FactorTable,
    factor: str,
    *,
    cache: Path | None = None,
    steps: int = STEPS,
    seed: int = 0,
    augment: bool = True,
) -> ImageClassifier:
    """Train a classifier, or read it from `cache` if it was trained there on the same data before.

    The same are tables with equal classes for all items, of which some, evenly spaced, were compared as well.
    """
    if cache is None:
        return train_classifier(table, factor, steps=steps, seed=seed, augment=augment)
    codes = _codes("load_or_train_classifier", table, factor)
    rows = torch.linspace(0, len(table) - 1, min(64, len(table)), dtype=torch.float64).long()
    content = hashlib.sha256(f"{table.values[factor]} {tuple(table.item_shape)} {steps} {seed} {augment}".encode())
    content.update(codes.cpu().numpy().tobytes())
    content.update(table.x(rows.to(table.device)).cpu().double().numpy().tobytes())
    name = f"{factor}-{content.hexdigest()[:16]}"
    weights, config = cache / f"{name}.safetensors", cache / f"{name}.json"
    if weights.is_file() and config.is_file():
        kept = json.loads(config.read_text())
        model = ImageClassifier(tuple(kept["item_shape"]), kept["values"])
        model.load_state_dict(load_file(weights))
        return model.to(table.device).eval()
    model = train_classifier(table, factor, steps=steps, seed=seed, augment=augment)
    with whole(weights) as partial:
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, partial)
    with whole(config) as partial:
        partial.write_text(json.dumps({"item_shape": list(model.item_shape), "values": model.values}))
    return model


def _codes(where: str, table: FactorTable, factor: str) -> Tensor:
    if factor not in table.factors:
        raise DataError(f"{where}: no factor {factor!r}; {nearest(factor, table.factors)}")
    codes = table.factors[factor]
    if factor not in table.values or bool((codes < 0).any()):
        raise DataError(f"{where}: {factor!r} must be discrete and known for every item; use table.where")
    return codes
