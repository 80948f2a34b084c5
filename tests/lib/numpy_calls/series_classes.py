"""Modules of numpy.polynomial: what each of their functions is called with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    if before != "poly" or after not in ("2poly", "poly2", "weight")
    if before == "poly" or after != "valfromroots"
}
"""Each function, without ``numpy.``, and its kind of arguments."""
