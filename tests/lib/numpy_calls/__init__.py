"""Sample calls of every numpy function the tape knows, one table per family of rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy_calls import (
    calling,
    complex,
    elementwise,
    fft,
    indexing,
    linalg,
    making,
    nans,
    order,
    polynomials,
    products,
    reductions,
    series,
    shaping,
    statistics,
)
from numpy_calls.draw import Calls, Table
from numpy_calls.flat import FLAT
from numpy_calls.followed import FOLLOWED
from numpy_calls.hidden import HIDDEN

__all__ = ["FLAT", "FOLLOWED", "HIDDEN", "ONE_BY_ONE", "ROWS", "SMOOTH", "name_of"]

SMOOTH: Table = {
    function: row
    for family in (
        elementwise,
        reductions,
        nans,
        products,
        shaping,
        indexing,
        order,
        calling,
        series,
        making,
        statistics,
        polynomials,
        linalg,
        complex,
        fft,
    )
    for function, row in family.SMOOTH.items()
}
"""What has a gradient: numpy function -> the calls that try its rule."""


def name_of(function: Callable[..., Any]) -> str:
    """Return ``linalg.trace`` for np.linalg.trace, which is another function than np.trace."""
    within = getattr(function, "__module__", "numpy")
    return f"{within}.{function.__name__}".removeprefix("numpy.")


ROWS: dict[str, Calls] = {
    f"{name}-{i}" if isinstance(row, tuple) else name: calls
    for name, row in [
        *((name_of(f), row) for f, row in SMOOTH.items()),
        *HIDDEN.items(),
        *FOLLOWED.items(),
        *complex.HIDDEN.items(),
        *fft.HIDDEN.items(),
    ]
    for i, calls in enumerate(row if isinstance(row, tuple) else [row])
}
"""The rows of all tables, each by a name of its own."""

_SETS = ("unique", "unique_values", "unique_all", "unique_counts", "unique_inverse")
ONE_BY_ONE: dict[str, str] = {
    **dict.fromkeys(
        (*_SETS, "union1d", "intersect1d", "setdiff1d", "setxor1d"),
        "how many elements there are differs from case to case",
    ),
    "getitem": "masks, and index arrays apart from each other",
}
"""Functions of which cases are not batched, by name, and why."""
