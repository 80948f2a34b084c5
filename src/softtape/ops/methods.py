"""Methods of ufuncs: ``np.add.reduce``, ``np.maximum.accumulate``, ``np.subtract.outer``, …"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from softtape.ops.indexing import pinned
from softtape.ops.reductions import Axis, axes
from softtape.ops.registry import FUNCTIONS, Kind, Primitive, primitive

__all__ = ["ufunc_method"]


def ufunc_method(
    ufunc: np.ufunc, method: str, inputs: Sequence[Any], keywords: dict[str, Any]
) -> Any:
    """Return what a method of ``ufunc`` does; NotImplemented where the tape does not know it."""
    code = _METHODS.get(method)
    if code is None or ufunc not in FUNCTIONS or ufunc.nin != 2 or ufunc.nout != 1:
        return NotImplemented
    given = {k: v for k, v in keywords.items() if v is not np._NoValue and v is not None}
    if "axis" in keywords:
        given["axis"] = keywords["axis"]  # None means all axes, no axis the first
    dtype = given.pop("dtype", None)
    if dtype is not None:
        inputs = (np.astype(inputs[0], np.dtype(dtype)), *inputs[1:])
    try:
        return code(ufunc, *inputs, **given)
    except TypeError:
        return NotImplemented  # an argument the code does not know


def _logsumexp(
    a: Any,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    initial: Any = np._NoValue,
    where: Any = True,
    base: Any = np.exp,
) -> Any:
    log = np.log if base is np.exp else np.log2
    if where is not True:
        a = np.where(where, a, -np.inf)
    if initial is not np._NoValue:
        made = _logsumexp(a, axis, keepdims=keepdims, base=base)
        return (np.logaddexp if base is np.exp else np.logaddexp2)(initial, made)
    top = np.max(a, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)  # of a constant sum, whose slope does not matter
    y = log(np.sum(base(a - top), axis=axis, keepdims=True)) + top
    return y if keepdims else np.squeeze(y, axes(axis, np.ndim(a)))


_REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.fmax: np.nanmax,
    np.fmin: np.nanmin,
    np.logical_and: np.all,
    np.logical_or: np.any,
    np.logaddexp: _logsumexp,
    np.logaddexp2: lambda a, **keywords: _logsumexp(a, base=np.exp2, **keywords),
}


def _reduce(ufunc: np.ufunc, a: Any, axis: Axis = 0, **keywords: Any) -> Any:
    known = _REDUCTIONS.get(ufunc)
    if known is not None:
        # not by numpy, who would ask us again where but `where` or `initial` is traced
        return FUNCTIONS.get(known, known)(a, axis=axis, **keywords)
    return _folded(ufunc, a, axis, **keywords)


def _folded(
    ufunc: np.ufunc,
    a: Any,
    axis: Axis = 0,
    *,
    keepdims: bool = False,
    initial: Any = np._NoValue,
    where: Any = True,
) -> Any:
    """Apply ``ufunc`` from left to right, one node for each element along the axis."""
    over = axes(axis, np.ndim(a))
    if len(over) != 1:
        raise NotImplementedError(f"np.{ufunc.__name__}.reduce goes along one axis at a time")
    parts = list(np.moveaxis(a, over[0], 0))
    if where is not True and initial is np._NoValue:
        initial = ufunc.identity
        if initial is None:
            raise ValueError(f"np.{ufunc.__name__}.reduce has no identity: where= needs initial=")
    if initial is not np._NoValue:
        parts.insert(0, initial)
    elif not parts:
        return ufunc.reduce(np.zeros(np.shape(a)), axis=over[0], keepdims=keepdims)
    y, given = parts[0], [True] * len(parts)
    if where is not True:
        given = list(np.moveaxis(np.broadcast_to(pinned(where), np.shape(a)), over[0], 0))
        given = [True] * (len(parts) - len(given)) + given
    for part, chosen in zip(parts[1:], given[1:], strict=True):
        y = ufunc(y, part) if chosen is True else np.where(chosen, ufunc(y, part), y)
    return np.expand_dims(y, over[0]) if keepdims else y


_running_place = primitive(
    "running_place",
    lambda x, run, axis: np.maximum.accumulate(
        np.where((x == run) | np.isnan(x), _places(x, axis), 0), axis=axis
    ),
    kind=Kind.CONSTANT,
)


def _places(x: Any, axis: int) -> Any:
    n = np.shape(x)[axis]
    return np.reshape(np.arange(n), (n,) + (1,) * (np.ndim(x) - axis - 1))


_running = {
    name: primitive(
        f"running_{name}",
        lambda x, axis, ufunc=ufunc: ufunc.accumulate(x, axis=axis),
        kind=Kind.CONSTANT,
    )
    for name, ufunc in (("maximum", np.maximum), ("minimum", np.minimum))
}


def _accumulate(ufunc: np.ufunc, a: Any, axis: int = 0) -> Any:
    if ufunc is np.add:
        return np.cumsum(a, axis=axis)
    if ufunc is np.multiply:
        return np.cumprod(a, axis=axis)
    axis = axes(axis, np.ndim(a))[0]
    if ufunc in (np.maximum, np.minimum):
        # the slope is that of the last element that attained the value so far
        run = _running[ufunc.__name__](a, axis=axis)
        return np.take_along_axis(a, _running_place(a, run, axis=axis), axis=axis)
    made: list[Any] = []
    for part in np.moveaxis(a, axis, 0):
        made.append(ufunc(made[-1], part) if made else part)
    return np.stack(made, axis=axis) if made else a


def _outer(ufunc: np.ufunc, a: Any, b: Any) -> Any:
    return ufunc(np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b)


def _reduceat(ufunc: np.ufunc, a: Any, indices: Any, axis: int = 0) -> Any:
    moved = np.moveaxis(a, axis, 0)
    starts = [int(i) for i in pinned(indices)]
    ends = [*starts[1:], np.shape(moved)[0]]
    parts = [
        _reduce(ufunc, moved[start:end]) if start < end else moved[start]
        for start, end in zip(starts, ends, strict=True)
    ]
    return np.moveaxis(np.stack(parts), 0, axis)


def _called(ufunc: np.ufunc, *operands: Any, **keywords: Any) -> Any:
    code = FUNCTIONS[ufunc]  # which a primitive's keywords would become static attributes of
    return NotImplemented if isinstance(code, Primitive) else code(*operands, **keywords)


_METHODS: dict[str, Callable[..., Any]] = {
    "__call__": _called,
    "reduce": _reduce,
    "accumulate": _accumulate,
    "outer": _outer,
    "reduceat": _reduceat,
}
