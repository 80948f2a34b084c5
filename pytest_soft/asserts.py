"""Run a test that asserts, and note how far each assertion is from holding.

:mod:`pytest_soft.soften` rewrites the test to call an :class:`Asserts`; here is what it calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pytest_soft.distance import (
    MIRRORED,
    Distance,
    Expected,
    Magnitude,
    call_distance,
    compare,
    is_traced,
)
from pytest_soft.soften import softened

__all__ = ["Assertion", "Asserts", "distances_of", "measure", "relies_on_asserts"]

__tracebackhide__ = True  # messages and tracebacks shall end in the user's own code


def distances_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the twin of a test that returns its distances; itself if it does not rely on asserts.

    Parameters
    ----------
    function
        The test function or bound method.
    """
    twin = softened(function)
    if twin is None:
        return function

    def distances(**keywords: Any) -> dict[str, Any]:
        soft = Asserts()
        twin(soft=soft, **keywords)
        return soft.losses()

    return distances


def relies_on_asserts(function: Callable[..., Any]) -> bool:
    """Whether a test is measured by what it asserts."""
    return softened(function) is not None


def measure(
    function: Callable[..., Any],
    keywords: Mapping[str, Any],
    *,
    through: type[Exception] | tuple[()] = (),
) -> Asserts | None:
    """Run a test on plain numbers; None if it does not rely on asserts, and did not run.

    One whose assertions do not all hold is then to be run as it is, for pytest's own account of it.
    Exceptions of the type ``through`` say nothing about it, and are not caught.
    """
    twin = softened(function)
    if twin is None:
        return None
    soft = Asserts()
    try:
        twin(soft=soft, **keywords)
    except through:
        raise
    except Exception:
        soft.complete = False
    return soft


class Assertion(NamedTuple):
    """One assertion that was met.

    Attributes
    ----------
    line
        Where it stands.
    text
        What it says.
    loss
        Its squared distance (see :mod:`pytest_soft.distance`).
    holds
        Whether it holds.
    """

    line: int
    text: str
    loss: Any
    holds: bool


class Asserts:
    """What one run of a rewritten test asserted.

    Attributes
    ----------
    met
        The assertions with a distance, in the order they were met.
    complete
        Whether the test came to its end.
    """

    def __init__(self) -> None:
        """Nothing was met yet."""
        self.met: list[Assertion] = []
        self.complete = True

    @property
    def holds(self) -> bool:
        """Whether all of them hold, and nothing else went wrong."""
        return self.complete and all(one.holds for one in self.met)

    def lines(self) -> list[str]:
        """Say of each how far it is from holding."""
        return [f"line {one.line:<4} {one.text}: {_in_words(one)}" for one in self.met]

    def losses(self) -> dict[str, Any]:
        """Return the squared distances by line; a list where a line was met several times."""
        found: dict[str, Any] = {}
        for one in self.met:
            found.setdefault(f"line {one.line}", []).append(one.loss)
        return {name: parts if len(parts) > 1 else parts[0] for name, parts in found.items()}

    # ---- what stands in the rewritten test

    def check(self, found: Distance, line: int, text: str) -> None:
        """Stand for an ``assert`` statement."""
        if found.loss is not None:
            self.met.append(Assertion(line, text, found.loss, found.holds))
        elif not found.truth:
            raise AssertionError(f"{text}\nIt does not hold, and has no distance to make smaller.")

    def statement(self, line: int, text: str, function: Any, *args: Any, **keywords: Any) -> None:
        """Stand for a call such as ``np.testing.assert_allclose(...)``."""
        loss = call_distance(function, args, keywords)
        truth = None
        if not is_traced(loss):
            try:
                function(*args, **keywords)
                truth = True
            except AssertionError:
                if loss is None:
                    raise
                truth = False
        self.check(Distance(loss, truth), line, text)

    def compare(
        self, ops: tuple[str, ...], fixed: tuple[bool, ...], *sides: Any, everywhere: bool = False
    ) -> Distance:
        """Stand for a comparison, chained or not; ``fixed`` tells which sides are literals."""
        links = []
        for i, op in enumerate(ops):
            a, b = sides[i], sides[i + 1]
            if fixed[i] and not fixed[i + 1]:
                a, b, op = b, a, MIRRORED.get(op, op)
            links.append(partial(compare, op, a, b, everywhere=everywhere))
        return self.both(*links)

    def call(self, function: Any, *args: Any, **keywords: Any) -> Distance:
        """Stand for a call as a truth, such as ``np.allclose(...)``."""
        loss = call_distance(function, args, keywords)
        if is_traced(loss):
            return Distance(loss, None)
        answer = function(*args, **keywords)
        return Distance(loss, bool(answer if loss is None else np.all(answer)))

    def approx(self, function: Any, *args: Any, **keywords: Any) -> Any:
        """Stand for ``pytest.approx(...)`` as a side of a comparison."""
        ours = (getattr(function, "__module__", None) or "").startswith("_pytest.")
        return Expected(*args, **keywords) if ours else function(*args, **keywords)

    def magnitude(self, function: Any, value: Any) -> Any:
        """Stand for ``abs(...)`` as a side of a comparison."""
        size = function(value)
        known = getattr(function, "__name__", "") in ("abs", "absolute", "fabs")
        return Magnitude(value, size) if known else size

    def truth(self, value: Any) -> Distance:
        """Stand for anything else that is asked for its truth."""
        return Distance(None, bool(value))

    def both(self, *parts: Callable[[], Distance]) -> Distance:
        """Stand for ``and``: the distances add up.

        Python asks no further where one does not hold. The others count here all the same, or the
        sum would jump up where that one holds at last; but they may fail, and say so by nothing.
        """
        loss: Any = None
        truth: bool | None = True
        holds = True
        for part in parts:
            try:
                found = part()
            except Exception:
                if holds:
                    raise
                bool(loss > 1.0)  # under tracing, the guard of having gone no further
                break
            if found.loss is None and not found.truth:
                if holds:
                    return found
                break
            if found.loss is not None:
                loss = found.loss if loss is None else loss + found.loss
            holds = holds and found.holds
            truth = None if truth is None or found.truth is None else truth and found.truth
        return Distance(loss, truth)

    def either(self, *parts: Callable[[], Distance]) -> Distance:
        """Stand for ``or``: the least of the distances."""
        loss: Any = None
        truth: bool | None = False
        for part in parts:
            found = part()
            if found.truth:
                return Distance(None if found.loss is None else found.loss * 0.0, True)
            if found.loss is not None:
                loss = found.loss if loss is None else np.minimum(loss, found.loss)
            truth = None if truth is None or found.truth is None else False
        return Distance(loss, truth)

    def every(self, parts: Iterable[Distance]) -> Distance:
        """Stand for ``all(... for ...)``."""
        return self.both(*(partial(_found, part) for part in parts))


def _in_words(one: Assertion) -> str:
    if one.holds:
        return "holds"
    return f"{float(np.sqrt(one.loss)):.3g} times its tolerance"


def _found(distance: Distance) -> Distance:
    return distance
