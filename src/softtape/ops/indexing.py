"""Reading elements: ``x[index]`` in numpy's full sense, and what is made of it.

The index of a ``getitem`` node is a static template, a tuple of ints, slices, None and Ellipsis,
in which a :class:`Slot` stands for an index array. The arrays themselves are operands: so two
tests that look up different rows still have the same graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from softtape.ops.reductions import Axis, axes
from softtape.ops.registry import Kind, Primitive, implements, primitive

__all__ = ["Slot", "getitem"]


@dataclass(frozen=True, slots=True)
class Slot:
    """Place of the ``number``-th index operand in an index template."""

    number: int


def _filled(index: tuple[Any, ...], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(arrays[i.number] if isinstance(i, Slot) else i for i in index)


def _scatter_add(g: Any, *arrays: Any, shape: tuple[int, ...], index: tuple[Any, ...]) -> Any:
    """Return zeros of ``shape`` with ``g`` added at ``index``; repeated places add up."""
    out = np.zeros(shape, getattr(g, "dtype", float))
    if arrays:
        np.add.at(out, _filled(index, arrays), g)
    else:
        out[index] = g
    return out


_scatter = primitive(
    "scatter_add",
    _scatter_add,
    (lambda g, y, x, *arrays, shape, index: getitem(g, *arrays, index=index),),
    kind=Kind.MULTILINEAR,
)
getitem: Primitive = primitive(
    "getitem",
    lambda x, *arrays, index: x[_filled(index, arrays)],
    (lambda g, y, x, *arrays, index: _scatter(g, *arrays, shape=np.shape(x), index=index),),
    kind=Kind.MULTILINEAR,
)


@implements(np.take)
def _np_take(a: Any, indices: Any, axis: int | None = None) -> Any:
    if axis is None:
        return _at(np.ravel(a), indices)
    return _at(a, indices, before=axes(axis, np.ndim(a))[0])


@implements(np.take_along_axis)
def _np_take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    if axis is None:
        return _at(np.ravel(arr), indices)
    axis, ndim = axes(axis, np.ndim(arr))[0], np.ndim(arr)
    # the other axes run over those of arr, against which indices of length 1 broadcast
    grid = np.ogrid[tuple(slice(n) for n in np.shape(arr))]
    places = [indices if i == axis else grid[i] for i in range(ndim)]
    return getitem(arr, *places, index=tuple(Slot(i) for i in range(ndim)))


@implements(np.sort)
def _np_sort(
    a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Any:
    if axis is None:
        a, axis = np.ravel(a), 0
    return np.take_along_axis(a, np.argsort(a, axis=axis, stable=True), axis=axis)


@implements(np.median)
def _np_median(
    a: Any, axis: Axis = None, *, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    shape = np.shape(a)
    over = axes(axis, len(shape))
    rest = tuple(i for i in range(len(shape)) if i not in over)
    n = math.prod(shape[i] for i in over)
    flat = np.reshape(np.transpose(a, (*over, *rest)), (n, *(shape[i] for i in rest)))
    ordered = np.sort(flat, axis=0)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2.0
    # a NaN sorts last, and makes the median NaN
    middle = np.where(np.isnan(ordered[-1]), np.nan, middle)[()]
    if not keepdims:
        return middle
    return np.reshape(middle, tuple(1 if i in over else n for i, n in enumerate(shape)))


@implements(np.diagonal)
def _np_diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    a = np.moveaxis(a, (axis1, axis2), (-2, -1))
    rows, columns = np.shape(a)[-2:]
    n = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    return a[..., np.arange(n) + max(-offset, 0), np.arange(n) + max(offset, 0)]


@implements(np.trace)
def _np_trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1)


@implements(np.diag)
def _np_diag(v: Any, k: int = 0) -> Any:
    if np.ndim(v) == 2:
        return np.diagonal(v, k)
    n = np.shape(v)[0]
    rows, columns = np.arange(n) + max(-k, 0), np.arange(n) + max(k, 0)
    size = n + abs(k)
    return _scatter(v, rows, columns, shape=(size, size), index=(Slot(0), Slot(1)))


def _triangle(m: Any, k: int) -> Any:
    rows, columns = np.shape(m)[-2:]
    return np.tri(rows, columns, k, dtype=bool)


@implements(np.tril)
def _np_tril(m: Any, k: int = 0) -> Any:
    return np.where(_triangle(m, k), m, 0.0)


@implements(np.triu)
def _np_triu(m: Any, k: int = 0) -> Any:
    return np.where(_triangle(m, k - 1), 0.0, m)


@implements(np.interp)
def _np_interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """Piecewise linear; the slope at a knot is that of the interval to its right."""
    if period is not None:
        raise NotImplementedError("np.interp under tracing has no period: wrap x with % first")
    x, xp, fp = _float64(x), _float64(xp), _float64(fp)  # as numpy does
    last = np.shape(xp)[0] - 1
    if last < 1:
        raise ValueError("np.interp under tracing needs at least two points")
    i = np.clip(_interval(x, xp), 0, last - 1)
    x0, x1, f0, f1 = _at(xp, i), _at(xp, i + 1), _at(fp, i), _at(fp, i + 1)
    y = f0 + (f1 - f0) / (x1 - x0) * (x - x0)
    y = np.where(x < xp[0], fp[0] if left is None else left, y)
    return np.where(x > xp[last], fp[last] if right is None else right, y)


def _float64(x: Any) -> Any:
    return x.astype(float) if hasattr(x, "_softtape_record") else np.asarray(x, float)


_interval = primitive(
    "interval",
    lambda x, xp: np.searchsorted(xp, x, side="right") - 1,
    kind=Kind.CONSTANT,
)


def _at(values: Any, indices: Any, before: int = 0) -> Any:
    """Index the axis after ``before`` others, also of a plain array by a traced index."""
    if not hasattr(values, "_softtape_record"):
        values = np.asarray(values)
    if isinstance(indices, (list, tuple)):
        indices = np.asarray(indices)
    return getitem(values, indices, index=(*(slice(None),) * before, Slot(0)))


@implements(np.nonzero, np.flatnonzero, np.argwhere)
def _np_nonzero(a: Any) -> Any:
    raise NotImplementedError(
        "how many positions there are depends on the values: use np.where(condition, x, y)"
    )
