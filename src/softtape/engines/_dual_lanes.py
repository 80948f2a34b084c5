"""Compiled runs of a long list of instructions on dual numbers, for lanes of cases.

As in :mod:`softtape.engines._duals`, on few rows and without a way back, which would go through
values that no cache holds. A row is a line of values, one for each lane, and behind it a line of
tangents for each input.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from softtape.engines._duals import CODE, SCALE, SPARE, slopes_of
from softtape.engines._interpreter import (
    _EIGHT,
    _add,
    _at,
    _call,
    _copy,
    _counts_at,
    _eight,
    _fill,
    _floats_at,
    _forward_at,
    _multiply,
    _subtract,
    _sum,
    _write_down,
)
from softtape.engines._plans import ADD, MULTIPLY, SQUARE, SUBTRACT

__all__ = ["dual_gradient_of_chunk", "duals_of_chunk", "size_of_rows"]

_jit: Any = numba.njit(cache=True, error_model="numpy", nogil=True)
_inline: Any = numba.njit(error_model="numpy", forceinline=True)

_shorts_at = _at(numba.types.uint16)
_combine = _eight(lambda builder, a, b, x, y: builder.fadd(builder.fmul(a, x), builder.fmul(b, y)))


def size_of_rows(rows: int, width: int, directions: int) -> int:
    """Return how many numbers the kernels need, the sums of the gradient included."""
    return (rows * (1 + directions) + SPARE + 1 + directions) * width


@_inline
def _run(frame: Any, v: Any, directions: int) -> None:
    """Run the instructions on one block."""
    data, width = np.uint64(v.ctypes.data), np.uint64(frame.width)
    line = width * _EIGHT
    row, vector = line * (np.uint64(1) + directions), _EIGHT * _EIGHT
    spare = np.uint64(frame.rows) * (np.uint64(1) + directions) * width
    instructions = _shorts_at(frame.instructions, (frame.length, 4))
    for i in range(np.uint64(frame.length)):
        code = instructions[i, 0]
        o = data + np.uint64(instructions[i, 1]) * row
        a = data + np.uint64(instructions[i, 2]) * row
        b = data + np.uint64(instructions[i, 3]) * row
        if code == ADD:
            for j in range(np.uint64(0), row, vector):
                _add(o + j, a + j, b + j)
        elif code == SUBTRACT:
            for j in range(np.uint64(0), row, vector):
                _subtract(o + j, a + j, b + j)
        elif code == SCALE:
            for j in range(np.uint64(0), line, vector):
                for k in range(line, row, line):
                    _multiply(o + k + j, a + k + j, b + j)
                _multiply(o + j, a + j, b + j)  # at last: the row may be the factor's
        elif code in (MULTIPLY, SQUARE):
            for j in range(np.uint64(0), line, vector):
                for k in range(line, row, line):
                    _combine(o + k + j, a + k + j, b + k + j, b + j, a + j)
                _multiply(o + j, a + j, b + j)
        else:
            x, y = (a - data) // _EIGHT, (b - data) // _EIGHT
            first, second = spare + width, spare + width + width
            _call(frame.apply, code & CODE, data, spare, x, y, first, second, width)
            if directions:
                _find_slopes(code, v, spare, y, width)
            s, t = data + spare * _EIGHT, data + first * _EIGHT
            for j in range(np.uint64(0), line, vector):
                for k in range(line, row, line):
                    _combine(o + k + j, a + k + j, b + k + j, t + j, t + line + j)
                _copy(o + j, s + j)


@_inline
def _find_slopes(code: int, v: Any, spare: int, y: int, width: int) -> None:
    first = spare + width
    second = first + width
    for j in range(width):
        v[first + j], v[second + j] = slopes_of(
            code, v[spare + j], v[y + j], v[first + j], v[second + j]
        )


@_inline
def _begin(frame: Any, v: Any, seeds: Any) -> None:
    """Give what is equal in all cases, and its tangents, to each lane."""
    width, directions = np.uint64(frame.width), np.uint64(seeds.shape[1])
    shared = _floats_at(frame.shared, 1)
    border = _counts_at(frame.border, frame.border_count)
    for k in range(np.uint64(frame.border_count)):
        place = (np.uint64(frame.column_count) + k) * (np.uint64(1) + directions) * width
        _fill(v, place, width, shared[border[k]])
        for d in range(directions):
            place += width
            _fill(v, place, width, seeds[k, d])


@_inline
def _block(frame: Any, block: int, n: int, v: Any, directions: int) -> None:
    """Bring in a block of cases, run it, check its guards, and write down its outputs."""
    cases, width = np.uint64(frame.cases), np.uint64(frame.width)
    row = (np.uint64(1) + directions) * width
    columns = _floats_at(frame.columns, 1)
    for k in range(np.uint64(frame.column_count)):
        for j in range(n):
            v[k * row + j] = columns[k * cases + block + j]
    _run(frame, v, directions)
    _write_down(frame, block, n, v, row)


@_jit
def duals_of_chunk(
    frame: int, start: int, stop: int, v: int, size: int, seeds: Any, tangents: Any
) -> None:
    """Compute the outputs of the cases from ``start`` to ``stop``, and their tangents.

    Parameters
    ----------
    frame
        Address of a :data:`softtape.engines._interpreter.FORWARD`; its instructions are those of
        :func:`softtape.engines._duals.plan_rows`.
    start, stop
        Which cases.
    v, size
        Address of the rows, and how many numbers: :func:`size_of_rows`.
    seeds
        Tangents of what is equal in all cases, shape (border, k).
    tangents
        Where those of the outputs go, shape (outputs, k, cases).
    """
    f = _forward_at(frame, 1)[0]
    values, directions = _floats_at(v, size), np.uint64(seeds.shape[1])
    first, last, width = np.uint64(start), np.uint64(stop), np.uint64(f.width)
    outputs = _counts_at(f.outputs, 1)
    _begin(f, values, seeds)
    for block in range(first, last, width):
        n = min(width, last - block)
        _block(f, block, n, values, directions)
        if directions:
            for k in range(np.uint64(f.output_count)):
                o = outputs[k] * (np.uint64(1) + directions) * width
                for d in range(directions):
                    o += width
                    for j in range(n):
                        tangents[k, d, block + j] = values[o + j]


@_jit
def dual_gradient_of_chunk(
    frame: int, start: int, stop: int, v: int, size: int, seeds: Any, weights: Any, sums: Any
) -> None:
    """Run as `duals_of_chunk`; sum the weighted first outputs and their tangents, lane by lane.

    ``weights`` are as many as cases or a single one; ``sums`` has shape (1 + k,).
    """
    f = _forward_at(frame, 1)[0]
    values, directions = _floats_at(v, size), np.uint64(seeds.shape[1])
    first, last, width = np.uint64(start), np.uint64(stop), np.uint64(f.width)
    output = _counts_at(f.outputs, 1)[0] * (np.uint64(1) + directions) * width
    total = np.uint64(size) - (np.uint64(1) + directions) * width
    _fill(values, total, (np.uint64(1) + directions) * width, 0.0)
    _begin(f, values, seeds)
    for block in range(first, last, width):
        n = min(width, last - block)
        _block(f, block, n, values, directions)
        for d in range(np.uint64(1) + directions):
            for j in range(n):
                weight = weights[0] if len(weights) == 1 else weights[block + j]
                values[total + d * width + j] += weight * values[output + d * width + j]
    for d in range(np.uint64(1) + directions):
        sums[d] = _sum(values, total + d * width, width)
