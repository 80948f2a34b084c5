"""Log-densities of scipy.stats, and what of scipy is Python code, under tracing.

scipy computes a density where its arguments allow it and writes the results into an array, which
takes traced values apart. Here the same formulas, scipy's own, are evaluated at a point inside
where an argument lies outside, and chosen from by ``np.where``: so no slope is NaN. Nothing
imports scipy; its modules are looked up where the program has imported them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from softtape.errors import TraceError
from softtape.location import user_location
from softtape.ops import PRIMITIVES
from softtape.ops.exponential import expm
from softtape.ops.special import s as special
from softtape.refusals import refuse

__all__ = ["replacements"]

__tracebackhide__ = True  # pytest shows the user's line instead

Functions: TypeAlias = dict[str, Callable[..., Any]]


def replacements() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """Yield who has a function, its name, and what stands there during a fit."""
    for name, functions in (("scipy.special", _SPECIAL), ("scipy.linalg", _LINALG)):
        module = sys.modules.get(name)
        for function, follow in functions.items() if module else ():
            if hasattr(module, function):
                yield module, function, follow
    if "scipy.special._logsumexp" in sys.modules:
        yield sys.modules["scipy.special._logsumexp"], "_logsumexp", _taken_by_name
    made = sys.modules.get("scipy.stats._distn_infrastructure")
    for name, methods in (("rv_continuous", _CONTINUOUS), ("rv_discrete", _DISCRETE)):
        owner = getattr(made, name, None)
        for method, follow in methods.items() if owner else ():
            yield owner, method, follow
    normal = getattr(sys.modules.get("scipy.stats._multivariate"), "multivariate_normal_gen", None)
    if normal is not None:
        yield normal, "logpdf", _normal_logpdf
        yield normal, "pdf", lambda self, *args, **kw: np.exp(self.logpdf(*args, **kw))


# ---- densities


def _logpdf(self: Any, x: Any, *args: Any, **keywords: Any) -> Any:
    args, loc, scale = self._parse_args(*args, **keywords)
    z, known = _standard(x, loc, scale), _is_known(self, args) & (np.asarray(scale) > 0)
    y, inside = _inside(self, _FORMULAS.get(type(self).__name__, "_logpdf"), z, args)
    with np.errstate(all="ignore"):
        y = y - np.log(scale)
    return _chosen(inside, known, np.isnan(z), y, -np.inf)


def _logpmf(self: Any, k: Any, *args: Any, **keywords: Any) -> Any:
    args, loc, _ = self._parse_args(*args, **keywords)
    z = _standard(k, loc, 1)
    a, b = self._get_support(*args)
    inside = (a <= z) & (z <= b) & self._nonzero(z, *args)
    with np.errstate(all="ignore"):
        y = _call(self, "_logpmf", np.where(inside, z, a), args)
    return _chosen(inside, _is_known(self, args), np.isnan(z), y, -np.inf)


def _of_probability(name: str, low: float, high: float) -> Callable[..., Any]:
    """Return a method that is ``low`` left of the support and ``high`` right of it."""

    def method(self: Any, x: Any, *args: Any, **keywords: Any) -> Any:
        args, loc, scale = self._parse_args(*args, **keywords)
        z, known = _standard(x, loc, scale), _is_known(self, args) & (np.asarray(scale) > 0)
        y, inside = _inside(self, _cumulated(self, name), z, args)
        outside = np.where(z >= self._get_support(*args)[1], high, low)
        return _chosen(inside, known, np.isnan(z), y, outside)

    return method


def _cumulated(self: Any, name: str) -> Any:
    """Return scipy's formula for _cdf, _sf or their logarithms, or one made of the others."""
    own = getattr(type(self), name).__qualname__.split(".")[0] != "rv_continuous"
    if own or name == "_cdf":
        return name
    if name == "_sf":
        return lambda z, *args: 1.0 - _call(self, "_cdf", z, args)
    plain = _cumulated(self, name.replace("log", ""))
    return lambda z, *args: np.log(_call(self, plain, z, args))


def _ppf(self: Any, q: Any, *args: Any, **keywords: Any) -> Any:
    args, loc, scale = self._parse_args(*args, **keywords)
    known = _is_known(self, args) & (np.asarray(scale) > 0)
    a, b = self._get_support(*args)
    inside = (q > 0) & (q < 1)
    y = _call(self, "_ppf", np.where(inside, q, 0.5), args)
    y = np.where(inside, y, np.where(q == 0, a, np.where(q == 1, b, np.nan)))
    return np.where(known, y * scale + loc, np.nan)[()]


def _standard(x: Any, loc: Any, scale: Any) -> Any:
    x = np.asarray(x)
    z = x if type(loc) is int and loc == 0 else x - loc
    return z if type(scale) is int and scale == 1 else z / scale


def _is_known(self: Any, args: Any) -> Any:
    """Whether the shape parameters are ones of the distribution."""
    if not type(self)._argcheck.__qualname__.startswith("rv_generic."):
        return np.asarray(self._argcheck(*args)) != 0
    known: Any = np.True_
    for argument in args:  # by default, they are positive
        known = known & (np.asarray(argument) > 0)
    return known


def _inside(self: Any, formula: Any, z: Any, args: Any) -> tuple[Any, Any]:
    """Return a formula's values, and where they count; elsewhere it is asked at another point."""
    a, b = self._get_support(*args)
    if type(a) in _PLAIN and type(b) in _PLAIN and a == -np.inf and b == np.inf:
        return _call(self, formula, z, args), True
    inside = self._support_mask(z, *args)
    with np.errstate(all="ignore"):
        middle = np.where(np.isinf(b), a + 1.0, 0.5 * (a + np.where(np.isinf(b), 0.0, b)))
        middle = np.where(np.isinf(a), np.where(np.isinf(b), 0.0, b - 1.0), middle)
        return _call(self, formula, np.where(inside, z, middle), args), inside


_PLAIN = (int, float, np.float64)


def _chosen(inside: Any, known: Any, missing: Any, y: Any, outside: Any) -> Any:
    made = y if inside is True else np.where(inside, y, outside)
    valid = known & ~np.asarray(missing)
    return np.where(valid, made, np.nan)[()]


def _call(self: Any, formula: Any, z: Any, args: Any) -> Any:
    if callable(formula):
        return formula(z, *args)
    try:
        return getattr(self, formula)(z, *args)
    except (TypeError, ValueError) as error:
        if isinstance(error, TraceError) and "derivative" in str(error):
            raise
        what = f"{self.name}.{formula.removeprefix('_')}"
        raise TraceError(
            f"{user_location()}\nscipy.stats.{what} cannot be followed. Write its formula with "
            "functions of numpy and scipy.special."
        ) from error


def _t_logpdf(z: Any, df: Any) -> Any:
    log = special.gammaln(0.5 * df + 0.5) - special.gammaln(0.5 * df)
    return log - 0.5 * np.log(np.pi * df) - 0.5 * (df + 1.0) * np.log1p(z * z / df)


def _lognorm_logpdf(z: Any, shape: Any) -> Any:
    log = np.log(z)
    return -(log**2) / (2.0 * shape**2) - np.log(shape * z * math.sqrt(2.0 * math.pi))


# where scipy's own formula asks its arguments for their values
_FORMULAS: Functions = {
    "t_gen": _t_logpdf,
    "cauchy_gen": lambda z: -math.log(math.pi) - np.log1p(z * z),
    "lognorm_gen": _lognorm_logpdf,
}
_CONTINUOUS: Functions = {
    "logpdf": _logpdf,
    "pdf": lambda self, x, *args, **keywords: np.exp(_logpdf(self, x, *args, **keywords)),
    "cdf": _of_probability("_cdf", 0.0, 1.0),
    "logcdf": _of_probability("_logcdf", -np.inf, 0.0),
    "sf": _of_probability("_sf", 1.0, 0.0),
    "logsf": _of_probability("_logsf", 0.0, -np.inf),
    "ppf": _ppf,
}
_DISCRETE: Functions = {
    "logpmf": _logpmf,
    "pmf": lambda self, k, *args, **keywords: np.exp(_logpmf(self, k, *args, **keywords)),
}


def _normal_logpdf(_: Any, x: Any, mean: Any = None, cov: Any = 1) -> Any:
    """Return the log-density by the Cholesky factor of a covariance, which must be regular."""
    x, cov = np.asarray(x), np.asarray(cov)
    n = np.shape(cov)[-1] if np.ndim(cov) else np.shape(x)[-1] if np.ndim(x) else 1
    if np.ndim(cov) < 2:
        cov = cov * np.eye(n)
    off = np.atleast_1d(x if mean is None else x - np.asarray(mean))
    if n == 1 and np.shape(off)[-1] != 1:
        off = np.expand_dims(off, -1)
    factor = np.linalg.cholesky(cov)
    z = np.linalg.solve(factor, np.expand_dims(off, -1))[..., 0]
    log = np.sum(np.log(np.diagonal(factor)))
    return (-0.5 * np.sum(z * z, axis=-1) - log - 0.5 * n * math.log(2.0 * math.pi))[()]


# ---- scipy.special


def _logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    a = np.asarray(a)
    if b is not None:
        a, b = np.broadcast_arrays(a, b)
        a = np.where(b == 0, -np.inf, a)
    largest = np.max(a, axis=axis, keepdims=True)
    largest = _held(np.where(np.isfinite(largest), largest, 0.0))
    terms = np.exp(a - largest) if b is None else b * np.exp(a - largest)
    total = np.sum(terms, axis=axis, keepdims=True)
    sign = np.sign(total)
    log = np.log(np.abs(total) if return_sign else total) + largest
    if not keepdims:
        log, sign = (np.squeeze(part, axis) for part in (log, sign))
    return (log, sign) if return_sign else log


def _taken_by_name(*_: Any, **__: Any) -> Any:
    raise TraceError(
        f"{user_location()}\nlogsumexp was taken out of scipy.special before the fit, where traced "
        "values do not reach it. Call it through its module: import scipy.special, then "
        "scipy.special.logsumexp(x)."
    )


_held = PRIMITIVES["stop_gradient"]  # for a shift that cancels


def _softmax(x: Any, axis: Any = None) -> Any:
    terms = np.exp(x - _held(np.max(x, axis=axis, keepdims=True)))
    return terms / np.sum(terms, axis=axis, keepdims=True)


def _polygamma(n: Any, x: Any) -> Any:
    n = np.asarray(n)
    if n.dtype.kind == "f" and hasattr(n, "_softtape_record"):
        refuse(
            "scipy.special.polygamma with an order computed from a Param",
            "Give the order as a plain integer, or use softtape.stop_gradient(n) on purpose.",
        )
    n, x = np.asarray(n, float), np.asarray(x)
    factor = (-1.0) ** (n + 1.0) * special.gamma(n + 1.0)
    higher = factor * special.zeta(np.where(n == 0, 1.0, n) + 1.0, x)
    return np.where(n == 0, special.psi(x), higher)[()]


def _multigammaln(a: Any, d: int) -> Any:
    parts = sum(special.gammaln(a - 0.5 * j) for j in range(int(d)))
    return parts + d * (d - 1) * 0.25 * math.log(math.pi)


_SPECIAL: Functions = {
    "logsumexp": _logsumexp,
    "softmax": _softmax,
    "log_softmax": lambda x, axis=None: x - _logsumexp(x, axis=axis, keepdims=True),
    "polygamma": _polygamma,
    "multigammaln": _multigammaln,
}


# ---- scipy.linalg


def _triangular(
    a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False, **_: Any
) -> Any:
    a = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        n = np.shape(a)[-1]
        a = np.where(np.eye(n, dtype=bool), 1.0, a)
    if trans in (1, 2, "T", "C"):
        a = np.swapaxes(a, -1, -2)
        a = np.conj(a) if trans in (2, "C") else a
    return np.linalg.solve(a, b)


def _cholesky(a: Any, lower: bool = False, **_: Any) -> Any:
    return np.linalg.cholesky(a, upper=not lower)


def _cho_solve(factor: Any, b: Any, **_: Any) -> Any:
    c, lower = factor
    once = _triangular(c, b, 0 if lower else 2, lower)
    return _triangular(c, once, 2 if lower else 0, lower)


_LINALG: Functions = {
    "expm": expm,
    "solve_triangular": _triangular,
    "cholesky": _cholesky,
    "cho_factor": lambda a, lower=False, **_: (_cholesky(a, lower), lower),
    "cho_solve": _cho_solve,
    "solve": lambda a, b, **_: np.linalg.solve(a, b),
    "inv": lambda a, **_: np.linalg.inv(a),
    "det": lambda a, **_: np.linalg.det(a),
}
