"""Elementwise functions: derivative of each operand, times the cotangent.

The transforms sum a cotangent to the shape of its operand, so the rules here need not mention
broadcasting. Read a row as: numpy function -> one rule per operand, ``g`` being the cotangent,
``y`` the result.

Choices at kinks: ``abs`` has derivative 0 at 0; ``maximum`` and its kin share the gradient
equally between equal operands.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from softtape.ops.complex import conj, is_complex
from softtape.ops.registry import Kind, implements, primitive

__all__ = ["like"]

_Table: TypeAlias = dict[Callable[..., Any], tuple[Any, ...]]  # np.sinc is no ufunc

_LN2, _LN10 = math.log(2.0), math.log(10.0)


def _direction(x: Any) -> Any:
    """Return the sign, which for a complex number turns with it."""
    if not is_complex(x):
        truth = getattr(x, "dtype", type(x)) in (bool, np.bool_)  # which has no sign
        return np.sign(x * 1.0 if truth else x)
    size = np.abs(x)
    zero = size == 0
    return np.where(zero, 0.0, x / np.where(zero, 1.0, size))[()]


def _share(a: Any, b: Any, wins: Any) -> Any:
    """Share of ``a`` in a maximum or minimum: 1 where it wins, a half at a tie, else 0."""
    return np.where(a == b, 0.5, np.where(wins, 1.0, 0.0))


def _power_base(g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(b, (int, float)):
        if b == 2:
            return g * (2.0 * a)
        if b == 1:
            return g * 1.0
        if b == 0:
            return g * 0.0
        return g * (b * a ** (b - 1))
    # x**0 is 1 everywhere, also at x = 0, where b * a**(b - 1) would be 0 * inf
    return g * (b * a ** np.where(b == 0, 1.0, b - 1.0))


def _power_exponent(g: Any, y: Any, a: Any, b: Any) -> Any:
    if is_complex(y) and not is_complex(a):
        a = a * (1.0 + 0.0j)  # a negative number has a complex logarithm
    # 0**b is 0 for all b > 0: its slope there is 0, not 0 * log(0)
    return g * (y * np.log(np.where(a == 0, 1.0, a)))


def _power(a: Any, b: Any) -> Any:
    y = a**b
    # Python has a complex number for (-8.0) ** 0.5, numpy NaN
    return math.nan if type(y) is complex and complex not in (type(a), type(b)) else y


_OPERATORS: _Table = {
    np.add: (operator.add, lambda g, y, a, b: g, lambda g, y, a, b: g),
    np.subtract: (operator.sub, lambda g, y, a, b: g, lambda g, y, a, b: -g),
    np.multiply: (operator.mul, lambda g, y, a, b: g * b, lambda g, y, a, b: g * a),
    np.divide: (operator.truediv, lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b),
    np.power: (_power, _power_base, _power_exponent),
    np.remainder: (operator.mod, lambda g, y, a, b: g, lambda g, y, a, b: -g * (a // b)),
    np.negative: (operator.neg, lambda g, y, x: -g),
    np.positive: (operator.pos, lambda g, y, x: g),
    np.absolute: (operator.abs, lambda g, y, x: g * conj(_direction(x))),
}

_FLOAT_FUNCTIONS: _Table = {
    np.fabs: (lambda g, y, x: g * _direction(x),),
    np.exp: (lambda g, y, x: g * y,),
    np.exp2: (lambda g, y, x: g * (_LN2 * y),),
    np.expm1: (lambda g, y, x: g * (y + 1.0),),
    np.log: (lambda g, y, x: g / x,),
    np.log2: (lambda g, y, x: g / (_LN2 * x),),
    np.log10: (lambda g, y, x: g / (_LN10 * x),),
    np.log1p: (lambda g, y, x: g / (1.0 + x),),
    np.sqrt: (lambda g, y, x: g * (0.5 / y),),
    np.cbrt: (lambda g, y, x: g / (3.0 * y * y),),
    np.square: (lambda g, y, x: g * (2.0 * x),),
    np.reciprocal: (lambda g, y, x: -g * (y * y),),
    np.sin: (lambda g, y, x: g * np.cos(x),),
    np.cos: (lambda g, y, x: -g * np.sin(x),),
    np.tan: (lambda g, y, x: g * (1.0 + y * y),),
    np.arcsin: (lambda g, y, x: g / np.sqrt((1.0 - x) * (1.0 + x)),),
    np.arccos: (lambda g, y, x: -g / np.sqrt((1.0 - x) * (1.0 + x)),),
    np.arctan: (lambda g, y, x: g / (1.0 + x * x),),
    np.sinh: (lambda g, y, x: g * np.cosh(x),),
    np.cosh: (lambda g, y, x: g * np.sinh(x),),
    np.tanh: (lambda g, y, x: g * (1.0 - y * y),),
    np.arcsinh: (lambda g, y, x: g / np.sqrt(1.0 + x * x),),
    np.arccosh: (lambda g, y, x: g / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0)),),
    np.arctanh: (lambda g, y, x: g / ((1.0 - x) * (1.0 + x)),),
    np.degrees: (lambda g, y, x: g * (180.0 / math.pi),),
    np.radians: (lambda g, y, x: g * (math.pi / 180.0),),
    np.rad2deg: (lambda g, y, x: g * (180.0 / math.pi),),
    np.deg2rad: (lambda g, y, x: g * (math.pi / 180.0),),
    np.sinc: (
        lambda g, y, x: (
            g
            * np.where(
                # at 0, the first term of the series: its slope is the second derivative
                x == 0,
                -(math.pi**2 / 3.0) * x,
                (np.cos(math.pi * x) - y) / np.where(x == 0, 1.0, x),
            )
        ),
    ),
    np.arctan2: (
        lambda g, y, a, b: g * (b / (a * a + b * b)),
        lambda g, y, a, b: -g * (a / (a * a + b * b)),
    ),
    np.hypot: (
        lambda g, y, a, b: g * (a / np.where(y == 0, 1.0, y)),
        lambda g, y, a, b: g * (b / np.where(y == 0, 1.0, y)),
    ),
    np.logaddexp: (
        lambda g, y, a, b: g * np.exp(a - y),
        lambda g, y, a, b: g * np.exp(b - y),
    ),
    np.logaddexp2: (
        lambda g, y, a, b: g * np.exp2(a - y),
        lambda g, y, a, b: g * np.exp2(b - y),
    ),
    np.float_power: (_power_base, _power_exponent),
    np.maximum: (
        lambda g, y, a, b: g * _share(a, b, a > b),
        lambda g, y, a, b: g * _share(a, b, b > a),
    ),
    np.minimum: (
        lambda g, y, a, b: g * _share(a, b, a < b),
        lambda g, y, a, b: g * _share(a, b, b < a),
    ),
    np.fmax: (
        lambda g, y, a, b: g * _share(a, b, (a > b) | np.isnan(b)),
        lambda g, y, a, b: g * _share(a, b, (b > a) | np.isnan(a)),
    ),
    np.fmin: (
        lambda g, y, a, b: g * _share(a, b, (a < b) | np.isnan(b)),
        lambda g, y, a, b: g * _share(a, b, (b < a) | np.isnan(a)),
    ),
    np.fmod: (lambda g, y, a, b: g, lambda g, y, a, b: -g * np.trunc(a / b)),
    np.ldexp: (lambda g, y, a, b: np.ldexp(g, b), None),
    # the neighbour moves as the number itself does
    np.nextafter: (lambda g, y, a, b: g, None),
    np.copysign: (lambda g, y, a, b: g * (np.copysign(1.0, b) * _direction(a)), None),
}

# No gradient, by choice: flat almost everywhere (their jumps are not differentiable anyway).
_FLAT: dict[np.ufunc, Callable[..., Any]] = {
    np.floor: np.floor,
    np.ceil: np.ceil,
    np.trunc: np.trunc,
    np.rint: np.rint,
    np.floor_divide: operator.floordiv,
    np.heaviside: np.heaviside,
    np.signbit: np.signbit,
    np.isfinite: np.isfinite,
    np.isinf: np.isinf,
    np.isnan: np.isnan,
    np.logical_and: np.logical_and,
    np.logical_or: np.logical_or,
    np.logical_xor: np.logical_xor,
    np.logical_not: np.logical_not,
    np.bitwise_and: operator.and_,
    np.bitwise_or: operator.or_,
    np.bitwise_xor: operator.xor,
    np.invert: np.invert,
    np.bitwise_count: np.bitwise_count,
    np.left_shift: operator.lshift,
    np.right_shift: operator.rshift,
    np.gcd: np.gcd,
    np.lcm: np.lcm,
    np.spacing: np.spacing,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.equal: operator.eq,
    np.not_equal: operator.ne,
}

for _function, (_compute, *_rules) in _OPERATORS.items():
    implements(_function)(primitive(_function.__name__, _compute, _rules, kind=Kind.ELEMENTWISE))
for _float_function, _float_rules in _FLOAT_FUNCTIONS.items():
    implements(_float_function)(
        primitive(_float_function.__name__, _float_function, _float_rules, kind=Kind.ELEMENTWISE)
    )
for _flat_function, _flat_compute in _FLAT.items():
    implements(_flat_function)(
        primitive(_flat_function.__name__, _flat_compute, kind=Kind.CONSTANT)
    )

_sign = primitive("sign", np.sign, kind=Kind.CONSTANT)
primitive("stop_gradient", lambda x: x, kind=Kind.CONSTANT)
_where = primitive(
    "where",
    np.where,
    (
        None,
        lambda g, y, c, a, b: np.where(c, g, 0.0),
        lambda g, y, c, a, b: np.where(c, 0.0, g),
    ),
    kind=Kind.ELEMENTWISE,
)
astype = primitive(
    "astype",
    lambda x, dtype: np.asarray(x).astype(dtype)[()],
    (lambda g, y, x, dtype: g,),
    kind=Kind.ELEMENTWISE,
)


@implements(np.where)
def _np_where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None or y is None:
        return np.nonzero(condition)
    return _where(condition, x, y)


@implements(np.sign)
def _np_sign(x: Any) -> Any:
    return _direction(x) if is_complex(x) else _sign(x)


# np.clip, one side each. At a bound the value still follows ``a`` (slope 1), as in the peers, so
# that a fit that starts on the bound can leave it.
_at_least = primitive(
    "clip_below",
    np.maximum,
    (
        lambda g, y, a, low: np.where(a < low, 0.0, g),
        lambda g, y, a, low: np.where(a < low, g, 0.0),
    ),
    kind=Kind.ELEMENTWISE,
)
_at_most = primitive(
    "clip_above",
    np.minimum,
    (
        lambda g, y, a, high: np.where(a > high, 0.0, g),
        lambda g, y, a, high: np.where(a > high, g, 0.0),
    ),
    kind=Kind.ELEMENTWISE,
)


@implements(np.clip)
def _np_clip(
    a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None
) -> Any:
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    a = a if low is None else _at_least(a, low)
    return a if high is None else _at_most(a, high)


@implements(np.round, np.around)
def _np_round(a: Any, decimals: int = 0) -> Any:
    return np.rint(a) if decimals == 0 else np.rint(a * 10.0**decimals) / 10.0**decimals


@implements(np.divmod)
def _np_divmod(x1: Any, x2: Any) -> Any:
    return x1 // x2, x1 % x2


@implements(np.fix)
def _np_fix(x: Any) -> Any:
    return np.trunc(x)


_exponent = primitive("exponent", lambda x: np.frexp(x)[1], kind=Kind.CONSTANT)


@implements(np.frexp)
def _np_frexp(x: Any) -> Any:
    exponent = _exponent(x)
    return np.ldexp(x, -exponent), exponent


@implements(np.modf)
def _np_modf(x: Any) -> Any:
    whole = np.trunc(x)
    return np.where(np.isinf(x), 0.0, x - whole)[()], whole


@implements(np.astype)
def _np_astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    return x.astype(dtype)


def like(x: Any, model: Any) -> Any:
    """Return ``x``, plain or traced, in the dtype of ``model``."""
    x = x if hasattr(x, "_softtape_record") else np.asarray(x)
    return x if x.dtype == model.dtype else np.astype(x, model.dtype)


@implements(np.isposinf)
def _np_isposinf(x: Any) -> Any:
    return x == np.inf


@implements(np.isneginf)
def _np_isneginf(x: Any) -> Any:
    return x == -np.inf


@implements(np.isclose)
def _np_isclose(
    a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False
) -> Any:
    close = (np.abs(a - b) <= atol + rtol * np.abs(b)) & np.isfinite(b) | (a == b)
    return close | (np.isnan(a) & np.isnan(b)) if equal_nan else close


@implements(np.allclose)
def _np_allclose(
    a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False
) -> Any:
    return np.all(np.isclose(a, b, rtol, atol, equal_nan))


@implements(np.array_equal)
def _np_array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    if np.shape(a1) != np.shape(a2):
        return False
    same = np.equal(a1, a2)
    return np.all(same | (np.isnan(a1) & np.isnan(a2)) if equal_nan else same)


@implements(np.array_equiv)
def _np_array_equiv(a1: Any, a2: Any) -> Any:
    try:
        return np.all(np.equal(a1, a2))
    except ValueError:  # shapes that do not broadcast
        return False


@implements(np.nan_to_num)
def _np_nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    if not copy and np.ndim(x):
        x[...] = np.nan_to_num(x, True, nan, posinf, neginf)
        return x
    if is_complex(x):
        re, im = (np.nan_to_num(part, True, nan, posinf, neginf) for part in (x.real, x.imag))
        return re + 1j * im
    limits = np.finfo(x.dtype)
    x = np.where(np.isnan(x), nan, x)
    x = np.where(x == np.inf, limits.max if posinf is None else posinf, x)
    return np.where(x == -np.inf, limits.min if neginf is None else neginf, x)
