"""Decompositions of matrices: eigenvalues, singular values, QR, and the pseudoinverse.

Sources of the rules: M. B. Giles, «Collected matrix derivative results for forward and reverse mode
algorithmic differentiation» (2008); for QR, S. F. Walter and L. Lehmann, «Algorithmic
differentiation of linear algebra functions with application in optimum experimental design»
(2010); for the pseudoinverse, G. H. Golub and V. Pereyra, «The differentiation of pseudo-inverses
and nonlinear least squares problems whose variables separate» (1973).

Choices where the factors are not unique. Vectors of equal eigenvalues or singular values may turn
among themselves, complex ones may change their phase, and the columns that complete a basis may
turn as well: the rules take the smallest such motion, none. That is exact for every loss that
does not depend on the choice, and finite for all. A singular value 0 has slope 0, as ``abs`` at 0.

The rules here think in gradients (``d𝓛 = Re(sum(conj(G) * dA))``), in which the literature has
them: hence the conjugates where a cotangent comes in and where one goes out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from softtape.ops.complex import conj, is_complex, transposed
from softtape.ops.packed import pack, unpack
from softtape.ops.registry import Kind, implements, primitive

__all__ = ["result_type"]


@functools.cache
def result_type(name: str) -> Any:
    """Return the namedtuple that a function of np.linalg returns, which numpy does not export."""
    return type(getattr(np.linalg, name)(np.eye(1)))


def _negligible(w: Any, scale: Any) -> Any:
    """Where ``w`` cannot be told from 0 beside values of size ``scale``."""
    n = np.shape(w)[-1]
    largest = np.max(np.abs(scale), axis=-1, initial=0.0, keepdims=True)
    while np.ndim(largest) < np.ndim(w):
        largest = np.expand_dims(largest, -1)
    return np.abs(w) <= n * np.finfo(w.dtype).eps * largest


def _inverse(x: Any, zero: Any) -> Any:
    return np.where(zero, 0.0, 1.0 / np.where(zero, 1.0, x))


def _inverse_or_zero(w: Any) -> Any:
    """Return 1 / w, and 0 where w is 0 up to rounding beside the largest of its last axis."""
    return _inverse(w, _negligible(w, w))


def _gaps(w: Any) -> Any:
    """Return 1 / (w_j - w_i) at [i, j], and 0 where the two are equal up to rounding."""
    gap = np.expand_dims(w, -2) - np.expand_dims(w, -1)
    return _inverse(gap, _negligible(gap, w))


def _diagonal(x: Any) -> Any:
    return np.diagonal(x, 0, -2, -1)


def _as_diagonal(x: Any) -> Any:
    return np.expand_dims(x, -1) * np.eye(np.shape(x)[-1])


def _columns(x: Any) -> Any:
    """Let a vector multiply the columns of matrices."""
    return np.expand_dims(x, -2)


def _rows(x: Any) -> Any:
    """Let a vector multiply the rows of matrices."""
    return np.expand_dims(x, -1)


def _imaginary_diagonal(x: Any) -> Any:
    """Return the imaginary part of the diagonal, as a purely imaginary vector."""
    d = _diagonal(x)
    return d - np.real(d)


# ---- Hermitian eigenvalues


def _eigh_parts(a: Any, packed: Any) -> tuple[Any, Any]:
    n = np.shape(a)[-1]
    w, v = unpack(packed, (n,), (n, n))
    return np.real(w), v


def _eigh_compute(a: Any, UPLO: Any) -> Any:  # noqa: N803 -- numpy's name
    w, v = np.linalg.eigh(a, UPLO)
    return pack((w, v), np.shape(w)[:-1])


def _eigh_vjp(g: Any, y: Any, a: Any, UPLO: str) -> Any:  # noqa: N803
    w, v = _eigh_parts(a, y)
    gw, gv = _eigh_parts(a, g)
    inner = _as_diagonal(gw) + _gaps(w) * (transposed(v) @ conj(gv))
    made = v @ inner @ transposed(v)
    return conj(0.5 * (made + transposed(made)))


def _eigh_jvp(tangents: Any, y: Any, a: Any, UPLO: str) -> Any:  # noqa: N803
    w, v = _eigh_parts(a, y)
    da = 0.5 * (tangents[0] + transposed(tangents[0]))
    moved = transposed(v) @ da @ v
    dw, dv = np.real(_diagonal(moved)), v @ (_gaps(w) * moved)
    return pack((dw, dv), np.shape(w)[:-1])


_eigh = primitive("eigh", _eigh_compute, (_eigh_vjp,), kind=Kind.OTHER, jvp=_eigh_jvp)


@implements(np.linalg.eigh)
def _np_eigh(a: Any, UPLO: Any = "L") -> Any:  # noqa: N803 -- numpy's name
    return result_type("eigh")(*_eigh_parts(a, _eigh(a, UPLO=UPLO.upper())))


@implements(np.linalg.eigvalsh)
def _np_eigvalsh(a: Any, UPLO: Any = "L") -> Any:  # noqa: N803 -- numpy's name
    return np.linalg.eigh(a, UPLO)[0]


# ---- eigenvalues of any square matrix


def _eig_parts(a: Any, packed: Any) -> list[Any]:
    n = np.shape(a)[-1]
    return unpack(packed, (n,), (n, n))


def _eig_compute(a: Any) -> Any:
    w, v = np.linalg.eig(a)
    packed = pack((w, v), np.shape(w)[:-1])
    # the dtype must not depend on the values: numpy returns real ones where all are real
    return packed.astype(np.result_type(packed.dtype, np.complex64))


def _eig_vjp(g: Any, y: Any, a: Any) -> Any:
    w, v = _eig_parts(a, y)
    gw, gv = _eig_parts(a, g)
    # each vector keeps its length, and its phase (see the top of this file)
    h = gv - np.conj(v) * _columns(np.sum(gv * v, axis=-2))
    inner = _as_diagonal(gw) + _gaps(w) * (np.swapaxes(v, -1, -2) @ h)
    return np.linalg.solve(np.swapaxes(v, -1, -2), inner @ np.swapaxes(v, -1, -2))


def _eig_jvp(tangents: Any, y: Any, a: Any) -> Any:
    w, v = _eig_parts(a, y)
    moved = np.linalg.solve(v, tangents[0] @ v)
    raw = v @ (_gaps(w) * moved)
    dv = raw - v * _columns(np.sum(np.conj(v) * raw, axis=-2))
    return pack((_diagonal(moved), dv), np.shape(w)[:-1])


_eig = primitive("eig", _eig_compute, (_eig_vjp,), kind=Kind.OTHER, jvp=_eig_jvp)


@functools.cache
def _may_be_real() -> bool:
    """Whether numpy returns real eigenvalues where all are real, as before 2.5."""
    return np.linalg.eigvals(np.eye(1)).dtype.kind == "f"


@implements(np.linalg.eig)
def _np_eig(a: Any) -> Any:
    w, v = _eig_parts(a, _eig(a))
    if not is_complex(a) and _may_be_real() and bool(np.all(np.imag(w) == 0)):  # a guard
        w, v = np.real(w), np.real(v)
    return result_type("eig")(w, v)


@implements(np.linalg.eigvals)
def _np_eigvals(a: Any) -> Any:
    return np.linalg.eig(a)[0]


# ---- singular values


def _svd_parts(a: Any, packed: Any) -> tuple[Any, Any, Any]:
    m, n = np.shape(a)[-2:]
    k = min(m, n)
    u, s, vh = unpack(packed, (m, k), (k,), (k, n))
    return u, np.real(s), vh


def _svd_compute(a: Any) -> Any:
    parts = np.linalg.svd(a, full_matrices=False)
    return pack(parts, np.shape(parts[1])[:-1])


def _squared_gaps(s: Any) -> Any:
    """Return 1 / (s_j² - s_i²) at [i, j]; 0 where the two are equal."""
    sums = _columns(s) + _rows(s)
    return _gaps(s) * _inverse(sums, sums == 0)


def _svd_vjp(g: Any, y: Any, a: Any) -> Any:
    u, s, vh = _svd_parts(a, y)
    gu, gs, gvh = (conj(part) for part in _svd_parts(a, g))
    v, gv = transposed(vh), transposed(gvh)
    f, inverse = _squared_gaps(s), _inverse_or_zero(s)
    x, z = transposed(u) @ gu, vh @ gv
    inner = f * (x - transposed(x)) * _columns(s) + _rows(s) * f * (z - transposed(z))
    # at a zero, singular values turn around, like abs
    inner = inner + _as_diagonal(np.where(s == 0, 0.0, gs))
    if is_complex(x):
        inner = inner + _as_diagonal(_imaginary_diagonal(x) * inverse)
    made = u @ inner @ vh
    m, n = np.shape(a)[-2:]
    if m > n:
        made = made + (gu - u @ x) * _columns(inverse) @ vh
    if n > m:
        made = made + u @ (_rows(inverse) * transposed(gv - v @ z))
    return conj(made)


def _svd_jvp(tangents: Any, y: Any, a: Any) -> Any:
    u, s, vh = _svd_parts(a, y)
    da, v = tangents[0], transposed(vh)
    f, inverse = _squared_gaps(s), _inverse_or_zero(s)
    p = transposed(u) @ da @ v
    ph = transposed(p)
    left = f * (p * _columns(s) + _rows(s) * ph)
    right = f * (_rows(s) * p + ph * _columns(s))
    if is_complex(p):
        left = left + _as_diagonal(_imaginary_diagonal(p) * inverse)
    du, dv = u @ left, v @ right
    m, n = np.shape(a)[-2:]
    if m > n:
        du = du + (da @ v - u @ p) * _columns(inverse)
    if n > m:
        dv = dv + (transposed(da) @ u - v @ ph) * _columns(inverse)
    ds = np.where(s == 0, 0.0, np.real(_diagonal(p)))
    return pack((du, ds, transposed(dv)), np.shape(s)[:-1])


_svd = primitive("svd", _svd_compute, (_svd_vjp,), kind=Kind.OTHER, jvp=_svd_jvp)

_REST: dict[str, Callable[..., Any]] = {
    "qr": lambda a, k: np.linalg.qr(a, "complete")[0][..., k:],
    "left": lambda a, k: np.linalg.svd(a)[0][..., k:],
    "right": lambda a, k: transposed(np.linalg.svd(a)[2][..., k:, :]),
}

# What completes an orthonormal basis, as numpy's function does it for the matrix a.
_rest = primitive(
    "orthonormal_rest",
    lambda q, a, by: _REST[by](a, np.shape(q)[-1]),
    (lambda g, y, q, a, by: conj(-y @ np.swapaxes(g, -1, -2) @ q), None),
    kind=Kind.OTHER,
    jvp=lambda tangents, y, q, a, by: (
        None if tangents[0] is None else -q @ transposed(tangents[0]) @ y
    ),
)


def _completed(q: Any, a: Any, by: str) -> Any:
    return np.concatenate([q, _rest(q, a, by=by)], axis=-1)


@implements(np.linalg.svd)
def _np_svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    made = _svd_of_hermitian(a) if hermitian else _svd_parts(a, _svd(a))
    if not compute_uv:
        return made[1]
    u, s, vh = made
    m, n = np.shape(a)[-2:]
    if full_matrices and m > n:
        u = _completed(u, a, "left")
    if full_matrices and n > m:
        vh = transposed(_completed(transposed(vh), a, "right"))
    return result_type("svd")(u, s, vh)


def _svd_of_hermitian(a: Any) -> tuple[Any, Any, Any]:
    w, v = np.linalg.eigh(a)
    order = np.flip(np.argsort(np.abs(w), axis=-1), -1)
    w = np.take_along_axis(w, order, axis=-1)
    v = np.take_along_axis(v, _columns(order), axis=-1)
    return v, np.abs(w), transposed(v * _columns(np.sign(w)))


@implements(np.linalg.svdvals)
def _np_svdvals(x: Any, /) -> Any:
    return np.linalg.svd(x, compute_uv=False)


# ---- QR


def _qr_parts(a: Any, packed: Any) -> list[Any]:
    m, n = np.shape(a)[-2:]
    return unpack(packed, (m, n), (n, n))


def _qr_compute(a: Any) -> Any:
    q, r = np.linalg.qr(a)
    return pack((q, r), np.shape(a)[:-2])


def _over(x: Any, r: Any) -> Any:
    """Return x r⁻¹."""
    return np.swapaxes(np.linalg.solve(np.swapaxes(r, -1, -2), np.swapaxes(x, -1, -2)), -1, -2)


def _qr_vjp(g: Any, y: Any, a: Any) -> Any:
    q, r = _qr_parts(a, y)
    gq, gr = (conj(part) for part in _qr_parts(a, g))
    upper = np.triu(gr @ transposed(r) - transposed(q) @ gq)
    inner = upper + transposed(upper) - _as_diagonal(np.real(_diagonal(upper)))
    return conj(_over(q @ inner + gq, transposed(r)))


def _qr_jvp(tangents: Any, y: Any, a: Any) -> Any:
    q, r = _qr_parts(a, y)
    x = _over(tangents[0], r)
    p = transposed(q) @ x
    lower = np.tril(p, -1)
    turn = lower - transposed(lower)
    if is_complex(p):
        turn = turn + _as_diagonal(_imaginary_diagonal(p))
    return pack((q @ (turn - p) + x, (p - turn) @ r), np.shape(a)[:-2])


_qr = primitive("qr", _qr_compute, (_qr_vjp,), kind=Kind.OTHER, jvp=_qr_jvp)


@implements(np.linalg.qr)
def _np_qr(a: Any, mode: str = "reduced") -> Any:
    if mode not in ("reduced", "complete", "r"):
        raise NotImplementedError(f"np.linalg.qr(mode={mode!r}): use 'reduced', 'complete' or 'r'")
    m, n = np.shape(a)[-2:]
    square = a[..., :m]  # what Q is made of
    q, r = _qr_parts(square, _qr(square))
    if n > m:
        r = np.concatenate([r, transposed(q) @ a[..., m:]], axis=-1)
    if mode == "r":
        return r
    if mode == "complete" and m > n:
        q = _completed(q, a, "qr")
        r = np.concatenate([r, np.zeros((*np.shape(r)[:-2], m - n, n), r.dtype)], axis=-2)
    return result_type("qr")(q, r)


# ---- the pseudoinverse


def _pinv_vjp(g: Any, y: Any, a: Any, **cutoff: Any) -> Any:
    g, yh = conj(g), transposed(y)
    gh = transposed(g)
    outside, inside = gh - a @ (y @ gh), gh - (gh @ y) @ a
    return conj(-yh @ g @ yh + outside @ y @ yh + yh @ y @ inside)


def _pinv_jvp(tangents: Any, y: Any, a: Any, **cutoff: Any) -> Any:
    da, yh = tangents[0], transposed(y)
    dah = transposed(da)
    return -y @ da @ y + y @ yh @ (dah - (dah @ a) @ y) + (dah - y @ (a @ dah)) @ yh @ y


_pinv = primitive(
    "pinv",
    lambda a, **cutoff: np.linalg.pinv(a, **cutoff),
    (_pinv_vjp,),
    kind=Kind.OTHER,
    jvp=_pinv_jvp,
)


@implements(np.linalg.pinv)
def _np_pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    attrs: dict[str, Any] = {"hermitian": hermitian, "rcond": rcond}
    if rtol is not np._NoValue:
        attrs["rtol"] = rtol
    return _pinv(a, **attrs)
