"""Polynomials as numpy's older functions have them: coefficients, the highest power first."""

from __future__ import annotations

from typing import Any

import numpy as np

from softtape.ops.registry import implements, refuses

__all__: list[str] = []


def _coefficients(p: Any) -> Any:
    return np.atleast_1d(getattr(p, "coeffs", p))  # of a np.poly1d too


@implements(np.polyval)
def _np_polyval(p: Any, x: Any) -> Any:
    if isinstance(x, np.poly1d):
        y: Any = np.poly1d(0)
    else:
        x = np.asarray(x) if isinstance(x, (list, tuple)) else x
        y = 0
    for coefficient in _coefficients(p):
        y = y * x + coefficient
    return y


def _added(a1: Any, a2: Any, sign: float) -> Any:
    a, b = _coefficients(a1), _coefficients(a2)
    n = max(np.shape(a)[0], np.shape(b)[0])
    a, b = (np.pad(p, (n - np.shape(p)[0], 0)) for p in (a, b))
    return a + b if sign > 0 else a - b


@implements(np.polyadd)
def _np_polyadd(a1: Any, a2: Any) -> Any:
    return _added(a1, a2, 1.0)


@implements(np.polysub)
def _np_polysub(a1: Any, a2: Any) -> Any:
    return _added(a1, a2, -1.0)


@implements(np.polymul)
def _np_polymul(a1: Any, a2: Any) -> Any:
    return np.convolve(_coefficients(a1), _coefficients(a2))


@implements(np.polydiv)
def _np_polydiv(u: Any, v: Any) -> Any:
    u, v = _coefficients(u) + 0.0, _coefficients(v) + 0.0
    m, n = np.shape(u)[0] - 1, np.shape(v)[0] - 1
    quotient: list[Any] = []
    rest, scale = np.astype(u, np.result_type(u, v)), 1.0 / v[0]
    for k in range(m - n + 1):
        factor = scale * rest[k]
        quotient.append(factor)
        rest = rest - np.pad(factor * v, (k, m - n - k))
    # by numpy's own steps: in float32 what they leave before the remainder may be too large to drop
    while np.shape(rest)[0] > 1 and bool(np.isclose(rest[0], 0, rtol=1e-14)):
        rest = rest[1:]
    return np.stack(quotient) if quotient else np.zeros(1, rest.dtype), rest


@implements(np.polyder)
def _np_polyder(p: Any, m: int = 1) -> Any:
    y = _coefficients(p)
    for _ in range(int(m)):
        n = np.shape(y)[0] - 1
        y = y[:-1] * np.arange(n, 0, -1)
    return y


@implements(np.polyint)
def _np_polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    y, m = _coefficients(p), int(m)
    constants = np.zeros(m) if k is None else np.atleast_1d(k)
    if np.shape(constants)[0] == 1 < m:
        constants = np.broadcast_to(constants, (m,))
    for i in range(m):
        n = np.shape(y)[0]
        y = np.concatenate([y / np.arange(n, 0, -1), constants[i : i + 1]])
    return y


@implements(np.poly)
def _np_poly(seq_of_zeros: Any) -> Any:
    zeros = np.atleast_1d(seq_of_zeros)
    if np.ndim(zeros) != 1:
        raise NotImplementedError("it takes zeros, not a matrix: use np.linalg.det(x * I - a)")
    y: Any = np.ones(1, zeros.dtype)
    for zero in zeros:
        y = np.convolve(y, np.stack([y[0], -zero]))  # y[0] is 1
    return y


@implements(np.polyfit)
def _np_polyfit(
    x: Any,
    y: Any,
    deg: Any,
    rcond: float | None = None,
    full: bool = False,
    w: Any = None,
    cov: Any = False,
) -> Any:
    if full or cov:
        raise NotImplementedError("it returns the coefficients only: np.linalg.lstsq has the rest")
    if np.ndim(deg):
        raise NotImplementedError("it takes one degree: np.linalg.lstsq takes any columns")
    left, right = np.vander(x + 0.0, int(deg) + 1), y + 0.0
    if w is not None:
        left = left * np.expand_dims(w, -1)
        right = right * (np.expand_dims(w, -1) if np.ndim(right) == 2 else w)
    scale = np.sqrt(np.sum(left * np.conjugate(left), axis=0))
    rcond = np.shape(x)[0] * np.finfo(x.dtype).eps if rcond is None else rcond
    c = np.linalg.lstsq(left / scale, right, rcond)[0]
    return np.transpose(np.transpose(c) / scale)


refuses(
    np.roots,
    because="roots are complex in general and change places as coefficients move. Follow one root "
    "with softtape.custom_root, or take the eigenvalues of a companion matrix you build",
)
