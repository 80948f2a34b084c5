"""What goes by the order of values: sorting, order statistics, sets, searching.

Where values stand is constant almost everywhere; a value that is moved there takes its slope with
it. Functions whose *shape* depends on the values (``unique``, ``nonzero``) guard where they stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from softtape.ops.indexing import at, pinned
from softtape.ops.reductions import Axis, axes
from softtape.ops.registry import Kind, implements, primitive

__all__ = ["gathered"]

_np: Any = np  # where numpy's annotations want each keyword spelt out

_argsort = primitive(
    "argsort",
    lambda x, axis, kind=None: np.argsort(x, axis=axis, kind=kind),
    kind=Kind.CONSTANT,
)
_argpartition = primitive(
    "argpartition",
    lambda x, axis, kth: np.argpartition(x, kth, axis=axis),
    kind=Kind.CONSTANT,
)
_lexsort = primitive("lexsort", lambda x, axis: np.lexsort(x, axis=axis), kind=Kind.CONSTANT)
_searchsorted = primitive(
    "searchsorted",
    lambda a, v, side: np.searchsorted(a, v, side=side),
    kind=Kind.CONSTANT,
)


@implements(np.argsort)
def _np_argsort(
    a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Any:
    kind = "stable" if stable else kind  # as asked for: ties must come out as in plain numpy
    if axis is None:
        return _argsort(np.ravel(a), axis=0, kind=kind)
    return _argsort(a, axis=axis, kind=kind)


@implements(np.sort)
def _np_sort(
    a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Any:
    if axis is None:
        a, axis = np.ravel(a), 0
    return np.take_along_axis(a, np.argsort(a, axis=axis, stable=True), axis=axis)


@implements(np.argpartition)
def _np_argpartition(
    a: Any, kth: Any, axis: int | None = -1, kind: Any = "introselect", order: Any = None
) -> Any:
    places = kth if isinstance(kth, int) else tuple(int(k) for k in kth)
    if axis is None:
        return _argpartition(np.ravel(a), axis=0, kth=places)
    return _argpartition(a, axis=axis, kth=places)


@implements(np.partition)
def _np_partition(
    a: Any, kth: Any, axis: int | None = -1, kind: Any = "introselect", order: Any = None
) -> Any:
    if axis is None:
        a, axis = np.ravel(a), 0
    return np.take_along_axis(a, np.argpartition(a, kth, axis=axis), axis=axis)


@implements(np.lexsort, sequences=(1,))
def _np_lexsort(keys: Any, axis: int = -1) -> Any:
    return _lexsort(np.stack(list(keys)), axis=axis)


# ---- order statistics


def gathered(a: Any, axis: Axis) -> tuple[Any, tuple[int, ...]]:
    """Put the elements along ``axis`` on one first axis; also return the axes that went there."""
    shape = np.shape(a)
    over = axes(axis, len(shape))
    rest = tuple(i for i in range(len(shape)) if i not in over)
    n = math.prod(shape[i] for i in over)
    flat = np.reshape(np.transpose(a, (*over, *rest)), (n, *(shape[i] for i in rest)))
    return flat, over


def _spread(y: Any, a: Any, over: tuple[int, ...], lead: int = 0) -> Any:
    kept = tuple(1 if i in over else n for i, n in enumerate(np.shape(a)))
    return np.reshape(y, np.shape(y)[:lead] + kept)


@implements(np.median)
def _np_median(
    a: Any, axis: Axis = None, *, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    flat, over = gathered(a, axis)
    ordered, n = np.sort(flat, axis=0), np.shape(flat)[0]
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2.0
    # a NaN sorts last, and makes the median NaN
    middle = np.where(np.isnan(ordered[-1]), np.nan, middle)[()]
    return _spread(middle, a, over) if keepdims else middle


_CONTINUOUS = {
    "linear": (1.0, 1.0),
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
"""Methods whose place moves with ``q``: alpha and beta of Hyndman and Fan (1996)."""

_down, _up = (
    primitive(
        f"{name}_index",
        lambda x, cut=cut: np.nan_to_num(cut(x)).astype(np.intp),
        kind=Kind.CONSTANT,
    )
    for name, cut in (("floor", np.floor), ("ceil", np.ceil))
)
_known_places = primitive(
    "known_places",
    lambda known, q, method: _each_place(known, q, method),
    kind=Kind.CONSTANT,
)


def _place(n: int, q: Any, method: str, dtype: Any) -> Any:
    """Where among ``n`` sorted values the quantiles are, as numpy's own function has it."""
    return np.quantile(np.arange(n, dtype=dtype), q, method=method)  # type: ignore[call-overload]


def _each_place(known: Any, q: Any, method: str) -> Any:
    counts = np.asarray(known)
    made = np.full((*np.shape(q), *counts.shape), np.nan)
    for n in np.unique(counts):
        if n:
            made[..., counts == n] = np.expand_dims(_place(n, q, method, float), -1)
    return made


def _quantile(
    a: Any, q: Any, axis: Axis, method: str, keepdims: bool, weights: Any, ignore_nan: bool
) -> Any:
    if weights is not None:
        raise NotImplementedError(
            "it takes no weights, of which it is a step function: with i = np.argsort(a), "
            "write np.interp(q, np.cumsum(w[i]) / np.sum(w), a[i])"
        )
    flat, over = gathered(a, axis)
    ordered, n = np.sort(flat, axis=0), np.shape(flat)[0]
    lead, rest = np.ndim(q), np.ndim(flat) - 1
    if hasattr(q, "_softtape_record"):
        if method not in _CONTINUOUS or ignore_nan:
            raise NotImplementedError(f"with a traced q it knows no method={method!r}")
        alpha, beta = _CONTINUOUS[method]
        place = np.clip(n * q + alpha + q * (1.0 - alpha - beta) - 1.0, 0.0, n - 1.0)
        place = np.reshape(place, np.shape(q) + (1,) * rest)
    elif ignore_nan:
        known = np.sum(~np.isnan(ordered), axis=0)
        place = _known_places(known, q=_frozen(q), method=method)
    else:
        place = _place(n, q, method, a.dtype)
        place = np.reshape(place, np.shape(place) + (1,) * rest)
    made = _between(ordered, place, lead, moving=hasattr(q, "_softtape_record"))
    if not ignore_nan:
        made = np.where(np.isnan(ordered[-1]), np.nan, made)[()] if a.dtype.kind == "f" else made
    return _spread(made, a, over, lead) if keepdims else made


def _frozen(q: Any) -> Any:
    """Return quantiles as what a node may carry: numbers and tuples of them."""
    return tuple(map(_frozen, q)) if np.ndim(q) else float(q)


def _between(ordered: Any, place: Any, lead: int, *, moving: bool) -> Any:
    """Return sorted values at fractional places, which have ``lead`` axes before the others."""
    shape = np.shape(ordered)
    low = _down(place)
    # a place that moves has the slope to its right; one that stays must not look at a NaN there
    high = np.minimum(low + 1, shape[0] - 1) if moving else _up(place)
    whole = np.shape(place)[:lead] + shape[1:]
    below, above = (
        np.reshape(
            np.take_along_axis(
                ordered, np.reshape(np.broadcast_to(i, whole), (-1, *shape[1:])), axis=0
            ),
            whole,
        )
        for i in (low, high)
    )
    part = place - np.floor(place)
    if not hasattr(part, "_softtape_record") and not np.any(part):
        return below  # of its own dtype, which may be an integer one
    return below + (above - below) * part


@implements(np.quantile)
def _np_quantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    return _quantile(a, q, axis, method, keepdims, weights, ignore_nan=False)


@implements(np.percentile)
def _np_percentile(a: Any, q: Any, *args: Any, **keywords: Any) -> Any:
    return np.quantile(a, _per_cent(q), *args, **keywords)


@implements(np.nanquantile)
def _np_nanquantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    return _quantile(a, q, axis, method, keepdims, weights, ignore_nan=True)


@implements(np.nanpercentile)
def _np_nanpercentile(a: Any, q: Any, *args: Any, **keywords: Any) -> Any:
    return np.nanquantile(a, _per_cent(q), *args, **keywords)


@implements(np.nanmedian)
def _np_nanmedian(
    a: Any, axis: Axis = None, *, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    return np.nanquantile(a, 0.5, axis=axis, keepdims=keepdims)


def _per_cent(q: Any) -> Any:
    return (np.asarray(q) if isinstance(q, (list, tuple)) else q) / 100.0


# ---- searching: places, which are constant


@implements(np.searchsorted)
def _np_searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    return _searchsorted(a if sorter is None else np.take(a, sorter), v, side=side)


@implements(np.digitize)
def _np_digitize(x: Any, bins: Any, right: bool = False) -> Any:
    n = np.shape(bins)[0]
    if bins[0] <= bins[n - 1]:
        return np.searchsorted(bins, x, side="left" if right else "right")
    return n - np.searchsorted(np.flip(bins), x, side="left" if right else "right")


@implements(np.isin)
def _np_isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: Any = None,
) -> Any:
    found = np.any(np.equal(np.expand_dims(element, -1), np.ravel(test_elements)), axis=-1)
    return np.logical_not(found) if invert else found


def _np_in1d(ar1: Any, ar2: Any, *args: Any, **keywords: Any) -> Any:
    return np.isin(np.ravel(ar1), ar2, *args, **keywords)


if hasattr(np, "in1d"):  # numpy before 2.4
    implements(np.in1d)(_np_in1d)


# ---- what has as many elements as the values say: guarded


@implements(np.nonzero)
def _np_nonzero(a: Any) -> Any:
    return np.nonzero(pinned(np.not_equal(a, 0)))


@implements(np.flatnonzero)
def _np_flatnonzero(a: Any) -> Any:
    return np.flatnonzero(pinned(np.not_equal(a, 0)))


@implements(np.argwhere)
def _np_argwhere(a: Any) -> Any:
    return np.argwhere(pinned(np.not_equal(a, 0)))


@implements(np.trim_zeros)
def _np_trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    found = np.argwhere(filt)
    index = []
    for i, n in enumerate(np.shape(filt)):
        chosen = axis is None or i in axes(axis, np.ndim(filt))
        first = int(found[:, i].min()) if chosen and "f" in trim.lower() and len(found) else 0
        last = int(found[:, i].max()) + 1 if chosen and "b" in trim.lower() and len(found) else n
        index.append(slice(first, last if len(found) or not chosen else 0))
    return filt[tuple(index)]


_UNIQUE = {
    what: primitive(
        f"unique_{what}",
        lambda x, what=what, equal_nan=True: _np.unique(
            x, equal_nan=equal_nan, **{f"return_{what}": True}
        )[1],
        kind=Kind.CONSTANT,
    )
    for what in ("index", "inverse", "counts")
}


@implements(np.unique)
def _np_unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: Any = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    if axis is not None:
        raise NotImplementedError(
            "it knows no axis: take the rows apart and compare them, by np.all(x[i] == x[j])"
        )
    places = {
        what: pinned(_UNIQUE[what](ar, equal_nan=equal_nan))
        for what, wanted in (
            ("index", True),
            ("inverse", return_inverse),
            ("counts", return_counts),
        )
        if wanted
    }
    values = at(np.ravel(ar), places["index"])
    if not return_index:
        del places["index"]
    return (values, *places.values()) if places else values


@implements(np.unique_values)
def _np_unique_values(x: Any, /) -> Any:
    return np.unique(x, equal_nan=False)


def _unique_results(function: Callable[..., Any], *wanted: str) -> None:
    made = type(function(np.zeros(1)))
    keywords = {f"return_{what}": True for what in wanted}

    @implements(function)
    def code(x: Any, /) -> Any:
        return made(*_np.unique(x, equal_nan=False, **keywords))


_unique_results(np.unique_all, "index", "inverse", "counts")
_unique_results(np.unique_counts, "counts")
_unique_results(np.unique_inverse, "inverse")


@implements(np.union1d)
def _np_union1d(ar1: Any, ar2: Any) -> Any:
    return np.unique(np.concatenate([ar1, ar2], axis=None))


@implements(np.intersect1d)
def _np_intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    if return_indices:
        raise NotImplementedError("it returns no indices: look them up with np.searchsorted")
    values = np.unique(ar1)
    return values[pinned(np.isin(values, ar2))]


@implements(np.setdiff1d)
def _np_setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    values = np.ravel(ar1) if assume_unique else np.unique(ar1)
    return values[pinned(np.isin(values, ar2, invert=True))]


@implements(np.setxor1d)
def _np_setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    return np.union1d(np.setdiff1d(ar1, ar2), np.setdiff1d(ar2, ar1))
