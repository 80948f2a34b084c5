"""The engine of the extra ``fast``: programs of scalars, run by a compiled interpreter.

An ODE integrated by a Python loop is tens of thousands of scalar operations, each of which costs
numpy a call. Here the graph becomes a list of instructions, and one kernel compiled by numba walks
it (see :mod:`softtape.engines._interpreter`). Derivatives are swept along the same list, so no
graph of derivatives is built: that would take longer than a whole fit. :class:`ScalarProgram` runs
one case, :class:`softtape.engines.fast_lanes.LaneProgram` many.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.engines.scalar import CODES, ScalarLayout, scalar_layout
from softtape.graph import Graph

__all__ = ["Part", "ScalarProgram", "available", "without_simple_powers"]

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


@cache
def available() -> bool:
    """Whether numba is installed; it is imported only when a program is made."""
    return importlib.util.find_spec("numba") is not None


_SIMPLE_POWERS = {2.0: "square", 1.0: "positive", 0.5: "sqrt", -1.0: "reciprocal"}


def without_simple_powers(layout: ScalarLayout, varies: Mask) -> NDArray[np.int16]:
    """Return the codes; powers whose exponent is simple, and the same in all cases, replaced."""
    codes, right = layout.codes.copy(), layout.right
    fixed = (codes == 0) & ~varies
    fixed[list(layout.inputs.values())] = False
    powers = (codes == CODES["power"]) | (codes == CODES["float_power"])
    powers &= fixed[right]
    for exponent, name in _SIMPLE_POWERS.items():
        codes[powers & (layout.values[right] == exponent)] = CODES[name]
    return codes


class Part:
    """The nodes of a graph that are the same in all cases: numbers.

    Parameters
    ----------
    layout
        The graph.
    codes
        Its operations.
    chosen
        Which nodes belong to the part.
    wanted
        Numbers of the nodes whose derivatives may be asked for.
    """

    def __init__(
        self, layout: ScalarLayout, codes: NDArray[np.int16], chosen: Mask, wanted: NDArray[Any]
    ) -> None:
        """List the instructions."""
        from softtape.engines import _interpreter, _plans

        self._kernels, self._plans = _interpreter, _plans
        self._inputs = list(layout.inputs)
        self._places = list(layout.inputs.items())
        self._numbers = np.array(list(layout.inputs.values()), np.int64)
        self._edges = layout.left, layout.right
        self._wanted = wanted
        sources = np.zeros(codes.size, bool)
        sources[self._numbers] = True
        self.active: Mask = _plans.depends(codes, *self._edges, sources, True)
        rows = np.arange(codes.size)
        self._instructions, self._nodes, size = _plans.list_instructions(
            codes, *self._edges, chosen, rows, self.active, codes.size
        )
        self._works = len(self._instructions) > 0
        self.values = np.zeros(size + 1)
        self.values[: codes.size] = layout.values

    def run(self, inputs: Mapping[str, Any]) -> None:
        """Compute the values."""
        values = self.values
        for key, number in self._places:
            values[number] = inputs[key]
        if self._works:
            self._kernels.run_single(self._kernels.APPLY, self._instructions, values)

    def _plan(self, seeds: NDArray[Any]) -> tuple[Any, Any, int]:
        graph = (self._instructions, self._nodes, *self._edges, self.active)
        steps, starts, used = self._plans.plan_cotangents(*graph, seeds, self._numbers)
        return steps, starts.tolist(), used

    @cached_property
    def _cotangents(self) -> tuple[Any, Any, int]:
        return self._plan(self._wanted)

    @cached_property
    def _tangents(self) -> tuple[Any, Any, int]:
        graph = (self._instructions, self._nodes, *self._edges, self.active)
        made: tuple[Any, Any, int] = self._plans.plan_tangents(*graph, self._numbers, self._wanted)
        return made

    @cached_property
    def _each(self) -> list[tuple[Any, Any, int]]:
        return [self._plan(self._wanted[k : k + 1]) for k in range(self._wanted.size)]

    def gradient(self, cotangents: Sequence[float]) -> dict[str, float]:
        """Return the cotangents of the inputs that those of the wanted nodes give.

        An input that none of them depends on may be left out.
        """
        if self._straight is not None:
            return dict(zip(self._straight, cotangents, strict=True))
        return dict(zip(self._inputs, self._pull(self._cotangents, cotangents), strict=True))

    @cached_property
    def _straight(self) -> list[str] | None:
        """The wanted nodes by name, where they are inputs, each of them another one."""
        names = {number: key for key, number in self._places}
        wanted = self._wanted.tolist()
        distinct = len(set(wanted)) == len(wanted)
        return [names[n] for n in wanted] if distinct and names.keys() >= {*wanted} else None

    def _pull(self, plan: tuple[Any, Any, int], cotangents: Sequence[float]) -> Sequence[float]:
        steps, starts, used = plan
        c = [0.0] * used
        for slot, cotangent in zip(starts, cotangents, strict=True):
            c[slot] += cotangent
        slots = np.array(c)
        self._kernels.sweep_single(steps, self.values, slots, 1)
        first: list[float] = slots[: len(self._inputs)].tolist()
        return first

    def jacobian(self) -> Floats:
        """Return the derivatives of the wanted nodes by the inputs, shape (wanted, inputs)."""
        n, m = self._numbers.size, self._wanted.size
        if m < n:
            return np.array([self._pull(plan, [1.0]) for plan in self._each]).reshape(m, n)
        steps, slots, used = self._tangents
        c: Floats = np.zeros((used + 1, n))  # slot -1 is for what does not move
        c[:n] = np.eye(n)
        if n:
            self._kernels.sweep_single(steps, self.values, c.ravel(), n)
        moved: Floats = c[slots]
        return moved


class ScalarProgram:
    """A graph of scalars made ready to run many times.

    Parameters
    ----------
    graph
        What to run; one that :func:`softtape.engines.scalar.suits`.
    """

    def __init__(self, graph: Graph) -> None:
        """List the instructions."""
        layout = scalar_layout(graph)
        everything = np.ones(layout.codes.size, bool)
        self._outputs = layout.outputs
        self._guarded, self._expected = layout.guarded, layout.expected
        codes = without_simple_powers(layout, ~everything)
        self._part = Part(layout, codes, everything, layout.outputs)

    def value(self, inputs: Mapping[str, Any], *, guarded: bool = True) -> Floats | None:
        """Return the outputs, or None where a guard does not hold."""
        self._part.run(inputs)
        values = self._part.values
        if guarded and not np.array_equal(values[self._guarded], self._expected, equal_nan=True):
            return None
        return values[self._outputs]

    def gradient(self) -> dict[str, float]:
        """Return the derivative of the first output by each input, where `value` ran last."""
        return self._part.gradient([1.0] + [0.0] * (self._outputs.size - 1))

    def jacobian(self) -> Floats:
        """Return the derivatives of the outputs by the inputs, where `value` ran last.

        The shape is (outputs, inputs).
        """
        return self._part.jacobian()
