"""Linear algebra. Sources of the rules: M. B. Giles, «Collected matrix derivative results for
forward and reverse mode algorithmic differentiation» (2008); for the Cholesky factor, I. Murray,
«Differentiation of the Cholesky decomposition» (2016).
"""

from __future__ import annotations

import math
import operator
from typing import Any, TypeAlias

import numpy as np

from softtape.ops.complex import conj, is_complex, transposed
from softtape.ops.decompositions import result_type
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


def _adjugate_compute(a: Any) -> Any:
    d = np.linalg.det(a)
    if np.all(d != 0):
        return np.expand_dims(d, (-1, -2)) * np.linalg.inv(a)
    # by singular values: for each the product of the others, which exists where the inverse
    # does not
    u, s, vh = np.linalg.svd(a)
    n = np.shape(s)[-1]
    others = np.prod(np.where(np.eye(n, dtype=bool), 1.0, s[..., None, :]), axis=-1)
    turned = np.linalg.det(u) * np.linalg.det(vh)
    middle = (others * turned[..., None]).astype(np.asarray(a).dtype)
    return (transposed(vh) * middle[..., None, :]) @ transposed(u)


def _adjugate_jvp(tangents: Any, y: Any, a: Any) -> Any:
    inverse = np.linalg.inv(a)
    turned = inverse @ tangents[0]
    return np.expand_dims(np.trace(turned, 0, -2, -1), (-1, -2)) * y - turned @ y


def _adjugate_vjp(g: Any, y: Any, a: Any) -> Any:
    inverse = _t(np.linalg.inv(a))
    weight = np.sum(g * y, axis=(-2, -1), keepdims=True)
    return weight * inverse - inverse @ g @ _t(y)


_adjugate = primitive(
    "adjugate", _adjugate_compute, (_adjugate_vjp,), kind=Kind.OTHER, jvp=_adjugate_jvp
)
_det = implements(np.linalg.det)(
    primitive(
        "det",
        np.linalg.det,
        (lambda g, y, a: np.expand_dims(g, (-1, -2)) * _t(_adjugate(a)),),
        kind=Kind.OTHER,
        jvp=lambda tangents, y, a: np.sum(_t(_adjugate(a)) * tangents[0], axis=(-2, -1)),
    )
)


def _relative(a: Any, da: Any) -> Any:
    """Return the derivative of log(det(a))."""
    return np.sum(_t(np.linalg.inv(a)) * da, axis=(-2, -1))


_logabsdet = primitive(
    "logabsdet",
    lambda a: np.linalg.slogdet(a)[1],
    (lambda g, y, a: np.expand_dims(g, (-1, -2)) * _t(np.linalg.inv(a)),),
    kind=Kind.OTHER,
    jvp=lambda tangents, y, a: np.real(_relative(a, tangents[0])),
)
_sign_det = primitive("sign_det", lambda a: np.linalg.slogdet(a)[0], kind=Kind.CONSTANT)
# a complex sign turns as the determinant does
_phase_det = primitive(
    "phase_det",
    lambda a: np.linalg.slogdet(a)[0],
    (lambda g, y, a: np.expand_dims(1j * np.imag(g * y), (-1, -2)) * _t(np.linalg.inv(a)),),
    kind=Kind.OTHER,
    jvp=lambda tangents, y, a: y * (1j * np.imag(_relative(a, tangents[0]))),
)


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
    s = transposed(inverse) @ _half_lower(transposed(y) @ np.tril(conj(g))) @ inverse
    return conj(0.5 * (s + transposed(s)))


def _cholesky_jvp(tangents: Any, y: Any, a: Any) -> Any:
    inverse = np.linalg.inv(y)
    da = 0.5 * (tangents[0] + transposed(tangents[0]))
    return y @ _half_lower(inverse @ da @ transposed(inverse))


_cholesky = primitive(
    "cholesky", np.linalg.cholesky, (_cholesky_vjp,), kind=Kind.OTHER, jvp=_cholesky_jvp
)


@implements(np.linalg.cholesky)
def _np_cholesky(a: Any, /, *, upper: bool = False) -> Any:
    return transposed(_cholesky(a)) if upper else _cholesky(a)


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
    sign = _phase_det(a) if is_complex(a) else _sign_det(a)
    return result_type("slogdet")(sign, _logabsdet(a))


@implements(np.linalg.matrix_power)
def _np_matrix_power(a: Any, n: Any) -> Any:
    n = operator.index(n)
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


@implements(np.linalg.multi_dot, sequences=(1,))
def _np_multi_dot(arrays: Any) -> Any:
    arrays = list(arrays)
    if len(arrays) < 2:
        raise ValueError("np.linalg.multi_dot expects at least two arrays")
    first, last = np.ndim(arrays[0]) == 1, np.ndim(arrays[-1]) == 1
    if first:
        arrays[0] = np.expand_dims(arrays[0], 0)
    if last:
        arrays[-1] = np.expand_dims(arrays[-1], 1)
    product = _chain(arrays, _splits([np.shape(arrays[0])[0], *(np.shape(a)[1] for a in arrays)]))
    if first and last:
        return product[0, 0]
    if first or last:
        return np.ravel(product)
    return product


Span: TypeAlias = tuple[int, int]


def _splits(lengths: list[int]) -> dict[Span, int]:
    """Where to split each part of a chain of matrices so that its product costs least."""
    cost: dict[Span, int] = {(i, i): 0 for i in range(len(lengths) - 1)}
    splits: dict[Span, int] = {}
    for width in range(1, len(lengths) - 1):
        for i in range(len(lengths) - 1 - width):
            j = i + width
            tried = [
                cost[i, k] + cost[k + 1, j] + lengths[i] * lengths[k + 1] * lengths[j + 1]
                for k in range(i, j)
            ]
            cost[i, j] = min(tried)
            splits[i, j] = i + tried.index(cost[i, j])
    return splits


def _chain(arrays: list[Any], splits: dict[Span, int]) -> Any:
    def product(i: int, j: int) -> Any:
        if i == j:
            return arrays[i]
        k = splits[i, j]
        return product(i, k) @ product(k + 1, j)

    return product(0, len(arrays) - 1)


@implements(np.linalg.tensorsolve)
def _np_tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    ndim = np.ndim(a)
    if axes is not None:
        rest = [i for i in range(ndim) if i not in axes]
        a = np.transpose(a, (*rest, *axes))
    shape = np.shape(a)[-(ndim - np.ndim(b)) :]
    n = math.prod(shape)
    if np.size(a) != n * n:
        raise np.linalg.LinAlgError(
            "np.linalg.tensorsolve: prod(a.shape[b.ndim:]) must be prod(a.shape[:b.ndim])"
        )
    return np.reshape(np.linalg.solve(np.reshape(a, (n, n)), np.ravel(b)), shape)


@implements(np.linalg.tensorinv)
def _np_tensorinv(a: Any, ind: int = 2) -> Any:
    if ind <= 0:
        raise ValueError("np.linalg.tensorinv: ind must be positive")
    shape = np.shape(a)
    n = math.prod(shape[ind:])
    return np.reshape(np.linalg.inv(np.reshape(a, (n, -1))), (*shape[ind:], *shape[:ind]))


@implements(np.linalg.lstsq)
def _np_lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    m, n = np.shape(a)
    if rcond is None:
        rcond = np.finfo(a.dtype).eps * max(m, n)
    elif rcond == -1:
        rcond = np.finfo(a.dtype).eps
    x = np.linalg.pinv(a, rcond) @ b
    s = np.linalg.svdvals(a)
    rank = int(np.linalg.matrix_rank(a, rtol=rcond))  # a guard
    off = b - a @ x
    residuals = np.sum(np.real(conj(off) * off), axis=0)
    if rank < n or m <= n:
        residuals = np.zeros(0, s.dtype)
    elif np.ndim(b) == 1:
        residuals = np.expand_dims(residuals, 0)
    return x, residuals, rank, s


@implements(np.linalg.matrix_rank)
def _np_matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:  # noqa: N803 -- numpy's name
    if np.ndim(A) < 2:
        return int(not np.all(A == 0))
    s = np.linalg.svd(A, compute_uv=False, hermitian=hermitian)
    if tol is None:
        rtol = max(np.shape(A)[-2:]) * np.finfo(s.dtype).eps if rtol is None else rtol
        tol = np.max(s, axis=-1, keepdims=True) * np.expand_dims(rtol, -1)
    else:
        tol = np.expand_dims(tol, -1)
    return np.count_nonzero(s > tol, axis=-1)


@implements(np.linalg.cond)
def _np_cond(x: Any, p: Any = None) -> Any:
    if p in (None, 2, -2):
        s = np.linalg.svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return np.linalg.norm(x, p, (-2, -1)) * np.linalg.norm(np.linalg.inv(x), p, (-2, -1))


# ---- functions of np.linalg that numpy has elsewhere, too


@implements(np.linalg.trace)
def _np_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    y = np.trace(x, offset, -2, -1)
    return y if dtype is None else y.astype(dtype)


@implements(np.linalg.diagonal)
def _np_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    return np.diagonal(x, offset, -2, -1)


@implements(np.linalg.outer)
def _np_outer(x1: Any, x2: Any, /) -> Any:
    return np.outer(x1, x2)


@implements(np.linalg.matmul)
def _np_matmul(x1: Any, x2: Any, /) -> Any:
    return np.matmul(x1, x2)


@implements(np.linalg.vecdot)
def _np_vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return np.sum(conj(x1) * x2, axis=axis)


@implements(np.linalg.tensordot)
def _np_tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    return np.tensordot(x1, x2, axes)


@implements(np.linalg.matrix_transpose)
def _np_matrix_transpose(x: Any, /) -> Any:
    return np.matrix_transpose(x)
