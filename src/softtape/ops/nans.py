"""Reductions that pass over NaN. An element that is NaN gets slope 0, never NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softtape.ops.reductions import Axis
from softtape.ops.registry import implements

__all__: list[str] = []


def _known(a: Any, where: Any) -> Any:
    known = np.logical_not(np.isnan(a))
    return known if where is True or where is np._NoValue else known & where


def _filled(a: Any, value: float) -> Any:
    return np.where(np.isnan(a), value, a)


@implements(np.nansum)
def _np_nansum(a: Any, axis: Axis = None, dtype: Any = None, **keywords: Any) -> Any:
    return np.sum(_filled(a, 0.0), axis=axis, dtype=dtype, **keywords)


@implements(np.nanprod)
def _np_nanprod(a: Any, axis: Axis = None, dtype: Any = None, **keywords: Any) -> Any:
    return np.prod(_filled(a, 1.0), axis=axis, dtype=dtype, **keywords)


@implements(np.nancumsum)
def _np_nancumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    return np.cumsum(_filled(a, 0.0), axis=axis, dtype=dtype)


@implements(np.nancumprod)
def _np_nancumprod(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    return np.cumprod(_filled(a, 1.0), axis=axis, dtype=dtype)


def _extreme(function: Callable[..., Any], least: float) -> Callable[..., Any]:
    def code(
        a: Any,
        axis: Axis = None,
        *,
        keepdims: Any = False,
        initial: Any = np._NoValue,
        where: Any = True,
    ) -> Any:
        y = function(_filled(a, least), axis=axis, keepdims=keepdims, initial=initial, where=where)
        if initial is not np._NoValue:
            return y
        known = np.any(_known(a, where), axis=axis, keepdims=_flag(keepdims))
        return np.where(known, y, np.nan)[()]

    return code


def _flag(keepdims: Any) -> bool:
    return keepdims is not np._NoValue and bool(keepdims)


implements(np.nanmax)(_extreme(np.max, -np.inf))
implements(np.nanmin)(_extreme(np.min, np.inf))


@implements(np.nanargmax)
def _np_nanargmax(a: Any, axis: int | None = None, *, keepdims: Any = False) -> Any:
    return np.argmax(_filled(a, -np.inf), axis=axis, keepdims=keepdims)


@implements(np.nanargmin)
def _np_nanargmin(a: Any, axis: int | None = None, *, keepdims: Any = False) -> Any:
    return np.argmin(_filled(a, np.inf), axis=axis, keepdims=keepdims)


@implements(np.nanmean)
def _np_nanmean(
    a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: Any = False, where: Any = True
) -> Any:
    a = a if dtype is None else np.astype(a, np.dtype(dtype))
    return np.mean(_filled(a, 0.0), axis=axis, keepdims=keepdims, where=_known(a, where))


@implements(np.nanvar)
def _np_nanvar(a: Any, axis: Axis = None, dtype: Any = None, **keywords: Any) -> Any:
    a = a if dtype is None else np.astype(a, np.dtype(dtype))
    known = _known(a, keywords.pop("where", True))
    return np.var(_filled(a, 0.0), axis=axis, where=known, **keywords)


@implements(np.nanstd)
def _np_nanstd(a: Any, axis: Axis = None, dtype: Any = None, **keywords: Any) -> Any:
    a = a if dtype is None else np.astype(a, np.dtype(dtype))
    known = _known(a, keywords.pop("where", True))
    return np.std(_filled(a, 0.0), axis=axis, where=known, **keywords)
