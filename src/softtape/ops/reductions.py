"""Reductions and cumulative functions."""

from __future__ import annotations

from collections.abc import Callable
from math import prod  # itself, also while a program is traced
from typing import Any, TypeAlias

import numpy as np

from softtape.graph import ndim_of, shape_of
from softtape.ops.complex import is_complex
from softtape.ops.registry import Kind, implements, primitive

__all__ = ["Axis", "axes"]

Axis: TypeAlias = int | tuple[int, ...] | None


def axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return ``axis`` as a sorted tuple of non-negative axes; None means all."""
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int and -ndim <= axis < ndim:
        return (axis % ndim,)
    chosen = (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    for a in chosen:
        if not -ndim <= a < ndim:
            raise np.exceptions.AxisError(a, ndim)
    return tuple(sorted(int(a) % ndim for a in chosen))


def _spread(g: Any, x: Any, axis: tuple[int, ...]) -> Any:
    """Put the reduced axes back with length one, so that ``g`` broadcasts against ``x``."""
    shape = tuple(1 if a in axis else n for a, n in enumerate(shape_of(x)))
    return g if shape_of(g) == shape else np.reshape(g, shape)


def _is_extreme(y: Any, x: Any, axis: tuple[int, ...]) -> Any:
    """Weights that share a maximum's gradient equally between the elements that attain it."""
    hit = np.where(x == _spread(y, x, axis), 1.0, 0.0)
    return hit / np.sum(hit, axis=axis, keepdims=True)


def _others_product(x: Any, axis: tuple[int, ...]) -> Any:
    """For each element, the product of all others along ``axis``; exact also with zeros."""
    shape = np.shape(x)
    rest = tuple(i for i in range(len(shape)) if i not in axis)
    n = prod(shape[i] for i in axis)
    if n <= _FEW:
        # all others, spelt out: differentiable again, also where some of them are zero
        flat = np.reshape(np.transpose(x, (*rest, *axis)), (*(shape[i] for i in rest), 1, n))
        others = np.prod(np.where(np.eye(n, dtype=bool), 1.0, flat), axis=-1)
        order = (*rest, *axis)
        moved = np.reshape(others, tuple(shape[i] for i in order))
        return np.transpose(moved, tuple(order.index(i) for i in range(len(shape))))
    zero = x == 0
    nonzero = np.where(zero, 1.0, x)
    count = np.sum(zero, axis=axis, keepdims=True)
    product = np.prod(nonzero, axis=axis, keepdims=True)
    alone = np.where(count == 0, product / nonzero, 0.0)
    return np.where((count == 1) & zero, product, alone)


_FEW = 32
"""Up to this many factors, the gradient of a product forms each product of the others."""

_sum = primitive(
    "sum",
    lambda x, axis: np.add.reduce(x, axis=axis),  # np.sum itself, without the way to it
    (lambda g, y, x, axis: np.broadcast_to(_spread(g, x, axis), np.shape(x)),),
    kind=Kind.LINEAR,
)
_max, _min = (
    primitive(
        name,
        lambda x, axis, reduce=reduce: reduce(x, axis=axis),
        (lambda g, y, x, axis: _spread(g, x, axis) * _is_extreme(y, x, axis),),
        kind=Kind.OTHER,
        jvp=lambda tangents, y, x, axis: np.sum(tangents[0] * _is_extreme(y, x, axis), axis=axis),
    )
    for name, reduce in (("max", np.max), ("min", np.min))
)
_prod = primitive(
    "prod",
    lambda x, axis: np.prod(x, axis=axis),
    (lambda g, y, x, axis: _spread(g, x, axis) * _others_product(x, axis),),
    kind=Kind.OTHER,
    jvp=lambda tangents, y, x, axis: np.sum(tangents[0] * _others_product(x, axis), axis=axis),
)
_cumsum = primitive(
    "cumsum",
    lambda x, axis: x.cumsum(axis) if type(x) is np.ndarray else np.cumsum(x, axis),
    (lambda g, y, x, axis: np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis),),
    kind=Kind.LINEAR,
)


def _reduce(
    reduction: Callable[..., Any], a: Any, axis: Axis, keepdims: Any, where: Any, neutral: Any
) -> Any:
    if where is not True and where is not np._NoValue:
        a = np.where(where, a, neutral)
    over = axes(axis, ndim_of(a))
    y = reduction(a, axis=over)
    return _spread(y, a, over) if _kept(keepdims) else y


def _kept(keepdims: Any) -> bool:
    return keepdims is not np._NoValue and bool(keepdims)


@implements(np.sum)
def _np_sum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    *,
    keepdims: Any = False,
    initial: Any = 0,
    where: Any = True,
) -> Any:
    a = a if dtype is None else a.astype(dtype)
    y = _reduce(_sum, a, axis, keepdims, where, 0.0)
    return y if initial is np._NoValue or initial == 0 else y + initial


@implements(np.prod)
def _np_prod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    *,
    keepdims: Any = False,
    initial: Any = 1,
    where: Any = True,
) -> Any:
    a = a if dtype is None else np.astype(a, np.dtype(dtype))
    y = _reduce(_prod, a, axis, keepdims, where, 1.0)
    return y if initial is np._NoValue or initial == 1 else y * initial


@implements(np.max, np.amax)
def _np_max(
    a: Any,
    axis: Axis = None,
    *,
    keepdims: Any = False,
    initial: Any = np._NoValue,
    where: Any = True,
) -> Any:
    y = _reduce(_max, a, axis, keepdims, where, -np.inf)
    return y if initial is np._NoValue else np.maximum(y, initial)


@implements(np.min, np.amin)
def _np_min(
    a: Any,
    axis: Axis = None,
    *,
    keepdims: Any = False,
    initial: Any = np._NoValue,
    where: Any = True,
) -> Any:
    y = _reduce(_min, a, axis, keepdims, where, np.inf)
    return y if initial is np._NoValue else np.minimum(y, initial)


@implements(np.ptp)
def _np_ptp(a: Any, axis: Axis = None, *, keepdims: Any = False) -> Any:
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


def _count(a: Any, axis: Axis, where: Any) -> Any:
    if where is True or where is np._NoValue:
        shape = shape_of(a)
        return float(prod(shape if axis is None else [shape[i] for i in axes(axis, len(shape))]))
    return np.sum(np.broadcast_to(where, np.shape(a)), axis=axis)


def _divide_by_count(total: Any, count: Any) -> Any:
    if type(count) is float:
        return total / count
    if np.ndim(count):
        count = np.reshape(count, np.shape(total))
    # an integer would widen float32
    return total / count.astype(np.result_type(total, np.float16))


@implements(np.mean)
def _np_mean(
    a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: Any = False, where: Any = True
) -> Any:
    a = a if dtype is None else a.astype(dtype)
    total = _np_sum(a, axis, keepdims=keepdims, where=where)
    return _divide_by_count(total, _count(a, axis, where))


@implements(np.average)
def _np_average(
    a: Any,
    axis: Axis = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: Any = False,
) -> Any:
    if weights is None:
        mean = np.mean(a, axis=axis, keepdims=keepdims)
        return (mean, np.full_like(mean, _count(a, axis, True))) if returned else mean
    if np.shape(weights) != np.shape(a):
        over = axes(axis, np.ndim(a))
        weights = _spread(weights, a, tuple(i for i in range(np.ndim(a)) if i not in over))
    weights = np.broadcast_to(weights, np.shape(a))
    total = np.sum(a * weights, axis=axis, keepdims=keepdims)
    count = np.sum(weights, axis=axis, keepdims=keepdims)
    return (total / count, count) if returned else total / count


@implements(np.var)
def _np_var(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: Any = False,
    where: Any = True,
    mean: Any = np._NoValue,
    correction: Any = np._NoValue,
) -> Any:
    a = a if dtype is None else a.astype(dtype)
    ddof = ddof if correction is np._NoValue else correction
    center = np.mean(a, axis=axis, keepdims=True, where=where) if mean is np._NoValue else mean
    off = a - center
    squares = off.real**2 + off.imag**2 if is_complex(off) else off**2
    total = np.sum(squares, axis=axis, keepdims=keepdims, where=where)
    return _divide_by_count(total, _count(a, axis, where) - ddof)


@implements(np.std)
def _np_std(a: Any, axis: Axis = None, dtype: Any = None, **keywords: Any) -> Any:
    # like the norm: slope 0 where all values are equal
    variance = np.var(a, axis=axis, dtype=dtype, **keywords)
    zero = variance == 0
    return np.where(zero, 0.0, np.sqrt(np.where(zero, 1.0, variance)))[()]


@implements(np.cumsum)
def _np_cumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    a = a if dtype is None else np.astype(a, np.dtype(dtype))
    if axis is None:
        a, axis = a if ndim_of(a) == 1 else np.ravel(a), 0
    return _cumsum(a, axis=axis)


@implements(np.cumprod)
def _np_cumprod(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    a = a if dtype is None else np.astype(a, np.dtype(dtype))
    if axis is None:
        a, axis = np.ravel(a), 0
    parts, product = [], None
    for x in np.moveaxis(a, axis, 0):
        product = x if product is None else product * x
        parts.append(product)
    return np.stack(parts, axis=axis) if parts else a


def _cumulative(function: Callable[..., Any], neutral: float) -> Callable[..., Any]:
    def code(
        x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
    ) -> Any:
        if axis is None:
            if np.ndim(x) != 1:
                raise ValueError("For arrays which have more than one dimension axis is required")
            axis = 0
        y = function(x, axis=axis, dtype=dtype)
        if not include_initial:
            return y
        first = [1 if i == axis % np.ndim(y) else n for i, n in enumerate(np.shape(y))]
        return np.concatenate([np.full(first, neutral, y.dtype), y], axis=axis)

    return code


implements(np.cumulative_sum)(_cumulative(np.cumsum, 0))
implements(np.cumulative_prod)(_cumulative(np.cumprod, 1))


# No gradient, by choice: positions and truth values.
def _flat_reduction(function: Callable[..., Any]) -> None:
    flat = primitive(function.__name__, lambda x, axis: function(x, axis=axis), kind=Kind.CONSTANT)

    @implements(function)
    def code(a: Any, axis: Axis = None, *, keepdims: Any = False, where: Any = True) -> Any:
        if where is not True and where is not np._NoValue:
            a = np.logical_and(a, where) if function is np.any else np.logical_or(a, ~where)
        y = flat(a, axis=axis)
        return _spread(y, a, axes(axis, np.ndim(a))) if _kept(keepdims) else y


for _function in (np.argmax, np.argmin, np.all, np.any, np.count_nonzero):
    _flat_reduction(_function)
