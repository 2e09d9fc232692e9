"""Groups of latent dimensions, and groups of these: what total correlation is taken between."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from coset.errors import ConfigurationError, nearest

Groups = Sequence[Any]
"""Nested sequences whose innermost members name a site, `z`, or some of its dimensions, `z[:5]`."""


@dataclass(frozen=True)
class Node:
    """Some latent dimensions, `columns` among all, and the groups that they fall into."""

    columns: tuple[int, ...]
    children: tuple["Node", ...] = ()


def read_groups(groups: Groups | None, sizes: Mapping[str, int]) -> Node:
    """Dimensions in groups; a group of one group is that group.

    Args:
        groups: sites where None, and dimensions where there is but one site.
        sizes: dimensions of each site.

    Raises:
        ConfigurationError: They are no partition of all dimensions, or name what is not there.

    >>> [child.columns for child in read_groups(["z[:1]", "z[1:]"], {"z": 3}).children]
    [(0,), (1, 2)]
    """
    starts = _starts(sizes)
    root = _read(list(sizes) if groups is None else groups, sizes, starts)
    if sorted(root.columns) != list(range(sum(sizes.values()))):
        raise ConfigurationError(
            f"groups hold each latent dimension once; {groups} are no partition of "
            f"{', '.join(f'{name}[:{size}]' for name, size in sizes.items())}"
        )
    return root


def of_site(root: Node, site: str, sizes: Mapping[str, int]) -> Node:
    """The part of a tree that is of one site, its columns counted from the first of the site.

    Raises:
        ConfigurationError: A group holds dimensions of this site and of another one.
    """
    first = _starts(sizes)[site]
    own = range(first, first + sizes[site])
    if len(root.columns) == sizes[site]:
        return _moved(root, first)
    inside = [child for child in root.children if child.columns[0] in own]
    if sorted(column for child in inside for column in child.columns) != list(own):
        raise ConfigurationError(
            f"groups: {site!r} is taken apart by itself, as variables of sets are and those that are known of some "
            "items; give it groups of its own"
        )
    made = [_moved(child, first) for child in inside]
    return made[0] if len(made) == 1 else Node(tuple(range(sizes[site])), tuple(made))


def read_columns(names: Sequence[str], sizes: Mapping[str, int], sites: Sequence[str]) -> list[int]:
    """Dimensions that are named, of some sites, counted from the first of these.

    Raises:
        ConfigurationError: A name of no site.
    """
    starts = _starts(sizes)
    named = {column for name in names for column in _read(name, sizes, starts).columns}
    own = [column for site in sites for column in range(starts[site], starts[site] + sizes[site])]
    return [index for index, column in enumerate(own) if column in named]


def _starts(sizes: Mapping[str, int]) -> dict[str, int]:
    """The first column of each site."""
    return dict(zip(sizes, [0, *accumulate(sizes.values())], strict=False))


def _moved(node: Node, first: int) -> Node:
    return Node(tuple(column - first for column in node.columns), tuple(_moved(each, first) for each in node.children))


def _read(part: Any, sizes: Mapping[str, int], starts: Mapping[str, int]) -> Node:
    if not isinstance(part, str):
        children = tuple(_read(each, sizes, starts) for each in part)
        return children[0] if len(children) == 1 else Node(sum((each.columns for each in children), ()), children)
    found = re.fullmatch(r"(.+?)(?:\[(\d*):(\d*)\]|\[(\d+)\])?", part)
    if found is None or found[1] not in sizes:
        raise ConfigurationError(f"groups: no latent site for {part!r}; {nearest(part, sizes)}")
    name, first, last, one = found.groups()
    if one:
        first, last = one, str(int(one) + 1)
    chosen = range(sizes[name])[slice(int(first) if first else None, int(last) if last else None)]
    columns = tuple(starts[name] + index for index in chosen)
    return Node(columns, tuple(Node((column,)) for column in columns) if len(columns) > 1 else ())
