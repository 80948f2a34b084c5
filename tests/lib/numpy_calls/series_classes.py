"""Modules of numpy.polynomial: what each of their functions is called with."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from numpy_calls.draw import Call, Calls, joined, seeds

MODULES = {
    "polynomial": "poly",
    "chebyshev": "cheb",
    "legendre": "leg",
    "hermite": "herm",
    "hermite_e": "herme",
    "laguerre": "lag",
}
"""Modules, and how the names of their functions begin."""

ARGUMENTS: dict[str, Callable[[Any, Any], tuple[Any, ...]]] = {
    "val": lambda x, c: (x, c),
    "val2d": lambda x, c: (x, x, c[:, None] * c),
    "val3d": lambda x, c: (x, x, x, c[:, None, None] * c[:, None] * c),
    "valnd": lambda x, c: ((x, x), c[:, None] * c),  # from numpy 2.5 on
    "grid2d": lambda x, c: (x, x, c[:, None] * c),
    "grid3d": lambda x, c: (x, x, x, c[:, None, None] * c[:, None] * c),
    "valfromroots": lambda x, c: (x, c),
    "der": lambda x, c: (c,),
    "int": lambda x, c: (c,),
    "add": lambda x, c: (c, x),
    "sub": lambda x, c: (c, x),
    "mul": lambda x, c: (c, x),
    "mulx": lambda x, c: (c,),
    "div": lambda x, c: (c, x),
    "pow": lambda x, c: (c, 2),
    "vander": lambda x, c: (x, 3),
    "vander2d": lambda x, c: (x, x, [1, 1]),
    "vander3d": lambda x, c: (x, x, x, [1, 1, 1]),
    "fromroots": lambda x, c: (x,),
    "fit": lambda x, c: (x, x * x, 1),
    "line": lambda x, c: (c[0], c[1]),
    "companion": lambda x, c: (c,),
    "roots": lambda x, c: (c,),
    "trim": lambda x, c: (c,),
    "weight": lambda x, c: (x,),
    "2poly": lambda x, c: (c,),
    "poly2": lambda x, c: (c,),
}
"""What follows in the names, and arguments made of points and coefficients."""

SERIES: dict[str, str] = {
    f"polynomial.{module}.{before}{after}"
    if after != "poly2"
    else (f"polynomial.{module}.poly2{before}"): after
    for module, before in MODULES.items()
    for after in ARGUMENTS
    if (before != "poly" or after not in ("2poly", "poly2", "weight"))
    and (after != "valnd" or hasattr(np.polynomial.polynomial, "polyvalnd"))
    if before == "poly" or after != "valfromroots"
}
"""Each function, without ``numpy.``, and its kind of arguments."""

ROOTS = np.array([-6.0, 11.0, -6.0, 1.0])  # of 1, 2 and 3
APART = np.array([1.5, -2.0, -2.5, 1.0])  # of -1, 0.5 and 3


def _row(name: str) -> Calls:
    module, _, function = name.rpartition(".")

    def joined_parts(x: Any, c: Any) -> Any:
        series = getattr(importlib.import_module(f"numpy.{module}"), function)
        made = series(*ARGUMENTS[SERIES[name]](x, c))
        return np.real(joined(made if isinstance(made, tuple) else (made,)))

    def call(seed: int) -> Call:
        rng = np.random.default_rng(seed)
        x = np.array([0.3, 0.5, 0.7]) + rng.uniform(-0.05, 0.05, 3)
        c = np.array([1.0, 2.0, 3.0, 0.5]) + rng.uniform(-0.2, 0.2, 4)
        if SERIES[name] == "roots":
            c = (APART if "polyroots" in name else ROOTS) * (1.0 + rng.uniform(-0.005, 0.005, 4))
        return Call(joined_parts, (x, c), analytic=False)

    return st.builds(call, seeds)


SERIES_ROWS: dict[str, Calls] = {name: _row(name) for name in SERIES}
"""Each function, without ``numpy.`` -> the calls that try it."""
