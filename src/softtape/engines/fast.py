"""The engine of the extra ``fast``: programs of scalars, run by a compiled interpreter.

An ODE integrated by a Python loop is tens of thousands of scalar operations, each of which costs
numpy a call. Here the graph becomes a list of instructions, and one kernel compiled by numba walks
it (see :mod:`softtape.engines._interpreter`). Derivatives are swept along the same list, or carried
beside the values (:mod:`softtape.engines._duals`), so no graph of derivatives is built: that would
take longer than a whole fit. :class:`ScalarProgram` runs one case,
:class:`softtape.engines.fast_lanes.LaneProgram` many.
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

__all__ = ["Part", "ScalarProgram", "aligned", "available", "without_simple_powers"]

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


@cache
def available() -> bool:
    """Whether numba is installed; it is imported only when a program is made."""
    return importlib.util.find_spec("numba") is not None


_SIMPLE_POWERS = {2.0: "square", 1.0: "positive", 0.5: "sqrt", -1.0: "reciprocal"}


def without_simple_powers(layout: ScalarLayout, varies: Mask) -> NDArray[np.int16]:
    """Return the codes; powers whose exponent is simple, and the same in all cases, replaced."""
    codes = layout.codes.copy()
    powers = np.flatnonzero((codes == CODES["power"]) | (codes == CODES["float_power"]))
    inputs = np.array(list(layout.inputs.values()), np.int64)
    exponents = layout.right[powers]
    fixed = (codes[exponents] == 0) & ~varies[exponents] & ~np.isin(exponents, inputs)
    powers, exponents = powers[fixed], layout.values[exponents[fixed]]
    for exponent, name in _SIMPLE_POWERS.items():
        codes[powers[exponents == exponent]] = CODES[name]
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
        return self._tangents_of(self._numbers)

    def _tangents_of(self, seeds: NDArray[Any]) -> tuple[Any, Any, int]:
        graph = (self._instructions, self._nodes, *self._edges, self.active)
        made: tuple[Any, Any, int] = self._plans.plan_tangents(*graph, seeds, self._wanted)
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
        moved = self._carried(self._tangents, n)
        if n > 1 and not np.isfinite(moved).all():
            # an infinite slope met the zeros of inputs it has nothing to do with: one by one
            each = (self._tangents_of(self._numbers[i : i + 1]) for i in range(n))
            moved = np.concatenate([self._carried(plan, 1) for plan in each], axis=1)
        return moved

    def _carried(self, plan: tuple[Any, Any, int], n: int) -> Floats:
        steps, slots, used = plan
        c: Floats = np.zeros((used + 1, n))  # slot -1 is for what does not move
        c[:n] = np.eye(n)
        if n:
            self._kernels.sweep_single(steps, self.values, c.ravel(), n)
        moved: Floats = c[slots]
        return moved


class _Rows:
    """A graph on as few rows as it needs at a time: for values, and for values with tangents.

    Parameters
    ----------
    layout
        The graph.
    codes
        Its operations.
    """

    def __init__(self, layout: ScalarLayout, codes: NDArray[np.int16]) -> None:
        """List the instructions."""
        from softtape.engines import _duals, _interpreter, _plans

        self._kernels, self._apply = _duals, _interpreter.APPLY
        self._keys = list(layout.inputs)
        numbers = np.array(list(layout.inputs.values()), np.int64)
        edges, sources = (layout.left, layout.right), np.zeros(codes.size, bool)
        sources[numbers] = True
        active = _plans.depends(codes, *edges, sources, True)
        kept = np.concatenate([layout.outputs, layout.guarded])
        plan = _duals.plan_rows(codes, *edges, layout.values, numbers, active, kept)
        self._instructions, self._constants, rows, count = plan
        self._count: int = count
        self._outputs, self._guarded = np.split(rows, [layout.outputs.size])
        self._expected = layout.expected
        self._lines = -(-(1 + len(self._keys)) // _duals.LANES)

    @property
    def has_values(self) -> bool:
        """Whether there are not too many rows."""
        return self._count > 0

    @property
    def has_tangents(self) -> bool:
        """Whether there are so few inputs that a sweep would not be faster."""
        return self.has_values and self._lines <= _MOST_LINES

    def _started(self, width: int) -> Floats:
        """Return the rows, with the constants in them, and the few numbers behind them."""
        made = aligned(self._count * width + self._kernels.SPARE)
        start = len(self._keys)
        column = made[: self._count * width : width]
        column[start : start + self._constants.size] = self._constants
        return made

    @cached_property
    def _numbers(self) -> Floats:
        return self._started(1)

    @cached_property
    def _duals(self) -> tuple[Floats, Floats]:
        """The rows of dual numbers, shape (rows, numbers), and the memory they are in."""
        width = self._lines * self._kernels.LANES
        memory = self._started(width)
        table = memory[: self._count * width].reshape(self._count, width)
        n = len(self._keys)
        table[:n, 1 : 1 + n] = np.eye(n)
        return table, memory

    def values(self, inputs: Mapping[str, Any], *, guarded: bool) -> Floats | None:
        """Return the outputs, or None where a guard does not hold."""
        v = self._numbers
        for row, key in enumerate(self._keys):
            v[row] = inputs[key]
        self._kernels.run_numbers(self._apply, self._instructions, v)
        if guarded and not _equal(v[self._guarded], self._expected):
            return None
        outputs: Floats = v[self._outputs]
        return outputs

    def tangents(
        self, inputs: Mapping[str, Any], *, guarded: bool
    ) -> tuple[Floats | None, Floats | None]:
        """Return the outputs, or None where a guard does not hold, and their derivatives.

        These are None where they are not finite: then a zero may have met an infinite slope, on
        a branch not taken.
        """
        table, memory = self._duals
        for row, key in enumerate(self._keys):
            table[row, 0] = inputs[key]
        self._kernels.run_duals(self._apply, self._instructions, memory, self._lines)
        if guarded and not _equal(table[self._guarded, 0], self._expected):
            return None, None
        made = table[self._outputs]
        moved = made[:, 1 : 1 + len(self._keys)]
        return made[:, 0], moved if np.isfinite(moved).all() else None


class ScalarProgram:
    """A graph of scalars made ready to run many times.

    Parameters
    ----------
    graph
        What to run; one that :func:`softtape.engines.scalar.suits`.
    """

    def __init__(self, graph: Graph) -> None:
        """List the instructions."""
        layout = self._layout = scalar_layout(graph)
        self._codes = without_simple_powers(layout, np.zeros(layout.codes.size, bool))
        self._rows = _Rows(layout, self._codes)

    @cached_property
    def _part(self) -> Part:
        everything = np.ones(self._codes.size, bool)
        return Part(self._layout, self._codes, everything, self._layout.outputs)

    def value(self, inputs: Mapping[str, Any], *, guarded: bool = True) -> Floats | None:
        """Return the outputs, or None where a guard does not hold."""
        if self._rows.has_values:
            return self._rows.values(inputs, guarded=guarded)
        self._part.run(inputs)
        values, layout = self._part.values, self._layout
        if guarded and not _equal(values[layout.guarded], layout.expected):
            return None
        return values[layout.outputs]

    def gradient(
        self, inputs: Mapping[str, Any], *, guarded: bool = True
    ) -> tuple[Floats, dict[str, float]] | None:
        """Return the outputs and the derivative of the first by each input, or None as `value`."""
        outputs, moved = self._moved(inputs, guarded)
        if outputs is None:
            return None
        if moved is None:
            return outputs, self._part.gradient([1.0] + [0.0] * (outputs.size - 1))
        return outputs, dict(zip(self._layout.inputs, moved[0].tolist(), strict=True))

    def jacobian(
        self, inputs: Mapping[str, Any], *, guarded: bool = True
    ) -> tuple[Floats, Floats] | None:
        """Return the outputs and their derivatives by the inputs, or None as `value`.

        The shape of the derivatives is (outputs, inputs).
        """
        outputs, moved = self._moved(inputs, guarded)
        if outputs is None:
            return None
        return outputs, self._part.jacobian() if moved is None else moved

    def _moved(
        self, inputs: Mapping[str, Any], guarded: bool
    ) -> tuple[Floats | None, Floats | None]:
        """Return the outputs and their derivatives; None for these where a sweep has to find them.

        Then `_part` has run.
        """
        if self._rows.has_tangents:
            outputs, moved = self._rows.tangents(inputs, guarded=guarded)
        else:
            outputs, moved = self.value(inputs, guarded=guarded), None
        if moved is None and outputs is not None:
            self._part.run(inputs)
        return outputs, moved


_MOST_LINES = 4  # up to 31 inputs


def _equal(values: Floats, expected: Floats) -> bool:
    return not expected.size or bool(np.array_equal(values, expected, equal_nan=True))


def aligned(size: int) -> Floats:
    """Return zeros that start where a cache line does, so that no vector straddles two."""
    zeros = np.zeros(size + 7)
    first = -zeros.ctypes.data % 64 // 8
    return zeros[first : first + size]
