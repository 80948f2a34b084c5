"""How far an assertion is from holding.

A distance is squared, in units of a tolerance t: an assertion holds where it is at most 1.

* ``a == pytest.approx(b)``, ``np.allclose(a, b)`` and their like: ((a - b) / t)², with the t that
  the call itself gives; of arrays the sum over the elements;
* ``a == b`` of numbers: the same with the t of ``pytest.approx``, 1e-6 |b| and at least 1e-12;
* ``a < b`` and ``a <= b``: max(0, (a - b) / t + 1)² with that t, so that it is 0 from one t inside;
* ``abs(d) < t`` with a plain number t: (d / t)².

What has no distance (texts, ``is``, ``in``, any other truth) holds or does not.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest

__all__ = [
    "MIRRORED",
    "Distance",
    "Expected",
    "Magnitude",
    "call_distance",
    "compare",
    "is_traced",
]

__tracebackhide__ = True  # messages and tracebacks shall end in the user's own code

_RELATIVE, _ABSOLUTE = 1e-6, 1e-12  # the tolerances of pytest.approx

_OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "is": operator.is_,
    "is not": operator.is_not,
    "in": lambda a, b: a in b,
    "not in": lambda a, b: a not in b,
}
MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
"""The comparison that says the same with its sides exchanged."""


class Distance(NamedTuple):
    """How far an assertion, or a part of one, is from holding.

    Attributes
    ----------
    loss
        The squared distance, a number or an array; None where there is but a truth.
    truth
        Whether it holds on plain numbers; None under tracing, where the loss says it.
    """

    loss: Any
    truth: bool | None

    @property
    def holds(self) -> bool:
        """Whether it holds; of traced values, without noting that somebody asked."""
        if self.truth is not None:
            return self.truth
        return bool(np.all(np.asarray(getattr(self.loss, "_value", self.loss)) <= 1.0))


class Expected(NamedTuple):
    """What ``pytest.approx`` was given, which itself takes no traced value."""

    value: Any
    rel: Any = None
    abs: Any = None
    nan_ok: bool = False

    def plain(self) -> Any:
        """Return pytest's own object."""
        return pytest.approx(self.value, rel=self.rel, abs=self.abs, nan_ok=self.nan_ok)

    def tolerance(self, expected: Any) -> Any:
        """Return the tolerance at a number, as ``pytest.approx`` defines it."""
        if self.rel is None and self.abs is not None:
            return self.abs
        relative = _RELATIVE if self.rel is None else self.rel
        absolute = _ABSOLUTE if self.abs is None else self.abs
        return np.maximum(relative * np.abs(expected), absolute)

    def loss(self, actual: Any) -> Any:
        """Return the squared distance of a number, an array, or a list or dict of these."""
        return sum(self._parts(actual, self.value))

    def _parts(self, actual: Any, expected: Any) -> Iterable[Any]:
        if isinstance(expected, Mapping):
            if not isinstance(actual, Mapping) or actual.keys() != expected.keys():
                yield math.inf
                return
            for key in expected:
                yield from self._parts(actual[key], expected[key])
        elif isinstance(expected, (list, tuple)):
            if not hasattr(actual, "__len__") or len(actual) != len(expected):
                yield math.inf
                return
            for one, other in zip(actual, expected, strict=True):
                yield from self._parts(one, other)
        elif _is_number(actual) and _is_number(expected):
            yield _squared(actual, expected, self.tolerance(expected))
        else:
            yield 0.0 if actual == expected else math.inf


class Magnitude(NamedTuple):
    """The side ``abs(value)`` of a comparison, whose other side may be a tolerance."""

    value: Any
    size: Any


def compare(op: str, a: Any, b: Any, *, everywhere: bool = False) -> Distance:
    """Return how far ``a op b`` is from being true.

    Parameters
    ----------
    op
        A comparison as Python writes it.
    a, b
        Its sides, on the right what is expected; :class:`Expected` stands for
        ``pytest.approx(...)``, :class:`Magnitude` for ``abs(...)``.
    everywhere
        Whether it is asked of each element, as ``np.all(a < b)`` does.
    """
    loss = _loss(op, a, b)
    if is_traced(loss):
        return Distance(loss, None)
    truth = _OPERATIONS[op](_as_written(a), _as_written(b))
    return Distance(loss, bool(np.all(truth)) if everywhere else bool(truth))


def call_distance(function: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Return the squared distance that a call such as ``np.allclose(a, b)`` asks about.

    None for a call of any other function.
    """
    package = (getattr(function, "__module__", None) or "").partition(".")[0]
    known = _CALLS.get((package, getattr(function, "__name__", "")))
    return None if known is None else known(*args, **keywords)


def is_traced(value: Any) -> bool:
    """Whether a loss is known to the tape: then its value decides nothing yet."""
    return hasattr(value, "_softtape_record")


def _loss(op: str, a: Any, b: Any) -> Any:
    if isinstance(a, Expected) and not isinstance(b, Expected):
        a, b, op = b, a, MIRRORED.get(op, op)
    if isinstance(b, Expected):
        return b.loss(_as_written(a)) if op == "==" else None
    tolerance = isinstance(b, (float, int)) and b > 0
    if isinstance(a, Magnitude) and tolerance and op in ("<", "<="):
        return _squared(a.value, 0.0, b)
    a, b = _as_written(a), _as_written(b)
    if op == "==" and isinstance(b, (list, tuple, Mapping)) and type(a) is type(b):
        return Expected(b).loss(a)
    if not (_is_number(a) and _is_number(b)):
        return None
    if op == "==":
        return _squared(a, b, _default_tolerance(b))
    if op in ("<", "<="):
        return _hinge(a - b, _default_tolerance(b))
    return _hinge(b - a, _default_tolerance(b)) if op in (">", ">=") else None


def _as_written(side: Any) -> Any:
    if isinstance(side, Magnitude):
        return side.size
    return side.plain() if isinstance(side, Expected) else side


def _is_number(value: Any) -> bool:
    """Whether a value is a number or an array of numbers: plain, traced or a Param."""
    if isinstance(value, (bool, np.bool_)):
        return False
    if isinstance(value, (float, int)) or hasattr(value, "_softtape_current"):
        return True
    return getattr(getattr(value, "dtype", None), "kind", "O") in "iuf"


def _default_tolerance(expected: Any) -> Any:
    return Expected(expected).tolerance(expected)


def _squared(actual: Any, expected: Any, tolerance: Any) -> Any:
    if not is_traced(tolerance):  # where it is 0, only equality will do
        tolerance = np.where(np.equal(tolerance, 0), _ABSOLUTE, tolerance)[()]
    return np.sum(((actual - expected) / tolerance) ** 2)


def _hinge(excess: Any, tolerance: Any) -> Any:
    return np.sum(np.maximum(excess / tolerance + 1.0, 0.0) ** 2)


# ---- functions that compare: numpy's, math's and numpy.testing's, with their own tolerances


def _array(value: Any) -> Any:
    return value if _is_number(value) else np.array(value)


def _allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, *_: Any, **__: Any) -> Any:
    a, b = _array(a), _array(b)
    return _squared(a, b, atol + rtol * np.abs(b))


def _assert_allclose(
    actual: Any, desired: Any, rtol: float = 1e-7, atol: float = 0.0, *_: Any, **__: Any
) -> Any:
    return _allclose(actual, desired, rtol, atol)


def _isclose(a: Any, b: Any, *, rel_tol: float = 1e-9, abs_tol: float = 0.0) -> Any:
    return _squared(a, b, np.maximum(rel_tol * np.maximum(np.abs(a), np.abs(b)), abs_tol))


def _almost_equal(actual: Any, desired: Any, decimal: int = 7, *_: Any, **__: Any) -> Any:
    return _squared(_array(actual), _array(desired), 1.5 * 10.0**-decimal)


def _array_almost_equal(actual: Any, desired: Any, decimal: int = 6, *_: Any, **__: Any) -> Any:
    return _almost_equal(actual, desired, decimal)


def _array_less(x: Any, y: Any, *_: Any, **__: Any) -> Any:
    x, y = _array(x), _array(y)
    return _hinge(x - y, _default_tolerance(y))


def _equal(actual: Any, desired: Any, *_: Any, **__: Any) -> Any:
    actual, desired = _array(actual), _array(desired)
    return _squared(actual, desired, _default_tolerance(desired))


_CALLS: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "allclose"): _allclose,
    ("numpy", "isclose"): _allclose,
    ("numpy", "array_equal"): _equal,
    ("math", "isclose"): _isclose,
    ("numpy", "assert_allclose"): _assert_allclose,
    ("numpy", "assert_almost_equal"): _almost_equal,
    ("numpy", "assert_array_almost_equal"): _array_almost_equal,
    ("numpy", "assert_array_less"): _array_less,
    ("numpy", "assert_equal"): _equal,
    ("numpy", "assert_array_equal"): _equal,
}
