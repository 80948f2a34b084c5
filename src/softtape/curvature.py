"""Products of the Hessian of 𝓛 with vectors: the gradient of a slope.

∂/∂θ (∇𝓛 · v) = Hv, so that tests whose loss is ∇loss · v, v being further inputs, give it by the
gradient that any tests have: batched, in chunks, on the path that each test takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from softtape.graph import INPUT, Graph
from softtape.terms import Term
from softtape.transforms.jvp import pushforward
from softtape.transforms.replay import derive

__all__ = ["direction_key", "slope", "slope_terms"]


def direction_key(key: str) -> str:
    """Return the key of a Param's part of v."""
    return f"{key} direction"


def slope(graph: Graph) -> Graph:
    """Return the graph of the slope of a loss along v, whose parts are inputs after the others."""
    start = {direction_key(key): np.ones_like(value) for key, value in graph.start.items()}
    places = {key: len(graph.nodes) + i for i, key in enumerate(start)}
    wide = Graph(
        (*graph.nodes, *((INPUT, (), key) for key in start)),
        graph.outputs,
        graph.guards,
        {**graph.inputs, **places},
        {**graph.start, **start},
    )

    def outputs(values: Sequence[Any]) -> Sequence[Any]:
        moves = {key: values[places[direction_key(key)]] for key in graph.inputs}
        seeds = {key: np.reshape(move, (1, *np.shape(move))) for key, move in moves.items()}
        (tangent,) = pushforward(graph, values, seeds, graph.outputs[:1])
        return [0.0 if tangent is None else np.reshape(tangent, ())]

    return derive(wide, outputs)


def slope_terms(terms: Sequence[Term]) -> list[Term]:
    """Return the terms of ∇𝓛 · v, each on the path that its test took last."""
    return [
        Term(term.name, slope(term.paths[term.path].graph), _tracing(term), term.weight)
        for term in terms
    ]


def _tracing(term: Term) -> Callable[[Mapping[str, Any]], Graph]:
    def trace(inputs: Mapping[str, Any]) -> Graph:
        return slope(term.graph_at({k: v for k, v in inputs.items() if direction_key(k) in inputs}))

    return trace
