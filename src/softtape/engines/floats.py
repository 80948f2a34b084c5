"""Tapes of scalars on Python's own floats, which cost a third of numpy's.

The tape is a table that a loop walks, and the gradient a reverse sweep over the same table: so
nothing is compiled, and no graph of derivatives is built. Sums, products, quotients and square
roots have the bits numpy gives them; all other functions are numpy's.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.columns import IS_INPUT, NONE, Recording
from softtape.engines import scalar
from softtape.graph import Graph, same_value
from softtape.ops import BY_CODE, PRIMITIVES, Kind

__all__ = ["ScalarProgram", "suits"]

Operation: TypeAlias = tuple[Callable[..., Any], int, int, int]
"""``(function, operand, other, node)``; the other is -1 where there is none."""

Step: TypeAlias = tuple[int, int, int, int]
"""``(what, node, operand, other)`` of a sweep over derivatives."""

# y = a * b, a * constant, a + b, a + constant, a - b, constant - a; or operand number `other` of a
# function whose slopes are in a table
_PRODUCT, _SCALED, _SUM, _SAME, _DIFFERENCE, _MINUS, _TABLE = range(7)
_FEW = 12  # more directions than these are carried together, as arrays


def _divide(a: float, b: float) -> float:
    try:
        return a / b
    except ZeroDivisionError:
        return float(np.divide(a, b))


def _sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0.0 else float(np.sqrt(x))


def _by_numpy(function: Callable[..., Any], *operands: float) -> float:
    return float(function(*map(np.float64, operands)))


_TRUTHS: dict[str, Callable[..., Any]] = {
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "logical_and": lambda a, b: bool(a) and bool(b),
    "logical_or": lambda a, b: bool(a) or bool(b),
    "logical_not": operator.not_,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **_TRUTHS,
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": _divide,
    "negative": operator.neg,
    "positive": operator.pos,
    "stop_gradient": operator.pos,
    "absolute": abs,
    "fabs": abs,
    "square": lambda x: x * x,
    "reciprocal": lambda x: _divide(1.0, x),
    "sqrt": _sqrt,
}


def suits(graph: Graph) -> bool:
    """Whether every node is a float, or a truth value that is only asked or compared."""
    if not scalar.suits(graph):
        return False
    nodes = Recording.of(graph.nodes)
    for value in (*graph.start.values(), *nodes.unusual()):
        if isinstance(value, bool) or getattr(value, "dtype", _FLOAT) not in (_FLOAT, np.int64):
            return False
    codes, left, right = nodes.columns
    truth = np.isin(codes, _TRUTH_CODES)
    if not truth.any():
        return True
    numbers = np.flatnonzero((codes > IS_INPUT) & ~truth)  # numpy's True + True is True
    asked = [operands[operands != NONE] for operands in (left[numbers], right[numbers])]
    return not any(truth[operands].any() for operands in asked)


_FLOAT = np.dtype(float)
_TRUTH_CODES = [PRIMITIVES[name].code for name in _TRUTHS]
_POWER = PRIMITIVES["power"].code
_ARITHMETIC = frozenset(PRIMITIVES[name].code for name in ("add", "subtract", "multiply"))


def _function(code: int) -> Callable[..., Any]:
    primitive = BY_CODE[code]
    return _FUNCTIONS.get(primitive.name) or partial(_by_numpy, primitive.compute)


class ScalarProgram:
    """A graph of scalars made ready to run many times.

    Parameters
    ----------
    graph
        What to run; one that :func:`suits`.
    """

    def __init__(self, graph: Graph) -> None:
        """Make the table, and compute what depends on no input."""
        nodes = Recording.of(graph.nodes)
        self._outputs = graph.outputs
        self._inputs = list(graph.inputs.items())
        # as lists of numbers: the nodes as tuples would take twice the memory of all the rest
        self._codes, self._left, self._right = (column.tolist() for column in nodes.columns)
        self._values: list[Any] = [0.0] * len(nodes)
        for number, value in zip(nodes.constant_numbers.tolist(), nodes.constants, strict=True):
            self._values[number] = float(value)
        self._active = active = [False] * len(nodes)
        for number in graph.inputs.values():
            active[number] = True
        functions = {code: _function(code) for code in set(self._codes) if code > IS_INPUT}
        fixed: list[Operation] = []
        self._steps: list[Operation] = []
        for number, (code, a, b) in enumerate(self._rows()):
            if code > IS_INPUT:
                active[number] = active[a] or (b >= 0 and active[b])
                function = functions[code]
                if self._is_square(code, b):
                    function, b = operator.mul, a
                (self._steps if active[number] else fixed).append((function, a, b, number))
        self._guards = [(k, expected) for k, expected in graph.guards if active[k]]
        self._walk(fixed)

    def _rows(self) -> Iterator[tuple[int, int, int]]:
        return zip(self._codes, self._left, self._right, strict=True)

    def _is_square(self, code: int, exponent: int) -> bool:
        return code == _POWER and self._codes[exponent] < IS_INPUT and self._values[exponent] == 2.0

    def _walk(self, steps: Iterable[Operation]) -> None:
        v = self._values
        for function, a, b, number in steps:
            v[number] = function(v[a], v[b]) if b >= 0 else function(v[a])

    def value(self, inputs: Mapping[str, Any], *, guarded: bool = True) -> NDArray[Any] | None:
        """Return the outputs, or None where a guard does not hold."""
        v = self._values
        for key, number in self._inputs:
            v[number] = float(inputs[key])
        self._walk(self._steps)
        if guarded and not all(same_value(v[k], expected) for k, expected in self._guards):
            return None
        return np.array([v[o] for o in self._outputs], float)

    # ---- derivatives

    def gradient(
        self, inputs: Mapping[str, Any], *, guarded: bool = True
    ) -> tuple[NDArray[Any], dict[str, float]] | None:
        """Return the outputs and the derivative of the first by each input, or None as `value`."""
        outputs = self.value(inputs, guarded=guarded)
        if outputs is None:
            return None
        slopes = self._backward(self._outputs[0])
        return outputs, dict(zip((key for key, _ in self._inputs), slopes, strict=True))

    def jacobian(
        self, inputs: Mapping[str, Any], *, guarded: bool = True
    ) -> tuple[NDArray[Any], NDArray[np.float64]] | None:
        """Return the outputs and their derivatives by the inputs, or None as `value`.

        The shape of the derivatives is (outputs, inputs).
        """
        outputs = self.value(inputs, guarded=guarded)
        return None if outputs is None else (outputs, self._matrix())

    def _matrix(self) -> NDArray[np.float64]:
        outputs, numbers = self._outputs, [number for _, number in self._inputs]
        count = len(numbers)
        if len(outputs) < count:
            return np.array([self._backward(o) for o in outputs]).reshape(len(outputs), count)
        if count > _FEW:
            tangents = self._forward(dict(zip(numbers, np.eye(count), strict=True)))
            return np.array([np.broadcast_to(tangents[o], count) for o in outputs])
        columns = [self._forward({number: 1.0}) for number in numbers]
        return np.array([[t[o] for t in columns] for o in outputs]).reshape(len(outputs), count)

    @cached_property
    def _sweep(self) -> tuple[list[Step], dict[int, list[int]]]:
        """Return the steps of a forward sweep, and the nodes whose slopes come from a table."""
        active, left, right = self._active, self._left, self._right
        needed = [False] * len(active)
        for output in self._outputs:
            needed[output] = True
        for number in range(len(needed) - 1, -1, -1):
            if needed[number] and left[number] >= 0:
                needed[left[number]] = True
                if right[number] >= 0:
                    needed[right[number]] = True
        steps: list[Step] = []
        tables: dict[int, list[int]] = {}
        for number, (code, a, b) in enumerate(self._rows()):
            if code <= IS_INPUT or not needed[number] or not active[number]:
                continue
            if code in _ARITHMETIC or self._is_square(code, b):
                steps.append(self._arithmetic(code, number, a, b))
            elif BY_CODE[code].kind is not Kind.CONSTANT:
                tables.setdefault(code, []).append(number)
                operands = (a,) if b < 0 else (a, b)
                steps += [(_TABLE, number, x, i) for i, x in enumerate(operands) if active[x]]
        return steps, tables

    def _arithmetic(self, code: int, number: int, a: int, b: int) -> Step:
        op = BY_CODE[code].name
        if op == "power":
            return _PRODUCT, number, a, a
        if self._active[a] and self._active[b]:
            kinds = {"add": _SUM, "subtract": _DIFFERENCE, "multiply": _PRODUCT}
            return kinds[op], number, a, b
        moving, fixed = (a, b) if self._active[a] else (b, a)
        if op == "multiply":
            return _SCALED, number, moving, fixed
        return _MINUS if op == "subtract" and moving == b else _SAME, number, moving, fixed

    def _slopes(self) -> dict[tuple[int, int], float]:
        """Return the derivatives that need a rule, by node and number of the operand."""
        slopes: dict[tuple[int, int], float] = {}
        v, left, right = self._values, self._left, self._right
        for code, numbers in self._sweep[1].items():
            y = np.array([v[k] for k in numbers])
            sides = (left,) if right[numbers[0]] < 0 else (left, right)
            operands = [np.array([v[side[k]] for k in numbers]) for side in sides]
            for i in range(len(operands)):
                rule = BY_CODE[code].vjp_rule(i)
                if rule is not None:
                    slope = np.broadcast_to(rule(np.ones(len(y)), y, *operands), y.shape)
                    slopes.update(zip(((k, i) for k in numbers), slope.tolist(), strict=True))
        return slopes

    def _backward(self, output: int) -> Sequence[float]:
        """Return the derivatives of one output by the inputs."""
        v, slopes = self._values, self._slopes()
        c = [0.0] * len(v)
        c[output] = 1.0
        for what, number, a, b in reversed(self._sweep[0]):
            g = c[number]
            if what == _PRODUCT:
                c[a] += g * v[b]
                c[b] += g * v[a]
            elif what == _SUM:
                c[a] += g
                c[b] += g
            elif what == _SCALED:
                c[a] += g * v[b]
            elif what == _DIFFERENCE:
                c[a] += g
                c[b] -= g
            elif what == _SAME:
                c[a] += g
            elif what == _MINUS:
                c[a] -= g
            elif (number, b) in slopes:
                c[a] += g * slopes[number, b]
        return [c[number] for _, number in self._inputs]

    def _forward(self, seeds: Mapping[int, Any]) -> Sequence[Any]:
        """Return the tangent of each node, from those of the inputs: numbers or arrays."""
        v, slopes = self._values, self._slopes()
        t: list[Any] = [0.0] * len(v)
        for number, seed in seeds.items():
            t[number] = seed
        for what, number, a, b in self._sweep[0]:
            if what == _PRODUCT:
                t[number] = t[a] * v[b] + t[b] * v[a]
            elif what == _SUM:
                t[number] = t[a] + t[b]
            elif what == _SCALED:
                t[number] = t[a] * v[b]
            elif what == _DIFFERENCE:
                t[number] = t[a] - t[b]
            elif what == _SAME:
                t[number] = t[a]
            elif what == _MINUS:
                t[number] = -t[a]
            elif (number, b) in slopes:
                t[number] = t[number] + t[a] * slopes[number, b]
        return t
