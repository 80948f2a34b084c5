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
    "FORWARD",
    "GRADIENT",
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


def _frame(*names: str) -> np.dtype[Any]:
    return np.dtype([(name, np.int64) for name in names])


FORWARD = _frame(
    *("apply", "instructions", "length", "outputs", "output_count"),
    *("guards", "expected", "guard_count", "shared", "border", "border_count"),
    *("columns", "column_count", "cases", "results", "holds", "width", "rows"),
)
"""What running a list of instructions needs to know: counts, and addresses of arrays.

numba takes a number in a hundredth of a microsecond, an array in a third of one. These are

instructions, guards, expected
    The instructions, shape (length, 5); the rows of the guards, and what these must be.
outputs
    The rows of the outputs that are wanted.
shared, border
    The values of the nodes that are equal in all cases; which of them are used by others: they go
    to the rows behind the columns.
columns
    The constants that differ, shape (column_count, cases), which go to the first rows.
results, holds
    Where outputs, shape (output_count, cases), and whether all guards hold, shape (cases,), go.
width, rows
    How many lanes a block has, and how many rows.
"""

GRADIENT = _frame("steps", "length", "seed", "pinned", "total", "weights", "weight_count")
"""The same of a gradient: the steps, the slot of the output, how many nodes are pinned, the slot
where outputs are summed, and the weights, as many as cases or a single one."""


def _at(dtype: Any) -> Any:
    """Make a function that returns the array of a shape that lies at an address."""

    @_intrinsic
    def pointer(context: Any, address: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(dtype)(types.int64), build

    return _inline(lambda address, shape: numba.carray(pointer(address), shape))


_floats_at, _counts_at, _bytes_at = _at(types.float64), _at(types.uint64), _at(types.uint8)
_forward_at = _at(numba.from_dtype(FORWARD))
_gradient_at = _at(numba.from_dtype(GRADIENT))


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
                c[target + d] += c[source + d] * factor
        else:
            for d in range(width):
                c[target + d] = c[source + d] * factor


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
    if inputs == 3:
        return _intrinsic(lambda context, o, a, b, c: typed(context, o, a, b, c))
    return _intrinsic(lambda context, o, a, b, c, d: typed(context, o, a, b, c, d))


_add = _eight(lambda builder, a, b: builder.fadd(a, b))
_subtract = _eight(lambda builder, a, b: builder.fsub(a, b))
_multiply = _eight(lambda builder, a, b: builder.fmul(a, b))
_copy = _eight(lambda builder, a: a)
_grow = _eight(lambda builder, sum, g, x: builder.fadd(sum, builder.fmul(g, x)))

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
                        _multiply(o + j, g + j, f + j)
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
        part = c[source + j] * _factor(kind, v[x + j], v[y + j])
        c[target + j] = c[target + j] + part if more else part


@_inline
def _fill(c: Any, start: int, n: int, value: float) -> None:
    for j in range(n):
        c[start + j] = value


@_inline
def _sum(c: Any, start: int, n: int) -> float:
    """Sum a multiple of eight lanes, in an order that gives the processor eight sums at a time."""
    a = b = d = e = f = g = h = k = 0.0
    for j in range(start, start + n, _EIGHT):
        a, b, d, e = a + c[j], b + c[j + 1], d + c[j + 2], e + c[j + 3]
        f, g, h, k = f + c[j + 4], g + c[j + 5], h + c[j + 6], k + c[j + 7]
    return ((a + b) + (d + e)) + ((f + g) + (h + k))


@_inline
def _sum_of_few(c: Any, start: int, n: int) -> float:
    total = 0.0
    for j in range(n):
        total += c[start + j]
    return total


@_inline
def _padded(n: Any) -> Any:
    """Return the lanes of whole vectors; what those without a case compute is not looked at."""
    return (n + np.uint64(7)) // _EIGHT * _EIGHT


@_inline
def _fill_border(frame: Any, v: Any) -> None:
    """Give the values that are equal in all cases to each lane."""
    shared = _floats_at(frame.shared, 1)
    border = _counts_at(frame.border, frame.border_count)
    width = np.uint64(frame.width)
    for k in range(np.uint64(frame.border_count)):
        _fill(v, (np.uint64(frame.column_count) + k) * width, width, shared[border[k]])


@_inline
def _values(frame: Any, block: int, n: int, v: Any) -> None:
    """Bring in a block of cases, run it, check its guards, and write down its outputs."""
    cases, width = np.uint64(frame.cases), np.uint64(frame.width)
    columns = _floats_at(frame.columns, 1)
    for k in range(np.uint64(frame.column_count)):
        for j in range(n):
            v[k * width + j] = columns[k * cases + block + j]
    instructions = _counts_at(frame.instructions, (frame.length, 5))
    _forward(frame.apply, instructions, v, width, _padded(n))
    _write_down(frame, block, n, v, width)


@_inline
def _write_down(frame: Any, block: int, n: int, v: Any, row: int) -> None:
    """Write down the outputs of a block of cases, and whether its guards hold."""
    cases = np.uint64(frame.cases)
    outputs, results = _counts_at(frame.outputs, 1), _floats_at(frame.results, 1)
    for k in range(np.uint64(frame.output_count)):
        o = outputs[k] * row
        for j in range(n):
            results[k * cases + block + j] = v[o + j]
    guards, expected = _counts_at(frame.guards, 1), _floats_at(frame.expected, 1)
    holds = _bytes_at(frame.holds, 1)
    for k in range(np.uint64(frame.guard_count)):
        o, wanted = guards[k] * row, expected[k]
        for j in range(n):
            x = v[o + j]
            holds[block + j] &= np.uint8(x == wanted or (x != x and wanted != wanted))


@_jit
def values_of_chunk(frame: int, start: int, stop: int, v: int) -> None:
    """Compute the outputs of the cases from ``start`` to ``stop``, block after block.

    Parameters
    ----------
    frame
        Address of a `FORWARD`.
    start, stop
        Which cases.
    v
        Address of the rows of values.
    """
    f = _forward_at(frame, 1)[0]
    values = _floats_at(v, f.rows * f.width)
    first, last, width = np.uint64(start), np.uint64(stop), np.uint64(f.width)
    _fill_border(f, values)
    for block in range(first, last, width):
        _values(f, block, min(width, last - block), values)


@_jit
def gradient_of_chunk(
    frame: int, start: int, stop: int, v: int, backward: int, c: int, sums: int
) -> None:
    """Run as `values_of_chunk`, and sum over all cases, lane after lane.

    The weighted first outputs are summed in ``sums[0]``, the cotangents of the pinned nodes
    that this gives in those that follow. ``backward``, ``c`` and ``sums`` are the addresses of a
    `GRADIENT`, of the slots of derivatives, and of the sums.
    """
    f, b = _forward_at(frame, 1)[0], _gradient_at(backward, 1)[0]
    values, slots, made = _floats_at(v, 1), _floats_at(c, 1), _floats_at(sums, 1)
    first, last, width = np.uint64(start), np.uint64(stop), np.uint64(f.width)
    steps, weights = _counts_at(b.steps, (b.length, 6)), _floats_at(b.weights, 1)
    pinned, seed = np.uint64(b.pinned), np.uint64(b.seed)
    output = _counts_at(f.outputs, 1)[0] * width
    most = _padded(min(width, last - first))
    total, place = np.uint64(b.total) * width, seed * width
    _fill(slots, total, most, 0.0)
    for k in range(pinned):
        _fill(slots, k * width, most, 0.0)
        made[np.uint64(1) + k] = 0.0
    _fill_border(f, values)
    n = most
    for block in range(first, last, width):
        n = min(width, last - block)
        _values(f, block, n, values)
        for k in range(pinned):  # of the last block's lanes without a case, what they had before
            made[np.uint64(1) + k] += _sum_of_few(slots, k * width + n, _padded(n) - n)
        if seed >= pinned:  # else the sum over cases goes on
            _fill(slots, place, _padded(n), 0.0)  # also in lanes without a case
        if b.weight_count == 1:
            for j in range(n):
                slots[total + j] += values[output + j]
            for j in range(n):
                slots[place + j] += weights[0]
        else:
            for j in range(n):
                slots[total + j] += weights[block + j] * values[output + j]
            for j in range(n):
                slots[place + j] += weights[block + j]
        _sweep(steps, values, slots, width, _padded(n), np.uint64(1))
    made[0] = _sum(slots, total, most) * (weights[0] if b.weight_count == 1 else 1.0)
    for k in range(pinned):
        _fill(slots, k * width + n, _padded(n) - n, 0.0)  # 0 · inf, maybe
        made[np.uint64(1) + k] += _sum(slots, k * width, most)


@_jit
def tangents_of_chunk(
    frame: int, start: int, stop: int, v: int, onward: Any, seeds: Any, c: Any, tangents: Any
) -> None:
    """Run as `values_of_chunk`, and give the outputs' tangents, shape (outputs, k, cases).

    ``seeds`` are the tangents of the nodes the plan starts from, shape (nodes, k); ``onward`` are
    the steps, and the slots of the outputs, -1 for one that does not move.
    """
    f = _forward_at(frame, 1)[0]
    values = _floats_at(v, f.rows * f.width)
    first, last, width = np.uint64(start), np.uint64(stop), np.uint64(f.width)
    steps, slots = onward
    directions = np.uint64(seeds.shape[1])
    _fill_border(f, values)
    for k in range(np.uint64(len(seeds))):
        for d in range(directions):
            _fill(c, (k * directions + d) * width, width, seeds[k, d])
    for block in range(first, last, width):
        n = min(width, last - block)
        _values(f, block, n, values)
        _sweep(steps, values, c, width, _padded(n), directions)
        for k in range(np.uint64(len(slots))):
            if slots[k] >= 0:
                for d in range(directions):
                    o = (np.uint64(slots[k]) * directions + d) * width
                    for j in range(n):
                        tangents[k, d, block + j] = c[o + j]


@_jit
def cotangents_of_chunk(
    frame: int, start: int, stop: int, v: int, backward: Any, c: Any, cotangents: Any
) -> None:
    """Run as `values_of_chunk`, and give what pinned nodes add to each of the outputs.

    Its shape is (outputs, pinned, cases). ``backward`` are the steps of all outputs, where those
    of each output end, and the slot of each output.
    """
    f = _forward_at(frame, 1)[0]
    values = _floats_at(v, f.rows * f.width)
    first, last, width = np.uint64(start), np.uint64(stop), np.uint64(f.width)
    steps, ends, seeds = backward
    pinned = np.uint64(cotangents.shape[1])
    _fill_border(f, values)
    for block in range(first, last, width):
        n = min(width, last - block)
        _values(f, block, n, values)
        begin = np.int64(0)
        for k in range(np.uint64(len(ends))):
            _fill(c, np.uint64(0), pinned * width, 0.0)
            place = seeds[k] * width
            _fill(c, place, width, 1.0)
            _sweep(steps[begin : ends[k]], values, c, width, _padded(n), np.uint64(1))
            begin = ends[k]
            for i in range(pinned):
                for j in range(n):
                    cotangents[k, i, block + j] = c[i * width + j]
