"""Functions of scipy.special, for programs that use them: scipy is never imported from here.

Rules as in :mod:`softtape.ops.elementwise`. What has no known derivative by one of its operands
(an order, degrees of freedom) takes plain numbers there.

Choices: ``xlogy``, ``rel_entr`` and their kin have slope 0 in the second operand where the first is
0, whatever the second; ratios of Bessel functions have at 0 their limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from softtape.ops.registry import PRIMITIVES, Kind, Primitive, library, primitive

__all__ = ["NAME", "s"]

NAME = "scipy.special"
_ROOT_PI, _ROOT_2PI = math.sqrt(math.pi), math.sqrt(2.0 * math.pi)


class _Special:
    """The primitives of scipy.special by name, as plain numbers and traced ones meet in rules."""

    def __getattr__(self, name: str) -> Primitive:
        made = PRIMITIVES[f"{NAME}.{name}"]
        setattr(self, name, made)
        return made


s = _Special()


def _over(a: Any, x: Any, at_zero: float) -> Any:
    """Return a / x, and the limit where x is 0."""
    zero = x == 0
    return np.where(zero, at_zero, a / np.where(zero, 1.0, x))


def _ratio(x: Any, y: Any) -> Any:
    """Return x / y, and 0 where x is 0."""
    zero = x == 0
    return np.where(zero, 0.0, x / np.where(zero, 1.0, y))


def _trigamma(x: Any) -> Any:
    return s.zeta(2.0, x)


def _gamma_density(a: Any, x: Any) -> Any:
    return np.exp(s.xlogy(a - 1.0, x) - x - s.gammaln(a))


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    return np.exp(s.xlogy(a - 1.0, x) + s.xlog1py(b - 1.0, -x) - s.betaln(a, b))


def _t_density(df: Any, t: Any) -> Any:
    log = s.gammaln(0.5 * df + 0.5) - s.gammaln(0.5 * df) - 0.5 * np.log(math.pi * df)
    return np.exp(log - 0.5 * (df + 1.0) * np.log1p(t * t / df))


def _ellipk(g: Any, y: Any, m: Any) -> Any:
    slope = (s.ellipe(m) - (1.0 - m) * y) / (2.0 * (1.0 - m))
    return g * _over(slope, m, math.pi / 8.0)


def _boxcox_power(g: Any, y: Any, x: Any, power: Any) -> Any:
    log = np.log(x)
    return g * _over(x**power * log - y, power, 0.0) + g * np.where(power == 0, 0.5 * log**2, 0.0)


_DEGREE = math.pi / 180.0

# name -> one rule per operand, None where only a plain number will do
_RULES: dict[str, tuple[Callable[..., Any] | None, ...]] = {
    # gamma and its kin
    "gamma": (lambda g, y, x: g * (y * s.psi(x)),),
    "gammaln": (lambda g, y, x: g * s.psi(x),),
    "loggamma": (lambda g, y, x: g * s.psi(x),),
    "rgamma": (lambda g, y, x: -g * (y * s.psi(x)),),
    "psi": (lambda g, y, x: g * _trigamma(x),),
    "zeta": (None, lambda g, y, a, q: -g * (a * s.zeta(a + 1.0, q))),
    "beta": (
        lambda g, y, a, b: g * y * (s.psi(a) - s.psi(a + b)),
        lambda g, y, a, b: g * y * (s.psi(b) - s.psi(a + b)),
    ),
    "betaln": (
        lambda g, y, a, b: g * (s.psi(a) - s.psi(a + b)),
        lambda g, y, a, b: g * (s.psi(b) - s.psi(a + b)),
    ),
    "binom": (
        lambda g, y, n, k: g * y * (s.psi(n + 1.0) - s.psi(n - k + 1.0)),
        lambda g, y, n, k: g * y * (s.psi(n - k + 1.0) - s.psi(k + 1.0)),
    ),
    "poch": (
        lambda g, y, z, m: g * y * (s.psi(z + m) - s.psi(z)),
        lambda g, y, z, m: g * y * s.psi(z + m),
    ),
    "gammainc": (None, lambda g, y, a, x: g * _gamma_density(a, x)),
    "gammaincc": (None, lambda g, y, a, x: -g * _gamma_density(a, x)),
    "gammaincinv": (None, lambda g, y, a, p: g / _gamma_density(a, y)),
    "gammainccinv": (None, lambda g, y, a, p: -g / _gamma_density(a, y)),
    "betainc": (None, None, lambda g, y, a, b, x: g * _beta_density(a, b, x)),
    "betaincc": (None, None, lambda g, y, a, b, x: -g * _beta_density(a, b, x)),
    "betaincinv": (None, None, lambda g, y, a, b, p: g / _beta_density(a, b, y)),
    "stdtr": (None, lambda g, y, df, t: g * _t_density(df, t)),
    "stdtrit": (None, lambda g, y, df, p: g / _t_density(df, y)),
    "chdtr": (None, lambda g, y, v, x: 0.5 * g * _gamma_density(0.5 * v, 0.5 * x)),
    "chdtrc": (None, lambda g, y, v, x: -0.5 * g * _gamma_density(0.5 * v, 0.5 * x)),
    # the error function and the normal distribution
    "erf": (lambda g, y, x: g * (2.0 / _ROOT_PI * np.exp(-x * x)),),
    "erfc": (lambda g, y, x: g * (-2.0 / _ROOT_PI * np.exp(-x * x)),),
    "erfcx": (lambda g, y, x: g * (2.0 * x * y - 2.0 / _ROOT_PI),),
    "erfi": (lambda g, y, x: g * (2.0 / _ROOT_PI * np.exp(x * x)),),
    "dawsn": (lambda g, y, x: g * (1.0 - 2.0 * x * y),),
    "erfinv": (lambda g, y, x: g * (0.5 * _ROOT_PI * np.exp(y * y)),),
    "erfcinv": (lambda g, y, x: g * (-0.5 * _ROOT_PI * np.exp(y * y)),),
    "ndtr": (lambda g, y, x: g * (np.exp(-0.5 * x * x) / _ROOT_2PI),),
    "log_ndtr": (lambda g, y, x: g * (np.exp(-0.5 * x * x - y) / _ROOT_2PI),),
    "ndtri": (lambda g, y, x: g * (_ROOT_2PI * np.exp(0.5 * y * y)),),
    # logistic functions, logarithms, entropies
    "expit": (lambda g, y, x: g * (y * s.expit(-x)),),
    "logit": (lambda g, y, x: g / (x * (1.0 - x)),),
    "log_expit": (lambda g, y, x: g * s.expit(-x),),
    "xlogy": (lambda g, y, x, z: g * np.log(z), lambda g, y, x, z: g * _ratio(x, z)),
    "xlog1py": (lambda g, y, x, z: g * np.log1p(z), lambda g, y, x, z: g * _ratio(x, 1.0 + z)),
    "entr": (lambda g, y, x: -g * (np.log(x) + 1.0),),
    "rel_entr": (
        lambda g, y, a, b: g * (np.log(a / b) + 1.0),
        lambda g, y, a, b: -g * _ratio(a, b),
    ),
    "kl_div": (lambda g, y, a, b: g * np.log(a / b), lambda g, y, a, b: g * (1.0 - _ratio(a, b))),
    "huber": (
        lambda g, y, d, r: g * np.where(np.abs(r) <= d, 0.0, np.abs(r) - d),
        lambda g, y, d, r: g * np.where(np.abs(r) <= d, r, d * np.sign(r)),
    ),
    "pseudo_huber": (
        lambda g, y, d, r: g * (2.0 * y / d - (r / d) ** 2 * d / np.sqrt(1.0 + (r / d) ** 2)),
        lambda g, y, d, r: g * (r / np.sqrt(1.0 + (r / d) ** 2)),
    ),
    "boxcox": (lambda g, y, x, power: g * x ** (power - 1.0), _boxcox_power),
    "exp2": (lambda g, y, x: g * (math.log(2.0) * y),),
    "exp10": (lambda g, y, x: g * (math.log(10.0) * y),),
    "expm1": (lambda g, y, x: g * (y + 1.0),),
    "log1p": (lambda g, y, x: g / (1.0 + x),),
    "cbrt": (lambda g, y, x: g / (3.0 * y * y),),
    "cosm1": (lambda g, y, x: -g * np.sin(x),),
    "sindg": (lambda g, y, x: g * (_DEGREE * s.cosdg(x)),),
    "cosdg": (lambda g, y, x: -g * (_DEGREE * s.sindg(x)),),
    "tandg": (lambda g, y, x: g * (_DEGREE * (1.0 + y * y)),),
    "cotdg": (lambda g, y, x: -g * (_DEGREE * (1.0 + y * y)),),
    # Bessel functions
    "j0": (lambda g, y, x: -g * s.j1(x),),
    "j1": (lambda g, y, x: g * (s.j0(x) - _over(y, x, 0.5)),),
    "jv": (None, lambda g, y, v, x: 0.5 * g * (s.jv(v - 1.0, x) - s.jv(v + 1.0, x))),
    "y0": (lambda g, y, x: -g * s.y1(x),),
    "y1": (lambda g, y, x: g * (s.y0(x) - y / x),),
    "yv": (None, lambda g, y, v, x: 0.5 * g * (s.yv(v - 1.0, x) - s.yv(v + 1.0, x))),
    "i0": (lambda g, y, x: g * s.i1(x),),
    "i1": (lambda g, y, x: g * (s.i0(x) - _over(y, x, 0.5)),),
    "i0e": (lambda g, y, x: g * (s.i1e(x) - np.sign(x) * y),),
    "i1e": (lambda g, y, x: g * (s.i0e(x) - _over(y, x, 0.5) - np.sign(x) * y),),
    "iv": (None, lambda g, y, v, x: 0.5 * g * (s.iv(v - 1.0, x) + s.iv(v + 1.0, x))),
    "ive": (
        None,
        lambda g, y, v, x: g * (0.5 * (s.ive(v - 1.0, x) + s.ive(v + 1.0, x)) - np.sign(x) * y),
    ),
    "k0": (lambda g, y, x: -g * s.k1(x),),
    "k1": (lambda g, y, x: -g * (s.k0(x) + y / x),),
    "k0e": (lambda g, y, x: g * (y - s.k1e(x)),),
    "k1e": (lambda g, y, x: g * (y - s.k0e(x) - y / x),),
    "kv": (None, lambda g, y, v, x: -0.5 * g * (s.kv(v - 1.0, x) + s.kv(v + 1.0, x))),
    "kve": (None, lambda g, y, v, x: g * (y - 0.5 * (s.kve(v - 1.0, x) + s.kve(v + 1.0, x)))),
    # integrals and hypergeometric functions
    "expi": (lambda g, y, x: g * (np.exp(x) / x),),
    "exp1": (lambda g, y, x: -g * (np.exp(-x) / x),),
    "expn": (None, lambda g, y, n, x: -g * s.expn(n - 1, x)),
    "spence": (
        lambda g, y, x: g * np.where(x == 1, -1.0, np.log(x) / np.where(x == 1, 1.0, 1.0 - x)),
    ),
    "ellipk": (_ellipk,),
    "ellipe": (lambda g, y, m: g * _over(0.5 * (y - s.ellipk(m)), m, -math.pi / 8.0),),
    "hyp0f1": (None, lambda g, y, v, x: g * (s.hyp0f1(v + 1.0, x) / v)),
    "hyp1f1": (None, None, lambda g, y, a, b, x: g * (a / b * s.hyp1f1(a + 1.0, b + 1.0, x))),
    "hyp2f1": (
        *(None, None, None),
        lambda g, y, a, b, c, x: g * (a * b / c * s.hyp2f1(a + 1.0, b + 1.0, c + 1.0, x)),
    ),
}
_FLAT = ("gammasgn",)


@library(NAME)
def _load(special: ModuleType) -> dict[Callable[..., Any], Callable[..., Any]]:
    known: dict[Callable[..., Any], Callable[..., Any]] = {}
    ufuncs = vars(special._ufuncs)
    for name, rules in _RULES.items():
        ufunc = ufuncs["_zeta" if name == "zeta" else name]  # which Python code calls
        made = primitive(f"{NAME}.{name}", ufunc, rules, kind=Kind.ELEMENTWISE)
        known[ufunc] = _by_some(made, rules) if None in rules else made
    for name in _FLAT:
        known[ufuncs[name]] = primitive(f"{NAME}.{name}", ufuncs[name], kind=Kind.CONSTANT)
    return known


def _by_some(made: Primitive, rules: tuple[Callable[..., Any] | None, ...]) -> Callable[..., Any]:
    """Return the function that takes plain numbers where there is no rule."""

    def function(*operands: Any) -> Any:
        for i, (operand, rule) in enumerate(zip(operands, rules, strict=True)):
            if rule is None and _moves(operand):
                raise NotImplementedError(
                    f"the derivative of {made.name} by operand {i} is not known: give a plain "
                    "number, or softtape.stop_gradient(x) where it may be held"
                )
        return made(*operands)

    return function


def _moves(operand: Any) -> bool:
    """Whether a gradient would have to pass: not from integers, nor where it is stopped."""
    if not hasattr(operand, "_softtape_record") or operand.dtype.kind in "biu":
        return False
    code = operand._tape.rows[3 * operand._index]
    return bool(code != PRIMITIVES["stop_gradient"].code)
