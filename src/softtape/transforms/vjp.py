"""Reverse mode: from a graph to the graph that also computes its gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from softtape.graph import Graph
from softtape.ops import PRIMITIVES, Kind
from softtape.ops.shaping import unbroadcast
from softtape.transforms.replay import derive

__all__ = ["pullback", "value_and_gradient"]


def pullback(graph: Graph, values: Sequence[Any], seeds: Mapping[int, Any]) -> dict[str, Any]:
    """Carry cotangents from some nodes of ``graph`` back to its inputs.

    Args:
        graph: The graph that was run.
        values: Value of each node in that run, plain or traced.
        seeds: Cotangent of each node the sweep starts from, by value number.

    Returns:
        The cotangent of each input, by key, in the shape of the input; zeros where none arrives.
    """
    active = graph.active()
    keys = {number: key for key, number in graph.inputs.items()}
    found: dict[str, Any] = {}
    cotangents = dict(seeds)
    for number in range(max(seeds, default=-1), -1, -1):
        g = cotangents.pop(number, None)
        if g is None or not active[number]:
            continue
        if number in keys:
            found[keys[number]] = g
            continue
        op, args, attrs = graph.nodes[number]
        rules, operands = PRIMITIVES[op], [values[a] for a in args]
        for i, a in enumerate(args):
            rule = rules.vjp_rule(i) if active[a] else None
            if rule is None:
                continue
            part = rule(g, values[number], *operands, **(attrs or {}))
            if rules.kind is Kind.ELEMENTWISE:
                part = unbroadcast(part, np.shape(operands[i]))
            part = _in_dtype(part, operands[i])
            known = cotangents.get(a)
            cotangents[a] = part if known is None else known + part
    return {
        key: found[key] if key in found else zeros(values[number])
        for key, number in graph.inputs.items()
    }


def zeros(value: Any) -> Any:
    """Return the derivative that is nowhere: plain zeros, as many as ``value`` and as wide."""
    wanted = getattr(value, "dtype", None)
    return np.zeros(np.shape(value), np.float32 if wanted == np.float32 else float)[()]


def _in_dtype(cotangent: Any, operand: Any) -> Any:
    """Cast back what a wider constant widened: a float32 value has a float32 cotangent."""
    wanted = getattr(operand, "dtype", None)
    if wanted == np.float32 and getattr(cotangent, "dtype", wanted) != wanted:
        return cotangent.astype(np.float32)
    return cotangent


def value_and_gradient(graph: Graph) -> Graph:
    """Return the graph of the first output (a scalar) and of its derivative by each input.

    Its outputs are the value, then one gradient per input in the order of ``graph.inputs``, each
    in the shape of the input.
    """

    def outputs(values: Sequence[Any]) -> Sequence[Any]:
        total = graph.outputs[0]
        gradient = pullback(graph, values, {total: 1.0})
        return [values[total], *gradient.values()]

    return derive(graph, outputs)
