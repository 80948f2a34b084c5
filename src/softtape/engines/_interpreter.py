"""One compiled interpreter of scalar instruction lists: forward, reverse, and with tangents.

Importing this module imports numba and compiles the kernels, or loads them from numba's cache on
disk. They are compiled once, not once per program. Rules are those of :mod:`softtape.ops`, for
numbers; a test compares them, one by one. Codes are those of :mod:`softtape.engines.scalar`.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

__all__ = ["directions", "forward", "reverse"]

LN2, LN10 = math.log(2.0), math.log(10.0)

_jit: Any = numba.njit(cache=True, error_model="numpy")


@_jit
def _power_base(x: float, y: float) -> float:
    if y == 2.0:
        return 2.0 * x
    return 0.0 if y == 0.0 else y * x ** (y - 1.0)


@_jit
def _power_exponent(x: float, r: float) -> float:
    return 0.0 if x == 0.0 else r * np.log(x)


@_jit
def _wins(x: float, y: float) -> float:
    return 0.5 if x == y else 1.0 if x > y else 0.0


@_jit
def _apply(code: int, x: float, y: float) -> float:
    if code == 1:
        return -x
    if code == 2:
        return x
    if code == 3:
        return abs(x)
    if code == 4:
        return abs(x)
    if code == 5:
        return x * x
    if code == 6:
        return np.sqrt(x)
    if code == 7:
        return 1.0 / x
    if code == 8:
        return np.exp(x)
    if code == 9:
        return np.exp2(x)
    if code == 10:
        return np.expm1(x)
    if code == 11:
        return np.log(x)
    if code == 12:
        return np.log2(x)
    if code == 13:
        return np.log10(x)
    if code == 14:
        return np.log1p(x)
    if code == 15:
        return np.sin(x)
    if code == 16:
        return np.cos(x)
    if code == 17:
        return np.tan(x)
    if code == 18:
        return np.arcsin(x)
    if code == 19:
        return np.arccos(x)
    if code == 20:
        return np.arctan(x)
    if code == 21:
        return np.sinh(x)
    if code == 22:
        return np.cosh(x)
    if code == 23:
        return np.tanh(x)
    if code == 24:
        return np.arcsinh(x)
    if code == 25:
        return np.arctanh(x)
    if code == 26:
        return np.sign(x)
    if code == 27:
        return np.floor(x)
    if code == 28:
        return np.ceil(x)
    if code == 29:
        return np.trunc(x)
    if code == 30:
        return np.rint(x)
    if code == 31:
        return x
    if code == 32:
        return 1.0 if x == 0.0 else 0.0
    if code == 33:
        return x + y
    if code == 34:
        return x - y
    if code == 35:
        return x * y
    if code == 36:
        return x / y
    if code == 37:
        return x**y
    if code == 38:
        return x**y
    if code == 39:
        return np.maximum(x, y)
    if code == 40:
        return np.minimum(x, y)
    if code == 41:
        return np.hypot(x, y)
    if code == 42:
        return np.arctan2(x, y)
    if code == 43:
        return 1.0 if x < y else 0.0
    if code == 44:
        return 1.0 if x <= y else 0.0
    if code == 45:
        return 1.0 if x > y else 0.0
    if code == 46:
        return 1.0 if x >= y else 0.0
    if code == 47:
        return 1.0 if x == y else 0.0
    if code == 48:
        return 1.0 if x != y else 0.0
    if code == 49:
        return 1.0 if x != 0.0 and y != 0.0 else 0.0
    if code == 50:
        return 1.0 if x != 0.0 or y != 0.0 else 0.0
    return 0.0


@_jit
def _slopes(code: int, x: float, y: float, r: float) -> tuple[float, float]:
    if code == 1:
        return -1.0, 0.0
    if code == 2:
        return 1.0, 0.0
    if code == 3:
        return np.sign(x), 0.0
    if code == 4:
        return np.sign(x), 0.0
    if code == 5:
        return 2.0 * x, 0.0
    if code == 6:
        return 0.5 / r, 0.0
    if code == 7:
        return -r * r, 0.0
    if code == 8:
        return r, 0.0
    if code == 9:
        return LN2 * r, 0.0
    if code == 10:
        return r + 1.0, 0.0
    if code == 11:
        return 1.0 / x, 0.0
    if code == 12:
        return 1.0 / (LN2 * x), 0.0
    if code == 13:
        return 1.0 / (LN10 * x), 0.0
    if code == 14:
        return 1.0 / (1.0 + x), 0.0
    if code == 15:
        return np.cos(x), 0.0
    if code == 16:
        return -np.sin(x), 0.0
    if code == 17:
        return 1.0 + r * r, 0.0
    if code == 18:
        return 1.0 / np.sqrt((1.0 - x) * (1.0 + x)), 0.0
    if code == 19:
        return -1.0 / np.sqrt((1.0 - x) * (1.0 + x)), 0.0
    if code == 20:
        return 1.0 / (1.0 + x * x), 0.0
    if code == 21:
        return np.cosh(x), 0.0
    if code == 22:
        return np.sinh(x), 0.0
    if code == 23:
        return 1.0 - r * r, 0.0
    if code == 24:
        return 1.0 / np.sqrt(1.0 + x * x), 0.0
    if code == 25:
        return 1.0 / ((1.0 - x) * (1.0 + x)), 0.0
    if code == 33:
        return 1.0, 1.0
    if code == 34:
        return 1.0, -1.0
    if code == 35:
        return y, x
    if code == 36:
        return 1.0 / y, -r / y
    if code == 37:
        return _power_base(x, y), _power_exponent(x, r)
    if code == 38:
        return _power_base(x, y), _power_exponent(x, r)
    if code == 39:
        return _wins(x, y), _wins(y, x)
    if code == 40:
        return _wins(-x, -y), _wins(-y, -x)
    if code == 41:
        return x / r if r != 0.0 else 0.0, y / r if r != 0.0 else 0.0
    if code == 42:
        return y / (x * x + y * y), -x / (x * x + y * y)
    return 0.0, 0.0


@_jit
def forward(codes: Any, left: Any, right: Any, values: Any) -> None:
    """Compute all values in place; leaves are given."""
    for i in range(codes.size):
        if codes[i]:
            values[i] = _apply(codes[i], values[left[i]], values[right[i]])


@_jit
def reverse(codes: Any, left: Any, right: Any, values: Any, cotangents: Any) -> None:
    """Carry cotangents, given at the outputs, back to the leaves, in place.

    A cotangent of zero stops there: what a branch not taken would make of it is not asked.
    """
    for i in range(codes.size - 1, -1, -1):
        g = cotangents[i]
        if codes[i] and g != 0.0:
            a, b = left[i], right[i]
            slope_a, slope_b = _slopes(codes[i], values[a], values[b], values[i])
            cotangents[a] += g * slope_a
            if slope_b != 0.0:  # also where there is no second operand
                cotangents[b] += g * slope_b


@_jit
def directions(codes: Any, left: Any, right: Any, values: Any, tangents: Any) -> None:
    """Carry a row of tangents, given at the leaves, forward through every node, in place."""
    width = tangents.shape[1]
    for i in range(codes.size):
        if codes[i]:
            a, b = left[i], right[i]
            slope_a, slope_b = _slopes(codes[i], values[a], values[b], values[i])
            for d in range(width):
                t = 0.0
                if tangents[a, d] != 0.0:
                    t += slope_a * tangents[a, d]
                # a slope by a constant may be NaN: that of (-2)**2 is, by the exponent
                if slope_b != 0.0 and tangents[b, d] != 0.0:
                    t += slope_b * tangents[b, d]
                tangents[i, d] = t
