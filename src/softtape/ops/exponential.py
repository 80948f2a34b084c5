"""The exponential of a matrix, scipy's, for programs that use it.

Its derivative in a direction is a block of the exponential of a matrix twice the size (R. Mathias,
«A chain rule for matrix functions and applications», 1996), which is traced code again.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from softtape.ops.registry import PRIMITIVES, Kind, library, primitive

__all__ = ["expm"]


def expm(a: Any) -> Any:
    """Return the exponential of a stack of matrices."""
    return PRIMITIVES["scipy.linalg.expm"](a)


def _along(a: Any, direction: Any) -> Any:
    n = np.shape(a)[-1]
    upper = np.concatenate([a, direction], axis=-1)
    lower = np.concatenate([np.zeros(np.shape(a), a.dtype), a], axis=-1)
    return expm(np.concatenate([upper, lower], axis=-2))[..., :n, n:]


@library("scipy.linalg")
def _load(linalg: ModuleType) -> dict[Callable[..., Any], Callable[..., Any]]:
    primitive(
        "scipy.linalg.expm",
        linalg.expm,
        (lambda g, y, a: _along(np.swapaxes(a, -1, -2), g),),
        kind=Kind.OTHER,
        jvp=lambda tangents, y, a: _along(a, tangents[0]),
    )
    return {}
