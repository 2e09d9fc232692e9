"""Patterns: which contexts a set holds constant, and how often."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

from coset.errors import ConfigurationError, nearest

Patterns = Literal["exactly-one", "any"] | int | Mapping[str, float]


def read_patterns(patterns: Patterns, contexts: Sequence[str]) -> dict[tuple[str, ...], float]:
    """Turn what `FactorTable.sets` takes as `patterns` into constant contexts → probability.

    Raises:
        ConfigurationError: If a name, a number of contexts or a proportion makes no sense.

    >>> read_patterns("exactly-one", ["digit", "rotation"])
    {('digit',): 0.5, ('rotation',): 0.5}
    >>> read_patterns({"digit": 2, "digit+rotation": 1, "": 1}, ["digit", "rotation"])
    {('digit',): 0.5, ('digit', 'rotation'): 0.25, (): 0.25}
    """
    if len(set(contexts)) < len(contexts):
        raise ConfigurationError(f"sets: each context should be named once, got {list(contexts)}")
    if patterns == "exactly-one":
        patterns = min(1, len(contexts))
    if patterns == "any":
        subsets = [subset for size in range(len(contexts) + 1) for subset in combinations(contexts, size)]
        proportions = dict.fromkeys(subsets, 1.0)
    elif isinstance(patterns, int):
        if not 0 <= patterns <= len(contexts):
            raise ConfigurationError(
                f"sets: {patterns} contexts cannot be constant, for there are {len(contexts)}: {list(contexts)}"
            )
        proportions = dict.fromkeys(combinations(contexts, patterns), 1.0)
    elif isinstance(patterns, Mapping):
        proportions = _read_proportions(patterns, contexts)
    else:
        raise ConfigurationError(
            "sets: patterns should be 'exactly-one', 'any', a number of constant contexts, or proportions such as "
            f"{{'digit': 1}}, got {patterns!r}"
        )
    total = sum(proportions.values())
    return {constant: proportion / total for constant, proportion in proportions.items()}


def _read_proportions(patterns: Mapping[str, float], contexts: Sequence[str]) -> dict[tuple[str, ...], float]:
    proportions: dict[tuple[str, ...], float] = {}
    for pattern, proportion in patterns.items():
        named = [name.strip() for name in str(pattern).split("+")] if pattern else []
        for name in named:
            if name not in contexts:
                raise ConfigurationError(f"sets: pattern {pattern!r} names no context; {nearest(name, contexts)}")
        if isinstance(proportion, str) or not 0 <= proportion < math.inf:
            raise ConfigurationError(
                f"sets: the proportion of {pattern!r} should be a number, 0 or more, got {proportion!r}"
            )
        if proportion > 0:
            constant = tuple(name for name in contexts if name in named)
            proportions[constant] = proportions.get(constant, 0.0) + proportion
    if not proportions:
        raise ConfigurationError(
            f"sets: patterns give no pattern a proportion above 0: {dict(patterns)}; for example {{'': 1}}"
        )
    return proportions
