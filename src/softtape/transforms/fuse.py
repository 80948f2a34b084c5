"""Rewrite a batched graph so that a chunk of cases costs fewer passes over memory.

Three rewritings, each exact up to the rounding of a reordered product or sum:

* ``x ** 2`` becomes ``square(x)``, ``x ** 0.5`` a square root;
* in a product of several factors, those that depend on no Param are multiplied with each other,
  which the engine then does once for each chunk instead of at every evaluation;
* the sum of a product of two vectors becomes their dot product.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np

from softtape.graph import CONSTANT, INPUT, Graph, Node, shape_of
from softtape.transforms.replay import layouts
from softtape.transforms.simplify import simplify

__all__ = ["fuse"]


def fuse(graph: Graph, cases: Container[str]) -> Graph:
    """Return an equal graph that is cheaper to run over and over.

    Parameters
    ----------
    graph
        A batched graph.
    cases
        Keys of the inputs that stay the same from one evaluation to the next.
    """
    return simplify(_Fuser(simplify(graph), cases).run())


_SIMPLE_POWERS = {2.0: "square", 0.5: "sqrt"}


def _is_float64(value: Any) -> bool:
    return type(value) is float or getattr(value, "dtype", None) == np.float64


def _is_factor(value: Any) -> bool:
    """Whether products may be reordered: integers of a fixed width overflow, float32 rounds."""
    return _is_float64(value) or (type(value) is int and abs(value) <= _LARGEST_EXACT)


_LARGEST_EXACT = 2**53


class _Fuser:
    """Copies a graph node by node, rewriting products and sums of products."""

    def __init__(self, graph: Graph, cases: Container[str]) -> None:
        self._graph = graph
        values = layouts(graph)
        self._shapes = [shape_of(v) for v in values]
        self._floats = [_is_float64(v) for v in values]
        self._factor = [_is_factor(v) for v in values]
        self._uses = [0] * len(graph.nodes)
        self._moves: list[bool] = []
        for op, args, attrs in graph.nodes:
            for a in args:
                self._uses[a] += 1
            moves = attrs not in cases if op == INPUT else any(self._moves[a] for a in args)
            self._moves.append(moves)
        for o in graph.outputs:
            self._uses[o] += 2  # never swallowed by a product
        self._nodes: list[Node] = []
        self._number: list[int] = []

    def run(self) -> Graph:
        """Return the rewritten graph."""
        graph = self._graph
        for number, (op, args, attrs) in enumerate(graph.nodes):
            self._number.append(self._rewritten(number, op, args, attrs))
        return Graph(
            nodes=tuple(self._nodes),
            outputs=tuple(self._number[o] for o in graph.outputs),
            guards=tuple((self._number[g], e) for g, e in graph.guards),
            inputs={key: self._number[i] for key, i in graph.inputs.items()},
            start=graph.start,
        )

    def _rewritten(self, number: int, op: str, args: tuple[int, ...], attrs: Any) -> int:
        if op == "power" and self._floats[args[0]]:  # the root of a truth value is a float16
            kind, _, exponent = self._graph.nodes[args[1]]
            simple = kind == CONSTANT and np.ndim(exponent) == 0
            name = _SIMPLE_POWERS.get(float(exponent)) if simple else None
            if name is not None:
                return self._add(name, (self._number[args[0]],), None)
        if op == "multiply" and self._moves[number] and self._floats[number]:
            factors = self._factors(number)
            fixed = [f for f in factors if not self._moves[f]]
            if len(fixed) > 1 and all(self._factor[f] for f in factors):
                return self._product(factors)
        if op == "sum" and self._moves[number] and attrs["axis"] == (0,):
            factors = self._factors(args[0]) if self._is_product(args[0]) else []
            lengths = {self._shapes[f] for f in factors if self._shapes[f]}
            if len(factors) > 1 and len(lengths) == 1 and all(self._factor[f] for f in factors):
                return self._dot(factors)
        return self._add(op, tuple(self._number[a] for a in args), attrs)

    def _is_product(self, number: int) -> bool:
        return self._graph.nodes[number][0] == "multiply" and len(self._shapes[number]) == 1

    def _factors(self, number: int) -> list[int]:
        """Return the factors of a product, through factors that nothing else uses."""
        found: list[int] = []
        stack = list(reversed(self._graph.nodes[number][1]))
        while stack:
            factor = stack.pop()
            inner = self._graph.nodes[factor]
            if inner[0] == "multiply" and self._uses[factor] == 1 and self._floats[factor]:
                stack.extend(reversed(inner[1]))
            else:
                found.append(factor)
        return found

    def _product(self, factors: list[int]) -> int:
        """Multiply the fixed factors first, small ones before large ones, then the others."""
        ordered = sorted(factors, key=lambda f: (self._moves[f], len(self._shapes[f])))
        product = self._number[ordered[0]]
        for factor in ordered[1:]:
            product = self._add("multiply", (product, self._number[factor]), None)
        return product

    def _dot(self, factors: list[int]) -> int:
        """Return the sum of a product of vectors as a dot product, times its scalar factors."""
        vectors = [f for f in factors if self._shapes[f]]
        scalars = [f for f in factors if not self._shapes[f]]
        fixed = [f for f in vectors if not self._moves[f]]
        moving = [f for f in vectors if self._moves[f]]
        left, right = (fixed, moving) if fixed else (moving[:1], moving[1:])
        if not right:
            left, right = left[:1], left[1:]
        if not right:  # one vector and scalars
            total = self._add("sum", (self._number[left[0]],), {"axis": (0,)})
        else:
            sides = tuple(self._chain(side) for side in (left, right))
            total = self._add("matmul", sides, None)
        for scalar in scalars:
            total = self._add("multiply", (total, self._number[scalar]), None)
        return total

    def _chain(self, factors: list[int]) -> int:
        product = self._number[factors[0]]
        for factor in factors[1:]:
            product = self._add("multiply", (product, self._number[factor]), None)
        return product

    def _add(self, op: str, args: tuple[int, ...], attrs: Any) -> int:
        self._nodes.append((op, args, attrs))
        return len(self._nodes) - 1
