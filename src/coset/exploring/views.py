"""What there is to see of a trained run, as arrays; pages only draw it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor
from torch.distributions import Independent, Normal

from coset.batch import SetBatch
from coset.data import FactorTable
from coset.errors import ConfigurationError, nearest
from coset.programs import Programs
from coset.runs import Run

MOST_LEVELS = 12
"""Levels of a context that a grid shows."""


@dataclass(frozen=True)
class Grid:
    """Every combination of two contexts.

    Attributes:
        factors: names of the two.
        levels: of each, in the user's words.
        left_out: how many further levels each has.
        composed: `[R, C, n, *item_shape]`, of held-out sets that never were of this combination if it is unseen.
        real: held-out items of each combination, `[m, *item_shape]`, none where there are none.
        seen: how many training items each combination has, `[R, C]`.
    """

    factors: tuple[str, str]
    levels: tuple[list, list]
    left_out: tuple[int, int]
    composed: Tensor
    real: list[list[Tensor]]
    seen: Tensor


@dataclass(frozen=True)
class CodeMap:
    """Codes of held-out items in the plane of their first two principal components.

    Attributes:
        points: `[n, 2]`.
        share: of the codes' variance that the plane holds.
        items: `[n, *item_shape]`.
        factors: discrete factor → level of each item, None where unknown.
        levels: discrete factor → its levels, in their order.
    """

    points: Tensor
    share: float
    items: Tensor
    factors: Mapping[str, list]
    levels: Mapping[str, list]


@dataclass(frozen=True)
class Traversal:
    """What one direction of a code does to an item.

    Attributes:
        site: the site, such as `z`.
        dimension: which of its numbers.
        nats: how much it tells of an item, ½ log(1 + variance of its means / mean variance).
        items: `[steps, *item_shape]`, from two deviations below the mean to two above.
    """

    site: str
    dimension: int
    nats: float
    items: Tensor


class Exploration:
    """Views of a trained run, from held-out items.

    Args:
        run: the run.
        seed: of sets and draws; each view repeats.
    """

    def __init__(self, run: Run, seed: int = 0):
        self.run, self.seed, self.model = run, seed, run.model

    @cached_property
    def held_out(self) -> FactorTable:
        """Items that training did not see, as they are."""
        return self.run.splits["test"]

    @cached_property
    def shown(self) -> FactorTable:
        """Held-out items of combinations that training has seen: what sets are drawn from."""
        train, test = self.run.splits["train"], self.held_out
        names = [name for name in self.model.contexts if name in train.values]
        seen = set(zip(*(train.column(name) for name in names), strict=True)) if len(names) > 1 else set()
        if not seen:
            return test
        cells = zip(*(test.column(name) for name in names), strict=True)
        return test[torch.tensor([cell in seen or None in cell for cell in cells])]

    def contexts(self) -> list[str]:
        """Contexts whose levels can be chosen: those that are discrete factors of the data."""
        return [name for name in self.model.contexts if name in self.held_out.values]

    def levels(self, name: str) -> list:
        """Levels of a context of which there are held-out items to show.

        Raises:
            ConfigurationError: No such context.
        """
        if name not in self.contexts():
            raise ConfigurationError(f"explore: no context {name!r} with levels; {nearest(name, self.contexts())}")
        there = set(self.shown.column(name))
        return [level for level in self.shown.values[name] if level in there]

    def draw_set(self, name: str, level: Any, items: int = 10) -> Tensor:
        """A set `[items, *item_shape]` of held-out items that share a level."""
        own = self.shown.where(**{name: level})
        generator = torch.Generator().manual_seed(self.seed)
        return own.x(torch.randint(len(own), (items,), generator=generator))

    def compose(self, given: Mapping[str, Tensor], n: int = 16, temperature: float = 1.0) -> Tensor:
        """New items `[n, *item_shape]` with each context of a set of its own."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.model.compose(dict(given), n=n, temperature=temperature).cpu()

    def grid(self, first: str | None = None, second: str | None = None, n: int = 4, temperature: float = 1.0) -> Grid:
        """Every combination of two contexts, composed.

        Args:
            first: the context of the rows; the first where None.
            second: that of the columns.
            n: items composed for each combination.
            temperature: of what items do not share.

        Raises:
            ConfigurationError: The model has fewer than two contexts with levels, or none of this name.
        """
        names = self.contexts()
        if len(names) < 2:
            raise ConfigurationError("explore: a grid takes a model of two contexts or more, with discrete levels")
        first = first or names[0]
        second = second or next(name for name in names if name != first)
        known = self.levels(first), self.levels(second)
        rows, columns = (levels[:MOST_LEVELS] for levels in known)
        sets = {
            name: torch.stack([self.draw_set(name, level) for level in levels])
            for name, levels in ((first, rows), (second, columns))
        }
        each = {
            first: sets[first].repeat_interleave(len(columns), 0),
            second: sets[second].repeat(len(rows), *(1,) * (sets[second].ndim - 1)),
        }
        composed = self.compose(each, n, temperature)
        train = self.run.splits["train"]
        cells = list(zip(train.column(first), train.column(second), strict=True))
        seen = torch.tensor([[cells.count((row, column)) for column in columns] for row in rows])
        real = [[self._some(n, **{first: row, second: column}) for column in columns] for row in rows]
        left_out = len(known[0]) - len(rows), len(known[1]) - len(columns)
        return Grid(
            (first, second), (rows, columns), left_out, composed.unflatten(0, (len(rows), len(columns))), real, seen
        )

    def _some(self, n: int, **levels: Any) -> Tensor:
        test = self.held_out
        rows = torch.ones(len(test), dtype=torch.bool)
        for name, level in levels.items():
            rows &= test.factors[name].cpu() == test.values[name].index(level)
        return test.x(rows.nonzero()[:n, 0].to(test.device)).cpu()

    def code_map(self, most: int = 400) -> CodeMap:
        """Codes of held-out items in the plane."""
        test = self.held_out
        generator = torch.Generator().manual_seed(self.seed)
        rows = torch.randperm(len(test), generator=generator)[:most].sort().values
        some = test[rows]
        codes = self.model.embed(some.x()).cpu().double().numpy()
        plane = PCA(min(2, *codes.shape)).fit(codes)
        points = np.zeros((len(codes), 2))
        points[:, : plane.n_components_] = plane.transform(codes)
        factors = {name: some.column(name) for name in some.values}
        share = float(np.nan_to_num(plane.explained_variance_ratio_).sum())
        return CodeMap(torch.from_numpy(points), share, some.x().cpu(), factors, dict(some.values))

    def traversals(self, directions: int = 6, steps: int = 7, items: int = 200) -> list[Traversal]:
        """What the directions that tell most of an item do to one, in the order of how much they tell.

        Args:
            directions: how many.
            steps: items of each.
            items: held-out items from which it is read how much a direction tells.
        """
        test = self.held_out
        x = test.x(torch.arange(min(items, len(test)), device=test.device)).unsqueeze(1)
        model = self.model
        like = model.read_items(x)
        constant = like.new_zeros(len(like), len(model.contexts)) if model.contexts else None
        with torch.no_grad():
            q = Programs(model, SetBatch(like, constant)).held().infer(temperature=0.0)
        found = []
        for name in model.codes:
            of = q[name].distribution if name in q else None
            if not isinstance(of, Independent) or not isinstance(of.base_dist, Normal):
                continue  # a choice has no direction
            mean, spread = of.mean.flatten(1), of.variance.flatten(1)
            nats = 0.5 * (1 + mean.var(0) / spread.mean(0)).log()
            found += [(float(each), name, dimension) for dimension, each in enumerate(nats.tolist())]
        return [
            self._traverse(q, name, dimension, nats, steps)
            for nats, name, dimension in sorted(found, key=lambda each: -each[0])[:directions]
        ]

    def _traverse(self, q: Any, name: str, dimension: int, nats: float, steps: int) -> Traversal:
        of = q[name].distribution
        mean = of.mean.flatten(1)
        along = mean[:, dimension].mean() + mean[:, dimension].std() * torch.linspace(-2, 2, steps).to(mean)
        values = {site: value[:1].expand(steps, *value.shape[1:]) for site, value in q.values().items()}
        moved = values[name].clone().flatten(1)
        moved[:, dimension] = along
        values[name] = moved.view(values[name].shape)
        observed = {self.model.constancy: values.pop(self.model.constancy)} if self.model.contexts else {}
        out = self.model.decode((steps, 1), {key: value for key, value in observed.items() if key}, values)
        return Traversal(name, dimension, nats, out[:, 0].cpu())


def sentence(grid: Grid) -> str:
    """What a grid shows, in a sentence."""
    holes = int((grid.seen == 0).sum())
    what = f"{grid.factors[0]} × {grid.factors[1]}"
    if not holes:
        return f"Every combination of {what} was seen in training."
    return f"{holes} of {grid.seen.numel()} combinations of {what} were never seen in training; they are outlined."


def four_lines(folder: Any, given: Mapping[str, Any], n: int, temperature: float) -> str:
    """The lines of Python that compose the same."""
    sets = ", ".join(f"{name!r}: views.draw_set({name!r}, {level!r})" for name, level in given.items())
    return (
        "from coset.exploring.views import Exploration\n"
        "from coset.runs import open_run\n"
        f"views = Exploration(open_run({str(folder)!r}))\n"
        f"items = views.compose({{{sets}}}, n={n}, temperature={temperature})"
    )


def most_telling(items: Tensor, names: Sequence[str], most: int = 40) -> tuple[list[int], list[str]]:
    """Columns of vectors that vary most, in their own order, and what they are called."""
    size = items.shape[-1]
    flat = items.reshape(-1, size).double()
    chosen = sorted(flat.var(0).nan_to_num().argsort(descending=True)[:most].tolist())
    called = list(names) if len(names) == size else [str(index) for index in range(size)]
    return chosen, [called[index] for index in chosen]
