"""Compiled runs of a list of instructions on a few rows, which are used again and again.

A long tape needs few of its values at a time. Here each value has a row only as long as it is
used, so that all of them stay in the nearest cache, and a derivative is not carried back but along
with its value: a row holds a number and behind it its tangents, one for each input, as *dual
numbers* do. For a few inputs that is one vector operation more for each operation, where the way
back costs two passes over memory that no cache holds.

An instruction is a row ``(code, out, left, right)`` of small integers.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic as _untyped

from softtape.engines._interpreter import _call
from softtape.engines._plans import (
    ADD,
    DIVIDE,
    EXP,
    MULTIPLY,
    NEGATIVE,
    POSITIVE,
    SQUARE,
    STORED,
    SUBTRACT,
    fixed_power,
)

__all__ = [
    "CODE", "LANES", "SCALE", "SPARE", "plan_rows", "run_duals", "run_numbers", "slopes_of",
]  # fmt: skip

_jit: Any = numba.njit(cache=True, error_model="numpy", nogil=True)
_inline: Any = numba.njit(error_model="numpy", forceinline=True)
_intrinsic: Any = _untyped

LANES = 8
"""Numbers of a line: the first of a row holds the value and seven tangents, others eight."""

SPARE = 3
"""How many numbers the kernels need behind the rows."""

SCALE = 101
"""Code of a product whose right factor does not move."""

_LEFT_RESTS, _RIGHT_RESTS = 256, 512  # added to a code: that operand does not move
CODE = 255
"""The bits of a code that say what to compute."""
_MOST_ROWS = (1 << 16) - 3


@_inline
def _hash(bits: int, size: int) -> Any:
    mixed = (np.uint64(bits) ^ (np.uint64(bits) >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mixed >> np.uint64(40)) & (size - 1)


@_inline
def _number_constants(codes: Any, bits: Any, row: Any, first: int) -> Any:
    """Give equal constants the same row, from ``first`` on; return the bits of each once."""
    room = 64
    table = np.full(room, -1, np.int64)
    made = np.empty(bits.size, np.int64)
    distinct = 0
    if not bits.size:
        return made
    for i in range(codes.size):
        if codes[i] or row[i] >= 0:
            continue
        place = _hash(bits[i], room)
        while table[place] >= 0 and made[table[place]] != bits[i]:
            place = (place + 1) & (room - 1)
        if table[place] < 0:
            table[place] = distinct
            made[distinct] = bits[i]
            distinct += 1
        row[i] = first + table[place]
        if 2 * distinct > room:
            room *= 4
            table = np.full(room, -1, np.int64)
            for k in range(distinct):
                place = _hash(made[k], room)
                while table[place] >= 0:
                    place = (place + 1) & (room - 1)
                table[place] = k
    return made[:distinct].copy()


@_jit
def plan_rows(
    codes: Any, left: Any, right: Any, values: Any, inputs: Any, active: Any, kept: Any
) -> tuple[Any, Any, Any, int]:
    """List the instructions of a graph, on as few rows as it needs at a time.

    Parameters
    ----------
    codes, left, right, values
        The graph; see :class:`softtape.engines.scalar.ScalarLayout`. ``values`` may be empty where
        each operand is computed or among ``inputs``.
    inputs
        The nodes that get the first rows.
    active
        Which nodes have a derivative that is asked for.
    kept
        The nodes whose rows nothing else may take.

    Returns
    -------
    tuple
        The instructions; the constants, for the rows behind the inputs', each once; the rows of
        the kept nodes; and the number of rows, 0 where there are too many.
    """
    size = codes.size
    row = np.full(size, -1, np.int32)  # few bytes each: a tape may be long
    row[inputs] = np.arange(inputs.size)
    constants = _number_constants(codes, values.view(np.int64), row, inputs.size).view(np.float64)
    used = inputs.size + constants.size
    last, count = np.full(size, -1, np.int32), 0
    for i in range(size):
        if codes[i]:
            last[left[i]] = last[right[i]] = i
            count += 1
    last[kept] = size
    made, free = np.empty((count, 4), np.uint16), np.empty(count + 1, np.int32)
    available, k = 0, 0
    for i in range(size):
        code = codes[i]
        if not code:
            continue
        a, b = left[i], right[i]
        if code == MULTIPLY and not active[b]:
            code = SCALE
        elif code == MULTIPLY and not active[a]:
            code, a, b = SCALE, b, a
        elif code == SQUARE:
            b = a  # of a power it was the exponent
        code = fixed_power(code, active[b])
        if code not in (ADD, SUBTRACT, MULTIPLY, SCALE, SQUARE):
            code += (0 if active[a] else _LEFT_RESTS) + (0 if active[b] else _RIGHT_RESTS)
        made[k, 0], made[k, 2], made[k, 3] = code, row[a], row[b]
        for operand in (a, b):
            if codes[operand] and last[operand] == i:
                free[available] = row[operand]
                available += 1
                last[operand] = -1  # it may be both
        if available:
            available -= 1
            row[i] = free[available]
        else:
            row[i] = used
            used += 1
        if used > _MOST_ROWS:
            return made[:0], constants, row[kept], 0
        made[k, 1] = row[i]
        k += 1
    return made, constants, row[kept], used


@_jit
def run_numbers(apply: int, instructions: Any, v: Any) -> None:
    """Run a list of instructions on numbers: a row is one of them."""
    data = v.ctypes.data
    first = len(v) - SPARE
    for i in range(np.uint64(len(instructions))):
        code = instructions[i, 0]
        o, a = np.uint64(instructions[i, 1]), np.uint64(instructions[i, 2])
        b = np.uint64(instructions[i, 3])
        if code == ADD:
            v[o] = v[a] + v[b]
        elif code == SUBTRACT:
            v[o] = v[a] - v[b]
        elif code in (MULTIPLY, SCALE):
            v[o] = v[a] * v[b]
        elif code == DIVIDE:
            v[o] = v[a] / v[b]
        elif code == SQUARE:
            v[o] = v[a] * v[a]
        else:
            _call(apply, np.int64(code & CODE), data, o, a, b, first, first + 1, 1)


_vector = ir.VectorType(ir.DoubleType(), LANES)
_numbers = ir.VectorType(ir.IntType(32), LANES)
_zero = ir.Constant(ir.IntType(32), 0)


def _everywhere(builder: Any, x: Any) -> Any:
    first = builder.insert_element(ir.Constant(_vector, ir.Undefined), x, _zero)
    return builder.shuffle_vector(first, first, ir.Constant(_numbers, [0] * LANES))


def _joined(builder: Any, value: Any, tangents: Any) -> Any:
    """The first lane of one, the others of another."""
    lanes = [0, *range(LANES + 1, 2 * LANES)]
    return builder.shuffle_vector(value, tangents, ir.Constant(_numbers, lanes))


def _line(combine: Any) -> Any:
    """Make a function of the addresses of lines, the result's first, and of the numbers x, y, z."""
    names = "o", *combine.__code__.co_varnames[1 : combine.__code__.co_argcount]

    def typed(context: Any, *_: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            def read(name: str, given: Any) -> Any:
                if name in "xyz":
                    return _everywhere(builder, given)
                return builder.load(builder.inttoptr(given, _vector.as_pointer()), align=8)

            made = combine(builder, *map(read, names[1:], args[1:]))
            builder.store(made, builder.inttoptr(args[0], _vector.as_pointer()), align=8)
            return context.get_dummy_value()

        kinds = [types.float64 if name in "xyz" else types.uint64 for name in names]
        return types.void(*kinds), build

    made: dict[int, Any] = {
        3: lambda context, p, q, r: typed(context, p, q, r),
        5: lambda context, p, q, r, s, t: typed(context, p, q, r, s, t),
        6: lambda context, p, q, r, s, t, u: typed(context, p, q, r, s, t, u),
    }
    return _intrinsic(made[len(names)])


def _product_of_duals(builder: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    product = builder.fmul(a, y)  # its first lane is the value
    return _joined(builder, product, builder.fadd(product, builder.fmul(b, x)))


def _square_of_dual(builder: Any, a: Any, x: Any) -> Any:
    product = builder.fmul(a, x)
    return _joined(builder, product, builder.fadd(product, product))


def _moved(builder: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    return builder.fadd(builder.fmul(a, x), builder.fmul(b, y))


_add = _line(lambda builder, a, b: builder.fadd(a, b))
_subtract = _line(lambda builder, a, b: builder.fsub(a, b))
_scale = _line(lambda builder, a, x: builder.fmul(a, x))
_dual_product, _dual_square, _tangents = map(_line, (_product_of_duals, _square_of_dual, _moved))
_dual = _line(lambda builder, a, b, x, y, z: _joined(builder, z, _moved(builder, a, b, x, y)))


@_inline
def slopes_of(
    code: int, value: float, y: float, first: float, second: float
) -> tuple[float, float]:
    """Slopes of an operation by its operands, where it was computed last."""
    left, right = not code & _LEFT_RESTS, not code & _RIGHT_RESTS
    code &= CODE
    if code == DIVIDE:
        first, second = 1.0 / y, -(value / y)
    elif code == NEGATIVE:
        first, second = -1.0, 0.0
    elif code == POSITIVE:
        first, second = 1.0, 0.0
    elif code == EXP:
        first, second = value, 0.0
    else:
        left, right = left and STORED[code] > 0, right and STORED[code] > 1
    return (first if left else 0.0), (second if right else 0.0)


@_jit
def run_duals(apply: int, instructions: Any, v: Any, lines: int) -> None:
    """Run a list of instructions on dual numbers: a row is so many lines.

    A derivative of zero does not stop at a slope that is not finite: where the result is not
    finite, the slopes have to be looked at one by one.
    """
    data = v.ctypes.data
    base, line = np.uint64(data), np.uint64(8 * LANES)
    width, lanes = line * np.uint64(lines), np.uint64(LANES) * np.uint64(lines)
    spare = np.int64(len(v) - SPARE)
    for i in range(np.uint64(len(instructions))):
        code = instructions[i, 0]
        left, right = np.uint64(instructions[i, 2]), np.uint64(instructions[i, 3])
        o, a, b = (
            base + np.uint64(instructions[i, 1]) * width,
            base + left * width,
            base + right * width,
        )
        if code == ADD:
            for j in range(np.uint64(0), width, line):
                _add(o + j, a + j, b + j)
        elif code == SUBTRACT:
            for j in range(np.uint64(0), width, line):
                _subtract(o + j, a + j, b + j)
        elif code == SCALE:
            x = v[right * lanes]
            for j in range(np.uint64(0), width, line):
                _scale(o + j, a + j, x)
        elif code == MULTIPLY:
            x, y = v[left * lanes], v[right * lanes]
            _dual_product(o, a, b, x, y)
            for j in range(line, width, line):
                _tangents(o + j, a + j, b + j, y, x)
        elif code == SQUARE:
            x = v[left * lanes]
            _dual_square(o, a, x)
            for j in range(line, width, line):
                _scale(o + j, a + j, 2.0 * x)
        else:
            x, y = np.int64(left * lanes), np.int64(right * lanes)
            _call(apply, np.int64(code & CODE), data, spare, x, y, spare + 1, spare + 2, 1)
            value = v[spare]
            first, second = slopes_of(code, value, v[y], v[spare + 1], v[spare + 2])
            _dual(o, a, b, first, second, value)
            for j in range(line, width, line):
                _tangents(o + j, a + j, b + j, first, second)
