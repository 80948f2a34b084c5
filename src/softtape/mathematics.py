"""What the functions of ``math`` and ``cmath`` are for traced values.

They come into force by :mod:`softtape.patches`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from softtape.operands import stacked

__all__ = ["CMATH", "DOMAINS", "MATH", "OF_ITEMS"]

__tracebackhide__ = True  # pytest shows the user's line instead


def _log(x: Any, base: Any = math.e) -> Any:
    return np.log(x) if base == math.e else np.log(x) / np.log(base)


def _isclose(a: Any, b: Any, *, rel_tol: Any = 1e-9, abs_tol: Any = 0.0) -> bool:
    near = np.maximum(rel_tol * np.maximum(np.abs(a), np.abs(b)), abs_tol)
    return bool((a == b) | ((np.abs(a - b) <= near) & np.isfinite(a) & np.isfinite(b)))


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


MATH: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: getattr(np, name) for name in ("exp", "expm1", "exp2", "log2", "log10", "log1p")},
    **{name: getattr(np, name) for name in ("sqrt", "cbrt", "fabs", "fmod", "copysign")},
    **{name: getattr(np, name) for name in ("degrees", "radians")},
    **{f"a{name}": getattr(np, f"arc{name}") for name in ("sin", "cos", "tan", "tan2")},
    **{f"a{name}": getattr(np, f"arc{name}") for name in ("sinh", "cosh", "tanh")},
    **{name: _truth(getattr(np, name)) for name in ("isfinite", "isinf", "isnan")},
    **{name: getattr(np, name) for name in ("modf", "frexp", "ldexp", "nextafter")},
    "remainder": lambda x, y: x - y * np.rint(x / y),
    "isclose": _isclose,
    "pow": np.power,
    "log": _log,
    "fsum": _fsum,
    "prod": _prod,
    "dist": _dist,
    "hypot": _hypot,
    "sumprod": lambda p, q, /: np.sum(stacked(list(p)) * stacked(list(q))),  # from Python 3.12
    "fma": lambda x, y, z, /: x * y + z,  # from Python 3.13
}
OF_ITEMS = frozenset({"fsum", "prod", "dist", "sumprod"})
"""Functions of :mod:`math` whose arguments may be iterators."""

DOMAINS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("log", "log2", "log10"), lambda x: x > 0),
    **dict.fromkeys(("sqrt", "pow"), lambda x: x >= 0),
    **dict.fromkeys(("asin", "acos"), lambda x: np.abs(x) <= 1),
    "log1p": lambda x: x > -1,
    "acosh": lambda x: x >= 1,
    "atanh": lambda x: np.abs(x) < 1,
}
"""Where functions of :mod:`math` do not raise: a program may catch what they raise elsewhere."""


def _of_complex(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda z: function(z.astype(complex))


def _complex_log(z: Any, base: Any = None) -> Any:
    made = np.log(stacked([z]).astype(complex)[0])
    return made if base is None else made / _complex_log(base)


CMATH: dict[str, Callable[..., Any]] = {
    **{name: _of_complex(getattr(np, name)) for name in ("exp", "log10", "sqrt", "sin", "cos")},
    **{name: _of_complex(getattr(np, name)) for name in ("tan", "sinh", "cosh", "tanh")},
    **{f"a{name}": _of_complex(getattr(np, f"arc{name}")) for name in ("sin", "cos", "tan")},
    **{f"a{name}": _of_complex(getattr(np, f"arc{name}")) for name in ("sinh", "cosh", "tanh")},
    **{name: _truth(getattr(np, name)) for name in ("isfinite", "isinf", "isnan")},
    "log": _complex_log,
    "phase": np.angle,
    "polar": lambda z: (np.abs(z), np.angle(z)),
    "rect": lambda r, phi: r * np.exp(1j * phi),
}
