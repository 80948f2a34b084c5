"""Functions that change an array in place: each is an assignment to some of its elements.

Nothing here is a primitive. ``target[index] = values`` is what an array that follows traced values
keeps account of (see :mod:`softtape.arrays`); a plain array it does not reach is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from softtape.ops.registry import implements

__all__ = ["CHANGING", "apply_at", "masked", "store"]

CHANGING = frozenset({np.copyto, np.put, np.putmask, np.place, np.fill_diagonal, np.put_along_axis})
"""Functions whose first argument is the array to change, rather than a value."""


def store(outs: Sequence[Any], made: Any, where: Any = True) -> Any:
    """Assign results to the arrays given as ``out=`` and return these.

    Raises
    ------
    TypeError
        An array cannot hold the result, as numpy has it.
    """
    results = made if isinstance(made, tuple) else (made,)
    for out, result in zip(outs, results, strict=True):
        if out is None:
            continue
        if not np.can_cast(np.result_type(result), out.dtype, "same_kind"):
            raise TypeError(
                f"cannot cast the result from {np.result_type(result)!r} to {out.dtype!r} with "
                "casting rule 'same_kind'"
            )
        if where is True and np.shape(result) != np.shape(out):
            result = np.broadcast_to(result, np.shape(out))
        out[...] = result if where is True else np.where(where, result, out)
    stored = tuple(r if o is None else o for o, r in zip(outs, results, strict=True))
    return stored if isinstance(made, tuple) else stored[0]


def masked(where: Any, operands: Sequence[Any]) -> tuple[Any, ...]:
    """Return operands that are harmless, for a logarithm as for a quotient, where not computed."""
    return tuple(np.where(where, x, 0.5 if np.result_type(x).kind in "fc" else 1) for x in operands)


def apply_at(ufunc: np.ufunc, target: Any, indices: Any, *values: Any) -> None:
    """Do what ``ufunc.at`` does: one element after the other, so that repeated ones add up."""
    places = np.reshape(np.arange(target.size), np.shape(target))[indices]
    operands = [np.broadcast_to(v, np.shape(places)) for v in values]
    for n, place in np.ndenumerate(places):
        index = np.unravel_index(place, np.shape(target))
        target[index] = ufunc(target[index], *(v[n] for v in operands))


def _numbers(target: Any) -> Any:
    return np.reshape(np.arange(target.size), np.shape(target))


def _mask(mask: Any) -> Any:
    return mask if hasattr(mask, "_softtape_record") else np.asarray(mask, bool)


def _assign(target: Any, places: Any, values: Any) -> None:
    """Assign ``values``, repeated as often as needed, to the elements numbered ``places``."""
    values = np.ravel(values)
    if np.size(values) and np.size(places):
        cycled = values[np.arange(np.size(places)) % np.size(values)]
        target[np.unravel_index(np.ravel(places), np.shape(target))] = cycled


@implements(np.copyto)
def _np_copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    if not np.can_cast(np.result_type(src), dst.dtype, casting):  # type: ignore[arg-type]
        raise TypeError(
            f"Cannot cast array data from {np.result_type(src)!r} to {dst.dtype!r} "
            f"according to the rule {casting!r}"
        )
    dst[...] = src if where is True else np.where(where, src, dst)


@implements(np.put)
def _np_put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    ind = np.asarray(ind)
    if mode != "raise":
        ind = ind % a.size if mode == "wrap" else np.clip(ind, 0, a.size - 1)
    _assign(a, np.arange(a.size)[ind], v)


@implements(np.putmask)
def _np_putmask(a: Any, mask: Any, values: Any) -> None:
    places = _numbers(a)[_mask(mask)]
    values = np.ravel(values)
    if np.size(values):
        a[np.unravel_index(places, np.shape(a))] = values[places % np.size(values)]


@implements(np.place)
def _np_place(arr: Any, mask: Any, vals: Any) -> None:
    _assign(arr, _numbers(arr)[_mask(mask)], vals)


@implements(np.put_along_axis)
def _np_put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    if axis is None:
        _assign(arr, np.arange(arr.size)[np.asarray(indices)], values)
        return
    grid: list[Any] = list(np.ogrid[tuple(slice(n) for n in np.shape(arr))])
    grid[axis] = np.asarray(indices)
    arr[tuple(grid)] = values


@implements(np.fill_diagonal)
def _np_fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    numbers = _numbers(a)
    if np.ndim(a) == 2:
        end = None if wrap else a.shape[1] * a.shape[1]
        step = a.shape[1] + 1
    else:
        end, step = None, 1 + int(np.cumprod(a.shape[:-1]).sum())
    _assign(a, numbers.ravel()[:end:step], val)
