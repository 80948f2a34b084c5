"""Elementary functions that LLVM vectorises by itself: straight lines of arithmetic and selects.

Called in a loop over a row of numbers, each becomes SIMD code; libm's are called one by one.
Where a function needs more than one result of the same reduced argument (the sine and the cosine,
the value and its slope), one call gives both. Errors, tested against mpmath, are at most 1 unit in
the last place, 2 for `arctan` and `tanh`.

Sources: the reductions, the kernels of sine, cosine and logarithm and their coefficients are those
of fdlibm (Sun Microsystems, 1993: k_sin.c, k_cos.c, e_log.c, s_log1p.c, s_tanh.c), with fused
multiply-adds. The polynomials of ``exp`` and ``arctan`` are Chebyshev fits with mpmath:
``chebyfit(lambda r: (exp(r) - 1 - r) / r**2, [-0.3466, 0.3466], 11)`` and
``chebyfit(lambda z: (atan(sqrt(z)) / sqrt(z) - 1) / z, [0, tan(pi / 8)**2], 12)``.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic as _untyped

__all__ = ["FAR", "arctan", "exp", "expm1", "log", "log1p", "sincos", "tanh"]

_inline: Any = numba.njit(error_model="numpy", forceinline=True)
_intrinsic: Any = _untyped

FAR = 1e8
"""Arguments of `sincos` beyond it are left to libm, whose reduction is exact for all."""

_ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer, in the lowest bits
_ROUND_BITS = 0x4338000000000000
_PIO2 = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33)
_LN2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)  # the first has trailing zeros


@_intrinsic
def _fma(context: Any, x: Any, y: Any, z: Any) -> Any:
    """``x * y + z``, rounded once."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), build


@_intrinsic
def _bits(context: Any, x: Any) -> Any:
    """The bits of a float, as an integer."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), build


@_intrinsic
def _float(context: Any, bits: Any) -> Any:
    """The float of these bits."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), build


@_inline
def _with_sign(x: float, sign: float) -> float:
    """``x``, not negative, with the sign of ``sign``."""
    return _float(_bits(x) | (_bits(sign) & (-1 << 63)))


@_inline
def sincos(x: float) -> tuple[float, float]:
    """Sine and cosine, for |x| up to `FAR`."""
    shifted = _fma(x, 0.6366197723675814, _ROUND)
    n = shifted - _ROUND
    quadrant = _bits(shifted)
    # x - n * pi/2 to twice the precision: r + low. The first step is exact
    a = _fma(-n, _PIO2[0], x)
    p = n * _PIO2[1]
    r = a - p
    back = r - a
    low = (a - (r - back)) - (p + back) - _fma(n, _PIO2[1], -p)
    low = _fma(-n, _PIO2[2], low)
    z = r * r
    q = _fma(1.58969099521155010221e-10, z, -2.50507602534068634195e-08)
    q = _fma(q, z, 2.75573137070700676789e-06)
    q = _fma(q, z, -1.98412698298579493134e-04)
    q = _fma(q, z, 8.33333333332248946124e-03)
    q = _fma(q, z, -1.66666666666666324348e-01)
    s = r + _fma(z * r, q, low * _fma(z, -0.5, 1.0))
    q = _fma(-1.13596475577881948265e-11, z, 2.08757232129817482790e-09)
    q = _fma(q, z, -2.75573143513906633035e-07)
    q = _fma(q, z, 2.48015872894767294178e-05)
    q = _fma(q, z, -1.38888888888741095749e-03)
    q = _fma(q, z, 4.16666666666666019037e-02)
    half = 0.5 * z
    w = 1.0 - half
    c = w + (((1.0 - w) - half) + _fma(z * z, q, -r * low))
    odd = (quadrant & 1) != 0
    sine = _float(_bits(c if odd else s) ^ ((quadrant & 2) << 62))
    cosine = _float(_bits(s if odd else c) ^ (((quadrant + 1) & 2) << 62))
    return x if abs(x) < 1e-8 else sine, cosine  # keeps -0.0


@_inline
def _exp_parts(x: float) -> tuple[int, float, float, float]:
    """``n, r, low, q`` with exp(x) = 2**n (1 + r + low + q), for x from -746 to 710."""
    shifted = _fma(x, 1.4426950408889634, _ROUND)
    n = shifted - _ROUND
    a = _fma(-n, _LN2[0], x)
    r = _fma(-n, _LN2[1], a)
    low = _fma(-n, _LN2[1], a - r)
    q = _fma(2.0914685161418067e-09, r, 2.5105214474751413e-08)
    q = _fma(q, r, 2.7557273647451087e-07)
    q = _fma(q, r, 2.7557255406285044e-06)
    q = _fma(q, r, 2.480158732554432e-05)
    q = _fma(q, r, 1.9841269874815834e-04)
    q = _fma(q, r, 1.388888888888375e-03)
    q = _fma(q, r, 8.333333333326136e-03)
    q = _fma(q, r, 4.166666666666667e-02)
    q = _fma(q, r, 1.666666666666667e-01)
    q = _fma(q, r, 0.5)
    return _bits(shifted) - _ROUND_BITS, r, low, q * (r * r)


@_inline
def _times_power(x: float, n: int) -> float:
    """``x * 2**n``, in two steps: 2**n alone may lie outside the range."""
    half = n >> 1
    return x * _float((half + 1023) << 52) * _float((n - half + 1023) << 52)


@_inline
def _within(x: float, low: float, high: float) -> float:
    """``x`` clipped; NaN stays NaN."""
    x = low if x < low else x
    return high if x > high else x


@_inline
def exp(x: float) -> float:
    """``e**x``, everywhere."""
    n, r, low, q = _exp_parts(_within(x, -746.0, 710.0))
    return _times_power(1.0 + (r + (q + low)), n)


@_inline
def expm1(x: float) -> float:
    """``e**x - 1``, everywhere."""
    n, r, low, q = _exp_parts(_within(x, -100.0, 710.0))
    large = _times_power(1.0 + (r + (q + low)), n)
    n = n if n < 100 else 100  # beyond, the 1 does not count
    scale = _float((n + 1023) << 52)
    a, b = scale - 1.0, scale * r
    total = a + b
    back = total - a
    rest = (a - (total - back)) + (b - back) + ((scale - a) - 1.0)
    small = total + (rest + scale * (q + low))
    small = x if abs(x) < 1e-300 else small  # keeps -0.0
    return large if x > 60.0 else small


@_inline
def tanh(x: float) -> float:
    """Hyperbolic tangent, everywhere."""
    size = abs(x)
    t = expm1(2.0 * (22.0 if size > 22.0 else size))
    d = t + 2.0
    y = t / d
    rest = _fma(-y, d, t) - y * ((t - d) + 2.0)
    return _with_sign(y + rest / d, x)


@_inline
def _log_parts(x: float) -> tuple[float, float]:
    """``k, f`` with x = 2**k (1 + f) and 1 + f from sqrt(1/2) to sqrt(2), for normal x."""
    k = (_bits(x) - 0x3FE6A09E00000000) >> 52
    m = _float(_bits(x) - (k << 52))
    return _float(k + _ROUND_BITS) - _ROUND, m - 1.0


@_inline
def _log_of(k: float, f: float, low: float) -> float:
    """``log(2**k (1 + f)) + low``."""
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * _fma(w, _fma(w, 1.531383769920937332e-01, 2.222219843214978396e-01),
                   3.999999999940941908e-01)  # fmt: skip
    even = _fma(w, _fma(w, _fma(w, 1.479819860510658591e-01, 1.818357216161805012e-01),
                        2.857142874366239149e-01), 6.666666666666735130e-01)  # fmt: skip
    half = 0.5 * f * f
    return k * _LN2[0] - ((half - (s * (half + _fma(z, even, odd)) + (k * _LN2[1] + low))) - f)


@_inline
def log(x: float) -> float:
    """Natural logarithm, everywhere."""
    tiny = x < 2.2250738585072014e-308
    k, f = _log_parts(x * 18014398509481984.0 if tiny else x)
    y = _log_of(k - 54.0 if tiny else k, f, 0.0)
    y = y if x < float("inf") else x  # inf and NaN
    y = y if x > 0.0 else float("nan")
    return float("-inf") if x == 0.0 else y


@_inline
def log1p(x: float) -> float:
    """``log(1 + x)``, everywhere."""
    u = 1.0 + x
    near = abs(x) < 0.29
    k, f = _log_parts(u)
    lost = (x - (u - 1.0)) if x < 1.0 else 1.0 - (u - x)
    low = 0.0 if near else lost / u
    y = _log_of(0.0 if near else k, x if near else f, low)
    y = y if u < float("inf") else u
    y = y if u > 0.0 else float("nan")
    y = float("-inf") if x == -1.0 else y
    return x if abs(x) < 1e-16 else y  # keeps -0.0


@_inline
def arctan(x: float) -> float:
    """Inverse tangent, everywhere."""
    size = abs(x)
    far, middle = size > 2.414213562373095, size > 0.41421356237309503
    t = -1.0 / size if far else (size - 1.0) / (size + 1.0) if middle else size
    base = 1.5707963267948966 if far else 0.7853981633974483 if middle else 0.0
    low = 6.123233995736766e-17 if far else 3.061616997868383e-17 if middle else 0.0
    z = t * t
    q = _fma(0.016285756855221028, z, -0.034570561981427744)
    q = _fma(q, z, 0.04551593220626549)
    q = _fma(q, z, -0.05230454270650244)
    q = _fma(q, z, 0.05878928997834775)
    q = _fma(q, z, -0.06666424885738255)
    q = _fma(q, z, 0.07692296375032143)
    q = _fma(q, z, -0.09090908753500877)
    q = _fma(q, z, 0.11111111105155447)
    q = _fma(q, z, -0.14285714285659828)
    q = _fma(q, z, 0.19999999999999804)
    q = _fma(q, z, -0.3333333333333333)
    return _with_sign(abs(base + (_fma(t * z, q, low) + t)), x)
