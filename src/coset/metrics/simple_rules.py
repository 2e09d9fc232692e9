"""What simple rules say of combinations that were not seen: the rows that a model of combinations has to beat.

Every rule is a function of the means of seen cells, `[cells, D]`, with their levels `[cells, K]`, and of the levels of
wanted cells `[m, K]`. What a rule leaves open, a rank, a ridge or a width, is chosen by cells held out among the seen.
"""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from coset.errors import DataError

Rule = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Levels `[cells, K]` and means `[cells, D]` of seen cells, and wanted levels `[m, K]` → predicted means `[m, D]`."""

SWEEPS = 20
"""Rounds of alternating least squares."""

INSIDE = 0.15
"""Share of the seen cells by which a rule's own choices are made."""


def predict_by_rules(
    levels: Tensor, means: Tensor, wanted: Tensor, factors: Sequence[str] | None = None, seed: int = 0
) -> dict[str, Tensor]:
    """Means of unseen cells as every simple rule predicts them.

    Args:
        levels: codes of the levels of the seen cells, `[cells, K]`.
        means: of the items in them, `[cells, D]`.
        wanted: levels of the unseen cells, `[m, K]`; each level must be seen somewhere.
        factors: names of the K factors, for the rules `mean of NAME`.
        seed: of the cells by which rank, ridge and width are chosen.

    Returns:
        rule → `[m, D]`: `mean of NAME` for each factor, `additive`, `additive in log` where no mean is negative,
        `low_rank`, `kernel_ridge`, `nearest`.

    Raises:
        DataError: A level of a wanted cell is in no seen one, or shapes disagree.

    >>> levels = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1], [0, 2], [1, 2]])
    >>> means = (levels[:, :1] * 10 + levels[:, 1:]).double()  # made by adding
    >>> predict_by_rules(levels, means, torch.tensor([[2, 2]]))["additive"].round(decimals=6)
    tensor([[22.]], dtype=torch.float64)
    """
    names = [str(index) for index in range(levels.shape[1])] if factors is None else list(factors)
    if levels.ndim != 2 or means.ndim != 2 or len(levels) != len(means) or len(names) != levels.shape[1]:
        raise DataError(
            f"simple rules: expected levels [cells, K], means [cells, D] and K names, got {list(levels.shape)}, "
            f"{list(means.shape)} and {len(names)}"
        )
    for column, name in enumerate(names):
        if unseen := set(wanted[:, column].tolist()) - set(levels[:, column].tolist()):
            raise DataError(
                f"simple rules: level {min(unseen)} of {name} is in no seen cell; nothing can be said of it"
            )
    means = means.double()
    inside = torch.rand(len(levels), generator=torch.Generator().manual_seed(seed)) < INSIDE  # [cells]
    rules: dict[str, Rule] = {f"mean of {name}": mean_of(column) for column, name in enumerate(names)}
    rules["additive"] = additive
    if bool((means >= 0).all()):
        rules["additive in log"] = additive_in_log
    found = {name: rule(levels, means, wanted) for name, rule in rules.items()}
    families: dict[str, list[Rule]] = {"low_rank": low_rank_rules(levels), "kernel_ridge": kernel_rules()}
    for name, family in families.items():
        found[name] = choose(family, levels, means, inside)(levels, means, wanted)
    return found | {"nearest": nearest_seen(levels, means, wanted)}


def choose(family: Sequence[Rule], levels: Tensor, means: Tensor, inside: Tensor) -> Rule:
    """The rule of a family that predicts the cells `inside` best from the others; the first where none can be told.

    Cells whose levels would not be left are not asked about.
    """
    kept = ~inside
    asked = inside.clone()
    for column in range(levels.shape[1]):
        asked &= torch.isin(levels[:, column], levels[kept, column])
    if not asked.any() or kept.sum() < 2:
        return family[0]
    errors = [float((rule(levels[kept], means[kept], levels[asked]) - means[asked]).square().mean()) for rule in family]
    return family[min(range(len(family)), key=errors.__getitem__)]


def mean_of(column: int) -> Rule:
    """Predict the mean of the seen cells that have the same level of one factor."""

    def rule(levels: Tensor, means: Tensor, wanted: Tensor) -> Tensor:
        same = (wanted[:, column, None] == levels[None, :, column]).double()  # [m, cells]
        return same @ means / same.sum(1, keepdim=True)

    return rule


def additive(levels: Tensor, means: Tensor, wanted: Tensor) -> Tensor:
    """Add one main effect for each factor, by least squares."""
    sizes = [int(torch.cat([levels[:, column], wanted[:, column]]).max()) + 1 for column in range(levels.shape[1])]
    design, asked = (_dummies(part, sizes) for part in (levels, wanted))
    # Of least norm: the constant and the effects share one degree of freedom, which no prediction depends on.
    return asked @ torch.linalg.lstsq(design, means, driver="gelsd").solution


def additive_in_log(levels: Tensor, means: Tensor, wanted: Tensor) -> Tensor:
    """Multiply effects: add them in the logarithm, after a hundredth of the mean has been added to everything."""
    shift = means.mean().clamp_min(1e-12) / 100
    return additive(levels, (means + shift).log(), wanted).clamp_max(math.log(1e300)).exp() - shift


def low_rank_rules(levels: Tensor) -> list[Rule]:
    """Low rank along each factor, with ranks up to 16 and four ridges."""
    rules = []
    for column in range(levels.shape[1]):
        most = min(16, len(levels[:, column].unique()), max(1, len(levels) // len(levels[:, column].unique())))
        ranks = [rank for rank in (1, 2, 3, 4, 6, 8, 11, 14, 16) if rank <= most]
        rules += [low_rank(column, rank, ridge) for rank, ridge in product(ranks, (0.01, 0.1, 1.0, 5.0))]
    return rules


def low_rank(column: int, rank: int, ridge: float) -> Rule:
    """A product of rank r over the levels of one factor, shrunk towards the mean of what the others make.

        mean of cell (p, l) = A_p b_l,   A_p `[D, r]` for each combination p of the other factors, b_l `[r]` for each l

    by alternating least squares, with the penalty `ridge · (|A_p − mean of all A|² + |b_l − mean of all b|²)`.
    """

    def rule(levels: Tensor, means: Tensor, wanted: Tensor) -> Tensor:
        others = [index for index in range(levels.shape[1]) if index != column]
        both = torch.cat([levels, wanted])
        combination = both[:, others].unique(dim=0, return_inverse=True)[1]
        level = both[:, column].unique(return_inverse=True)[1]
        rows, columns = int(combination.max()) + 1, int(level.max()) + 1
        seen, asked = slice(None, len(levels)), slice(len(levels), None)
        there = means.new_zeros(rows, columns)
        there[combination[seen], level[seen]] = 1.0
        full = additive(levels, means, both).new_zeros(rows, columns, means.shape[1])
        full[combination[seen], level[seen]] = means
        scale = means.square().mean().sqrt().clamp_min(1e-12)
        a, b = _alternate(full / scale, there, _start(levels, means / scale, both, combination, level, rank), ridge)
        return torch.einsum("mdr,mr->md", a[combination[asked]], b[level[asked]]) * scale

    return rule


def _start(levels: Tensor, means: Tensor, both: Tensor, combination: Tensor, level: Tensor, rank: int) -> Tensor:
    """Where alternating least squares begin, `[columns, r]`: a constant, and the main directions of the level means."""
    profile = torch.stack([means[level[: len(levels)] == index].mean(0) for index in range(int(level.max()) + 1)])
    profile = torch.where(profile.isnan(), means.mean(0), profile)
    directions = torch.linalg.svd(profile - profile.mean(0), full_matrices=False)[0]  # [columns, ·]
    start = torch.cat([means.new_ones(len(profile), 1), directions * math.sqrt(len(profile))], 1)[:, :rank]
    missing = rank - start.shape[1]
    if missing > 0:
        noise = torch.randn(len(profile), missing, generator=torch.Generator().manual_seed(0), dtype=means.dtype)
        start = torch.cat([start, noise], 1)
    return start


def _alternate(full: Tensor, there: Tensor, b: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Alternating least squares over the seen entries of `full` `[P, L, D]`; returns A `[P, D, r]` and b `[L, r]`."""
    eye = torch.eye(b.shape[1], dtype=full.dtype)
    size = full.shape[2]
    centre = full.new_zeros(size, b.shape[1])
    a = full.new_zeros(full.shape[0], size, b.shape[1])
    for _ in range(SWEEPS):
        gram = torch.einsum("pl,lr,ls->prs", there, b, b) + ridge * eye  # [P, r, r]
        evidence = torch.einsum("pld,lr->pdr", full, b)  # `full` is 0 where nothing was seen
        for _ in range(2):  # the centre and what is shrunk towards it
            a = torch.linalg.solve(gram, evidence + ridge * centre, left=False)
            centre = a.mean(0)
        square = torch.einsum("pdr,pds->prs", a, a) / size
        gram = torch.einsum("pl,prs->lrs", there, square) + 1e-6 * eye
        evidence = torch.einsum("pld,pdr->lr", full, a) / size
        b = torch.linalg.solve(gram, evidence)
        b = b / b.square().mean().sqrt().clamp_min(1e-12)
    gram = torch.einsum("pl,lr,ls->prs", there, b, b) + ridge * eye
    return torch.linalg.solve(gram, torch.einsum("pld,lr->pdr", full, b) + ridge * centre, left=False), b


def kernel_rules() -> list[Rule]:
    """Kernel ridge regression with four widths and four ridges."""
    return [kernel_ridge(width, ridge) for width, ridge in product((0.3, 1.0, 3.0, 10.0), (1e-3, 1e-2, 0.1, 1.0))]


def kernel_ridge(width: float, ridge: float) -> Rule:
    """Ridge regression on main effects and their products, with levels alike whose seen cells have like means.

    k(cell, cell') = Π_k (1 + exp(−d_k² / width²)) − 1,   d_k between the level means, in units of their median
    """

    def rule(levels: Tensor, means: Tensor, wanted: Tensor) -> Tensor:
        centre = means.mean(0)
        both = torch.cat([levels, wanted])
        kernel = torch.ones(len(both), len(levels), dtype=means.dtype)
        for column in range(levels.shape[1]):
            profile = torch.zeros(int(both[:, column].max()) + 1, means.shape[1], dtype=means.dtype)
            known = levels[:, column].unique()
            profile[known] = torch.stack([means[levels[:, column] == level].mean(0) for level in known])
            distance = torch.cdist(profile, profile)
            usual = distance[known][:, known]
            unit = usual[usual > 0].median() if bool((usual > 0).any()) else means.new_tensor(1.0)
            near = torch.exp(-(distance / (width * unit)).square())
            kernel = kernel * (1 + near[both[:, column]][:, levels[:, column]])
        kernel = kernel - 1
        seen = kernel[: len(levels)] + ridge * torch.eye(len(levels), dtype=means.dtype)
        return kernel[len(levels) :] @ torch.linalg.solve(seen, means - centre) + centre

    return rule


def nearest_seen(levels: Tensor, means: Tensor, wanted: Tensor) -> Tensor:
    """Take the seen cell that differs in one level only, the level most like the wanted one where both are seen."""
    found = []
    place: dict[tuple[Any, ...], int] = {tuple(cell): index for index, cell in enumerate(levels.tolist())}
    distances = [_level_distances(levels, means, column) for column in range(levels.shape[1])]
    fallback = additive(levels, means, wanted)
    for row, cell in enumerate(wanted.tolist()):
        best, chosen = math.inf, fallback[row]
        for column, distance in enumerate(distances):
            for other in range(len(distance)):
                neighbour = place.get((*cell[:column], other, *cell[column + 1 :]))
                if neighbour is not None and float(distance[cell[column], other]) < best:
                    best, chosen = float(distance[cell[column], other]), means[neighbour]
        found.append(chosen)
    return torch.stack(found)


def _level_distances(levels: Tensor, means: Tensor, column: int) -> Tensor:
    """Mean squared difference of two levels of a factor over the combinations of others that both are seen with."""
    others = [index for index in range(levels.shape[1]) if index != column]
    combination = levels[:, others].unique(dim=0, return_inverse=True)[1]
    count = int(levels[:, column].max()) + 1
    full = means.new_zeros(count, int(combination.max()) + 1, means.shape[1])
    there = means.new_zeros(count, full.shape[1])
    full[levels[:, column], combination], there[levels[:, column], combination] = means, 1.0
    shared = there @ there.T  # [count, count]
    square = full.square().sum(2) @ there.T  # of the first, where the second is seen too
    product_ = full.flatten(1) @ full.flatten(1).T
    return torch.where(shared > 0, (square + square.T - 2 * product_) / shared.clamp_min(1), math.inf)


def _dummies(levels: Tensor, sizes: Sequence[int]) -> Tensor:
    """A constant, and one column for each level of each factor: `[cells, 1 + levels]`."""
    hot = [torch.nn.functional.one_hot(levels[:, column], size) for column, size in enumerate(sizes)]
    return torch.cat([torch.ones(len(levels), 1), *hot], 1).double()
