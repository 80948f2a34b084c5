"""Functions of libraries that a program may have imported: softtape itself imports none of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from softtape.errors import TraceError
from softtape.location import user_location
from softtape.ops import foreign
from softtape.refusals import refuse, refuse_function

__all__ = ["library_ufunc"]

__tracebackhide__ = True  # pytest shows the user's line instead


def library_ufunc(ufunc: np.ufunc) -> Callable[..., Any]:
    """Return what records a ufunc of a library, or raise where there is no rule."""
    known = foreign(ufunc)
    if known is None and set("".join(ufunc.types)) <= set("O->"):
        refuse("a function made by np.frompyfunc", "Make it by np.vectorize(f).")
    if known is None:
        name = ufunc.__name__
        special = getattr(sys.modules.get("scipy.special"), name, None)
        refuse_function(f"scipy.special.{name}" if special is ufunc else f"np.{name}")

    def function(*operands: Any) -> Any:
        given = [o._softtape_current() if hasattr(o, "_softtape_current") else o for o in operands]
        try:
            return known(*given)
        except NotImplementedError as error:
            raise TraceError(f"{user_location()}\n{error}") from None

    return function
