"""Run a test without pytest's hooks, reports and captures, where nothing is lost by it.

Pytest's protocol costs ten times what a small test does, and a fit needs nothing of it but what
fixtures give. Whatever is unusual, such as a skip, a failure, or a plugin that has a say in how
tests run, is left to pytest, whose words the user knows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import StringIO
from typing import Any, NamedTuple

import pytest

from pytest_soft.collect import called_by_others, measuring

__all__ = ["ACTED_ON", "CURRENT", "Shortcut", "direct_arguments", "forget_instance"]

__tracebackhide__ = True  # messages and tracebacks shall end in the user's own code

_HOOKS = (
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
    "pytest_runtest_call",
    "pytest_runtest_teardown",
    "pytest_runtest_makereport",
    "pytest_pyfunc_call",
)
_HARMLESS = (  # to a plain function that passes
    *("_pytest.", "pytest_soft.", "xdist.", "_hypothesis_pytestplugin"),
    *("anyio.", "pytest_asyncio.", "pytest_cov.", "pytest_html.", "pytest_rerunfailures"),
)
ACTED_ON = frozenset(["skip", "skipif", "xfail", "hypothesis"])
"""Marks by which pytest treats a test otherwise; those of others need a hook."""

# where fixtures of pytest itself are defined that need no hook: the others live on reports and
# captures. (A direct parameter is wrapped in a fixture, too, and so is setup_module.)
_SELF_SUFFICIENT = ("_pytest.python", "_pytest.fixtures", "_pytest.monkeypatch")

CURRENT = "PYTEST_CURRENT_TEST"
"""The variable that programs look for, as pytest documents it."""

_ENDS = (Exception, pytest.fail.Exception, pytest.skip.Exception)  # how a test can end


class _Way(NamedTuple):
    """How the cases of a function can be run.

    Attributes
    ----------
    protocol
        Pytest has to run them.
    set_up
        Their fixtures have to be set up; otherwise calling the function is all there is to it.
    direct
        The arguments that are parameters themselves, which need no fixture.
    """

    protocol: bool
    set_up: bool = True
    direct: tuple[str, ...] = ()


_PROTOCOL = _Way(protocol=True)


class Shortcut:
    """Runs the tests of a session that can do without pytest's protocol.

    Parameters
    ----------
    config
        pytest's, once all conftests are loaded.
    """

    def __init__(self, config: pytest.Config) -> None:
        """Look at the plugins."""
        impls = (impl for name in _HOOKS for impl in getattr(config.hook, name).get_hookimpls())
        modules = (impl.function.__module__ or "" for impl in impls)
        self._closed = not all(module.startswith(_HARMLESS) for module in modules)
        self._ways: dict[int, _Way] = {}  # by id of what the cases of a function have in common

    def run(
        self, item: pytest.Function, following: pytest.Item, take: Callable[[Any], bool]
    ) -> bool:
        """Run one test; if this returns False, pytest has to run it from the beginning.

        Parameters
        ----------
        item
            The test.
        following
            The next one; fixtures they share are kept.
        take
            Gets what the test returned, and tells whether that is a loss.
        """
        way = self._way(item)
        if way.protocol:
            return False
        given = item.callspec.params if hasattr(item, "callspec") else {}
        streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = StringIO()  # the check prints it again
        try:
            if way.set_up:
                direct = {name: given[name] for name in way.direct}
                return _with_fixtures(item, direct, following, take)
            wanted = item._fixtureinfo.argnames
            passed = take(measuring(item.obj)(**{name: given[name] for name in wanted}))
            state = item.session._setupstate
            if passed and state.stack:  # what others before it share with it
                state.teardown_exact(following)
            return passed
        except _ENDS:
            return False
        finally:
            sys.stdout, sys.stderr = streams

    def _way(self, item: pytest.Function) -> _Way:
        if _may_not_pass(item):
            return _PROTOCOL
        shared = id(item._fixtureinfo)
        way = self._ways.get(shared)
        if way is None:
            way = self._ways[shared] = self._find_way(item)
        return way

    def _find_way(self, item: pytest.Function) -> _Way:
        marks = item.parent.iter_markers() if item.parent is not None else ()
        if (
            self._closed
            or called_by_others(item.obj)
            or any(mark.name in ACTED_ON for mark in marks)
        ):
            return _PROTOCOL
        fixtures = item._fixtureinfo.name2fixturedefs
        makers = {name: [made.func.__module__ for made in fixtures[name]] for name in fixtures}
        for modules in makers.values():
            if any(m.startswith("_pytest.") and m not in _SELF_SUFFICIENT for m in modules):
                return _PROTOCOL
        direct = direct_arguments(item)
        set_up = item.cls is not None or not set(item.fixturenames) <= set(direct)
        return _Way(protocol=False, set_up=set_up, direct=direct)


def _with_fixtures(
    item: Any, direct: dict[str, Any], following: pytest.Item, take: Callable[[Any], bool]
) -> bool:
    """Set up what the test needs, call it, and tear down what ``following`` does not share.

    This is what pytest's own hooks do; not public, but what pytest-rerunfailures relies on too.
    """
    state = item.session._setupstate
    if not item._request:  # it ran before
        item._initrequest()
    item.funcargs.update(direct)
    passed = False
    os.environ[CURRENT] = f"{item.nodeid} (call)".replace("\x00", "(null)")
    try:
        state.setup(item)
        wanted = item._fixtureinfo.argnames
        passed = take(measuring(item.obj)(**{name: item.funcargs[name] for name in wanted}))
        passed = passed and not _may_not_pass(item)  # a fixture may have marked it meanwhile
    finally:
        try:
            state.teardown_exact(following if passed else item.parent)
        finally:
            item._request = False
            item.funcargs = None
            os.environ.pop(CURRENT, None)
    return passed


def forget_instance(item: pytest.Function) -> None:
    """Let the next run of a method have an instance of its own, as each test has in pytest.

    An item keeps the one it was collected with, since it is meant to run once.
    """
    if isinstance(item.parent, pytest.Class):
        for kept in ("_instance", "_obj"):
            vars(item).pop(kept, None)


def direct_arguments(item: pytest.Function) -> tuple[str, ...]:
    """Return the names of the parameters that are arguments of the test themselves.

    An indirect parameter is what a fixture is called with, not what it returns; a direct one is
    wrapped in a fixture of pytest's own.
    """
    if not hasattr(item, "callspec"):
        return ()
    fixtures = item._fixtureinfo.name2fixturedefs
    return tuple(
        name
        for name in item.callspec.params
        if name not in fixtures or fixtures[name][-1].func.__module__ == "_pytest.python"
    )


def _may_not_pass(item: pytest.Function) -> bool:
    """Whether a mark of its own, or of its case, makes pytest treat it otherwise."""
    return any(mark.name in ACTED_ON for mark in item.own_markers)
