"""Rows that hold one factor constant: what the scores of the β-VAE's and FactorVAE's papers are made from."""

import numpy as np


class HeldFactor:
    """Draws rows of arrays, with replacement, that have one factor in common and are otherwise arbitrary.

    Args:
        levels: of the factors, `[n, f]`.
        random: what draws.
    """

    def __init__(self, levels: np.ndarray, random: np.random.Generator):
        self.factors, self.random = levels.shape[1], random
        found = [np.unique(level, return_inverse=True, return_counts=True)[1:] for level in levels.T]
        self._codes = [codes for codes, _ in found]
        self._sizes = [sizes for _, sizes in found]
        self._rows = [codes.argsort(kind="stable") for codes in self._codes]

    def partners(self, factor: int, rows: np.ndarray) -> np.ndarray:
        """For each of some rows any with the same level of the factor: `[len(rows)]`."""
        codes, sizes = self._codes[factor][rows], self._sizes[factor]
        return self._rows[factor][(sizes.cumsum() - sizes)[codes] + self.random.integers(0, sizes[codes])]

    def alike(self, factor: int, size: int) -> np.ndarray:
        """Rows `[size]` with the same level of the factor, that of a row drawn at random."""
        return self.partners(factor, np.full(size, self.random.integers(len(self._rows[factor]))))
