"""From what a soft test returned to its loss."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["OUTLIVED", "LossError", "loss_of", "parts_of"]

OUTLIVED = (
    "returned a traced value that outlived the run it belongs to (kept in a cache, a global or a "
    "fixture of wider scope): compute it anew in each test"
)


class LossError(Exception):
    """A soft test returned something that is no loss; the message says what instead."""


def loss_of(returned: Any) -> tuple[float, int]:
    """Return the loss, and the number of its cases, of a test that ran on plain numbers.

    Parameters
    ----------
    returned
        What the test returned: a number, an array or list of losses, or a dict of
        named ones.

    Raises
    ------
    LossError
        It is none of these, or not finite.
    """
    # the common case, without numpy's functions; its float64 is a float, a bool is not
    if isinstance(returned, float) or type(returned) is int:
        return _finite(float(returned), ""), 1
    import numpy as np

    total, cases = 0.0, 0
    for name, part in parts_of(returned):
        if hasattr(part, "_softtape_record"):
            raise LossError(OUTLIVED + _at(name))
        array = np.asarray(part)
        total += _finite(float(np.sum(array)), name)
        cases += array.size
    return total, cases


def parts_of(returned: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the numbers and arrays a test returned, each with the path that leads to it.

    Raises
    ------
    LossError
        Something in it is no loss.
    """
    if isinstance(returned, Mapping):
        if not returned:
            raise LossError(f"returned an empty dict{_at(name)}, which is no loss")
        for key, part in returned.items():
            yield from parts_of(part, f"{name}[{key!r}]")
    elif isinstance(returned, (list, tuple)):
        if not returned:
            raise LossError(f"returned an empty {type(returned).__name__}{_at(name)}")
        for i, part in enumerate(returned):
            yield from parts_of(part, f"{name}[{i}]")
    else:
        problem = _no_loss(returned)
        if problem:
            raise LossError(problem + _at(name))
        yield name, returned


def _no_loss(value: Any) -> str | None:
    """Say what is wrong with one part of a result, or None if it is a loss."""
    if value is None:
        return (
            "returned None: a soft test returns its loss, or asserts something that has a "
            "distance (is a `return` missing?)"
        )
    if isinstance(value, (str, bytes)):
        return f"returned the text {value!r} instead of a loss"
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        return "returned a coroutine that nobody awaits: make the test itself `async def`"
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if isinstance(value, bool) or kind == "b":
        return f"returned {value!r}, a pass or fail: return a distance from what is expected"
    if isinstance(value, complex) or kind == "c":
        return f"returned the complex number {value!r}: return np.abs(z) ** 2 or z.real"
    if kind is not None and kind not in "iuf":
        return f"returned an array of dtype {value.dtype}, not of numbers"
    if kind is None and not hasattr(value, "__float__"):
        return f"returned {value!r}, a {type(value).__name__}, instead of a loss"
    if getattr(value, "size", 1) == 0:
        return "returned an empty array, which measures nothing"
    return None


def _finite(loss: float, name: str) -> float:
    if not math.isfinite(loss):
        raise LossError(f"returned a loss of {loss}{_at(name)}")
    return loss


def _at(name: str) -> str:
    return f" (at {name})" if name else ""
