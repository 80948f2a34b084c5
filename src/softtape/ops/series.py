"""Series and samples of functions: differences, integrals, convolution, interpolation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from softtape.ops.elementwise import like
from softtape.ops.indexing import at
from softtape.ops.reductions import axes
from softtape.ops.registry import Kind, implements, primitive

__all__: list[str] = []


def _part(ndim: int, axis: int, start: int | None, stop: int | None) -> tuple[Any, ...]:
    index: list[Any] = [slice(None)] * ndim
    index[axis] = slice(start, stop)
    return tuple(index)


@implements(np.diff)
def _np_diff(
    a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue
) -> Any:
    joined, ndim = [], np.ndim(a)
    for part in (prepend, a, append):
        if part is np._NoValue:
            continue
        if np.ndim(part) == 0 and part is not a:
            shape = list(np.shape(a))
            shape[axis] = 1
            part = np.broadcast_to(part, tuple(shape))
        joined.append(part)
    if len(joined) > 1:
        a = np.concatenate(joined, axis=axis)
    for _ in range(n):
        after, before = a[_part(ndim, axis, 1, None)], a[_part(ndim, axis, None, -1)]
        a = np.not_equal(after, before) if a.dtype == np.bool_ else after - before
    return a


@implements(np.ediff1d)
def _np_ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    parts = [to_begin, np.diff(np.ravel(ary)), to_end]
    return np.concatenate([like(np.ravel(p), ary) for p in parts if p is not None])


@implements(np.trapezoid)
def _np_trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = np.moveaxis(np.asarray(y) if isinstance(y, (list, tuple)) else y, axis, -1)
    if x is not None:
        dx = np.diff(x if np.ndim(x) == 1 else np.moveaxis(x, axis, -1))
    return np.sum(dx * (y[..., 1:] + y[..., :-1]) / 2.0, axis=-1)


# ---- derivatives of samples


@implements(np.gradient)
def _np_gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    along = (
        axes(axis, np.ndim(f)) if axis is None else [a % np.ndim(f) for a in np.atleast_1d(axis)]
    )
    if len(varargs) not in (0, 1, len(along)):
        raise TypeError("invalid number of arguments")
    spacings = varargs if len(varargs) == len(along) else (varargs or (1.0,)) * len(along)
    made = [_slopes(f, h, int(a), edge_order) for h, a in zip(spacings, along, strict=True)]
    return made[0] if len(made) == 1 else tuple(made)


def _slopes(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    """Second order inside, first or second at the ends, also for uneven spacing."""
    f = np.moveaxis(f, axis, -1)
    n = np.shape(f)[-1]
    if n < edge_order + 1:
        raise ValueError(
            "Shape of array too small to calculate a numerical gradient, at least (edge_order + 1)"
            " elements are required."
        )
    if f.dtype.kind in "biu":
        f = np.astype(f, np.dtype(float))
    step = np.diff(spacing) if np.ndim(spacing) else spacing
    before, after = (step[:-1], step[1:]) if np.ndim(spacing) else (step, step)
    slope = (f[..., 1:] - f[..., :-1]) / step
    if np.ndim(spacing):
        inner = (slope[..., 1:] * before + slope[..., :-1] * after) / (before + after)
    else:
        inner = (f[..., 2:] - f[..., :-2]) / (2.0 * step)
    first, last = slope[..., :1], slope[..., -1:]
    if edge_order == 2:
        bend = (slope[..., 1:] - slope[..., :-1]) / (before + after)
        first = first - (bend * before)[..., :1]
        last = last + (bend * after)[..., -1:]
    made = like(np.concatenate([first, inner, last], axis=-1), f)
    return np.moveaxis(made, -1, axis)


# ---- convolution


def _full(a: Any, v: Any) -> Any:
    return np.convolve(a, v, "full")


_convolve = primitive(
    "convolve",
    _full,
    (
        lambda g, y, a, v: _valid(g, v)[: np.shape(a)[0]],
        lambda g, y, a, v: _valid(g, a)[: np.shape(v)[0]],
    ),
    kind=Kind.MULTILINEAR,
)


def _valid(g: Any, v: Any) -> Any:
    """Return the sums over ``v`` at each shift of it inside of ``g``."""
    return np.convolve(g, np.flip(v), "valid")


@implements(np.convolve)
def _np_convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    a, v = np.atleast_1d(a), np.atleast_1d(v)
    n, m = np.shape(a)[0], np.shape(v)[0]
    if m > n:
        a, v, n, m = v, a, m, n
    if not m:
        raise ValueError("np.convolve: an argument is empty")
    full = _convolve(a, v)
    if mode == "full":
        return full
    if mode == "same":
        start = (m - 1) // 2
        return full[start : start + n]
    if mode == "valid":
        return full[m - 1 : n]
    raise ValueError(f"np.convolve: mode must be 'full', 'same' or 'valid', got {mode!r}")


@implements(np.correlate)
def _np_correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    a, v = np.atleast_1d(a), np.atleast_1d(v)
    if np.shape(v)[0] > np.shape(a)[0]:
        return np.flip(np.conjugate(np.correlate(v, a, mode)))
    return np.convolve(a, np.flip(np.conjugate(v)), mode)


# ---- interpolation


@implements(np.interp)
def _np_interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """Piecewise linear; the slope at a knot is that of the interval to its right."""
    x, xp = _float64(x), _float64(xp)  # as numpy does
    fp = fp if np.iscomplexobj(fp) else _float64(fp)
    if period is not None:
        period = abs(period)
        left = right = None
        x, xp = x % period, xp % period
        order = np.argsort(xp)
        xp, fp = np.take(xp, order), np.take(fp, order)
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
    last = np.shape(xp)[0] - 1
    if last < 0:
        raise ValueError("array of sample points is empty")
    left, right = fp[0] if left is None else left, fp[last] if right is None else right
    if last == 0:
        y = np.broadcast_to(fp[0], np.shape(x))
    else:
        i = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, last - 1)
        x0, x1, f0, f1 = at(xp, i), at(xp, i + 1), at(fp, i), at(fp, i + 1)
        y = f0 + (f1 - f0) / (x1 - x0) * (x - x0)
    return np.where(x > xp[last], right, np.where(x < xp[0], left, y))[()]


def _float64(x: Any) -> Any:
    return x.astype(float) if hasattr(x, "_softtape_record") else np.asarray(x, float)


# ---- phases


_unwrapping = primitive(
    "unwrapping",
    lambda p, axis, discont, period: np.unwrap(p, discont=discont, axis=axis, period=period) - p,
    kind=Kind.CONSTANT,
)


@implements(np.unwrap)
def _np_unwrap(
    p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * math.pi
) -> Any:
    axis = axes(axis, np.ndim(p))[0]
    return p + _unwrapping(p, axis=axis, discont=discont, period=period)


# ---- Bessel functions


def _bessel_i1(x: Any) -> Any:
    """Modified Bessel function of the first kind, order 1, by its integral.

    The midpoint rule converges geometrically, since what it sums is periodic
    (Abramowitz and Stegun, 9.6.20).
    """
    x = np.asarray(x)
    n = 16 + math.ceil(3.0 * math.sqrt(float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))))
    cosine = np.cos((np.arange(n) + 0.5) * (0.5 * math.pi / n))
    return np.mean(np.sinh(x[..., None] * cosine) * cosine, axis=-1).astype(x.dtype)[()]


_i1 = primitive(
    "i1",
    _bessel_i1,
    (lambda g, y, x: g * np.where(x == 0, 0.5, np.i0(x) - y / np.where(x == 0, 1.0, x)),),
    kind=Kind.ELEMENTWISE,
)
_i0 = primitive("i0", np.i0, (lambda g, y, x: g * _i1(x),), kind=Kind.ELEMENTWISE)


@implements(np.i0)
def _np_i0(x: Any) -> Any:
    return _i0(x)
