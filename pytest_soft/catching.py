"""Soft tests that others call: coroutines, and functions for which hypothesis draws the cases.

pytest-asyncio, anyio and hypothesis drop what a test returns. So the function that they call is
replaced, while they do, by one that keeps it. Of a hypothesis test, each drawn case is a case: its
loss is their sum, as for an array; and the same cases are drawn in each run, or the fit and the
check would measure different things.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import pytest

from pytest_soft.collect import called_by_others, may_assert, measuring
from pytest_soft.loss import LossError, loss_of
from pytest_soft.run import CAUGHT, LOSS, Run

__all__ = ["Catching"]

__tracebackhide__ = True  # tracebacks shall end in the user's own code

_SETTINGS = "_hypothesis_internal_use_settings"  # hypothesis' plugin sets it just so


class Catching:
    """Catches what such tests return; registered in a run that has some.

    Parameters
    ----------
    run
        The run.
    keep
        Takes a test, what it returned, and whether its assertions hold (None without any).
    """

    def __init__(self, run: Run, keep: Callable[[pytest.Function, Any, bool | None], None]) -> None:
        """Catch nothing yet."""
        self._run = run
        self._keep = keep

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Let others run the test, then take what it returned."""
        if (
            not isinstance(item, pytest.Function)
            or item.nodeid not in self._run.options
            or not called_by_others(item.obj)
        ):
            return (yield)
        item.stash[CAUGHT] = True
        item.stash[LOSS] = None, 0, None  # a rerun must not show the loss of the run before
        record = self._run.record
        drawn = hasattr(item.obj, "hypothesis")
        caught: list[Any] = []
        failing: list[bool] = []  # of its assertions
        with _steady(item.obj, tracing=record is not None) if drawn else _as_it_is():
            call = _measured(failing, tracing=record is not None) if drawn else _called
            with _replaced(item, functools.partial(_catching, take=caught.append, call=call)):
                yield
            returned = caught if drawn else (caught or [None])[0]
            if record is not None:
                record(returned)
                return None
            if failing:
                self._keep(item, returned, False)
                item.runtest()  # raises in pytest's own words, with the least example
                pytest.fail("the assertions held when the test was run again", pytrace=False)
            self._keep(item, returned, None)
        return None


# ---- what stands in for a function


def _called(function: Callable[..., Any], args: Any, keywords: Any) -> Any:
    return function(*args, **keywords)


def _measured(failing: list[bool], *, tracing: bool) -> Callable[..., Any]:
    """Return what runs a drawn case, by its assertions where it has some."""
    from hypothesis.errors import HypothesisException

    def call(function: Callable[..., Any], args: Any, keywords: Any) -> Any:
        bound = MethodType(function, args[0]) if args else function
        if may_assert(bound):
            from pytest_soft.asserts import measure

            if tracing:
                return measuring(bound)(**keywords)
            soft = measure(bound, keywords, through=HypothesisException)
            if soft is not None and (soft.holds or soft.met):
                failing.extend([] if soft.holds else [True])
                return soft.losses()
        returned = bound(**keywords)
        problem = "" if tracing else _problem(returned)
        if problem:  # here, so that hypothesis finds the least example of it
            raise LossError(f"the soft test {problem}")
        return returned

    return call


def _problem(returned: Any) -> str:
    if inspect.isawaitable(returned):
        return ""  # whoever replaced the function awaits it
    try:
        loss_of(returned)
    except LossError as error:
        return str(error)
    return ""


def _catching(
    function: Callable[..., Any], *, take: Callable[[Any], None], call: Callable[..., Any]
) -> Callable[..., Any]:
    """Return what does the same as ``function``, but hands over what that returns."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **keywords: Any) -> None:
            take(await function(*args, **keywords))

        return awaited

    @functools.wraps(function)
    def called(*args: Any, **keywords: Any) -> None:
        take(call(function, args, keywords))

    return called


@contextmanager
def _replaced(
    item: pytest.Function, by: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Replace the function that others call (hypothesis documents ``inner_test`` for this)."""
    handle: Any = getattr(item.obj, "hypothesis", None)
    holder, name = (item, "obj") if handle is None else (handle, "inner_test")
    before = getattr(holder, name)
    setattr(holder, name, by(before))
    try:
        yield
    finally:
        setattr(holder, name, before)


# ---- hypothesis


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _steady(function: Any, *, tracing: bool) -> Iterator[None]:
    """Let hypothesis draw the same cases in each run.

    Under tracing, neither time nor the search for a least example matter.
    """
    from hypothesis import HealthCheck, Phase, settings

    wrapper = getattr(function, "__func__", function)
    before = getattr(wrapper, _SETTINGS)
    wanted = [Phase.explicit, Phase.generate]
    ignored = set(HealthCheck)
    more: dict[str, Any] = {"deadline": None}
    if not tracing:
        wanted += [Phase.shrink, Phase.explain]
        ignored = {*before.suppress_health_check}
        ignored |= {check for check in HealthCheck if check.name == "differing_executors"}
        more = {}
    now = settings(
        before,
        derandomize=True,
        database=None,
        phases=[phase for phase in before.phases if phase in wanted],
        suppress_health_check=list(ignored),
        **more,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wrapper, _SETTINGS, now)
        _draw_no_constants_of_modules(patch)
        yield


def _draw_no_constants_of_modules(patch: pytest.MonkeyPatch) -> None:
    """Keep out what hypothesis draws from the literals of the modules that happen to be imported.

    It would draw other cases under ``-k``, in a fit, or once a number in the program is changed.
    No setting of its own turns this off.
    """
    from hypothesis.internal.conjecture import providers

    if hasattr(providers, "_get_local_constants"):  # since 6.131
        none = type(providers.GLOBAL_CONSTANTS)()
        patch.setattr(providers, "_get_local_constants", lambda: none)
        patch.setattr(providers, "CONSTANTS_CACHE", type(providers.CONSTANTS_CACHE)(1024))
