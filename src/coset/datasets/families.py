"""Sets of numbers, each from a distribution of one of four families: what they share is a distribution itself."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from coset.codes import coded
from coset.data.files import DataFile
from coset.data.table import FactorTable
from coset.datasets.base import DataSet
from coset.errors import ConfigurationError

FAMILIES = ("mixture", "laplace", "exponential", "reversed exponential")


@dataclass(frozen=True)
class OneDimensionalFamilies(DataSet):
    """Sets of numbers: mixtures of two Gaussians, Laplace, exponential or reversed exponential distributions.

    Thesis section 5.3.1 (after Edwards & Storkey 2016): the family is drawn evenly, the mean m from [-1, 1], the
    variance v from [0.5, 2]. Every family has that mean and that variance, which fix

    - of the mixture, ½ N(m − d, w²) + ½ N(m + d, w²), the distance d = √(3v)/2 and the width w = √v/2;
    - of the Laplace distribution, about m, the scale √(v/2);
    - of the exponential, m + √v (E − 1) with E ~ Exp(1), the rate 1/√v; the reversed one is m − √v (E − 1).

    Factors: `set`, a number of its own for each; `family`; and its `mean` and `variance`, continuous.

    Args:
        sets: Sets for training.
        items: Numbers in a set.
        validation: Sets for validation.
        test: Sets for test.
        seed: Equal seeds draw equal sets.

    Raises:
        ConfigurationError: A size is below 1.

    >>> OneDimensionalFamilies(sets=20, items=50, validation=5, test=5).load_splits()["test"]
    FactorTable(250 items of shape [1]; set: 5 values; family: 4 values; mean: continuous; variance: continuous)
    """

    sets: int = 10_000
    items: int = 200
    validation: int = 1_000
    test: int = 1_000
    seed: int = 0

    def __post_init__(self):
        for name in ("sets", "items", "validation", "test"):
            if getattr(self, name) < 1:
                raise ConfigurationError(
                    f"OneDimensionalFamilies: {name} should be at least 1, got {getattr(self, name)}"
                )

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "one-dimensional-families"

    @property
    def source(self) -> str:
        """Where the data come from."""
        return "drawn by this library (after H. Edwards, A. Storkey: Towards a Neural Statistician, 2016)"

    @property
    def files(self) -> tuple[DataFile, ...]:
        """None: the data are drawn, not read."""
        return ()

    def load_splits(self) -> dict[str, FactorTable]:
        """Tables called train, validation and test; the items of a set stand together."""
        sizes = {"train": self.sets, "validation": self.validation, "test": self.test}
        return {
            name: _table(*draw_families(sets, self.items, seed=3 * self.seed + place))
            for place, (name, sets) in enumerate(sizes.items())
        }


def draw_families(sets: int, items: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw sets of numbers; see `OneDimensionalFamilies`.

    Returns:
        Items `[sets, items, 1]`, the family's position in `FAMILIES` `[sets]`, and mean and variance of the
        distribution that each set was drawn from, `[sets]`.

    >>> x, family, mean, variance = draw_families(sets=3, items=100_000)
    >>> bool((x.mean((1, 2)) - mean).abs().max() < 0.02)
    True
    """
    generator = torch.Generator().manual_seed(seed)
    family = torch.randint(len(FAMILIES), (sets,), generator=generator)
    mean = 2 * torch.rand(sets, generator=generator) - 1
    variance = 0.5 + 1.5 * torch.rand(sets, generator=generator)
    # Three draws are enough for any of the four: a sign, an exponential and a normal number.
    sign = 2.0 * torch.randint(2, (sets, items), generator=generator) - 1
    waiting = torch.empty(sets, items).exponential_(generator=generator)
    normal = torch.randn(sets, items, generator=generator)
    standard = torch.stack(  # [families, sets, items], of mean 0 and variance 1
        [sign * math.sqrt(3) / 2 + normal / 2, sign * waiting / math.sqrt(2), waiting - 1, 1 - waiting]
    )
    x = mean[:, None] + variance.sqrt()[:, None] * standard[family, torch.arange(sets)]
    return x.unsqueeze(-1), family, mean, variance


def _table(x: Tensor, family: Tensor, mean: Tensor, variance: Tensor) -> FactorTable:
    items = x.shape[1]
    table = FactorTable(
        x.flatten(0, 1),
        set=torch.arange(len(x)).repeat_interleave(items),
        family=family.repeat_interleave(items),
        mean=mean.repeat_interleave(items),
        variance=variance.repeat_interleave(items),
    )
    # Codes are encoded as numbers, a thousand times faster than as names, and named afterwards.
    table.factors["family"] = coded(table.factors["family"], [FAMILIES[code] for code in table.values["family"]])
    return table
