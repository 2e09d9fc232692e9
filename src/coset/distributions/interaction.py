"""Main effects plus interaction: a Gaussian process over the levels of crossed factors."""

import math
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from coset.errors import DataError

CODE = 24
"""Dimensions of a level's code at most; cells left out among the seen ones of two true tables asked for no more."""
STEPS = 150
"""Steps by which codes and variances are fitted."""
LEARNING_RATE = 0.05
AT_ONCE = 800
"""Cells, drawn anew for each step, by which codes and variances are fitted; and cells that are predicted at a time."""
MOST = 8000
"""Cells that a prediction is conditioned on; of more, a random choice."""


class InteractionProcess:
    """What the cells of a table say about its empty ones: main effects plus an interaction that data have to pay for.

        x(l_1, …, l_K) = m + Σ_k f_k(l_k) + Σ_j<k f_jk(l_j, l_k) + … + ε
        cov f_k = v_k κ_k,   cov f_jk = v_jk κ_j κ_k,   …,   κ_k(l, l′) = exp(−|c_l − c_l′|² / 2 s_k²) + b_k c_l · c_l′

    Codes c of the levels, variances, lengths and noise maximise the marginal likelihood of the seen cells, all elements
    of an item sharing one covariance (the codes are those of a Gaussian process latent variable model, Lawrence 2005,
    over products of factors as in Casale et al. 2018). Additive tables are those with no variance of the interaction,
    tables of low rank those with a long s_k. Where an interaction is not seen its expectation is 0, and what is
    predicted is the sum of main effects.

    Args:
        levels: codes of the levels of the seen cells, `[cells, K]`.
        means: of the items in them, `[cells, D]`, at scales that are much alike.
        counts: how many items these are, `[cells]`.
        sizes: how many levels each factor has; those of the seen cells where None. Nothing is known of a level that is
            in no seen cell: its effects are 0.
        seed: of the cells that are drawn for each step.

    Raises:
        DataError: Shapes that disagree, or fewer than two cells.

    >>> levels = torch.cartesian_prod(torch.arange(6), torch.arange(5))
    >>> means = torch.randn(6, 8)[levels[:, 0]] + torch.randn(5, 8)[levels[:, 1]]
    >>> process = InteractionProcess(levels[1:], means[1:])
    >>> mean, variance = process.predict(levels[:1])
    >>> bool((mean - means[:1]).square().mean() < 0.1), variance.shape
    (True, torch.Size([1, 8]))
    """

    def __init__(
        self,
        levels: Tensor,
        means: Tensor,
        counts: Tensor | None = None,
        sizes: Sequence[int] | None = None,
        seed: int = 0,
    ):
        if levels.ndim != 2 or means.ndim != 2 or len(levels) != len(means) or len(levels) < 2:
            raise DataError(
                f"interaction: expected levels [cells, K] and means [cells, D] of two cells or more, got "
                f"{list(levels.shape)} and {list(means.shape)}"
            )
        self._generator = torch.Generator().manual_seed(seed)
        kept = self._some(len(levels), MOST)
        self.levels, self.means = levels[kept], means[kept].double()
        self.few = (torch.ones(len(kept)) if counts is None else counts[kept]).double().reciprocal()
        self.centre = self.means.mean(0)
        self.scale = (self.means - self.centre).square().mean().sqrt().clamp_min(1e-300)
        self.y = (self.means - self.centre) / self.scale
        count = self.levels.shape[1]
        self.sizes = (self.levels.max(0).values + 1).tolist() if sizes is None else list(sizes)
        self.orders = [term for order in range(1, count + 1) for term in combinations(range(count), order)]
        self.codes = [self._first_codes(column).requires_grad_() for column in range(count)]
        self.log_variance = torch.zeros(len(self.orders), dtype=torch.float64, requires_grad=True)
        self.log_length = torch.zeros(count, dtype=torch.float64, requires_grad=True)
        self.log_linear = torch.zeros(count, dtype=torch.float64, requires_grad=True)
        self.log_noise = torch.tensor([-3.0, -3.0], dtype=torch.float64, requires_grad=True)
        self._fit()
        self._condition()

    @torch.no_grad()
    def predict(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the means of cells `[m, K]`, as a cell of one item would show it: `[m, D]` each."""
        parts = [self._predict(part) for part in wanted.split(AT_ONCE)]
        mean, relative = (torch.cat(part) for part in zip(*parts, strict=True))
        return mean * self.scale + self.centre, relative[:, None] * self._element_variance * self.scale.square()

    def _predict(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Mean `[m, D]` and variance `[m]` of standardised cells, before the elements have variances of their own."""
        kernels = self._kernels()
        across = torch.stack(self._terms(kernels, wanted, self.levels)).sum(0)  # [m, cells]
        own = [kernel.diagonal()[wanted[:, k]] for k, kernel in enumerate(kernels)]
        prior = sum(
            variance.exp() * torch.stack([own[k] for k in term]).prod(0)
            for term, variance in zip(self.orders, self.log_variance, strict=True)
        )
        explained = torch.linalg.solve_triangular(self._root, across.T, upper=False).square().sum(0)
        return across @ self._solved, (prior + self.log_noise.exp().sum() - explained).clamp_min(1e-12)

    @property
    def shares(self) -> dict[str, float]:
        """Of the variance of seen cells, what main effects explain, what interactions do, and what is left as noise."""
        with torch.no_grad():
            effects = [
                covariance @ self._solved for covariance in self._terms(self._kernels(), self.levels, self.levels)
            ]
            parts = {"main": 0.0, "interaction": 0.0, "noise": float((self.y - sum(effects)).var(0).mean())}
            for term, effect in zip(self.orders, effects, strict=True):
                parts["main" if len(term) == 1 else "interaction"] += float(effect.var(0).mean())
            total = sum(parts.values())
            return {name: part / max(total, 1e-300) for name, part in parts.items()}

    def _some(self, count: int, most: int) -> Tensor:
        return torch.randperm(count, generator=self._generator)[:most].sort().values

    def _first_codes(self, column: int) -> Tensor:
        """Where the codes of a factor's levels begin: the main directions of the levels' means, `[V, C]`."""
        level, count = self.levels[:, column], self.sizes[column]
        profile = torch.zeros(count, self.y.shape[1], dtype=torch.float64).index_add_(0, level, self.y)
        there = torch.bincount(level, minlength=count)
        profile = profile / there.clamp_min(1)[:, None]
        seen = there > 0
        profile = torch.where(seen[:, None], profile - profile[seen].mean(0), 0.0)
        left, size, _ = torch.linalg.svd(profile, full_matrices=False)
        dim = max(1, min(CODE, int(seen.sum()) - 1, left.shape[1]))
        return left[:, :dim] * (size[:dim] / size[0].clamp_min(1e-12)) * math.sqrt(int(seen.sum()))

    def _kernels(self) -> list[Tensor]:
        """κ of each factor, over all pairs of its levels, `[V, V]`."""
        kernels = []
        for codes, length, linear in zip(self.codes, self.log_length, self.log_linear, strict=True):
            square = (codes[:, None] - codes[None]).square().sum(-1)
            kernels.append(
                torch.exp(-0.5 * square / (2 * length).exp()) + linear.exp() * codes @ codes.T / codes.shape[1]
            )
        return kernels

    def _terms(self, kernels: list[Tensor], one: Tensor, other: Tensor) -> list[Tensor]:
        """The covariance that each term adds between cells `[n, K]` and `[m, K]`."""
        pairs = [kernel[one[:, k]][:, other[:, k]] for k, kernel in enumerate(kernels)]
        found = []
        for term, variance in zip(self.orders, self.log_variance, strict=True):
            product = variance.exp() * pairs[term[0]]
            for k in term[1:]:
                product = product * pairs[k]
            found.append(product)
        return found

    def _noisy(self, rows: Tensor) -> Tensor:
        levels = self.levels[rows]
        noise = self.log_noise[0].exp() + self.log_noise[1].exp() * self.few[rows] + 1e-6
        return torch.stack(self._terms(self._kernels(), levels, levels)).sum(0) + noise.diag()

    def _fit(self) -> None:
        """Ascend the log marginal likelihood, whose gradient in the covariance Σ is (Σ⁻¹ Y Yᵀ Σ⁻¹ − D Σ⁻¹) / 2."""
        parameters = [*self.codes, self.log_variance, self.log_length, self.log_linear, self.log_noise]
        optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        elements = self.y.shape[1]
        with torch.enable_grad():
            for _ in range(STEPS):
                rows = self._some(len(self.levels), AT_ONCE)
                covariance = self._noisy(rows)
                with torch.no_grad():
                    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
                    solved = inverse @ self.y[rows]
                    slope = 0.5 * (elements * inverse - solved @ solved.T)
                prior = 0.5 * sum(code.square().sum() for code in self.codes) / elements
                loss = ((covariance * slope).sum() / elements + prior) / len(rows)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                decay.step()
        for parameter in parameters:
            parameter.requires_grad_(False)

    def _condition(self) -> None:
        with torch.no_grad():
            every = torch.arange(len(self.levels))
            self._root = torch.linalg.cholesky(self._noisy(every))
            self._solved = torch.cholesky_solve(self.y, self._root)
            self._element_variance = (self.y * self._solved).mean(0)  # [D], 1 where the fit is a good one
