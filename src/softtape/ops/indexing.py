"""Reading elements: ``x[index]`` in numpy's full sense, and what is made of it.

The index of a ``getitem`` node is a static template, a tuple of ints, slices, None and Ellipsis,
in which a :class:`Slot` stands for an index array. The arrays themselves are operands: so two
tests that look up different rows still have the same graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from softtape.ops.reductions import axes
from softtape.ops.registry import Kind, Primitive, implements, primitive

__all__ = ["Slot", "at", "getitem", "pinned", "scatter", "shared"]


@dataclass(frozen=True, slots=True)
class Slot:
    """Place of the ``number``-th index operand in an index template."""

    number: int


def _filled(index: tuple[Any, ...], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(arrays[i.number] if isinstance(i, Slot) else i for i in index)


def _scatter_add(g: Any, *arrays: Any, shape: tuple[int, ...], index: tuple[Any, ...]) -> Any:
    """Return zeros of ``shape`` with ``g`` added at ``index``; repeated places add up."""
    out = np.zeros(shape, getattr(g, "dtype", complex if type(g) is complex else float))
    if arrays:
        np.add.at(out, _filled(index, arrays), g)
    else:
        out[index] = g
    return out


scatter = primitive(
    "scatter_add",
    _scatter_add,
    (lambda g, y, x, *arrays, shape, index: getitem(g, *arrays, index=index),),
    kind=Kind.MULTILINEAR,
)
getitem: Primitive = primitive(
    "getitem",
    lambda x, *arrays, index: x[_filled(index, arrays)],
    (lambda g, y, x, *arrays, index: scatter(g, *arrays, shape=np.shape(x), index=index),),
    kind=Kind.MULTILINEAR,
)


@implements(np.take)
def _np_take(a: Any, indices: Any, axis: int | None = None, *, mode: str = "raise") -> Any:
    if mode != "raise":
        n = np.size(a) if axis is None else np.shape(a)[axis]
        indices = np.clip(indices, 0, n - 1) if mode == "clip" else np.remainder(indices, n)
    if axis is None:
        return at(np.ravel(a), indices)
    return at(a, indices, before=axes(axis, np.ndim(a))[0])


@implements(np.take_along_axis)
def _np_take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    if axis is None:
        return at(np.ravel(arr), indices)
    axis, ndim = axes(axis, np.ndim(arr))[0], np.ndim(arr)
    if ndim == 1:
        return at(arr, indices)
    # the other axes run over those of arr, against which indices of length 1 broadcast
    grid = np.ogrid[tuple(slice(n) for n in np.shape(arr))]
    places = [indices if i == axis else grid[i] for i in range(ndim)]
    return getitem(arr, *places, index=tuple(Slot(i) for i in range(ndim)))


def shared(made: Any, array: Any, view: Any, *arguments: Any) -> Any:
    """Return elements of an array as what shares its memory, where ``view`` does so in numpy."""
    share = getattr(array, "_softtape_shares", None)
    if share is not None:
        before = (arguments[0], array._value) if view is np.einsum else (array._value, *arguments)
        seen = view(*before)
        if np.may_share_memory(seen, array._value):
            share(made, seen)
    return made


@implements(np.diagonal)
def _np_diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    moved = np.moveaxis(a, (axis1, axis2), (-2, -1))
    rows, columns = np.shape(moved)[-2:]
    n = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    made = moved[..., np.arange(n) + max(-offset, 0), np.arange(n) + max(offset, 0)]
    return shared(made, a, np.diagonal, offset, axis1, axis2)


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
    return scatter(v, rows, columns, shape=(size, size), index=(Slot(0), Slot(1)))


@implements(np.diagflat)
def _np_diagflat(v: Any, k: int = 0) -> Any:
    return np.diag(np.ravel(v), k)


def _triangle(m: Any, k: int) -> Any:
    rows, columns = np.shape(m)[-2:]
    return np.tri(rows, columns, k, dtype=bool)


@implements(np.tril)
def _np_tril(m: Any, k: int = 0) -> Any:
    return np.where(_triangle(m, k), m, 0.0)


@implements(np.triu)
def _np_triu(m: Any, k: int = 0) -> Any:
    return np.where(_triangle(m, k - 1), 0.0, m)


def pinned(x: Any) -> Any:
    """Return truth values or positions as a plain array, on which the graph depends from now."""
    return np.asarray(x._pinned() if hasattr(x, "_softtape_record") else x)


def at(values: Any, indices: Any, before: int = 0) -> Any:
    """Index the axis after ``before`` others, also of a plain array by a traced index."""
    if not hasattr(values, "_softtape_record"):
        values = np.asarray(values)
    if isinstance(indices, (list, tuple)):
        indices = np.asarray(indices)
    return getitem(values, indices, index=(*(slice(None),) * before, Slot(0)))
