"""Compiled interpreters of instruction lists: forward, and derivatives carried along a plan.

Importing this module imports numba and compiles the kernels, or loads them from numba's cache on
disk. They are compiled once, not once per program. Instructions and steps are those of
:mod:`softtape.engines._plans`.

Offsets are unsigned: numba lets a negative index count from the end, and the check would keep
loops from being vectorised.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic as _untyped

from softtape.engines import _rows
from softtape.engines._plans import (
    ADD,
    COPY,
    DIVIDE,
    MULTIPLY,
    NEGATE,
    OVER,
    QUOTIENT,
    SQUARE,
    SUBTRACT,
    TIMES,
)

__all__ = [
    "APPLY",
    "cotangents_of_chunk",
    "gradient_of_chunk",
    "run_single",
    "sweep_single",
    "tangents_of_chunk",
    "values_of_chunk",
]

_jit: Any = numba.njit(cache=True, error_model="numpy", nogil=True)
_inline: Any = numba.njit(error_model="numpy", forceinline=True)
_intrinsic: Any = _untyped

APPLY = _rows.apply.address
"""Where the compiled table of operations lies; given to the kernels, which need not contain it."""


@_intrinsic
def _call(
    context: Any, address: Any, code: Any, v: Any, o: Any, a: Any, b: Any, s: Any, t: Any, n: Any
) -> Any:
    """Call `_rows.apply` by its address; ``v`` is an address, too."""
    number = types.int64

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer, numbers = ir.IntType(64), ir.DoubleType().as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [integer, numbers, *[integer] * 6])
        function, code, v, *rows = args
        function = builder.inttoptr(function, kind.as_pointer())
        builder.call(function, [code, builder.inttoptr(v, numbers), *rows])
        return context.get_dummy_value()

    return types.void(*[number] * 9), build


@_jit
def run_single(apply: int, instructions: Any, v: Any) -> None:
    """Run a list of instructions on numbers: a row is one number."""
    data = v.ctypes.data
    for i in range(np.uint64(len(instructions))):
        code = instructions[i, 0]
        o, a = np.uint64(instructions[i, 1]), np.uint64(instructions[i, 2])
        b = np.uint64(instructions[i, 3])
        if code == ADD:
            v[o] = v[a] + v[b]
        elif code == SUBTRACT:
            v[o] = v[a] - v[b]
        elif code == MULTIPLY:
            v[o] = v[a] * v[b]
        elif code == DIVIDE:
            v[o] = v[a] / v[b]
        elif code == SQUARE:
            v[o] = v[a] * v[a]
        else:
            s = np.int64(instructions[i, 4])
            _call(apply, code, data, o, a, b, s, s + 1, 1)


@_inline
def _stopped(g: float, x: float) -> float:
    """``g * x``; a derivative of zero stops, whatever it meets on a branch not taken."""
    return 0.0 if g == 0.0 else g * x


@_inline
def _factor(kind: int, x: float, y: float) -> float:
    if kind == TIMES:
        return x
    if kind == OVER:
        return 1.0 / x
    if kind == QUOTIENT:
        return -(y / x)
    if kind == COPY:
        return 1.0
    if kind == NEGATE:
        return -1.0
    return 2.0 * x


@_jit
def sweep_single(steps: Any, v: Any, c: Any, directions: int) -> None:
    """Carry derivatives along a plan, ``directions`` numbers to a slot."""
    width = np.uint64(directions)
    for i in range(np.uint64(len(steps))):
        kind, more = steps[i, 0], steps[i, 1]
        source, target = np.uint64(steps[i, 2]) * width, np.uint64(steps[i, 3]) * width
        x, y = np.uint64(steps[i, 4]), np.uint64(steps[i, 5])
        factor = v[x]
        if kind != TIMES:
            factor = _factor(kind, factor, v[y])
        if more:
            for d in range(width):
                c[target + d] += _stopped(c[source + d], factor)
        else:
            for d in range(width):
                c[target + d] = _stopped(c[source + d], factor)


def _eight(combine: Any) -> Any:
    """Make a function of addresses, the result's first, that does eight lanes at a time.

    LLVM vectorises loops over rows by itself, but asks before each whether the rows overlap, and
    handles up to eight lanes at its end singly. That costs nothing for 500 lanes and most of the
    time for eight, which is what a block of a long list has.
    """
    inputs = combine.__code__.co_argcount - 1

    def typed(context: Any, *addresses: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            row = ir.VectorType(ir.DoubleType(), 8).as_pointer()
            out, *read = [builder.inttoptr(address, row) for address in args]
            made = combine(builder, *[builder.load(place, align=8) for place in read])
            builder.store(made, out, align=8)
            return context.get_dummy_value()

        return types.void(*[types.uint64] * (1 + inputs)), build

    if inputs == 1:
        return _intrinsic(lambda context, o, a: typed(context, o, a))
    if inputs == 2:
        return _intrinsic(lambda context, o, a, b: typed(context, o, a, b))
    return _intrinsic(lambda context, o, a, b, c: typed(context, o, a, b, c))


def _stopped_by(builder: Any, g: Any, x: Any) -> Any:
    """`_stopped`, for eight lanes."""
    zero = ir.Constant(g.type, [0.0] * 8)
    return builder.select(builder.fcmp_ordered("==", g, zero), zero, builder.fmul(g, x))


_add = _eight(lambda builder, a, b: builder.fadd(a, b))
_subtract = _eight(lambda builder, a, b: builder.fsub(a, b))
_multiply = _eight(lambda builder, a, b: builder.fmul(a, b))
_copy = _eight(lambda builder, a: a)
_times = _eight(lambda builder, g, x: _stopped_by(builder, g, x))
_grow = _eight(lambda builder, sum, g, x: builder.fadd(sum, _stopped_by(builder, g, x)))

_EIGHT = np.uint64(8)  # lanes of one vector, and bytes of a number


@_inline
def _forward(apply: int, instructions: Any, v: Any, width: int, n: int) -> None:
    """Run a list of instructions on rows of ``n`` lanes, a multiple of 8, ``width`` apart."""
    data = v.ctypes.data
    base, row, size = np.uint64(data), width * _EIGHT, n * _EIGHT
    line = _EIGHT * _EIGHT
    for i in range(np.uint64(len(instructions))):
        code = instructions[i, 0]
        o, a = base + instructions[i, 1] * row, base + instructions[i, 2] * row
        b = base + instructions[i, 3] * row
        if code == ADD:
            for j in range(np.uint64(0), size, line):
                _add(o + j, a + j, b + j)
        elif code == SUBTRACT:
            for j in range(np.uint64(0), size, line):
                _subtract(o + j, a + j, b + j)
        elif code == MULTIPLY:
            for j in range(np.uint64(0), size, line):
                _multiply(o + j, a + j, b + j)
        elif code == SQUARE:
            for j in range(np.uint64(0), size, line):
                _multiply(o + j, a + j, a + j)
        else:
            o, a = instructions[i, 1] * width, instructions[i, 2] * width
            b, s = instructions[i, 3] * width, instructions[i, 4] * width
            _call(apply, code, data, o, a, b, s, s + width, n)


@_inline
def _sweep(steps: Any, v: Any, c: Any, width: int, n: int, directions: int) -> None:
    """Carry derivatives along a plan, ``directions`` rows of ``n`` lanes to a slot."""
    values, slots = np.uint64(v.ctypes.data), np.uint64(c.ctypes.data)
    row, size, line = width * _EIGHT, n * _EIGHT, _EIGHT * _EIGHT
    for i in range(np.uint64(len(steps))):
        kind, more = steps[i, 0], steps[i, 1]
        source, target = steps[i, 2] * directions, steps[i, 3] * directions
        x, y = steps[i, 4], steps[i, 5]
        for d in range(directions):
            if kind == TIMES:
                g, o, f = slots + (source + d) * row, slots + (target + d) * row, values + x * row
                if more:
                    for j in range(np.uint64(0), size, line):
                        _grow(o + j, o + j, g + j, f + j)
                else:
                    for j in range(np.uint64(0), size, line):
                        _times(o + j, g + j, f + j)
            elif kind == COPY:
                g, o = slots + (source + d) * row, slots + (target + d) * row
                if more:
                    for j in range(np.uint64(0), size, line):
                        _add(o + j, o + j, g + j)
                else:
                    for j in range(np.uint64(0), size, line):
                        _copy(o + j, g + j)
            else:
                _sweep_any(
                    kind, more, c, (source + d) * width, (target + d) * width,
                    v, x * width, y * width, n,
                )  # fmt: skip


@_jit
def _sweep_any(
    kind: int, more: int, c: Any, source: int, target: int, v: Any, x: int, y: int, n: int
) -> None:
    """Carry one row of derivatives."""
    for j in range(n):
        part = _stopped(c[source + j], _factor(kind, v[x + j], v[y + j]))
        c[target + j] = c[target + j] + part if more else part


@_inline
def _fill(c: Any, start: int, n: int, value: float) -> None:
    for j in range(n):
        c[start + j] = value


@_inline
def _sum(c: Any, start: int, n: int) -> float:
    total = 0.0
    for j in range(n):
        total += c[start + j]
    return total


@_inline
def _padded(n: Any) -> Any:
    """Return the lanes of whole vectors; what those without a case compute is not looked at."""
    return (n + np.uint64(7)) // _EIGHT * _EIGHT


@_inline
def _values(apply: int, forward: Any, cases: Any, block: int, n: int, v: Any, width: int) -> None:
    """Bring in a block of cases, run it, check its guards, and write down its outputs."""
    instructions, outputs, guards, expected = forward
    columns, results, holds = cases
    for k in range(np.uint64(len(columns))):
        for j in range(n):
            v[k * width + j] = columns[k, block + j]
    _forward(apply, instructions, v, width, _padded(n))
    for k in range(np.uint64(len(outputs))):
        o = outputs[k] * width
        for j in range(n):
            results[k, block + j] = v[o + j]
    for k in range(np.uint64(len(guards))):
        o, wanted = guards[k] * width, expected[k]
        for j in range(n):
            x = v[o + j]
            holds[block + j] &= x == wanted or (x != x and wanted != wanted)


@_jit
def values_of_chunk(
    apply: int, forward: Any, cases: Any, start: int, stop: int, v: Any, width: int
) -> None:
    """Compute the outputs of the cases from ``start`` to ``stop``, block after block.

    Parameters
    ----------
    apply
        `APPLY`.
    forward
        The instructions, the rows of the outputs and of the guards, and what these must be.
    cases
        The columns of constants, shape (columns, cases), which go to the first rows; where
        outputs, shape (outputs, cases), and whether all guards hold are written.
    start, stop
        Which cases.
    v
        Rows of values, ``width`` lanes each; those equal in all cases are filled in.
    width
        How many lanes a block has.
    """
    for block in range(start, stop, width):
        _values(apply, forward, cases, block, min(width, stop - block), v, width)


@_jit
def gradient_of_chunk(
    apply: int,
    forward: Any,
    cases: Any,
    start: int,
    stop: int,
    v: Any,
    width: int,
    backward: Any,
    weights: Any,
    c: Any,
    sums: Any,
) -> None:
    """Compute outputs as `values_of_chunk`, and sums over all cases, lane after lane.

    The weighted first outputs are summed in ``sums[0]``, the cotangents of the pinned nodes
    that this gives in those that follow. ``backward`` are the steps, and the slot of the output.
    """
    steps, seed = backward
    pinned = np.uint64(len(sums)) - np.uint64(1)
    _fill(c, np.uint64(0), pinned * width, 0.0)
    total = np.zeros(width)
    for block in range(start, stop, width):
        n = min(width, stop - block)
        _values(apply, forward, cases, block, n, v, width)
        o, place = forward[1][0] * width, seed * width
        if seed >= pinned:  # else the sum over cases goes on
            _fill(c, place, width, 0.0)  # also in lanes without a case
        if weights.size == 1:
            for j in range(n):
                total[j] += v[o + j]
            for j in range(n):
                c[place + j] += weights[0]
        else:
            for j in range(n):
                total[j] += weights[block + j] * v[o + j]
            for j in range(n):
                c[place + j] += weights[block + j]
        _sweep(steps, v, c, width, _padded(n), np.uint64(1))
    sums[0] = _sum(total, np.uint64(0), width) * (weights[0] if weights.size == 1 else 1.0)
    for k in range(pinned):
        sums[np.uint64(1) + k] = _sum(c, k * width, width)


@_jit
def tangents_of_chunk(
    apply: int,
    forward: Any,
    cases: Any,
    start: int,
    stop: int,
    v: Any,
    width: int,
    onward: Any,
    seeds: Any,
    c: Any,
    tangents: Any,
) -> None:
    """Compute outputs as `values_of_chunk`, and their tangents, shape (outputs, k, cases).

    ``seeds`` are the tangents of the nodes the plan starts from, shape (nodes, k); ``onward`` are
    the steps, and the slots of the outputs, -1 for one that does not move.
    """
    steps, slots = onward
    directions = np.uint64(seeds.shape[1])
    for k in range(np.uint64(len(seeds))):
        for d in range(directions):
            _fill(c, (k * directions + d) * width, width, seeds[k, d])
    for block in range(start, stop, width):
        n = min(width, stop - block)
        _values(apply, forward, cases, block, n, v, width)
        _sweep(steps, v, c, width, _padded(n), directions)
        for k in range(np.uint64(len(slots))):
            if slots[k] >= 0:
                for d in range(directions):
                    o = (np.uint64(slots[k]) * directions + d) * width
                    for j in range(n):
                        tangents[k, d, block + j] = c[o + j]


@_jit
def cotangents_of_chunk(
    apply: int,
    forward: Any,
    cases: Any,
    start: int,
    stop: int,
    v: Any,
    width: int,
    backward: Any,
    c: Any,
    cotangents: Any,
) -> None:
    """Compute outputs as `values_of_chunk`, and what pinned nodes add to each of them.

    Its shape is (outputs, pinned, cases). ``backward`` are the steps of all outputs, where those
    of each output end, and the slot of each output.
    """
    steps, ends, seeds = backward
    pinned = np.uint64(cotangents.shape[1])
    for block in range(start, stop, width):
        n = min(width, stop - block)
        _values(apply, forward, cases, block, n, v, width)
        begin = np.int64(0)
        for k in range(np.uint64(len(ends))):
            _fill(c, np.uint64(0), pinned * width, 0.0)
            place = seeds[k] * width
            _fill(c, place, width, 1.0)
            _sweep(steps[begin : ends[k]], v, c, width, _padded(n), np.uint64(1))
            begin = ends[k]
            for i in range(pinned):
                for j in range(n):
                    cotangents[k, i, block + j] = c[i * width + j]
