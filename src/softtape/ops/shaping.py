"""Reshaping, joining, repeating, and what asks for shapes only."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from math import prod  # itself, also while a program is traced
from typing import Any

import numpy as np

from softtape.graph import ndim_of, shape_of
from softtape.ops.reductions import Axis, axes
from softtape.ops.registry import Kind, implements, primitive

__all__: list[str] = []


# themselves, also while a program is traced
_array, _concatenated, _stacked = np.array, np.concatenate, np.stack
_NUMBERS = frozenset({float, int, np.float64})


def _unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum ``g`` over the axes along which ``shape`` was broadcast."""
    extra = np.ndim(g) - len(shape)
    if extra:
        g = np.sum(g, axis=tuple(range(extra)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and np.shape(g)[i] != 1)
    return np.sum(g, axis=stretched, keepdims=True) if stretched else g


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Return the cotangent of a value of ``shape`` from that of its broadcast."""
    return g if shape_of(g) == shape else _unbroadcast(g, shape)


_reshape = primitive(
    "reshape",
    lambda x, shape: x.reshape(shape) if type(x) is np.ndarray else np.reshape(x, shape),
    (lambda g, y, x, shape: np.reshape(g, np.shape(x)),),
    kind=Kind.LINEAR,
)
_transpose = primitive(
    "transpose",
    lambda x, axes: x.transpose(axes) if type(x) is np.ndarray else np.transpose(x, axes),
    (lambda g, y, x, axes: np.transpose(g, tuple(int(i) for i in np.argsort(axes))),),
    kind=Kind.LINEAR,
)
_broadcast_to = primitive(
    "broadcast_to",
    # of a number, numpy would make an array by np.array, which under tracing is the program's own
    lambda x, shape: np.broadcast_to(np.asarray(x), shape),
    (lambda g, y, x, shape: unbroadcast(g, np.shape(x)),),
    kind=Kind.LINEAR,
)
_flip = primitive(
    "flip",
    lambda x, axis: np.flip(x, axis),
    (lambda g, y, x, axis: np.flip(g, axis),),
    kind=Kind.LINEAR,
)


def _part(i: int, g: Any, parts: Sequence[Any], axis: int) -> Any:
    start = sum(np.shape(p)[axis] for p in parts[:i])
    index = [slice(None)] * np.ndim(g)
    index[axis] = slice(start, start + np.shape(parts[i])[axis])
    return g[tuple(index)]


_concatenate = primitive(
    "concatenate",
    lambda *parts, axis: _concatenated(parts, axis),
    lambda i, g, y, *parts, axis: _part(i, g, parts, axis),
    kind=Kind.LINEAR,
)


def _joined(*parts: Any, axis: int) -> Any:
    if axis == 0 and (_NUMBERS.issuperset(map(type, parts)) or len({*map(shape_of, parts)}) == 1):
        return _array(parts)  # the same, without np.stack's way to it
    return _stacked(parts, axis=axis)


_stack = primitive(
    "stack",
    _joined,
    lambda i, g, y, *parts, axis: g[(slice(None),) * axis + (i,)],
    kind=Kind.LINEAR,
)


@implements(np.reshape)
def _np_reshape(a: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Any:
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    shape = tuple(map(operator.index, shape))
    if -1 in shape:
        known = prod(n for n in shape if n != -1)
        size = prod(shape_of(a)) // max(known, 1)
        shape = tuple(size if n == -1 else n for n in shape)
    if order == "F":
        return np.transpose(np.reshape(np.transpose(a), shape[::-1]))
    if order != "C" and ndim_of(a) > 1:
        raise NotImplementedError(_ORDERS)
    return a if shape == shape_of(a) else _reshape(a, shape=shape)


_ORDERS = "it knows order='C' and order='F': a traced array has no order in memory"


@implements(np.ravel)
def _np_ravel(a: Any, order: str = "C") -> Any:
    return _np_reshape(a, (prod(shape_of(a)),), order)


@implements(np.transpose)
def _np_transpose(a: Any, axes: Sequence[int] | None = None) -> Any:
    n = ndim_of(a)
    order = tuple(range(n - 1, -1, -1)) if axes is None else tuple(i % n for i in axes)
    return _transpose(a, axes=order)


@implements(np.matrix_transpose)
def _np_matrix_transpose(x: Any, /) -> Any:
    return np.swapaxes(x, -1, -2)


@implements(np.swapaxes)
def _np_swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    order = list(range(ndim_of(a)))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return _transpose(a, axes=tuple(order))


@implements(np.moveaxis)
def _np_moveaxis(a: Any, source: Any, destination: Any) -> Any:
    order = np.moveaxis(np.empty((0,) * np.ndim(a)), source, destination)  # validates the axes
    n = order.ndim
    moved = [i % n for i in np.atleast_1d(source)]
    placed = [i % n for i in np.atleast_1d(destination)]
    rest = [i for i in range(n) if i not in moved]
    for place, axis in sorted(zip(placed, moved, strict=True)):
        rest.insert(place, int(axis))
    return _transpose(a, axes=tuple(rest))


@implements(np.expand_dims)
def _np_expand_dims(a: Any, axis: Axis) -> Any:
    new = (axis,) if isinstance(axis, int) else tuple(axis or ())
    ndim = np.ndim(a) + len(new)
    placed = axes(new, ndim)
    old = iter(np.shape(a))
    return np.reshape(a, tuple(1 if i in placed else next(old) for i in range(ndim)))


@implements(np.squeeze)
def _np_squeeze(a: Any, axis: Axis = None) -> Any:
    shape = np.shape(a)
    gone = [i for i, n in enumerate(shape) if n == 1] if axis is None else axes(axis, len(shape))
    if any(shape[i] != 1 for i in gone):
        raise ValueError(f"cannot squeeze axis {axis} of shape {shape}: its length is not 1")
    return np.reshape(a, tuple(n for i, n in enumerate(shape) if i not in gone))


@implements(np.broadcast_to)
def _np_broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return array if shape == np.shape(array) else _broadcast_to(array, shape=shape)


@implements(np.broadcast_arrays)
def _np_broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    shape = np.broadcast_shapes(*(np.shape(a) for a in args))
    return tuple(np.broadcast_to(a, shape) for a in args)


@implements(np.flip)
def _np_flip(m: Any, axis: Axis = None) -> Any:
    return _flip(m, axis=axes(axis, np.ndim(m)))


@implements(np.fliplr)
def _np_fliplr(m: Any) -> Any:
    return np.flip(m, 1)


@implements(np.flipud)
def _np_flipud(m: Any) -> Any:
    return np.flip(m, 0)


@implements(np.concatenate, sequences=(1,))
def _np_concatenate(arrays: Any, /, axis: int | None = 0, *, dtype: Any = None) -> Any:
    if dtype is not None:
        return np.astype(np.concatenate(arrays, axis), np.dtype(dtype))
    if axis is None:
        arrays, axis = [np.ravel(a) for a in arrays], 0
    # the first axis needs no counting
    return _concatenate(*arrays, axis=axis and axes(axis, ndim_of(arrays[0]))[0])


@implements(np.stack, sequences=(1,))
def _np_stack(arrays: Any, axis: int = 0, *, dtype: Any = None) -> Any:
    if dtype is not None:
        return np.astype(np.stack(arrays, axis), np.dtype(dtype))
    return _stack(*arrays, axis=axis and axes(axis, ndim_of(arrays[0]) + 1)[0])


@implements(np.atleast_1d)
def _np_atleast_1d(*arys: Any) -> Any:
    made = [a if np.ndim(a) else np.reshape(a, (1,)) for a in arys]
    return made[0] if len(made) == 1 else tuple(made)


@implements(np.atleast_2d)
def _np_atleast_2d(*arys: Any) -> Any:
    made = [a if np.ndim(a) > 1 else np.reshape(a, (1, -1)) for a in arys]
    return made[0] if len(made) == 1 else tuple(made)


@implements(np.atleast_3d)
def _np_atleast_3d(*arys: Any) -> Any:
    made = [a if np.ndim(a) > 2 else np.reshape(a, (*_np_shape(np.atleast_2d(a)), 1)) for a in arys]
    return made[0] if len(made) == 1 else tuple(made)


@implements(np.vstack, sequences=(1,))
def _np_vstack(tup: Any, *, dtype: Any = None) -> Any:
    return np.concatenate([np.atleast_2d(a) for a in tup], axis=0, dtype=dtype)


@implements(np.hstack, sequences=(1,))
def _np_hstack(tup: Any, *, dtype: Any = None) -> Any:
    parts = [np.atleast_1d(a) for a in tup]
    return np.concatenate(parts, axis=0 if np.ndim(parts[0]) == 1 else 1, dtype=dtype)


@implements(np.column_stack, sequences=(1,))
def _np_column_stack(tup: Any) -> Any:
    return np.concatenate([a if np.ndim(a) > 1 else np.reshape(a, (-1, 1)) for a in tup], axis=1)


@implements(np.dstack, sequences=(1,))
def _np_dstack(tup: Any) -> Any:
    return np.concatenate([np.atleast_3d(a) for a in tup], axis=2)


@implements(np.block, sequences=(32,))
def _np_block(arrays: Any) -> Any:
    depth, part = 0, arrays
    while isinstance(part, list):
        depth, part = depth + 1, part[0]
    ndim = max(depth, *_ndims(arrays), 0)

    def joined(part: Any, level: int) -> Any:
        if isinstance(part, list):
            inner = [joined(p, level + 1) for p in part]
            return np.concatenate(inner, axis=level - depth)
        return np.reshape(part, (1,) * (ndim - np.ndim(part)) + np.shape(part))

    return joined(arrays, 0)


def _ndims(part: Any) -> list[int]:
    return [n for p in part for n in _ndims(p)] if isinstance(part, list) else [np.ndim(part)]


@implements(np.unstack)
def _np_unstack(x: Any, /, *, axis: int = 0) -> Any:
    return tuple(np.moveaxis(x, axis, 0))


@implements(np.append)
def _np_append(arr: Any, values: Any, axis: int | None = None) -> Any:
    return np.concatenate([arr, values], axis=axis)


def _split_points(length: int, sections: Any) -> list[int]:
    if isinstance(sections, (int, np.integer)):
        big, extra = divmod(length, int(sections))
        sizes = [big + 1] * extra + [big] * (int(sections) - extra)
        return [int(i) for i in np.cumsum(sizes)[:-1]]
    return [int(i) for i in sections]


@implements(np.split)
def _np_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    length = np.shape(ary)[axis]
    if isinstance(indices_or_sections, (int, np.integer)) and length % indices_or_sections:
        raise ValueError(f"np.split: {length} does not divide into {indices_or_sections} parts")
    return np.array_split(ary, indices_or_sections, axis)


@implements(np.array_split)
def _np_array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    cuts = [0, *_split_points(np.shape(ary)[axis], indices_or_sections), np.shape(ary)[axis]]
    lead = (slice(None),) * axes(axis, np.ndim(ary))[0]
    return [ary[(*lead, slice(a, b))] for a, b in itertools.pairwise(cuts)]


@implements(np.hsplit)
def _np_hsplit(ary: Any, indices_or_sections: Any) -> Any:
    return np.split(ary, indices_or_sections, axis=1 if np.ndim(ary) > 1 else 0)


@implements(np.vsplit)
def _np_vsplit(ary: Any, indices_or_sections: Any) -> Any:
    return np.split(ary, indices_or_sections, axis=0)


@implements(np.dsplit)
def _np_dsplit(ary: Any, indices_or_sections: Any) -> Any:
    return np.split(ary, indices_or_sections, axis=2)


@implements(np.roll)
def _np_roll(a: Any, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        return np.reshape(np.roll(np.ravel(a), shift, 0), np.shape(a))
    for by, over in np.broadcast(shift, axis):
        n = np.shape(a)[over]
        a = np.take(a, (np.arange(n) - by) % max(n, 1), axis=over)
    return a


@implements(np.rollaxis)
def _np_rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    n = np.ndim(a)
    axis, start = axis % n, start + n if start < 0 else start
    return np.moveaxis(a, axis, start - 1 if axis < start else start)


@implements(np.rot90)
def _np_rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    first, second = (int(a) % np.ndim(m) for a in axes)
    if k % 4 == 0:
        return m
    if k % 4 == 2:
        return np.flip(m, (first, second))
    return (
        np.swapaxes(np.flip(m, second), first, second)
        if k % 4 == 1
        else np.flip(np.swapaxes(m, first, second), second)
    )


@implements(np.resize)
def _np_resize(a: Any, new_shape: Any) -> Any:
    shape = (new_shape,) if isinstance(new_shape, int) else tuple(new_shape)
    return np.reshape(np.take(np.ravel(a), np.resize(np.arange(np.size(a)), shape)), shape)


@implements(np.repeat)
def _np_repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    if axis is None:
        a, axis = np.ravel(a), 0
    return np.take(a, np.repeat(np.arange(np.shape(a)[axis]), repeats), axis=axis)


@implements(np.tile)
def _np_tile(A: Any, reps: Any) -> Any:  # noqa: N803 -- numpy's own argument name
    reps = (reps,) if isinstance(reps, int) else tuple(reps)
    n = max(len(reps), np.ndim(A))
    a = np.reshape(A, (1,) * (n - np.ndim(A)) + np.shape(A))
    for axis, times in enumerate((1,) * (n - len(reps)) + reps):
        if times != 1:
            a = np.concatenate([a] * times, axis=axis)
    return a.copy() if a is A else a


@implements(np.copy)
def _np_copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    return a.copy()


# What these return does not depend on the values, only on shape and dtype.


@implements(np.shape)
def _np_shape(a: Any) -> tuple[int, ...]:
    return tuple(a.shape)


@implements(np.ndim)
def _np_ndim(a: Any) -> int:
    return len(a.shape)


@implements(np.size)
def _np_size(a: Any, axis: int | None = None) -> int:
    return int(a.size) if axis is None else int(a.shape[axis])


@implements(np.zeros_like)
def _np_zeros_like(a: Any, dtype: Any = None, shape: Any = None) -> Any:
    return np.zeros(np.shape(a) if shape is None else shape, dtype or a.dtype)


@implements(np.ones_like)
def _np_ones_like(a: Any, dtype: Any = None, shape: Any = None) -> Any:
    return np.ones(np.shape(a) if shape is None else shape, dtype or a.dtype)


@implements(np.empty_like)
def _np_empty_like(a: Any, dtype: Any = None, shape: Any = None) -> Any:
    return np.empty(np.shape(a) if shape is None else shape, dtype or a.dtype)


@implements(np.full_like)
def _np_full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Any:
    ones = np.ones(np.shape(a) if shape is None else shape, dtype or a.dtype)
    if not hasattr(fill_value, "_softtape_record"):
        return np.full_like(ones, fill_value)
    return ones * fill_value


def _dtype(x: Any) -> Any:
    return x.dtype if hasattr(x, "_softtape_record") else x


@implements(np.result_type)
def _np_result_type(*arrays_and_dtypes: Any) -> Any:
    return np.result_type(*map(_dtype, arrays_and_dtypes))


@implements(np.can_cast)
def _np_can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    return np.can_cast(_dtype(from_), _dtype(to), casting)


@implements(np.min_scalar_type)
def _np_min_scalar_type(a: Any, /) -> Any:
    return a.dtype


@implements(np.common_type)
def _np_common_type(*arrays: Any) -> Any:
    return np.common_type(*(np.empty(0, a.dtype) for a in arrays))
