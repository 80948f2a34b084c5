"""Lists of instructions, and of the steps that carry derivatives along them.

An *instruction* is a row ``(code, out, left, right, slope)`` of an array of unsigned integers: what
to compute, and at which rows the result, the operands and the slopes stand. Operations whose slope
is plain to see (a product's is the other factor) store none; the others store it when the value is
computed, since a sine comes with its cosine for nothing.

A *step* is a row ``(kind, more, source, target, x, y)``: the derivative in the slot ``target``
becomes, or grows by (``more``), the one in ``source`` times a factor made of the values in rows
``x`` and ``y``. Carried from results to operands these are cotangents, the other way tangents.
Slots are used again as soon as their derivative is not needed any more, so that the few in use
stay in the nearest cache, however long the list.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from softtape.engines._rows import FIXED_POWER, SLOPES
from softtape.engines.scalar import CODES
from softtape.ops import PRIMITIVES, Kind

__all__ = [
    "ADD", "COPY", "DIVIDE", "EXP", "MULTIPLY", "NEGATE", "NEGATIVE", "OVER", "POSITIVE",
    "QUOTIENT", "SQUARE", "STORED", "SUBTRACT", "TIMES", "TWICE", "depends", "feeding",
    "fixed_power", "list_instructions", "plan_cotangents", "plan_tangents",
]  # fmt: skip

_jit: Any = numba.njit(cache=True, error_model="numpy")
_inline: Any = numba.njit(error_model="numpy", forceinline=True)

ADD, SUBTRACT, MULTIPLY = CODES["add"], CODES["subtract"], CODES["multiply"]
DIVIDE, SQUARE = CODES["divide"], CODES["square"]
NEGATIVE, EXP = CODES["negative"], CODES["exp"]
POSITIVE, _POWER, _FLOAT_POWER = CODES["positive"], CODES["power"], CODES["float_power"]

COPY, NEGATE, TIMES, OVER, QUOTIENT, TWICE = range(6)
"""Factors of a step: 1, -1, x, 1 / x, -y / x and 2 x."""

_BINARY = np.array([False] * (FIXED_POWER + 1))
STORED = np.zeros(FIXED_POWER + 1, np.int64)
_SMOOTH = np.array([False] * (FIXED_POWER + 1))
for _name, _code in CODES.items():
    STORED[_code] = SLOPES.get(_name, 0)
    _SMOOTH[_code] = PRIMITIVES[_name].kind is not Kind.CONSTANT
    _BINARY[_code] = _code >= ADD
_BINARY[FIXED_POWER] = _SMOOTH[FIXED_POWER] = True
STORED[FIXED_POWER] = 1


@_jit
def depends(codes: Any, left: Any, right: Any, sources: Any, smooth: bool) -> Any:
    """Mark the nodes that depend on marked ones, with a slope if only ``smooth`` counts."""
    marked = sources.copy()
    for i in range(codes.size):
        code = codes[i]
        if code and (not smooth or _SMOOTH[code]):
            marked[i] |= marked[left[i]] or marked[right[i]]
    return marked


@_jit
def feeding(left: Any, right: Any, chosen: Any, active: Any, outputs: Any) -> Any:
    """Mark the active nodes from which chosen ones, one after the other, lead to an output."""
    marked = np.zeros(active.size, np.bool_)
    marked[outputs] = active[outputs]
    for i in range(active.size - 1, -1, -1):
        if marked[i] and chosen[i]:
            marked[left[i]] |= active[left[i]]
            marked[right[i]] |= active[right[i]]
    return marked


@_inline
def fixed_power(code: int, moves: bool) -> int:
    """The code of a power, where its exponent does not move one without that slope."""
    return FIXED_POWER if code in (_POWER, _FLOAT_POWER) and not moves else code


@_jit
def list_instructions(
    codes: Any, left: Any, right: Any, chosen: Any, rows: Any, active: Any, free: int
) -> tuple[Any, Any, int]:
    """List the instructions of the chosen nodes.

    Parameters
    ----------
    codes, left, right
        The graph; see :class:`softtape.engines.scalar.ScalarLayout`.
    chosen
        Which nodes to compute.
    rows
        Row of each node.
    active
        Which nodes have a derivative that is asked for.
    free
        First row that is free for slopes.

    Returns
    -------
    tuple
        The instructions, their nodes, and the number of rows used in all.
    """
    count = 0
    for i in range(codes.size):
        count += chosen[i] and codes[i] != 0
    made, nodes = np.zeros((count, 5), np.uint32), np.zeros(count, np.int64)
    k = 0
    for i in range(codes.size):
        code = codes[i]
        if chosen[i] and code != 0:
            code = fixed_power(code, active[right[i]])
            made[k, 0], made[k, 1] = code, rows[i]
            made[k, 2], made[k, 3] = rows[left[i]], rows[right[i]]
            made[k, 4] = free
            free += STORED[code]
            nodes[k] = i
            k += 1
    return made, nodes, free


@_inline
def _factor(instruction: Any, side: int) -> tuple[int, int, int]:
    """Kind and rows of the factor between a result and one of its operands."""
    code, out, a, b, slope = instruction
    if code in (ADD, POSITIVE) or (code == SUBTRACT and side == 0):
        return COPY, a, a
    if code in (SUBTRACT, NEGATIVE):
        return NEGATE, a, a
    if code == MULTIPLY:
        return TIMES, (b if side == 0 else a), a
    if code == DIVIDE:
        return (OVER if side == 0 else QUOTIENT), b, out
    if code == SQUARE:
        return TWICE, a, a
    if code == EXP:
        return TIMES, out, a
    return TIMES, slope + side, a


@_jit
def plan_cotangents(
    instructions: Any, nodes: Any, left: Any, right: Any, active: Any, seeds: Any, pinned: Any
) -> tuple[Any, Any, int]:
    """Plan the way of cotangents from the nodes ``seeds`` back to the nodes ``pinned``.

    Returns
    -------
    tuple
        The steps; the slot of each seed, which is to be set (or added to, where it is one of the
        first, the pinned nodes', which start with zero and are kept); the number of slots.
    """
    slot = np.full(active.size, -1, np.int64)
    slot[pinned] = np.arange(pinned.size)
    used = pinned.size
    for node in seeds:
        if slot[node] < 0:
            slot[node] = used
            used += 1
    starts = slot[seeds]
    free = np.zeros(2 * len(nodes) + seeds.size + 1, np.int64)
    available = 0
    steps = np.zeros((2 * len(nodes), 6), np.uint32)
    count = 0
    for k in range(len(nodes) - 1, -1, -1):
        node = nodes[k]
        source = slot[node]
        if source < 0 or not active[node]:
            continue
        kept = False
        # the left operand last: it may take over the slot
        for side in range(_BINARY[instructions[k, 0]], -1, -1):
            operand = right[node] if side else left[node]
            if not active[operand]:
                continue
            kind, x, y = _factor((instructions[k, 0], instructions[k, 1], instructions[k, 2],
                                  instructions[k, 3], instructions[k, 4]), side)  # fmt: skip
            more = slot[operand] >= 0
            if kind == COPY and side == 0 and not more:
                slot[operand] = source
                kept = True
                continue
            if not more:
                if available:
                    available -= 1
                    slot[operand] = free[available]
                else:
                    slot[operand] = used
                    used += 1
            steps[count, 0], steps[count, 1] = kind, more
            steps[count, 2], steps[count, 3] = source, slot[operand]
            steps[count, 4], steps[count, 5] = x, y
            count += 1
        if not kept:
            free[available] = source
            available += 1
    return steps[:count].copy(), starts, used


@_jit
def plan_tangents(
    instructions: Any, nodes: Any, left: Any, right: Any, active: Any, seeds: Any, wanted: Any
) -> tuple[Any, Any, int]:
    """Plan the way of tangents from the nodes ``seeds`` to the nodes ``wanted``.

    Returns
    -------
    tuple
        The steps; the slot of each wanted node, -1 where it does not move (those of the seeds
        are the first, in their order); the number of slots.
    """
    last = np.full(active.size, -1, np.int64)
    for k in range(len(nodes)):
        last[left[nodes[k]]] = k
        last[right[nodes[k]]] = k
    last[seeds] = len(nodes)
    last[wanted] = len(nodes)
    slot = np.full(active.size, -1, np.int64)
    slot[seeds] = np.arange(seeds.size)
    used = seeds.size
    free = np.zeros(len(nodes) + 1, np.int64)
    available = 0
    steps = np.zeros((2 * len(nodes), 6), np.uint32)
    count = 0
    for k in range(len(nodes)):
        node = nodes[k]
        if not active[node]:
            continue
        more = False
        for side in range(1 + _BINARY[instructions[k, 0]]):
            operand = right[node] if side else left[node]
            if slot[operand] < 0:  # it does not move, or nobody asks how
                continue
            kind, x, y = _factor((instructions[k, 0], instructions[k, 1], instructions[k, 2],
                                  instructions[k, 3], instructions[k, 4]), side)  # fmt: skip
            if not more:
                if available:
                    available -= 1
                    slot[node] = free[available]
                else:
                    slot[node] = used
                    used += 1
            steps[count, 0], steps[count, 1] = kind, more
            steps[count, 2], steps[count, 3] = slot[operand], slot[node]
            steps[count, 4], steps[count, 5] = x, y
            count += 1
            more = True
        for side in range(2):
            operand = right[node] if side else left[node]
            if slot[operand] >= 0 and last[operand] == k:
                free[available] = slot[operand]
                available += 1
                last[operand] = -1
    return steps[:count].copy(), slot[wanted], used
