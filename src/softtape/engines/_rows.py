"""Each operation on rows of lanes: loops that LLVM vectorises.

A row is a stretch of memory, given by its offset from a pointer: numba lets a negative index of an
array count from the end, and the check would keep its loops from being vectorised. Rules are those
of :mod:`softtape.ops`, for numbers; a test compares them, one by one.

numba keeps what it compiled on disk, and knows a function there by the time stamp of its own file
alone: who edits :mod:`softtape.engines._kernels` touches this file, too.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba import types

from softtape.engines import _kernels as kernels

__all__ = ["FIXED_POWER", "SLOPES", "apply"]

_jit: Any = numba.njit(error_model="numpy")
_inline: Any = numba.njit(error_model="numpy", forceinline=True)

FIXED_POWER = 100
"""Code of a power whose exponent needs no slope."""
SLOPES = {
    **dict.fromkeys(
        ["absolute", "fabs", "sqrt", "reciprocal", "exp2", "expm1", "log", "log2", "log10", "log1p",
         "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh",
         "arctanh"], 1),
    **dict.fromkeys(["power", "float_power", "maximum", "minimum", "hypot", "arctan2"], 2),
}  # fmt: skip
"""How many rows of slopes an operation stores beside its value; the others' are plain to see."""

_FAR = kernels.FAR
_exp, _expm1, _log, _log1p = kernels.exp, kernels.expm1, kernels.log, kernels.log1p
_sincos, _tanh, _arctan = kernels.sincos, kernels.tanh, kernels.arctan
_LN2, _LN10 = math.log(2.0), math.log(10.0)

# ---- numbers: value, and value with one slope for each operand


@_inline
def _sign(x: float) -> float:
    return x if x != x else (1.0 if x > 0.0 else 0.0) - (1.0 if x < 0.0 else 0.0)


@_inline
def _wins(x: float, y: float) -> float:
    return 0.5 if x == y else 1.0 if x > y else 0.0


@_inline
def _maximum(x: float, y: float) -> float:
    return x if x > y or x != x else y


@_inline
def _minimum(x: float, y: float) -> float:
    return x if x < y or x != x else y


@_jit
def _fixed_power_slopes(x: float, y: float) -> tuple[float, float]:
    r = x**y
    if y == 0.0:
        return r, 0.0
    if 1e-290 < abs(r) < np.inf and x != 0.0:  # saves a second power
        return r, y * (r / x)
    return r, y * x ** (y - 1.0)


@_jit
def _power_slopes(x: float, y: float) -> tuple[float, float, float]:
    r, slope = _fixed_power_slopes(x, y)
    return r, slope, r * (0.0 if x == 0.0 else np.log(x))


def _sqrt_slope(x: float) -> tuple[float, float]:
    y = np.sqrt(x)
    return y, 0.5 / y


def _reciprocal_slope(x: float) -> tuple[float, float]:
    y = 1.0 / x
    return y, -(y * y)


def _exp2_slope(x: float) -> tuple[float, float]:
    y = np.exp2(x)
    return y, _LN2 * y


def _expm1_slope(x: float) -> tuple[float, float]:
    y = _expm1(x)
    return y, y + 1.0


def _tanh_slope(x: float) -> tuple[float, float]:
    y = _tanh(x)
    return y, 1.0 - y * y


def _hypot_slopes(x: float, y: float) -> tuple[float, float, float]:
    r = np.hypot(x, y)
    by = 1.0 if r == 0.0 else r
    return r, x / by, y / by


def _arctan2_slopes(x: float, y: float) -> tuple[float, float, float]:
    z = x * x + y * y
    return np.arctan2(x, y), y / z, -(x / z)


# ---- rows: v[o:o + n] becomes the value, v[s:s + n] and v[t:t + n] the slopes


def _inlined(function: Any) -> Any:
    return function if hasattr(function, "py_func") else _inline(function)


def _unary(function: Any) -> Any:
    compute = _inlined(function)

    @_jit
    def rows(v: Any, o: int, a: int, b: int, s: int, t: int, n: int) -> None:
        for j in range(n):
            v[o + j] = compute(v[a + j])

    return rows


def _unary_slope(function: Any) -> Any:
    compute = _inlined(function)

    @_jit
    def rows(v: Any, o: int, a: int, b: int, s: int, t: int, n: int) -> None:
        for j in range(n):
            v[o + j], v[s + j] = compute(v[a + j])

    return rows


def _binary(function: Any) -> Any:
    compute = _inlined(function)

    @_jit
    def rows(v: Any, o: int, a: int, b: int, s: int, t: int, n: int) -> None:
        for j in range(n):
            v[o + j] = compute(v[a + j], v[b + j])

    return rows


def _binary_slope(function: Any) -> Any:
    compute = _inlined(function)

    @_jit
    def rows(v: Any, o: int, a: int, b: int, s: int, t: int, n: int) -> None:
        for j in range(n):
            v[o + j], v[s + j] = compute(v[a + j], v[b + j])

    return rows


def _binary_slopes(function: Any) -> Any:
    compute = _inlined(function)

    @_jit
    def rows(v: Any, o: int, a: int, b: int, s: int, t: int, n: int) -> None:
        for j in range(n):
            v[o + j], v[s + j], v[t + j] = compute(v[a + j], v[b + j])

    return rows


def _circular(near: Any, far: Any) -> Any:
    """Rows of a value and its slope.

    ``near`` makes them of the sine and cosine; ``far``, by libm, of a number beyond the range in
    which these are known.
    """
    by_kernel, by_libm = _inline(near), _jit(far)

    @_jit
    def rows(v: Any, o: int, a: int, b: int, s: int, t: int, n: int) -> None:
        beyond = False
        for j in range(n):
            x = v[a + j]
            beyond |= not abs(x) <= _FAR
            sine, cosine = _sincos(x)
            v[o + j], v[s + j] = by_kernel(sine, cosine)
        if beyond:
            for j in range(n):
                if not abs(v[a + j]) <= _FAR:
                    v[o + j], v[s + j] = by_libm(v[a + j])

    return rows


def _tan_by_libm(x: float) -> tuple[float, float]:
    y = np.tan(x)
    return y, 1.0 + y * y


_row_negative = _unary(lambda x: -x)
_row_positive = _unary(lambda x: x)
_row_absolute = _unary_slope(lambda x: (abs(x), _sign(x)))
_row_square = _unary(lambda x: x * x)
_row_sqrt = _unary_slope(_sqrt_slope)
_row_reciprocal = _unary_slope(_reciprocal_slope)
_row_exp = _unary(lambda x: _exp(x))
_row_exp2 = _unary_slope(_exp2_slope)
_row_expm1 = _unary_slope(_expm1_slope)
_row_log = _unary_slope(lambda x: (_log(x), 1.0 / x))
_row_log2 = _unary_slope(lambda x: (np.log2(x), 1.0 / (_LN2 * x)))
_row_log10 = _unary_slope(lambda x: (np.log10(x), 1.0 / (_LN10 * x)))
_row_log1p = _unary_slope(lambda x: (_log1p(x), 1.0 / (1.0 + x)))
_row_sin = _circular(lambda s, c: (s, c), lambda x: (np.sin(x), np.cos(x)))
_row_cos = _circular(lambda s, c: (c, -s), lambda x: (np.cos(x), -np.sin(x)))
_row_tan = _circular(lambda s, c: (s / c, 1.0 / (c * c)), _tan_by_libm)
_row_arcsin = _unary_slope(lambda x: (np.arcsin(x), 1.0 / np.sqrt((1.0 - x) * (1.0 + x))))
_row_arccos = _unary_slope(lambda x: (np.arccos(x), -1.0 / np.sqrt((1.0 - x) * (1.0 + x))))
_row_arctan = _unary_slope(lambda x: (_arctan(x), 1.0 / (1.0 + x * x)))
_row_sinh = _unary_slope(lambda x: (np.sinh(x), np.cosh(x)))
_row_cosh = _unary_slope(lambda x: (np.cosh(x), np.sinh(x)))
_row_tanh = _unary_slope(_tanh_slope)
_row_arcsinh = _unary_slope(lambda x: (np.arcsinh(x), 1.0 / np.sqrt(1.0 + x * x)))
_row_arctanh = _unary_slope(lambda x: (np.arctanh(x), 1.0 / ((1.0 - x) * (1.0 + x))))
_row_sign = _unary(_sign)
_row_floor = _unary(lambda x: np.floor(x))
_row_ceil = _unary(lambda x: np.ceil(x))
_row_trunc = _unary(lambda x: np.trunc(x))
_row_rint = _unary(lambda x: np.rint(x))
_row_logical_not = _unary(lambda x: 1.0 if x == 0.0 else 0.0)
_row_add = _binary(lambda x, y: x + y)
_row_subtract = _binary(lambda x, y: x - y)
_row_multiply = _binary(lambda x, y: x * y)
_row_divide = _binary(lambda x, y: x / y)
_row_power = _binary_slopes(_power_slopes)
_row_maximum = _binary_slopes(lambda x, y: (_maximum(x, y), _wins(x, y), _wins(y, x)))
_row_minimum = _binary_slopes(lambda x, y: (_minimum(x, y), _wins(-x, -y), _wins(-y, -x)))
_row_hypot = _binary_slopes(_hypot_slopes)
_row_arctan2 = _binary_slopes(_arctan2_slopes)
_row_less = _binary(lambda x, y: 1.0 if x < y else 0.0)
_row_less_equal = _binary(lambda x, y: 1.0 if x <= y else 0.0)
_row_greater = _binary(lambda x, y: 1.0 if x > y else 0.0)
_row_greater_equal = _binary(lambda x, y: 1.0 if x >= y else 0.0)
_row_equal = _binary(lambda x, y: 1.0 if x == y else 0.0)
_row_not_equal = _binary(lambda x, y: 1.0 if x != y else 0.0)
_row_logical_and = _binary(lambda x, y: 1.0 if x != 0.0 and y != 0.0 else 0.0)
_row_logical_or = _binary(lambda x, y: 1.0 if x != 0.0 or y != 0.0 else 0.0)
_row_fixed_power = _binary_slope(_fixed_power_slopes)


@numba.cfunc(
    types.void(types.int64, types.CPointer(types.float64), *[types.int64] * 6),
    cache=True,
    error_model="numpy",
)
def apply(code: int, v: Any, o: int, a: int, b: int, s: int, t: int, n: int) -> None:
    """Run the operation of a code on rows of ``n`` lanes."""
    if code == 1:
        _row_negative(v, o, a, b, s, t, n)
    elif code == 2:
        _row_positive(v, o, a, b, s, t, n)
    elif code == 3 or code == 4:
        _row_absolute(v, o, a, b, s, t, n)
    elif code == 5:
        _row_square(v, o, a, b, s, t, n)
    elif code == 6:
        _row_sqrt(v, o, a, b, s, t, n)
    elif code == 7:
        _row_reciprocal(v, o, a, b, s, t, n)
    elif code == 8:
        _row_exp(v, o, a, b, s, t, n)
    elif code == 9:
        _row_exp2(v, o, a, b, s, t, n)
    elif code == 10:
        _row_expm1(v, o, a, b, s, t, n)
    elif code == 11:
        _row_log(v, o, a, b, s, t, n)
    elif code == 12:
        _row_log2(v, o, a, b, s, t, n)
    elif code == 13:
        _row_log10(v, o, a, b, s, t, n)
    elif code == 14:
        _row_log1p(v, o, a, b, s, t, n)
    elif code == 15:
        _row_sin(v, o, a, b, s, t, n)
    elif code == 16:
        _row_cos(v, o, a, b, s, t, n)
    elif code == 17:
        _row_tan(v, o, a, b, s, t, n)
    elif code == 18:
        _row_arcsin(v, o, a, b, s, t, n)
    elif code == 19:
        _row_arccos(v, o, a, b, s, t, n)
    elif code == 20:
        _row_arctan(v, o, a, b, s, t, n)
    elif code == 21:
        _row_sinh(v, o, a, b, s, t, n)
    elif code == 22:
        _row_cosh(v, o, a, b, s, t, n)
    elif code == 23:
        _row_tanh(v, o, a, b, s, t, n)
    elif code == 24:
        _row_arcsinh(v, o, a, b, s, t, n)
    elif code == 25:
        _row_arctanh(v, o, a, b, s, t, n)
    elif code == 26:
        _row_sign(v, o, a, b, s, t, n)
    elif code == 27:
        _row_floor(v, o, a, b, s, t, n)
    elif code == 28:
        _row_ceil(v, o, a, b, s, t, n)
    elif code == 29:
        _row_trunc(v, o, a, b, s, t, n)
    elif code == 30:
        _row_rint(v, o, a, b, s, t, n)
    elif code == 31:
        _row_positive(v, o, a, b, s, t, n)
    elif code == 32:
        _row_logical_not(v, o, a, b, s, t, n)
    elif code == 33:
        _row_add(v, o, a, b, s, t, n)
    elif code == 34:
        _row_subtract(v, o, a, b, s, t, n)
    elif code == 35:
        _row_multiply(v, o, a, b, s, t, n)
    elif code == 36:
        _row_divide(v, o, a, b, s, t, n)
    elif code == 37 or code == 38:
        _row_power(v, o, a, b, s, t, n)
    elif code == 39:
        _row_maximum(v, o, a, b, s, t, n)
    elif code == 40:
        _row_minimum(v, o, a, b, s, t, n)
    elif code == 41:
        _row_hypot(v, o, a, b, s, t, n)
    elif code == 42:
        _row_arctan2(v, o, a, b, s, t, n)
    elif code == 43:
        _row_less(v, o, a, b, s, t, n)
    elif code == 44:
        _row_less_equal(v, o, a, b, s, t, n)
    elif code == 45:
        _row_greater(v, o, a, b, s, t, n)
    elif code == 46:
        _row_greater_equal(v, o, a, b, s, t, n)
    elif code == 47:
        _row_equal(v, o, a, b, s, t, n)
    elif code == 48:
        _row_not_equal(v, o, a, b, s, t, n)
    elif code == 49:
        _row_logical_and(v, o, a, b, s, t, n)
    elif code == 50:
        _row_logical_or(v, o, a, b, s, t, n)
    elif code == 100:
        _row_fixed_power(v, o, a, b, s, t, n)
