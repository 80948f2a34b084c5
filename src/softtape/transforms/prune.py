"""Remove from a graph what neither its outputs nor its guards need, and what is there twice."""

from __future__ import annotations

from typing import Any

from softtape.graph import INPUT, Graph, Node

__all__ = ["needed", "prune"]


def needed(graph: Graph) -> list[bool]:
    """Mark what the outputs and guards depend on; inputs always stay."""
    marked = [op == INPUT for op, _, _ in graph.nodes]
    for root in (*graph.outputs, *(g for g, _ in graph.guards)):
        marked[root] = True
    for i in range(len(graph.nodes) - 1, -1, -1):
        if marked[i]:
            for a in graph.nodes[i][1]:
                marked[a] = True
    return marked


def prune(graph: Graph) -> Graph:
    """Return the graph without dead code and repeated instructions, in its order otherwise.

    Constants stay apart though they be equal: that two of them are may be a coincidence of one
    case, and the structure of a test's graph must not depend on it.
    """
    number: list[int] = []
    nodes: list[Node] = []
    known: dict[Any, int] = {}
    for (op, args, attrs), keep in zip(graph.nodes, needed(graph), strict=True):
        if not keep:
            number.append(-1)
            continue
        args = tuple([number[a] for a in args])
        key = (op, args, None if attrs is None else repr(sorted(attrs.items()))) if args else None
        same = known.get(key)
        if same is None:
            same = len(nodes)
            nodes.append((op, args, attrs))
            if key is not None:
                known[key] = same
        number.append(same)
    return Graph(
        nodes=tuple(nodes),
        outputs=tuple(number[o] for o in graph.outputs),
        guards=tuple((number[g], expected) for g, expected in graph.guards),
        inputs={key: number[i] for key, i in graph.inputs.items()},
        start=graph.start,
    )
