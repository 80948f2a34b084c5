"""During a fit, let ``math.sin(x)`` and ``np.array([x, y])`` follow traced values.

Python's ``math`` asks its argument for a float, and ``np.array`` builds an array of objects;
numpy's protocols reach neither. While :func:`following` is active, the functions that stand in the
``math`` and ``numpy`` modules are ones that look for a traced argument first, and do what they
always did if there is none. A name taken before (``from math import sin``) is not reached: it stops
with the error that names the replacement.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np

from softtape.traced import plain_operand, stacked

__all__ = ["following"]


def _log(x: Any, base: Any = math.e) -> Any:
    return np.log(x) if base == math.e else np.log(x) / np.log(base)


def _fsum(values: Any) -> Any:
    return np.sum(stacked(list(values)))


def _prod(values: Any, *, start: Any = 1) -> Any:
    return start * np.prod(stacked(list(values)))


def _dist(p: Any, q: Any) -> Any:
    return np.linalg.norm(stacked(list(p)) - stacked(list(q)))


def _hypot(*sides: Any) -> Any:
    return np.linalg.norm(stacked(list(sides)))


def _truth(function: Callable[[Any], Any]) -> Callable[[Any], bool]:
    return lambda x: bool(function(x))


_MATH: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: getattr(np, name) for name in ("exp", "expm1", "exp2", "log2", "log10", "log1p")},
    **{name: getattr(np, name) for name in ("sqrt", "cbrt", "fabs", "fmod", "copysign")},
    **{name: getattr(np, name) for name in ("degrees", "radians")},
    **{f"a{name}": getattr(np, f"arc{name}") for name in ("sin", "cos", "tan", "tan2")},
    **{f"a{name}": getattr(np, f"arc{name}") for name in ("sinh", "cosh", "tanh")},
    **{name: _truth(getattr(np, name)) for name in ("isfinite", "isinf", "isnan")},
    "pow": np.power,
    "log": _log,
    "fsum": _fsum,
    "prod": _prod,
    "dist": _dist,
    "hypot": _hypot,
}


def _array(values: Any, dtype: Any = None, *, ndmin: int = 0, **_: Any) -> Any:
    made = stacked(values)  # an argument `copy` or `order` means nothing to what never changes
    made = made if dtype is None else made.astype(dtype)
    return np.reshape(made, (1,) * max(ndmin - made.ndim, 0) + made.shape)


def _full(shape: Any, fill_value: Any, dtype: Any = None, **_: Any) -> Any:
    return np.ones(shape, dtype) * stacked(fill_value)


_NUMPY: dict[str, Callable[..., Any]] = {
    "array": _array,
    "asarray": _array,
    "asanyarray": _array,
    "ascontiguousarray": _array,
    "full": _full,
}


@functools.cache
def _looking(original: Callable[..., Any], follow: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls ``follow`` where an argument is traced, else ``original``."""

    @functools.wraps(original)
    def function(*args: Any, **keywords: Any) -> Any:
        if any(map(_concerns_us, args)):
            return follow(*map(_current, args), **keywords)
        return original(*args, **keywords)

    return function


def _concerns_us(value: Any) -> bool:
    """Whether a value is traced or a Param, or a list that holds one."""
    if type(value) in (float, int, np.ndarray):
        return False
    if isinstance(value, (list, tuple)):
        return any(map(_concerns_us, value))
    return hasattr(value, "_softtape_record") or hasattr(value, "_softtape_current")


def _current(value: Any) -> Any:
    """Return a Param as what it stands for now, also inside lists."""
    if isinstance(value, (list, tuple)):
        return [_current(v) for v in value]
    return plain_operand(value) if hasattr(value, "_softtape_current") else value


_TABLES: list[tuple[Any, dict[str, Callable[..., Any]]]] = [(math, _MATH), (np, _NUMPY)]
_lock = Lock()
_active = 0
_before: list[tuple[Any, str, Any]] = []


@contextmanager
def following() -> Iterator[None]:
    """Let ``math`` and numpy's array makers follow traced values while this is active.

    It may be active several times at once, one inside the other or in several threads.
    """
    global _active
    with _lock:
        _active += 1
        if _active == 1:
            _before[:] = [(m, name, getattr(m, name)) for m, table in _TABLES for name in table]
            for module, name, original in _before:
                follow = _MATH[name] if module is math else _NUMPY[name]
                setattr(module, name, _looking(original, follow))
    try:
        yield
    finally:
        with _lock:
            _active -= 1
            if _active == 0:
                for module, name, original in _before:
                    setattr(module, name, original)
