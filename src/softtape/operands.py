"""What stands beside a traced value: operands as numpy takes them, and what can be assigned to.

Traced values, Params and arrays of the program are known by the attributes they have:
``_softtape_record`` what is or may hold a traced value, ``_softtape_current`` what stands for
another value, ``_softtape_plain`` an array that hears of assignments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from softtape.graph import shape_of
from softtape.ops import PRIMITIVES
from softtape.refusals import UNFOLLOWED, refuse

__all__ = ["ORDINARY", "Flat", "changeable", "holds_traced", "plain_operand", "stacked"]

__tracebackhide__ = True  # pytest shows the user's line instead

ORDINARY = frozenset({float, int, bool, np.ndarray, np.float64})
"""Types of what is an operand as it is."""

_STACK = PRIMITIVES["stack"]
_FIRST_AXIS = {"axis": 0}  # never changed, hence shared
_np: Any = np  # for calls on traced values, of which numpy's annotations do not know


class Flat:
    """What ``x.flat`` is: the elements in one row, to be read and to be assigned to."""

    def __init__(self, array: Any) -> None:
        """Look at an array."""
        self.base = array

    def __len__(self) -> int:
        """Return the number of elements."""
        return int(self.base.size)

    def __iter__(self) -> Iterator[Any]:
        """Yield the elements."""
        return iter(_np.ravel(self.base))

    def __getitem__(self, index: Any) -> Any:
        """Return an element, or a copy of some of them."""
        taken = _np.ravel(self.base)[index]
        return taken.copy() if shape_of(taken) else taken

    def __setitem__(self, index: Any, value: Any) -> None:
        """Assign to elements; values are repeated as often as needed."""
        places = np.atleast_1d(np.arange(len(self))[index])
        values = _np.ravel(value if shape_of(value) else stacked(value))
        cycled = values[np.arange(places.size) % np.size(values)]
        self.base[np.unravel_index(places, self.base.shape)] = cycled

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Return the elements, if they are plain."""
        return np.array(_np.ravel(self.base), dtype=dtype)

    def copy(self) -> Any:
        """Return the elements as an array."""
        return _np.ravel(self.base).copy()


def changeable(array: Any, what: str) -> Any:
    """Return the array that is to be changed, if it is one that the tape follows."""
    followed = hasattr(array, "_softtape_record") or hasattr(array, "_softtape_plain")
    return array if followed or array is None else refuse(f"{what} with a plain array", UNFOLLOWED)


def plain_operand(operand: Any) -> Any:
    """Return an operand as numpy would take it: a Param's current value, a list as an array."""
    if type(operand) in ORDINARY:
        return operand
    for known_by in ("_softtape_current", "_softtape_plain"):
        current = getattr(operand, known_by, None)
        if current is not None:
            return current()
    if isinstance(operand, (float, int, np.ndarray, np.generic, complex)):
        return operand
    if isinstance(operand, (list, tuple)):
        if holds_traced(operand):
            return stacked(operand)
        return np.asarray(operand)
    if operand is None or isinstance(operand, (str, bytes, dict, set)):
        raise TypeError(f"cannot compute with {operand!r} of type {type(operand).__name__}")
    return np.asarray(operand)


def holds_traced(items: Any) -> bool:
    """Whether a value, or something in a nested list, may be traced."""
    if hasattr(items, "_softtape_record"):
        return True
    return isinstance(items, (list, tuple)) and any(map(holds_traced, items))


def stacked(items: Any) -> Any:
    """Return a nested list that holds traced values as one traced array."""
    if not isinstance(items, (list, tuple)):
        return items
    traced = [hasattr(item, "_softtape_record") for item in items]
    if traced and all(traced):
        return items[0]._softtape_record(_STACK, items, _FIRST_AXIS)
    if not holds_traced(items):
        return np.asarray(items)
    parts = [i if known else stacked(i) for i, known in zip(items, traced, strict=True)]
    return _STACK(*parts, axis=0)
