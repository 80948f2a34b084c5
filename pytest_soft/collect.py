"""What is a soft test, and what its author asked for."""

from __future__ import annotations

import functools
import inspect
import math
import opcode
import sys
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, NamedTuple, TypeVar, overload

import pytest

__all__ = [
    "MARK",
    "Options",
    "called_by_others",
    "function_of",
    "limit_of",
    "may_assert",
    "measuring",
    "options_of",
    "read_options",
    "soft_test",
]

__tracebackhide__ = True  # pytest shows the line of the decorator instead

MARK = "soft_test"
_ASSERTING = ("@pytest_ar", "@py_assert", "assert_")  # pytest's rewriting, and numpy.testing
_LOADS_ERROR = frozenset(  # where pytest does not rewrite: --assert=plain
    opcode.opmap[name]
    for name in ("LOAD_ASSERTION_ERROR", "LOAD_COMMON_CONSTANT")
    if name in opcode.opmap
)
F = TypeVar("F", bound=Callable[..., Any])


class Options(NamedTuple):
    """What ``soft_test(...)`` takes (a tuple, since a dataclass would slow every pytest start).

    Attributes
    ----------
    weight
        Factor of the test's loss in the total loss; 0 measures the test without fitting.
    threshold
        The test fails where its own loss is above this; None for no such limit.
    holdout
        Whether fits leave the test out; None where ``soft_holdout`` decides.
    suite
        The named suite it belongs to, which may have a threshold of its own, or None.
    """

    weight: float = 1.0
    threshold: float | None = None
    holdout: bool | None = None
    suite: str | None = None

    @property
    def fitted_weight(self) -> float:
        """Factor of the test's loss in what a fit minimises."""
        return 0.0 if self.holdout else self.weight


@overload
def soft_test(function: F, /) -> F: ...


@overload
def soft_test(
    *,
    weight: float = ...,
    threshold: float | None = ...,
    holdout: bool | None = ...,
    suite: str | None = ...,
) -> Callable[[F], F]: ...


def soft_test(function: Any = None, /, **options: Any) -> Any:
    """Declare a soft test: a test function or method that returns a loss.

    The loss is a number, an array of losses (their sum counts; the elements are its cases), or a
    dict of named ones. A test that returns nothing is measured by what it asserts. Works with and
    without arguments, and is the same as the mark ``@pytest.mark.soft_test(...)``.

    Parameters
    ----------
    weight
        Factor of the test's loss in the total loss, 1 by default. With 0 the test is
        measured, but fits take no account of it.
    threshold
        The test fails where its own loss is above this.
    holdout
        With True, the test is held out: fits take no account of it, it is no part of the
        total loss, and the report compares it with the fitted tests. With False,
        ``soft_holdout`` never holds it out.
    suite
        Name of the suite it belongs to: ``soft_suite_thresholds`` in the ini file limits the sum
        of its losses.

    Raises
    ------
    TypeError
        An option is unknown, or of the wrong type.
    ValueError
        A weight is negative or not finite, or a threshold is NaN.

    Examples
    --------
    >>> import pytest
    >>> @soft_test
    ... def test_sum():
    ...     return (2 + 2 - 4) ** 2
    >>> test_sum()
    0
    """
    if function is not None and not callable(function):
        raise TypeError(f"soft_test takes its options by keyword, not {function!r}")
    read_options(options)
    mark = getattr(pytest.mark, MARK)
    if function is None:
        return mark(**options)
    return mark(function)


def read_options(given: Mapping[str, Any]) -> Options:
    """Return checked options.

    Raises
    ------
    TypeError
        An option is unknown, or of the wrong type.
    ValueError
        A weight is negative or not finite, or a threshold is NaN.
    """
    unknown = sorted(given.keys() - set(Options._fields))
    if unknown:
        raise TypeError(
            f"soft_test has no option {unknown[0]!r}; it takes weight=, threshold=, holdout= "
            "and suite="
        )
    holdout = given.get("holdout")
    if not (holdout is None or isinstance(holdout, bool)):
        raise TypeError(f"soft_test(holdout=...) takes True, False or None, not {holdout!r}")
    suite = given.get("suite")
    if not (suite is None or (isinstance(suite, str) and suite.strip() and "=" not in suite)):
        raise TypeError(f"soft_test(suite=...) takes a name without =, not {suite!r}")
    # plain floats: numpy's do not travel from a worker of pytest-xdist
    numbers = {n: _number(n, given[n]) for n in ("weight", "threshold") if n in given}
    options = Options(**numbers, holdout=holdout, suite=suite)  # type: ignore[arg-type]
    if not (math.isfinite(options.weight) and options.weight >= 0):
        raise ValueError(f"soft_test(weight={options.weight!r}): a weight is 0 or more, and finite")
    if options.threshold is not None and math.isnan(options.threshold):
        raise ValueError("soft_test(threshold=nan) could never be met")
    return options


def _number(name: str, value: Any) -> float | None:
    if value is None and name == "threshold":
        return None
    if isinstance(value, bool) or not hasattr(value, "__float__") or getattr(value, "ndim", 0) > 0:
        raise TypeError(f"soft_test({name}=...) takes a number, not {value!r}")
    return float(value)


def options_of(item: pytest.Item) -> Options | None:
    """Return what an item's author asked for, or None if it is no soft test.

    A mark nearer to the test overrides one on its class or module.

    Raises
    ------
    pytest.UsageError
        The mark is wrong, or the item is of a kind that cannot be soft.
    """
    marks = list(item.iter_markers(MARK))
    if not marks:
        return None
    given: dict[str, Any] = {}
    for mark in reversed(marks):
        if mark.args:
            raise pytest.UsageError(
                f"{item.nodeid}: soft_test takes its options by keyword, not {mark.args!r}"
            )
        given.update(mark.kwargs)
    unittest: Any = sys.modules.get("unittest")  # not worth importing in every run
    if not isinstance(item, pytest.Function) or (
        unittest is not None and item.cls is not None and issubclass(item.cls, unittest.TestCase)
    ):
        raise pytest.UsageError(
            f"{item.nodeid}: a soft test is a function or a method of a plain class; "
            "unittest's own runner drops what a test returns. Let the class have no base (set-up "
            "goes into setup_method or a fixture), or write the soft test as a function beside it"
        )
    try:
        return read_options(given)
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from error


def called_by_others(function: Callable[..., Any]) -> bool:
    """Whether another plugin has to call a test function: a coroutine, or one of hypothesis.

    Parameters
    ----------
    function
        The test function or bound method.
    """
    return hasattr(function, "hypothesis") or inspect.iscoroutinefunction(function)


def may_assert(function: Callable[..., Any]) -> bool:
    """Whether a test function may contain assertions: what compiling them leaves behind tells.

    Parameters
    ----------
    function
        The test function or bound method.
    """
    code = getattr(function, "__code__", None)
    return code is not None and _asserts(code)


@functools.cache
def _asserts(code: CodeType) -> bool:
    names = (*code.co_names, *code.co_varnames)
    return any(name.startswith(_ASSERTING) for name in names) or any(
        op in _LOADS_ERROR for op in code.co_code[::2]
    )


def measuring(function: F) -> F | Callable[..., Any]:
    """Return what to trace for a test: the function, or its twin that returns its distances.

    Parameters
    ----------
    function
        The test function or bound method.
    """
    if not may_assert(function):
        return function
    from pytest_soft.asserts import distances_of

    return distances_of(function)


def limit_of(function: Callable[..., Any], threshold: float | None) -> float | None:
    """Return the loss that a fit has to get a test to: where it asserts, that all of it holds.

    Parameters
    ----------
    function
        The test function or bound method.
    threshold
        The limit its author set, or None.
    """
    if not may_assert(function):
        return threshold
    from pytest_soft.asserts import relies_on_asserts

    if not relies_on_asserts(function):
        return threshold
    return 1.0 if threshold is None else min(threshold, 1.0)


def function_of(test: str) -> str:
    """Return the id of the function that a test is a case of; a folder may have brackets too."""
    file, colons, rest = test.partition("::")
    return file + colons + rest.partition("[")[0]
