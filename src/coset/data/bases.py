"""The plain images that other data sets are made from."""

from typing import Literal

from coset.data.digits import Digits
from coset.data.mnist import MNIST
from coset.errors import ConfigurationError, nearest

Base = Literal["mnist", "fashion-mnist", "digits"]
BASES = ("mnist", "fashion-mnist", "digits")


def base_images(base: Base, validation: int | float | None = None, seed: int = 0) -> MNIST | Digits:
    """The data set called `base`; `validation=None` holds out as much as it does by itself.

    Raises:
        ConfigurationError: if there is none of that name.

    >>> base_images("digits")
    Digits(held_out=0.2, validation=0.1, seed=0)
    """
    if base not in BASES:
        raise ConfigurationError(f"no images are called {base!r}; {nearest(base, BASES)}")
    options = {"seed": seed} if validation is None else {"seed": seed, "validation": validation}
    return Digits(**options) if base == "digits" else MNIST(base, **options)
