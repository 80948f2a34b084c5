"""Remove from a graph what need not be computed: once, before it is run many times."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from softtape.graph import CONSTANT, INPUT, Graph, Node
from softtape.ops import PRIMITIVES, Kind

__all__ = ["prune", "simplify"]


def simplify(graph: Graph) -> Graph:
    """Return an equal graph without dead code, repeated subexpressions and products with one."""
    return _rewritten(graph, by_value=True)


def prune(graph: Graph) -> Graph:
    """Return the graph without dead code and repeated instructions, whatever its constants are.

    That two constants are equal may be a coincidence of one case, and the structure of a test's
    graph must not depend on it: otherwise its cases could not be batched.
    """
    return _rewritten(graph, by_value=False)


def _rewritten(graph: Graph, *, by_value: bool) -> Graph:
    nodes: list[Node] = []
    known: dict[Hashable, int] = {}
    number: list[int] = []  # new number of each old node; -1 where it is not needed
    ones = _Ones(graph, nodes) if by_value else None
    for old, ((op, args, attrs), keep) in enumerate(zip(graph.nodes, _needed(graph), strict=True)):
        if not keep:
            number.append(-1)
            continue
        args = tuple([number[a] for a in args])
        if ones is not None and op == "multiply":
            same = ones.other_factor(old, args)
            if same is not None:
                number.append(same)
                continue
        if attrs is None:
            key: Hashable = (op, args)
        elif op == CONSTANT and not by_value:
            key = old
        else:
            key = _key(op, args, attrs)
        new = known.setdefault(key, len(nodes))
        if new == len(nodes):
            nodes.append((op, args, attrs))
        number.append(new)
    return Graph(
        nodes=tuple(nodes),
        outputs=tuple(number[o] for o in graph.outputs),
        guards=tuple((number[g], expected) for g, expected in graph.guards),
        inputs={key: number[i] for key, i in graph.inputs.items()},
        start=graph.start,
    )


def _needed(graph: Graph) -> list[bool]:
    """Mark what the outputs and guards depend on; inputs always stay."""
    needed = [op == INPUT for op, _, _ in graph.nodes]
    for root in (*graph.outputs, *(g for g, _ in graph.guards)):
        needed[root] = True
    for i in range(len(graph.nodes) - 1, -1, -1):
        if needed[i]:
            for a in graph.nodes[i][1]:
                needed[a] = True
    return needed


class _Ones:
    """Finds products with one. (A sum with zero is something else: -0.0 + 0.0 is 0.0.)"""

    def __init__(self, graph: Graph, nodes: list[Node]) -> None:
        self._graph = graph
        self._nodes = nodes
        self._floats: list[bool] = []

    def other_factor(self, old: int, args: tuple[int, ...]) -> int | None:
        """Return the new number of the factor that the node ``old`` is equal to, if so."""
        for i, j in ((0, 1), (1, 0)):
            kind, _, value = self._nodes[args[i]]
            if kind == CONSTANT and type(value) is float and value == 1.0:
                return args[j] if self._is_float(self._graph.nodes[old][1][j]) else None
        return None

    def _is_float(self, number: int) -> bool:
        """Whether multiplying by 1.0 surely leaves a node as it is. (A mask becomes numbers.)"""
        floats = self._floats
        for op, args, attrs in self._graph.nodes[len(floats) : number + 1]:
            if op in (INPUT, CONSTANT):
                value = self._graph.start[attrs] if op == INPUT else attrs
                known = isinstance(value, float)  # numpy's float64 is one, too
                floats.append(known or getattr(value, "dtype", _INTEGER).kind == "f")
            elif PRIMITIVES[op].kind is Kind.CONSTANT:
                floats.append(False)
            else:  # the others give floats if what they differentiate is float
                rules = PRIMITIVES[op].vjp_rule
                floats.append(any(floats[a] for i, a in enumerate(args) if rules(i)))
        return floats[number]


_INTEGER = np.dtype(int)


def _key(op: str, args: tuple[int, ...], attrs: Any) -> Hashable:
    """Equal keys mean equal values."""
    if op == INPUT:
        return (op, attrs)
    if op == CONSTANT:
        if isinstance(attrs, np.ndarray):
            return (op, attrs.dtype.str, attrs.shape, attrs.tobytes())
        return (op, type(attrs), repr(attrs))  # repr keeps 0.0 and -0.0, and NaNs, apart
    # a template of an index holds slices, which are hashable only from Python 3.12 on
    return (op, args, repr(sorted(attrs.items())))
