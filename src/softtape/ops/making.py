"""Arrays made from a few values: grids, ramps, borders, tables of powers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softtape.ops.elementwise import like
from softtape.ops.registry import implements

__all__: list[str] = []


# ---- ramps


def _ramp(num: int, endpoint: bool, ndim: int) -> Any:
    steps = num - 1 if endpoint else num
    return np.reshape(np.arange(num) / max(steps, 1), (num,) + (1,) * ndim)


@implements(np.linspace)
def _np_linspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    num = int(num)
    span = stop - start
    wanted = np.result_type(start, stop, 1.0)
    ramp = _ramp(num, endpoint, np.ndim(span)).astype(wanted)
    y = np.moveaxis(start + span * ramp, 0, axis)
    y = y if dtype is None else np.astype(y, np.dtype(dtype))
    steps = num - 1 if endpoint else num
    return (y, span / steps if steps > 0 else np.nan) if retstep else y


@implements(np.logspace)
def _np_logspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    exponents = np.linspace(start, stop, num, endpoint=endpoint, axis=axis)
    if np.ndim(base):
        base = np.expand_dims(base, axis)
    y = np.power(base, exponents)
    return y if dtype is None else np.astype(y, np.dtype(dtype))


@implements(np.geomspace)
def _np_geomspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    if np.any(np.less_equal(stop / start, 0)):
        raise NotImplementedError("start and stop must have the same sign, and not be zero")
    span = np.log(stop / start)
    ramp = _ramp(int(num), endpoint, np.ndim(span))
    y = np.moveaxis(start * np.exp(span * ramp), 0, axis)
    return y if dtype is None else np.astype(y, np.dtype(dtype))


@implements(np.meshgrid)
def _np_meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    n = len(xi)
    swap = indexing == "xy" and n > 1
    made = []
    for i, x in enumerate(xi):
        own = (1 - i if i < 2 else i) if swap else i
        made.append(np.reshape(x, (1,) * own + (-1,) + (1,) * (n - own - 1)))
    return tuple(made) if sparse else tuple(np.broadcast_arrays(*made))


@implements(np.vander)
def _np_vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:  # noqa: N803
    powers = np.arange(np.shape(x)[0] if N is None else N)
    return np.expand_dims(x, -1) ** (powers if increasing else powers[::-1])


# ---- borders


def _pairs(value: Any, ndim: int) -> list[Any]:
    """Return what is given for each axis, before and after."""
    if isinstance(value, dict):
        given: list[Any] = [value.get(i, value.get(i - ndim, (0, 0))) for i in range(ndim)]
        return [(v, v) if np.ndim(v) == 0 else tuple(v) for v in given]
    while isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if np.ndim(value) == 0:
        return [(value, value)] * ndim
    if np.ndim(value) == 1:
        return [(value[0], value[1])] * ndim
    return [(row[0], row[len(row) - 1]) for row in value]


def _side(a: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return a[(*(slice(None),) * axis, slice(start, stop))]


def _constant(a: Any, axis: int, widths: Any, values: Any) -> Any:
    return [
        np.broadcast_to(like(v, a), _width(a, axis, w)) for v, w in zip(values, widths, strict=True)
    ]


def _width(a: Any, axis: int, width: int) -> tuple[int, ...]:
    return tuple(width if i == axis else n for i, n in enumerate(np.shape(a)))


def _linear_ramp(a: Any, axis: int, widths: Any, ends: Any) -> tuple[Any, Any]:
    sides = []
    for edge, width, end, after in zip(
        (_side(a, axis, 0, 1), _side(a, axis, -1, None)), widths, ends, (False, True), strict=True
    ):
        part = np.arange(width) / max(width, 1)  # 0 at the end value, rising to the edge
        part = np.reshape(part, (-1,) + (1,) * (np.ndim(a) - axis - 1)).astype(a.dtype)
        end = like(end, a)
        side = end + (edge - end) * part
        sides.append(np.flip(side, axis) if after else side)
    return sides[0], sides[1]


def _statistic(function: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    def sides(a: Any, axis: int, widths: Any, lengths: Any) -> tuple[Any, Any]:
        n, made = np.shape(a)[axis], []
        for width, length, after in zip(widths, lengths, (False, True), strict=True):
            many = n if length is None else min(int(length), n)
            chosen = _side(a, axis, n - many, n) if after else _side(a, axis, 0, many)
            made.append(
                np.broadcast_to(function(chosen, axis=axis, keepdims=True), _width(a, axis, width))
            )
        return made[0], made[1]

    return sides


_SIDES: dict[str, tuple[str, Any, Callable[..., tuple[Any, Any]]]] = {
    "constant": ("constant_values", 0, _constant),
    "linear_ramp": ("end_values", 0, _linear_ramp),
    "mean": ("stat_length", None, _statistic(np.mean)),
    "median": ("stat_length", None, _statistic(np.median)),
    "maximum": ("stat_length", None, _statistic(np.max)),
    "minimum": ("stat_length", None, _statistic(np.min)),
}
"""How to make both sides of one axis, and the argument of numpy's that says more."""


def _odd(even: Any, axis: int, width: tuple[int, int], n: int, mode: str) -> Any:
    """Turn borders that mirror the values into ones that mirror them at the edge's value, too."""
    before = width[0]
    if max(width) > (n - 1 if mode == "reflect" else n):
        raise NotImplementedError(
            "with reflect_type='odd' a border is no longer than the array: pad in two steps"
        )
    first, inner, last = np.split(even, [before, before + n], axis=axis)
    low, high = np.take(inner, [0], axis=axis), np.take(inner, [n - 1], axis=axis)
    return np.concatenate([2.0 * low - first, inner, 2.0 * high - last], axis=axis)


@implements(np.pad)
def _np_pad(array: Any, pad_width: Any, mode: Any = "constant", **keywords: Any) -> Any:
    if callable(mode):
        raise NotImplementedError("it takes no function as mode: join the parts yourself")
    mode = "constant" if mode == "empty" else mode
    ndim, a = np.ndim(array), array
    widths = [(int(b), int(e)) for b, e in _pairs(pad_width, ndim)]
    argument, default, sides = _SIDES.get(mode, ("reflect_type", None, None))
    if set(keywords) - {argument}:
        raise ValueError(f"unsupported keyword arguments for mode {mode!r}: {set(keywords)}")
    given = keywords.get(argument, default)
    if sides is None:
        for axis, width in enumerate(widths):
            if any(width):
                n = np.shape(a)[axis]
                even = np.take(a, np.pad(np.arange(n), width, mode), axis=axis)
                a = _odd(even, axis, width, n, mode) if given == "odd" else even
        return a
    for axis, (width, value) in enumerate(zip(widths, _pairs(given, ndim), strict=True)):
        if any(width):
            before, after = sides(a, axis, width, value)
            a = np.concatenate([before, a, after], axis=axis)
    return a


@implements(np.may_share_memory)
def _np_may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return np.may_share_memory(_memory(a), _memory(b), max_work)


@implements(np.shares_memory)
def _np_shares_memory(a: Any, b: Any, max_work: Any = -1) -> bool:
    return np.shares_memory(_memory(a), _memory(b), max_work)


def _memory(x: Any) -> Any:
    return getattr(x, "_value", x)
