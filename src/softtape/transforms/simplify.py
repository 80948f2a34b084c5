"""Remove from a graph what need not be computed: once, before it is run many times."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from softtape.graph import CONSTANT, INPUT, Graph, Node
from softtape.transforms.replay import replay

__all__ = ["simplify"]


def simplify(graph: Graph) -> Graph:
    """Return an equal graph without dead code, repeated subexpressions and products with one."""
    nodes: list[Node] = []
    values: list[Any] | None = None
    known: dict[Hashable, int] = {}
    number: list[int] = []  # new number of each old node; -1 where it is not needed
    for node, needed in zip(graph.nodes, _needed(graph), strict=True):
        if not needed:
            number.append(-1)
            continue
        op, args, attrs = node
        args = tuple(number[a] for a in args)
        same = _unchanged_operand(op, args, nodes)
        if same is not None:
            if values is None:
                with np.errstate(all="ignore"):
                    values = replay(graph, graph.start)
            if _is_float(values[node[1][args.index(same)]]):
                number.append(same)
                continue
        key = _key(op, args, attrs)
        if key not in known:
            known[key] = len(nodes)
            nodes.append((op, args, attrs))
        number.append(known[key])
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


def _unchanged_operand(op: str, args: tuple[int, ...], nodes: list[Node]) -> int | None:
    """Return the operand a float node is equal to: ``x * 1``. (``x + 0`` differs for x = -0.0.)"""
    if op == "multiply":
        for a, other in (args, args[::-1]):
            kind, _, value = nodes[a]
            if kind == CONSTANT and type(value) is float and value == 1.0:
                return other
    return None


def _is_float(value: Any) -> bool:
    """Whether ``value * 1.0`` is the same value. (A mask becomes numbers: True + True is 2.)"""
    return isinstance(value, float) or getattr(value, "dtype", np.dtype(int)).kind == "f"


def _key(op: str, args: tuple[int, ...], attrs: Any) -> Hashable:
    """Equal keys mean equal values."""
    if op == CONSTANT:
        if isinstance(attrs, np.ndarray):
            return (op, attrs.dtype.str, attrs.shape, attrs.tobytes())
        return (op, type(attrs), repr(attrs))  # repr keeps 0.0 and -0.0, and NaNs, apart
    if attrs is None:
        return (op, args)
    # a template of an index holds slices, which are hashable only from Python 3.12 on
    return (op, args, repr(sorted(attrs.items()))) if op != INPUT else (op, attrs)
