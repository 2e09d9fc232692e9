"""Canvases with several digits, to be counted."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor

from coset.data.table import FactorTable
from coset.datasets.bases import Base, Based, base_images
from coset.errors import ConfigurationError, DataError, nearest

BLOCK = 2048  # canvases composed at a time
ROUNDS = 200  # arrangements drawn before giving up
CANDIDATES = 32  # places considered for each thing on a canvas
FRAGMENTS = 12  # on a canvas that is all clutter


@dataclass(frozen=True)
class MultiMNIST(Based):
    """Canvases on which 0 to `most` digits are scattered, differing in size and place; evenly many of each count.

    Every digit lies wholly on the canvas. Factors: `count`, and of each digit i from 1 to `most`, in no order:
    `digit_i` (named as in the base); the centre `x_i`, `y_i` of its ink, from the left and from the top; and
    `scale_i`, the side of its image; these as shares of the canvas's side. Unknown where there is no such digit.

    If all digits were of one size, the amount of ink would tell their number, and a model that only measures ink would
    seem to count. With `equal_ink` the digits of a canvas share one amount of ink, its sum of intensities, which is
    drawn from the same distribution whatever their number: three digits are smaller than one. Resampling keeps ink
    exactly, so from one digit up `ink_baseline` is at chance. What still differs is the size of the digits itself.

    Canvases without a digit are blank, so anything tells them apart. `clutter` fills them with fragments, which are too
    small to be digits but made of the same strokes, up to the same amount of ink; canvases with digits then spend a
    random share of their ink on fragments too. So neither the ink nor a fragment tells whether there is a digit.

    The experiment is that of Siddharth et al., "Learning Disentangled Representations in Deep Generative Models"
    (2017), section 4.3. It does not state the canvas; 50 × 50 is that of Eslami et al., "Attend, Infer, Repeat" (2016).

    Args:
        base: "mnist", "fashion-mnist" or "digits".
        most: Most digits on a canvas.
        side: Of the canvas, in pixels.
        scale: Smallest and largest side of a digit's image, as a share of the canvas's side; with `equal_ink`, of a
            digit of average ink that is alone.
        equal_ink: Let the ink not depend on the count.
        clutter: Largest share of the ink that fragments take on a canvas with digits, from 0 to below 1; if it is 0,
            there are none on blank canvases either.
        overlap: Largest part that two digits may have in common of the bounding box of the smaller.
        train: Canvases for training.
        validation: Canvases for validation, of base images held out for that.
        test: Canvases for test, of the base's test images.
        seed: Equal seeds compose equal canvases.

    Raises:
        ConfigurationError: If an option makes no sense.

    >>> train, test = MultiMNIST("digits", train=200, test=40).load()
    >>> test.item_shape, [test.column("count").count(count) for count in range(4)]
    (torch.Size([50, 50]), [10, 10, 10, 10])
    """

    base: Base = "mnist"
    most: int = 3
    side: int = 50
    scale: tuple[float, float] = (0.5, 0.75)
    equal_ink: bool = True
    clutter: float = 0.0
    overlap: float = 0.1
    train: int = 60_000
    validation: int = 5_000
    test: int = 10_000
    seed: int = 0

    def __post_init__(self):
        base_images(self.base)
        for name in ("most", "side", "train", "validation", "test"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"MultiMNIST: {name} should be at least 1, got {getattr(self, name)}")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ConfigurationError(
                "MultiMNIST: scale should be the smallest and the largest share of the canvas's side, between 0 and 1, "
                f"got {self.scale}"
            )
        for name in ("clutter", "overlap"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(
                    f"MultiMNIST: {name} should be at least 0 and below 1, got {getattr(self, name)}"
                )

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "multi-mnist" if self.base == "mnist" else f"multi-{self.base}"

    def load(self) -> tuple[FactorTable, FactorTable]:
        """Tables of training and test canvases, uint8 `[n, side, side]`.

        Raises:
            DataFileError: If a file of the base is missing or damaged; says how to get it.
            DataError: If digits of this size don't find room on the canvas.
        """
        train, test = base_images(self.base, seed=self.seed).load()
        return self._compose(train, self.train, 0), self._compose(test, self.test, 2)

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test, of which no two share a base image."""
        splits = base_images(self.base, seed=self.seed).load_splits()
        sizes = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: self._compose(table, sizes[name], stream) for stream, (name, table) in enumerate(splits.items())}

    def _compose(self, table: FactorTable, n: int, stream: int) -> FactorTable:
        """Draw n canvases with the images of a table, block by block."""
        generator = torch.Generator().manual_seed(3 * self.seed + stream)
        factor, values = next(iter(table.values.items()))
        label = table.factors[factor]
        count, wanted = _balance(n, self.most, label.unique(), generator)
        items = torch.empty(n, self.side, self.side, dtype=torch.uint8)
        places = torch.empty(n, self.most, 3)
        average = _ink(table).mean()
        for start in range(0, n, BLOCK):
            rows = slice(start, start + BLOCK)
            items[rows], places[rows] = self._draw(table, label, average, count[rows], wanted[rows], generator)
        known = [*values, None]  # code −1 is the last
        factors: dict[str, Any] = {"count": count}
        for slot in range(self.most):
            factors[f"{factor}_{slot + 1}"] = [known[code] for code in wanted[:, slot].tolist()]
            factors |= {f"{name}_{slot + 1}": places[:, slot, axis] for axis, name in enumerate(("x", "y", "scale"))}
        return FactorTable(items, **factors)

    def _draw(
        self,
        table: FactorTable,
        label: Tensor,
        average: Tensor,
        count: Tensor,
        wanted: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Canvases uint8 `[n, side, side]` and places of their digits `[n, most, 3]`: x, y and scale, NaN if absent."""
        n, magnified = len(count), self.side / max(table.item_shape)  # zoom at which an image fills the canvas
        low, high = (bound * magnified for bound in self.scale)
        present = wanted >= 0  # [n, most]
        zoom = (low + (high - low) * torch.rand(n, self.most, generator=generator)) * present  # [n, most]
        # Ink and the part of it that is clutter are settled first: that an arrangement fails must not change them.
        ink = average * (low + (high - low) * torch.rand(n, generator=generator)) ** 2  # [n]
        clutter = torch.where(count == 0, 1.0, self.clutter * torch.rand(n, generator=generator))  # [n]
        budget = _shares(present, generator) * (ink * (1 - clutter))[:, None]  # [n, most]
        if self.clutter:
            parts = (FRAGMENTS * clutter).ceil()[:, None]  # [n, 1], so that a fragment has much the same ink everywhere
            present = torch.cat([present, torch.arange(FRAGMENTS) < parts], 1)  # [n, J]
            budget = torch.cat([budget, ((ink * clutter)[:, None] / parts).expand(n, FRAGMENTS)], 1)  # [n, J]
        canvas = torch.empty(n, self.side, self.side)
        places = torch.full((n, self.most, 3), math.nan)
        left = torch.arange(n)  # canvases that are still to be arranged
        for _ in range(ROUNDS):
            pieces = _choose(table, label, wanted[left], generator)  # a list over J of images [m, H, W]
            if self.clutter:
                pieces += _tear(table, len(left), generator)
            inked = torch.stack([piece.sum((1, 2)) for piece in pieces], 1)  # [m, J]
            size = (budget[left] / inked).sqrt() * present[left]  # [m, J], zoom of each
            if not self.equal_ink:
                size[:, : self.most] = zoom[left]
            origin, centre, fits = _arrange(_ink_boxes(pieces), size, self.side, self.overlap, generator)
            done = left[fits]
            canvas[done] = _paint([piece[fits] for piece in pieces], size[fits], origin[fits], self.side)
            places[done] = torch.cat([centre / self.side, size[..., None] / magnified], -1)[fits, : self.most]
            left = left[~fits]
            if not len(left):
                places[wanted < 0] = math.nan
                return canvas.clamp(max=1).mul(255).round().to(torch.uint8), places
        raise DataError(
            f"MultiMNIST: up to {self.most} digits of scale {self.scale} don't find room on {self.side} × {self.side} "
            f"pixels with an overlap of at most {self.overlap}; make them smaller, or allow more overlap"
        )


def ink_baseline(table: FactorTable, factor: str = "count") -> float:
    """Accuracy with which the ink of an item alone, its sum of intensities, tells a discrete factor.

    A decision tree over this one number, so any set of thresholds, under five-fold cross-validation. A model that
    counts should be far better; where the data are sound, this is no better than always saying the most frequent value.

    Args:
        table: Images.
        factor: What to tell; items on which it is unknown are left out.

    Raises:
        DataError: If there is no discrete factor of that name.

    >>> ink = torch.arange(100.0)
    >>> table = FactorTable(ink[:, None], large=ink > 40, odd=torch.arange(100) % 2)
    >>> ink_baseline(table, "large") > 0.9, ink_baseline(table, "odd") < 0.7
    (True, True)
    """
    if factor not in table.values:
        raise DataError(f"ink_baseline: no discrete factor is called {factor!r}; {nearest(factor, table.values)}")
    codes = table.factors[factor].cpu()
    known = codes >= 0
    tree = DecisionTreeClassifier(max_leaf_nodes=32, random_state=0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(tree, _ink(table)[known, None].numpy(), codes[known].numpy(), cv=folds)
    return float(scores.mean())


def _ink(table: FactorTable) -> Tensor:
    """Sum of intensities of each item `[n]`."""
    blocks = (slice(start, start + BLOCK) for start in range(0, len(table), BLOCK))
    return torch.cat([table.x(rows).flatten(1).sum(1) for rows in blocks]).cpu()


def _balance(n: int, most: int, classes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Counts `[n]` and codes of the digits `[n, most]`, −1 if absent: evenly many of each, also within a count."""
    rank, count = torch.arange(n) // (most + 1), torch.arange(n) % (most + 1)  # [n], [n]
    ranks = int(rank[-1]) + 1
    turn = torch.stack([torch.randperm(ranks, generator=generator) for _ in range(most)], 1)  # [ranks, most]
    wanted = classes[turn % len(classes)][rank]  # [n, most]
    wanted[torch.arange(most) >= count[:, None]] = -1
    shuffled = torch.randperm(n, generator=generator)
    return count[shuffled], wanted[shuffled]


def _shares(present: Tensor, generator: torch.Generator) -> Tensor:
    """Parts `[n, most]` of a whole for what is present, differing by up to a factor of two."""
    weight = (1 + torch.rand(present.shape, generator=generator)) * present
    return weight / weight.sum(1, keepdim=True).clamp(min=1)  # the sum is 0 on blank canvases, above 1 on all others


def _choose(table: FactorTable, label: Tensor, wanted: Tensor, generator: torch.Generator) -> list[Tensor]:
    """For each column of the digits wanted `[m, most]` random images `[m, H, W]` of them; where none is, of any."""
    order, size = label.argsort(stable=True), label.bincount()
    wanted = torch.where(wanted < 0, label[0], wanted)
    draw = torch.randint(1 << 62, wanted.shape, generator=generator) % size[wanted]
    return list(table.x(order[(size.cumsum(0) - size)[wanted] + draw]).unbind(1))


def _tear(table: FactorTable, m: int, generator: torch.Generator) -> list[Tensor]:
    """FRAGMENTS times square cuttings `[m, W/3, W/3]` around an inked pixel of random images."""
    height, width = table.item_shape
    side = 2 * max(1, width // 6) + 1
    fragments = []
    for _ in range(FRAGMENTS):
        image = table.x(torch.randint(len(table), (m,), generator=generator))  # [m, H, W]
        pixel = torch.randint(height * width, (m, CANDIDATES), generator=generator)
        brightest = image.flatten(1).gather(1, pixel).argmax(1, keepdim=True)
        pixel = pixel.gather(1, brightest)  # [m, 1]
        down = (pixel // width - side // 2).clamp(0, height - side) + torch.arange(side)  # [m, side]
        across = (pixel % width - side // 2).clamp(0, width - side) + torch.arange(side)  # [m, side]
        fragments.append(image[torch.arange(m)[:, None, None], down[:, :, None], across[:, None, :]])
    return fragments


def _ink_boxes(pieces: list[Tensor]) -> Tensor:
    """Top, left, bottom and right `[m, J, 4]` of the ink of J images `[m, H, W]`, in their own pixels."""
    boxes = []
    for piece in pieces:
        inked = (piece > 0).any(2), (piece > 0).any(1)  # [m, H], [m, W]
        # Interpolation spreads ink by half a pixel.
        low = [axis.byte().argmax(1) - 0.5 for axis in inked]
        high = [axis.shape[1] - axis.flip(1).byte().argmax(1) + 0.5 for axis in inked]
        boxes.append(torch.stack(low + high, -1))  # [m, 4]
    return torch.stack(boxes, 1)  # [m, J, 4]


def _arrange(
    box: Tensor, size: Tensor, side: int, overlap: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Find places for scaled ink boxes, one after the other: of several random ones the first that is free enough.

    Args:
        box: Top, left, bottom and right `[m, J, 4]`.
        size: Zoom `[m, J]`; what is absent has zoom 0, and is in nobody's way.
        side: Of the canvas.
        overlap: Largest share of the smaller of two boxes that both may cover.
        generator: Source of places.

    Returns:
        Where the corner of the whole image comes to lie, row and column `[m, J, 2]`; the centre of its ink, column and
        row `[m, J, 2]`; and whether everything on a canvas has found room `[m]`.
    """
    m, pieces = size.shape
    extent = (box[..., 2:] - box[..., :2]) * size[..., None]  # [m, J, 2]
    room = side - extent
    fits = (room >= 0).flatten(1).all(1)  # [m], false also where an image has no ink at all
    corner = torch.zeros(m, pieces, 2)
    for piece in range(pieces):
        place = torch.rand(m, CANDIDATES, 2, generator=generator) * room[:, piece, None].clamp(min=0)  # [m, C, 2]
        if piece:
            before, here = slice(0, piece), slice(piece, piece + 1)
            low = place[:, :, None].maximum(corner[:, None, before])  # [m, C, j, 2]
            high = (place + extent[:, here])[:, :, None].minimum((corner + extent)[:, None, before])
            shared = (high - low).clamp(min=0).prod(-1)  # [m, C, j]
            area = extent.prod(-1)  # [m, J]
            smaller = area[:, before].minimum(area[:, here])[:, None].clamp(min=1e-6)  # [m, 1, j]
            excess = (shared / smaller).amax(2) - overlap  # [m, C]
            best = excess.clamp(min=0).argmin(1)  # [m]
            fits = fits & (excess.gather(1, best[:, None])[:, 0] <= 0)
            corner[:, piece] = place[torch.arange(m), best]
        else:
            corner[:, piece] = place[:, 0]
    return corner - box[..., :2] * size[..., None], (corner + extent / 2).flip(-1), fits


def _paint(pieces: list[Tensor], size: Tensor, origin: Tensor, side: int) -> Tensor:
    """Add up J images `[m, H, W]`, zoomed `[m, J]`, their corner at `[m, J, 2]`, on canvases `[m, side, side]`.

    Zooming is separable, so each is `V · image · Wᵀ`.
    """
    canvas = torch.zeros(len(size), side, side)
    for image, zoom, corner in zip(pieces, size.unbind(1), origin.unbind(1), strict=True):
        down = _weights(zoom, corner[:, 0], image.shape[1], side)  # [m, side, H]
        across = _weights(zoom, corner[:, 1], image.shape[2], side)  # [m, side, W]
        canvas += down @ image @ across.mT
    return canvas


def _weights(zoom: Tensor, origin: Tensor, pixels: int, side: int) -> Tensor:
    """Weight of each image pixel in each canvas pixel `[m, side, pixels]`, along one axis.

    The image is interpolated linearly, and averaged over each canvas pixel: with F the integral of the interpolating
    triangle, from canvas pixel p at image coordinates u to u + 1 / zoom,

        weight(p, i) = zoom · (F(u + 1 / zoom − i − ½) − F(u − i − ½)).

    Over all p they sum to the zoom, so the ink grows by exactly zoom², and small digits don't flicker.
    """
    zoom = zoom.clamp(min=1e-6)[:, None, None]  # what is absent leaves next to nothing
    edge = (torch.arange(side + 1)[:, None] - origin[:, None, None]) / zoom  # [m, side+1, 1]
    away = (edge - torch.arange(pixels) - 0.5).clamp(-1, 1)  # [m, side+1, pixels]
    integral = 0.5 + away - away * away.abs() / 2
    return zoom * integral.diff(dim=1)  # [m, side, pixels]
