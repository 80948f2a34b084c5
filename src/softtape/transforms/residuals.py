"""Find the residuals of a loss: the r of 𝓛 = Σ r².

The graph shows what a loss is made of. Sums, means, positive factors and rearrangements are
followed down from the loss; where everything ends in squares, their bases are the residuals.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softtape.columns import IS_INPUT, NONE, NUMBERS, Recording
from softtape.graph import CONSTANT, Graph, Node, shape_of
from softtape.ops import BY_CODE, Kind
from softtape.ops.complex import is_complex
from softtape.transforms.replay import layouts

__all__ = ["Needs", "residual_form", "residuals"]

_REARRANGE = {"reshape", "transpose", "flip", "stack", "concatenate", "astype", "positive"}


class Needs(enum.Enum):
    """What a constant must be for a residual form to hold; tells whether an array of it is."""

    # the strictest first: where a constant has two roles, the stricter need counts
    TWO = enum.member(lambda c: bool(np.all(c == 2)))
    POSITIVE = enum.member(lambda c: bool(np.all((c > 0) & np.isfinite(c))))
    ZERO = enum.member(lambda c: bool(np.all(c == 0)))
    NOT_NEGATIVE = enum.member(lambda c: bool(np.all((c >= 0) & np.isfinite(c))))

    __hash__ = object.__hash__  # in half the time of an enumeration's own

    def met_by(self, constant: Any) -> bool:
        """Tell whether all of ``constant`` is so."""
        check: Callable[[Any], bool] = self.value
        return check(np.asarray(constant))

    def met_by_all(self, constants: Sequence[Any]) -> bool:
        """Tell whether all of several constants are so; numbers are looked at together."""
        if NUMBERS.keys() >= set(map(type, constants)):  # as most often
            return self.met_by(constants)
        numbers = [c for c in constants if not isinstance(c, np.ndarray)]
        arrays = [c for c in constants if isinstance(c, np.ndarray)]
        return self.met_by(numbers) and all(map(self.met_by, arrays))


_STRICTNESS = {need: place for place, need in enumerate(Needs)}


class _NotSquaresError(Exception):
    """The loss is not, visibly, a sum of squares."""


def residuals(graph: Graph) -> Graph | None:
    """Return the graph of the residuals of the first output, or None if it shows none.

    The sum of the squares of all its outputs is the first output of ``graph``.
    """
    form = residual_form(graph)
    if form is None:
        return None
    made, needs = form
    met = all(need.met_by(graph.nodes[number][2]) for number, need in needs.items())
    return made if met else None


def residual_form(graph: Graph) -> tuple[Graph, Mapping[int, Needs]] | None:
    """Return the graph of the residuals, and what it needs of the constants of ``graph``.

    The same form holds for every graph of this signature whose constants meet the needs, which
    are given by value number.
    """
    search = _Search(graph, _shapes(graph))
    try:
        search.follow(graph.outputs[0])
    except _NotSquaresError:
        return None
    made = Graph(
        nodes=Recording.of(graph.nodes).extended(search.added),
        outputs=tuple(search.found),
        guards=graph.guards,
        inputs=graph.inputs,
        start=graph.start,
    )
    return made, MappingProxyType(search.needs)


def _shapes(graph: Graph) -> Sequence[tuple[int, ...]]:
    """Return the shape of each node; without running a long tape of scalars again."""
    nodes = Recording.of(graph.nodes)
    shaped = any(map(shape_of, [*graph.start.values(), *nodes.unusual()]))
    if not shaped and all(c <= IS_INPUT or BY_CODE[c].kind in _BY_ELEMENT for c in nodes.used):
        return [()] * len(nodes)
    return [shape_of(v) for v in layouts(graph)]


def _active(graph: Graph) -> Sequence[Any] | NDArray[np.bool_]:
    """Do as ``graph.active()``, at once where each operation meets a value that is no constant."""
    nodes = Recording.of(graph.nodes)
    codes, left, right = nodes.columns
    moves = codes >= IS_INPUT
    meets = codes <= IS_INPUT
    for column in (left, right):
        meets |= moves.take(column.astype(np.intp)) & (column != NONE)
    for number, (args, _) in nodes.others.items():
        meets[number] = any(moves[a] for a in args)
    return moves if meets.all() else graph.active()


_BY_ELEMENT = (Kind.ELEMENTWISE, Kind.CONSTANT)


class _Search:
    """Walks down from a loss; ``found`` are the residuals, ``added`` the nodes that scale them.

    A scale is the number of a node, all of whose elements are positive, or None for 1.
    """

    def __init__(self, graph: Graph, shapes: Sequence[tuple[int, ...]]) -> None:
        self.graph = graph
        self.node = Recording.of(graph.nodes).node
        self.shapes = shapes
        self.active = _active(graph)
        self.added: list[Node] = []
        self.found: list[int] = []
        self.needs: dict[int, Needs] = {}
        self._complex: list[bool] | None = None
        self.spread: set[int | None] = set()  # the scales that are arrays

    def follow(self, loss: int) -> None:
        """Account for the sum over the elements of each node met, times its scale."""
        stack: list[tuple[int, int | None]] = [(loss, None)]
        while stack:
            number, scale = stack.pop()
            op, args, _ = self.node(number)
            if not self.active[number]:
                self._constant(number, scale)
            elif self._is_square(op, args):
                self._residual(args[0], scale)
            elif op in ("add", "multiply", "divide"):
                stack += self._arithmetic(op, args, number, scale)
            elif scale not in self.spread and (op == "sum" or op in _REARRANGE):
                stack += [(a, scale) for a in reversed(args)]
            else:
                raise _NotSquaresError

    def _is_square(self, op: str, args: tuple[int, ...]) -> bool:
        if op == "square":
            return True
        if op == "power":
            kind, _, value = self.node(args[1])
            if kind != CONSTANT or np.ndim(value) or value != 2:
                return False
            self._need(args[1], Needs.TWO)  # another case may have another exponent here
            return True
        if op == "matmul":
            return args[0] == args[1] and len(self.shapes[args[0]]) == 1
        return op == "multiply" and args[0] == args[1]

    def _arithmetic(
        self, op: str, args: tuple[int, ...], number: int, scale: int | None
    ) -> list[tuple[int, int | None]]:
        a, b = args
        if op == "add":
            if scale in self.spread:
                raise _NotSquaresError
            return [(i, self._repeated(i, number, scale)) for i in (b, a)]
        if self.active[b]:
            if op == "divide" or self.active[a]:
                raise _NotSquaresError
            a, b = b, a
        if self.node(b)[0] != CONSTANT or self.shapes[a] != self.shapes[number]:
            raise _NotSquaresError
        self._need(b, Needs.POSITIVE)
        one = scale if scale is not None else self._add_constant(1.0)
        made = b if scale is None and op == "multiply" else self._add(op, one, b)
        if scale in self.spread or self.shapes[b]:
            self.spread.add(made)
        return [(a, made)]

    def _repeated(self, part: int, total: int, scale: int | None) -> int | None:
        """Scale for an operand of a sum: a smaller one is repeated by broadcasting."""
        if self.shapes[part] == self.shapes[total]:
            return scale
        size = int(np.prod(self.shapes[part]))
        times = int(np.prod(self.shapes[total])) / size if size else 1
        if times == 1:
            return scale
        repeat = self._add_constant(times)
        return repeat if scale is None else self._add("multiply", scale, repeat)

    def _residual(self, number: int, scale: int | None) -> None:
        op, args, _ = self.node(number) if number < len(self.graph) else ("", (), None)
        if op == "absolute" and self._is_complex(args[0]):
            # |z|² = Re² + Im²: two residuals, of which |z| would hide one
            for part in ("real", "imag"):
                self._residual(self._add(part, args[0]), scale)
            return
        if scale is not None:
            number = self._add("multiply", number, self._add("sqrt", scale))
        self.found.append(number)

    def _is_complex(self, number: int) -> bool:
        if self._complex is None:
            nodes = Recording.of(self.graph.nodes)
            if nodes.others or any(map(is_complex, nodes.unusual())):
                self._complex = list(map(is_complex, layouts(self.graph)))
            else:  # numbers and operators make no complex number of real ones
                self._complex = [False] * len(nodes)
        return self._complex[number]

    def _constant(self, number: int, scale: int | None) -> None:
        op, _, value = self.node(number)
        if op != CONSTANT:
            raise _NotSquaresError
        if type(value) is int and value == 0:  # where Python's sum() starts
            self._need(number, Needs.ZERO)
            return
        self._need(number, Needs.NOT_NEGATIVE)
        self._residual(self._add("sqrt", number), scale)

    def _need(self, number: int, need: Needs) -> None:
        known = self.needs.get(number, need)
        self.needs[number] = need if _STRICTNESS[need] < _STRICTNESS[known] else known

    def _add_constant(self, value: float) -> int:
        self.added.append((CONSTANT, (), value))
        return len(self.graph.nodes) + len(self.added) - 1

    def _add(self, op: str, *args: int) -> int:
        self.added.append((op, args, None))
        return len(self.graph.nodes) + len(self.added) - 1
