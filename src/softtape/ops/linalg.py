"""Linear algebra. Sources of the rules: M. B. Giles, «Collected matrix derivative results for
forward and reverse mode algorithmic differentiation» (2008); for the Cholesky factor, I. Murray,
«Differentiation of the Cholesky decomposition» (2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softtape.ops.registry import Kind, implements, primitive

__all__: list[str] = []


def _t(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def _half_lower(x: Any) -> Any:
    """Lower triangle with the diagonal halved."""
    return np.tril(x) - 0.5 * (x * np.eye(np.shape(x)[-1]))


_inv = implements(np.linalg.inv)(
    primitive(
        "inv",
        np.linalg.inv,
        (lambda g, y, a: -_t(y) @ g @ _t(y),),
        kind=Kind.OTHER,
        jvp=lambda tangents, y, a: -y @ tangents[0] @ y,
    )
)
_det = implements(np.linalg.det)(
    primitive(
        "det",
        np.linalg.det,
        (lambda g, y, a: np.expand_dims(g * y, (-1, -2)) * _t(np.linalg.inv(a)),),
        kind=Kind.OTHER,
        jvp=lambda tangents, y, a: y * np.einsum("...ij,...ji->...", np.linalg.inv(a), tangents[0]),
    )
)
_logabsdet = primitive(
    "logabsdet",
    lambda a: np.linalg.slogdet(a)[1],
    (lambda g, y, a: np.expand_dims(g, (-1, -2)) * _t(np.linalg.inv(a)),),
    kind=Kind.OTHER,
    jvp=lambda tangents, y, a: np.einsum("...ij,...ji->...", np.linalg.inv(a), tangents[0]),
)
_sign_det = primitive("sign_det", lambda a: np.linalg.slogdet(a)[0], kind=Kind.CONSTANT)


def _solve_jvp(tangents: Any, y: Any, a: Any, b: Any) -> Any:
    da, db = tangents
    right = -(da @ y) if db is None else db if da is None else db - da @ y
    return np.linalg.solve(a, right)


_solve = primitive(
    "solve",
    np.linalg.solve,
    (
        lambda g, y, a, b: -np.linalg.solve(_t(a), g) @ _t(y),
        lambda g, y, a, b: np.linalg.solve(_t(a), g),
    ),
    kind=Kind.OTHER,
    jvp=_solve_jvp,
)


def _cholesky_vjp(g: Any, y: Any, a: Any) -> Any:
    inverse = np.linalg.inv(y)
    s = _t(inverse) @ _half_lower(_t(y) @ np.tril(g)) @ inverse
    return 0.5 * (s + _t(s))


def _cholesky_jvp(tangents: Any, y: Any, a: Any) -> Any:
    inverse = np.linalg.inv(y)
    da = 0.5 * (tangents[0] + _t(tangents[0]))
    return y @ _half_lower(inverse @ da @ _t(inverse))


_cholesky = primitive(
    "cholesky", np.linalg.cholesky, (_cholesky_vjp,), kind=Kind.OTHER, jvp=_cholesky_jvp
)


@implements(np.linalg.cholesky)
def _np_cholesky(a: Any, /, *, upper: bool = False) -> Any:
    return _t(_cholesky(a)) if upper else _cholesky(a)


@implements(np.linalg.solve)
def _np_solve(a: Any, b: Any) -> Any:
    n, lead = np.shape(a)[-1], np.broadcast_shapes(np.shape(a)[:-2], np.shape(b)[:-2])
    if np.ndim(b) == 1:  # numpy 2: one vector, else a stack of matrices
        a = np.broadcast_to(a, (*np.shape(a)[:-2], n, n))
        return _solve_stacked(a, np.expand_dims(b, -1), np.shape(a)[:-2])[..., 0]
    return _solve_stacked(a, b, lead)


def _solve_stacked(a: Any, b: Any, lead: tuple[int, ...]) -> Any:
    a = np.broadcast_to(a, (*lead, *np.shape(a)[-2:]))
    return _solve(a, np.broadcast_to(b, (*lead, *np.shape(b)[-2:])))


@implements(np.linalg.slogdet)
def _np_slogdet(a: Any) -> Any:
    return _sign_det(a), _logabsdet(a)


@implements(np.linalg.norm)
def _np_norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if axis is None and ord is None:
        axis = tuple(range(np.ndim(x)))
    elif axis is None:
        axis = tuple(range(np.ndim(x))) if np.ndim(x) <= 2 else None
    axis = (axis,) if isinstance(axis, (int, np.integer)) else axis
    vector = axis is not None and (len(axis) == 1 or ord is None)
    if vector and ord in (None, 2):
        # the norm has slope 0 at the origin by choice (the least of its subgradients)
        squares = np.sum(x * x, axis=axis, keepdims=keepdims)
        zero = squares == 0
        return np.where(zero, 0.0, np.sqrt(np.where(zero, 1.0, squares)))[()]
    if ord == "fro":
        return np.linalg.norm(x, axis=axis, keepdims=keepdims)
    if vector and ord == 1:
        return np.sum(np.abs(x), axis=axis, keepdims=keepdims)
    if vector and ord == np.inf:
        return np.max(np.abs(x), axis=axis, keepdims=keepdims)
    if vector and ord == -np.inf:
        return np.min(np.abs(x), axis=axis, keepdims=keepdims)
    if vector and isinstance(ord, (int, float)) and ord > 0:
        powers = np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims)
        zero = powers == 0
        return np.where(zero, 0.0, np.where(zero, 1.0, powers) ** (1.0 / ord))[()]
    raise NotImplementedError(f"np.linalg.norm(ord={ord!r}) of this shape has no rule yet")


@implements(np.linalg.matrix_power)
def _np_matrix_power(a: Any, n: int) -> Any:
    if n < 0:
        a, n = np.linalg.inv(a), -n
    product: Any = None
    while n:
        if n & 1:
            product = a if product is None else product @ a
        n >>= 1
        if n:
            a = a @ a
    return np.broadcast_to(np.eye(np.shape(a)[-1]), np.shape(a)) if product is None else product
