"""Tests and Params that share nothing: the connected components of who reaches whom."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

__all__ = ["Connected", "connected"]


class Connected(NamedTuple):
    """Tests that are connected through the Params they reach, and these Params.

    Attributes
    ----------
    tests
        Positions of the tests, ascending.
    keys
        Keys of the Params, sorted.
    """

    tests: list[int]
    keys: list[str]


def connected(reached: Sequence[Collection[str]]) -> list[Connected]:
    """Return the connected components of the bipartite graph of tests and Params.

    The order is that of their first tests. A test that reaches no Param is in none of them.

    Parameters
    ----------
    reached
        For each test, the keys of the Params it reaches.

    Notes
    -----
    Union by first come with path halving (R. E. Tarjan and J. van Leeuwen, «Worst-case analysis
    of set union algorithms», 1984): the time is nearly linear in the number of edges.
    """
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = key = parent[parent[key]]
        return key

    for keys in reached:
        first = None
        for key in keys:
            found = root(parent.setdefault(key, key))
            first = found if first is None else first
            parent[found] = first
    found_components: dict[str, Connected] = {}
    for number, keys in enumerate(reached):
        for key in keys:
            found_components.setdefault(root(key), Connected([], [])).tests.append(number)
            break
    for key in sorted(parent):
        found_components[root(key)].keys.append(key)
    return list(found_components.values())
