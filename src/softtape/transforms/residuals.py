"""Find the residuals of a loss: the r of 𝓛 = Σ r².

The graph shows what a loss is made of. Sums, means, positive factors and rearrangements are
followed down from the loss; where everything ends in squares, their bases are the residuals.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softtape.graph import CONSTANT, Graph, Node
from softtape.transforms.replay import replay

__all__ = ["residuals"]

_REARRANGE = {"reshape", "transpose", "flip", "stack", "concatenate", "astype", "positive"}


class _NotSquaresError(Exception):
    """The loss is not, visibly, a sum of squares."""


def residuals(graph: Graph) -> Graph | None:
    """Return the graph of the residuals of the first output, or None if it shows none.

    The sum of the squares of all its outputs is the first output of ``graph``.
    """
    with np.errstate(all="ignore"):
        shapes = [np.shape(v) for v in replay(graph, graph.start)]
    search = _Search(graph, shapes)
    try:
        search.follow(graph.outputs[0], 1.0)
    except _NotSquaresError:
        return None
    return Graph(
        nodes=(*graph.nodes, *search.added),
        outputs=tuple(search.found),
        guards=graph.guards,
        inputs=graph.inputs,
        start=graph.start,
    )


class _Search:
    """Walks down from a loss; ``found`` are the residuals, ``added`` the nodes that scale them."""

    def __init__(self, graph: Graph, shapes: list[tuple[int, ...]]) -> None:
        self.graph = graph
        self.shapes = shapes
        self.active = graph.active()
        self.added: list[Node] = []
        self.found: list[int] = []

    def follow(self, number: int, scale: Any) -> None:
        """Account for ``scale`` times the sum over the elements of the node ``number``.

        ``scale`` is a positive number, or an array of them that broadcasts to the node's shape.
        """
        stack = [(number, scale)]
        while stack:
            number, scale = stack.pop()
            op, args, _ = self.graph.nodes[number]
            if not self.active[number]:
                self._constant(number, scale)
            elif self._is_square(op, args):
                self._residual(args[0], scale)
            elif op in ("add", "multiply", "divide"):
                stack += self._arithmetic(op, args, number, scale)
            elif np.ndim(scale) == 0 and (op == "sum" or op in _REARRANGE):
                stack += [(a, scale) for a in reversed(args)]
            else:
                raise _NotSquaresError

    def _is_square(self, op: str, args: tuple[int, ...]) -> bool:
        if op == "square":
            return True
        if op == "power":
            kind, _, value = self.graph.nodes[args[1]]
            return kind == CONSTANT and np.ndim(value) == 0 and bool(value == 2)
        if op == "matmul":
            return args[0] == args[1] and len(self.shapes[args[0]]) == 1
        return op == "multiply" and args[0] == args[1]

    def _arithmetic(
        self, op: str, args: tuple[int, ...], number: int, scale: Any
    ) -> list[tuple[int, Any]]:
        a, b = args
        if op == "add":
            if np.ndim(scale):
                raise _NotSquaresError
            size = np.prod(self.shapes[number])
            # a smaller operand is repeated: each of its elements counts that many times
            return [(i, scale * float(size / np.prod(self.shapes[i]))) for i in (b, a)]
        if self.active[b]:
            if op == "divide" or self.active[a]:
                raise _NotSquaresError
            a, b = b, a
        factor = self.graph.nodes[b][2] if self.graph.nodes[b][0] == CONSTANT else None
        if factor is None or np.any(np.asarray(factor) <= 0) or not np.all(np.isfinite(factor)):
            raise _NotSquaresError
        if self.shapes[a] != self.shapes[number]:
            raise _NotSquaresError
        return [(a, scale * factor if op == "multiply" else scale / factor)]

    def _residual(self, number: int, scale: Any) -> None:
        if np.ndim(scale) or scale != 1.0:
            first = len(self.graph.nodes) + len(self.added)
            self.added.append((CONSTANT, (), np.sqrt(scale)))
            self.added.append(("multiply", (number, first), None))
            number = first + 1
        self.found.append(number)

    def _constant(self, number: int, scale: Any) -> None:
        op, _, value = self.graph.nodes[number]
        if op != CONSTANT:
            raise _NotSquaresError
        total = float(np.sum(np.broadcast_to(scale, np.shape(value)) * value))
        if total < 0 or not np.isfinite(total):
            raise _NotSquaresError
        if total:
            self.found.append(len(self.graph.nodes) + len(self.added))
            self.added.append((CONSTANT, (), float(np.sqrt(total))))
