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

from softtape.engines.scalar import scalar_layout
from softtape.graph import Graph

__all__ = ["ScalarProgram", "available"]


@cache
def available() -> bool:
    """Whether numba is installed; it is imported only when a program is made."""
    return importlib.util.find_spec("numba") is not None


class ScalarProgram:
    """A graph of scalars made ready to run many times.

    Parameters
    ----------
    graph
        What to run; one that :func:`softtape.engines.scalar.suits`.
    """

    def __init__(self, graph: Graph) -> None:
        """Lay the graph out in arrays."""
        from softtape.engines import _interpreter

        self._kernels = _interpreter
        layout = scalar_layout(graph)
        self._codes, self._left, self._right = layout.codes, layout.left, layout.right
        self._values = layout.values
        self._inputs = list(layout.inputs.items())
        self._outputs = layout.outputs
        self._guarded, self._expected = layout.guarded, layout.expected

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
