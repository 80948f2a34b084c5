"""Choosing among arrays, positions in arrays, and functions that call the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softtape.ops.elementwise import like
from softtape.ops.indexing import Slot, at, pinned, scatter, shared
from softtape.ops.reductions import axes
from softtape.ops.registry import implements

__all__: list[str] = []


@implements(np.select, sequences=(1, 1))
def _np_select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    y = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        y = np.where(condition, choice, y)
    return y


@implements(np.choose, sequences=(0, 1))
def _np_choose(a: Any, choices: Any, mode: str = "raise") -> Any:
    n, a = len(choices), a if hasattr(a, "_softtape_record") else np.asarray(a)
    if mode == "wrap":
        a = a % n
    elif mode == "raise" and np.any((a < 0) | (a >= n)):
        raise ValueError("invalid entry in choice array")
    y = choices[n - 1]
    for k in reversed(range(n - 1)):
        y = np.where(np.equal(a, k) if k else np.less_equal(a, k), choices[k], y)
    return y


@implements(np.compress)
def _np_compress(condition: Any, a: Any, axis: int | None = None) -> Any:
    positions = np.flatnonzero(pinned(np.not_equal(condition, 0)))
    return np.take(a, positions, axis=axis)


@implements(np.extract)
def _np_extract(condition: Any, arr: Any) -> Any:
    return np.take(np.ravel(arr), np.flatnonzero(pinned(np.not_equal(condition, 0))))


@implements(np.piecewise, sequences=(0, 1, 1))
def _np_piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **keywords: Any) -> Any:
    """Each function sees the elements it is meant for, and no other: guarded."""
    shape = np.shape(x)
    if not isinstance(condlist, list) or np.ndim(condlist[0]) < np.ndim(x):
        condlist = [condlist]
    masks = [np.broadcast_to(pinned(np.not_equal(c, 0)), shape) for c in condlist]
    if len(funclist) == len(masks) + 1:
        masks.append(~np.any(masks, axis=0))
    elif len(funclist) != len(masks):
        raise ValueError(
            f"with {len(masks)} condition(s), either {len(masks)} or {len(masks) + 1} functions "
            "are expected"
        )
    flat, dtype = np.ravel(x), x.dtype
    owner = np.full(flat.size, -1)
    for k, mask in enumerate(masks):
        owner[np.ravel(mask)] = k
    parts: list[Any] = []
    places: list[Any] = []
    for k, function in [(-1, 0.0), *enumerate(funclist)]:
        own = np.flatnonzero(owner == k)
        if not own.size:
            continue
        made = function(flat[own], *args, **keywords) if callable(function) else function
        parts.append(np.astype(np.broadcast_to(made, own.shape), dtype))
        places.append(own)
    if not parts:
        return x
    order = np.argsort(np.concatenate(places))
    return np.reshape(np.take(np.concatenate(parts), order), shape)


@implements(np.apply_along_axis)
def _np_apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **keywords: Any
) -> Any:
    axis = axes(axis, np.ndim(arr))[0]
    moved = np.moveaxis(arr, axis, -1)
    lead = np.shape(moved)[:-1]
    made = [func1d(moved[i], *args, **keywords) for i in np.ndindex(*lead)]
    joined = np.stack(made)
    own = np.shape(joined)[1:]
    placed = np.reshape(joined, (*lead, *own))
    # the axes of a result take the place of the axis they came from
    return np.moveaxis(
        placed, tuple(range(len(lead), len(lead) + len(own))), tuple(range(axis, axis + len(own)))
    )


@implements(np.apply_over_axes, sequences=(0, 0, 1))
def _np_apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    y = a
    for axis in (axes,) if np.ndim(axes) == 0 else axes:
        made = func(y, axis)
        y = made if np.ndim(made) == np.ndim(y) else np.expand_dims(made, axis % np.ndim(a))
    return y


# ---- positions


@implements(np.unravel_index)
def _np_unravel_index(indices: Any, shape: Any, order: str = "C") -> Any:
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    parts = []
    for n in reversed(lengths) if order == "C" else lengths:
        parts.append(indices % n)
        indices = indices // n
    return tuple(reversed(parts) if order == "C" else parts)


@implements(np.ravel_multi_index, sequences=(1,))
def _np_ravel_multi_index(
    multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C"
) -> Any:
    if mode != "raise":
        raise NotImplementedError("it knows mode='raise' only: use % or np.clip on the indices")
    lengths = (dims,) if isinstance(dims, int) else tuple(dims)
    pairs = list(zip(multi_index, lengths, strict=True))
    flat: Any = 0
    for index, n in pairs if order == "C" else reversed(pairs):
        flat = flat * n + index
    return flat


@implements(np.ix_)
def _np_ix(*args: Any) -> Any:
    return np.ix_(*(pinned(a) for a in args))


@implements(np.bincount)
def _np_bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    x = pinned(x)
    if weights is None:
        return np.bincount(x, minlength=minlength)
    size = max(int(x.max(initial=-1)) + 1, int(minlength))
    return scatter(np.astype(weights, np.dtype(float)), x, shape=(size,), index=(Slot(0),))


@implements(np.delete)
def _np_delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    if axis is None:
        arr, axis = np.ravel(arr), 0
    obj = pinned(obj) if hasattr(obj, "_softtape_record") else obj
    kept = np.delete(np.arange(np.shape(arr)[axis]), obj)
    return np.take(arr, kept, axis=axis)


@implements(np.insert)
def _np_insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    if axis is None:
        arr, axis = np.ravel(arr), 0
    ndim = np.ndim(arr)
    axis = axes(axis, ndim)[0]
    n = np.shape(arr)[axis]
    values = like(values, arr)
    values = np.reshape(values, (1,) * (ndim - np.ndim(values)) + np.shape(values))
    where = pinned(obj) if not isinstance(obj, slice) else obj
    if not isinstance(where, slice) and where.ndim == 0:
        values = np.moveaxis(values, 0, axis)  # numpy: several rows before one place
    count = len(np.insert(np.arange(n), where, np.zeros(np.shape(values)[axis], int))) - n
    shape = [count if i == axis else k for i, k in enumerate(np.shape(arr))]
    joined = np.concatenate([arr, np.broadcast_to(values, shape)], axis=axis)
    return np.take(joined, np.insert(np.arange(n), where, n + np.arange(count)), axis=axis)


@implements(np.lib.stride_tricks.sliding_window_view)
def _np_sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    windows = (window_shape,) if isinstance(window_shape, int) else tuple(window_shape)
    chosen = range(np.ndim(x)) if axis is None else (axis,) if isinstance(axis, int) else axis
    made = x
    for length, along in zip(windows, chosen, strict=True):
        own = along % np.ndim(x)
        n = np.shape(x)[own] - length + 1
        if n < 1:
            raise ValueError("window shape cannot be larger than input array shape")
        rows = np.arange(n)[:, None] + np.arange(length)
        made = np.moveaxis(at(made, rows, before=own), own + 1, -1)
    return shared(made, x, np.lib.stride_tricks.sliding_window_view, window_shape, axis)


@implements(np.diag_indices_from)
def _np_diag_indices_from(arr: Any) -> Any:
    return np.diag_indices_from(np.empty(np.shape(arr)))


@implements(np.tril_indices_from)
def _np_tril_indices_from(arr: Any, k: int = 0) -> Any:
    return np.tril_indices_from(np.empty(np.shape(arr)), k)


@implements(np.triu_indices_from)
def _np_triu_indices_from(arr: Any, k: int = 0) -> Any:
    return np.triu_indices_from(np.empty(np.shape(arr)), k)


@implements(np.einsum_path)
def _np_einsum_path(*operands: Any, **keywords: Any) -> Any:
    plain = [np.empty(np.shape(x)) if hasattr(x, "_softtape_record") else x for x in operands]
    return np.einsum_path(*plain, **keywords)
