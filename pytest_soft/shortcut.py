"""Run a test without pytest's hooks, reports and captures, where nothing is lost by it.

Pytest's protocol costs ten times what a small test does, and a fit needs nothing of it but what
fixtures give. Whatever is unusual, such as a skip, a failure, or a plugin that has a say in how
tests run, is left to pytest, whose words the user knows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import IntEnum
from io import StringIO
from typing import Any

import pytest

__all__ = ["Shortcut"]

__tracebackhide__ = True  # messages and tracebacks shall end in the user's own code

_HOOKS = (
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
    "pytest_runtest_call",
    "pytest_runtest_teardown",
    "pytest_runtest_makereport",
    "pytest_pyfunc_call",
)
_HARMLESS = ("_pytest.", "pytest_soft.", "xdist.", "_hypothesis_pytestplugin")
_ACTED_ON = ("skip", "skipif", "xfail", "hypothesis")  # marks; those of others need a hook above
# where fixtures of pytest itself are defined that need no hook: the others live on reports and
# captures. (A direct parameter is wrapped in a fixture, too, and so is setup_module.)
_SELF_SUFFICIENT = ("_pytest.python", "_pytest.fixtures", "_pytest.monkeypatch")

_ENDS = (Exception, pytest.fail.Exception, pytest.skip.Exception)  # how a test can end


class _Way(IntEnum):
    PROTOCOL = 0  # pytest has to run it
    SET_UP = 1  # its fixtures have to be set up
    CALL = 2  # it uses nothing but parametrize: calling the function is all there is to it


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

    def needs_set_up(self, item: pytest.Function) -> bool:
        """Whether the test is more than a call of its function."""
        return self._way(item) is not _Way.CALL

    def run(
        self, item: pytest.Function, following: pytest.Item, take: Callable[[Any], bool]
    ) -> bool:
        """Run one test; if this returns False, pytest has to run it from the beginning.

        Parameters
        ----------
        item
            The test.
        following
            The next one that needs a set-up; fixtures they share are kept.
        take
            Gets what the test returned, and tells whether that is a loss.
        """
        way = self._way(item)
        if way is _Way.PROTOCOL:
            return False
        streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = StringIO()  # the check prints it again
        os.environ["PYTEST_CURRENT_TEST"] = f"{item.nodeid} (call)".replace("\x00", "(null)")
        try:
            if way is _Way.SET_UP:
                return _with_fixtures(item, following, take)
            given = item.callspec.params if hasattr(item, "callspec") else {}
            return take(item.obj(**{name: given[name] for name in item._fixtureinfo.argnames}))
        except _ENDS:
            return False
        finally:
            sys.stdout, sys.stderr = streams
            os.environ.pop("PYTEST_CURRENT_TEST", None)

    def _way(self, item: pytest.Function) -> _Way:
        shared = id(item._fixtureinfo)
        way = self._ways.get(shared)
        if way is None:
            way = self._ways[shared] = self._find_way(item)
        return _Way.PROTOCOL if _may_not_pass(item) else way

    def _find_way(self, item: pytest.Function) -> _Way:
        marks = item.parent.iter_markers() if item.parent is not None else ()
        if self._closed or any(mark.name in _ACTED_ON for mark in marks):
            return _Way.PROTOCOL
        given = item.callspec.params if hasattr(item, "callspec") else {}
        fixtures = item._fixtureinfo.name2fixturedefs
        makers = {name: [made.func.__module__ for made in fixtures[name]] for name in fixtures}
        for modules in makers.values():
            if any(m.startswith("_pytest.") and m not in _SELF_SUFFICIENT for m in modules):
                return _Way.PROTOCOL
        # an indirect parameter is what a fixture is called with, not what it returns
        direct = (
            name in given and (name not in makers or makers[name][-1] == "_pytest.python")
            for name in item.fixturenames
        )
        return _Way.CALL if item.cls is None and all(direct) else _Way.SET_UP


def _with_fixtures(
    item: pytest.Function, following: pytest.Item, take: Callable[[Any], bool]
) -> bool:
    """Set up what the test needs, call it, and tear down what ``following`` does not share.

    This is what pytest's own hooks do; not public, but what pytest-rerunfailures relies on too.
    """
    state = item.session._setupstate
    if not item._request:  # it ran before
        item._initrequest()
    passed = False
    try:
        state.setup(item)
        wanted = item._fixtureinfo.argnames
        passed = take(item.obj(**{name: item.funcargs[name] for name in wanted}))
        passed = passed and not _may_not_pass(item)  # a fixture may have marked it meanwhile
    finally:
        try:
            state.teardown_exact(following if passed else item.parent)
        finally:
            item._request = False
            item.funcargs = None
    return passed


def _may_not_pass(item: pytest.Function) -> bool:
    return any(mark.name in _ACTED_ON for mark in item.own_markers)
