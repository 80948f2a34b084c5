"""The engine of the extra ``fast``: long tapes of scalars, run by a compiled interpreter.

An ODE integrated by a Python loop is tens of thousands of scalar operations, each of which costs
numpy a call. Here the graph becomes four arrays, and one kernel compiled by numba walks them
(see :mod:`softtape.engines._interpreter`). The gradient is a reverse sweep over the same arrays,
so no graph of derivatives is built.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softtape.graph import CONSTANT, INPUT, Graph

__all__ = ["CODES", "ScalarProgram", "available", "suits"]


_KNOWN = [
    "negative", "positive", "absolute", "fabs", "square", "sqrt", "reciprocal", "exp", "exp2",
    "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos", "arctan",
    "sinh", "cosh", "tanh", "arcsinh", "arctanh", "sign", "floor", "ceil", "trunc", "rint",
    "stop_gradient", "logical_not", "add", "subtract", "multiply", "divide", "power",
    "float_power", "maximum", "minimum", "hypot", "arctan2", "less", "less_equal", "greater",
    "greater_equal", "equal", "not_equal", "logical_and", "logical_or",
]  # fmt: skip

CODES = {name: code for code, name in enumerate(_KNOWN, start=1)}
"""Code of each operation the interpreter knows; leaves (inputs, constants) have code 0."""


@cache
def available() -> bool:
    """Whether numba is installed; it is imported only when a program is made."""
    return importlib.util.find_spec("numba") is not None


def suits(graph: Graph) -> bool:
    """Whether every node is a number, and every operation one the interpreter knows."""
    for op, _, attrs in graph.nodes:
        if op == INPUT:
            if np.shape(graph.start[attrs]):
                return False
        elif op == CONSTANT:
            if not isinstance(attrs, (float, int, np.floating, np.integer, np.bool_)):
                return False
        elif op not in CODES or attrs:
            return False
    return True


class ScalarProgram:
    """A graph of scalars made ready to run many times.

    Parameters
    ----------
    graph
        What to run; see `suits`.
    """

    def __init__(self, graph: Graph) -> None:
        """Lay the graph out in arrays."""
        from softtape.engines import _interpreter

        self._kernels = _interpreter
        n = len(graph.nodes)
        self._codes = np.array([CODES.get(op, 0) for op, _, _ in graph.nodes], np.int16)
        self._left = np.array([args[0] if args else 0 for _, args, _ in graph.nodes], np.int32)
        self._right = np.array([args[-1] if args else 0 for _, args, _ in graph.nodes], np.int32)
        self._values = np.zeros(n)
        for number, (op, _, attrs) in enumerate(graph.nodes):
            if op == CONSTANT:
                self._values[number] = attrs
        self._inputs = list(graph.inputs.items())
        self._outputs = np.array(graph.outputs, np.int64)
        self._guarded = np.array([g for g, _ in graph.guards], np.int64)
        self._expected = np.array([float(e) for _, e in graph.guards])

    def value(self, inputs: Mapping[str, Any], *, guarded: bool = True) -> NDArray[Any] | None:
        """Return the outputs, or None where a guard does not hold."""
        for key, number in self._inputs:
            self._values[number] = inputs[key]
        self._kernels.forward(self._codes, self._left, self._right, self._values)
        if guarded and not np.array_equal(
            self._values[self._guarded], self._expected, equal_nan=True
        ):
            return None
        return self._values[self._outputs]

    def gradient(self) -> dict[str, float]:
        """Return the derivative of the first output by each input, where `value` ran last."""
        cotangents = np.zeros(self._values.size)
        cotangents[self._outputs[0]] = 1.0
        self._kernels.reverse(self._codes, self._left, self._right, self._values, cotangents)
        return {key: cotangents[number] for key, number in self._inputs}

    def jacobian(self) -> NDArray[np.float64]:
        """Return the derivatives of the outputs by the inputs, where `value` ran last.

        The shape is (outputs, inputs).
        """
        count = len(self._inputs)
        tangents = np.zeros((self._values.size, count))
        for d, (_, number) in enumerate(self._inputs):
            tangents[number, d] = 1.0
        self._kernels.directions(self._codes, self._left, self._right, self._values, tangents)
        return tangents[self._outputs]
