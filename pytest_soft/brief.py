"""Check the cases of a function without those parts of pytest's protocol that have nothing to do.

A test whose only arguments are parameters has no fixture to set up and none to tear down, which is
half of what pytest does for it. Its function is called through all of pytest's hooks, as ever, and
the reports are made and told by all of them. Left out are pytest's own set-up and teardown, and
what captures the output of the two: there is none. Where anything else has a say in them, be it a
plugin, a conftest or a version of pytest that is not known here, pytest runs the whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import pytest
from _pytest.runner import call_and_report, check_interactive_exception  # not public

from pytest_soft.collect import called_by_others
from pytest_soft.run import Run
from pytest_soft.shortcut import ACTED_ON, CURRENT, direct_arguments

__all__ = ["Brief"]

# By hook, the modules that implement it and that are known: what they do for a test that passes
# and has no fixture, no mark of theirs and no output is nothing, or is done here as well.
_PYTEST = ("_pytest.runner", "_pytest.capture", "_pytest.logging", "_pytest.skipping")
_PENDING = ("_pytest.threadexception", "_pytest.unraisableexception")
_KNOWN = {
    "pytest_runtest_protocol": (
        *("_pytest.runner", "_pytest.faulthandler", "_pytest.unittest", "_pytest.assertion"),
        *("_pytest.warnings", "pytest_soft.brief"),
    ),
    "pytest_runtest_setup": (*_PYTEST, *_PENDING),
    "pytest_runtest_call": (
        *(*_PYTEST, *_PENDING),
        *("pytest_soft.catching", "_hypothesis_pytestplugin"),
    ),
    "pytest_runtest_teardown": (*_PYTEST, *_PENDING),
    "pytest_runtest_makereport": (
        *("_pytest.runner", "_pytest.unittest", "_pytest.skipping", "_pytest.tmpdir"),
        *("pytest_soft.plugin", "_hypothesis_pytestplugin"),
    ),
    "pytest_pyfunc_call": ("_pytest.python", "pytest_soft.plugin"),
    "pytest_fixture_setup": ("_pytest.fixtures", "_pytest.setupplan", "_pytest.setuponly"),
    "pytest_fixture_post_finalizer": ("_pytest.setuponly",),
}
_SHOWING = ("setupshow", "setuponly", "setupplan")  # options that show what would be left out
_LEFT_OUT = {  # the plugins without a part in a phase in which nothing is done
    "pytest_runtest_setup": ("runner", "skipping", "capturemanager"),
    "pytest_runtest_teardown": ("runner", "capturemanager"),
    "pytest_runtest_makereport": ("unittest", "skipping", "tmpdir", "hypothesispytest"),
}


class _Shared(NamedTuple):
    """What the cases of a function have in common.

    Attributes
    ----------
    function
        The function.
    brief
        Whether to call it with its parameters is all there is to a case.
    place
        Its file and line, as a test's location has them.
    """

    function: Any
    brief: bool
    place: tuple[str, int | None]


class Brief:
    """Runs the tests that need neither set-up nor teardown; registered in a run that has soft ones.

    Parameters
    ----------
    config
        pytest's.
    run
        The run.
    """

    def __init__(self, config: pytest.Config, run: Run) -> None:
        """Leave out nothing yet."""
        self._run = run
        manager = config.pluginmanager
        self._hooks: dict[str, Callable[..., Any]] = {
            hook: manager.subset_hook_caller(hook, filter(None, map(manager.get_plugin, names)))
            for hook, names in _LEFT_OUT.items()
        }
        self._reraise: tuple[type[BaseException], ...] = (pytest.exit.Exception,)
        if not config.getoption("usepdb", False):
            self._reraise += (KeyboardInterrupt,)
        self._open = False
        self._shared: dict[int, _Shared] = {}  # by id of what pytest's items share

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """See who else has a say, once all plugins are there."""
        config = session.config
        self._open = not any(config.getoption(name, False) for name in _SHOWING) and all(
            impl.function.__module__ in modules
            for hook, modules in _KNOWN.items()
            for impl in getattr(config.hook, hook).get_hookimpls()
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> object:
        """Run a test that needs nothing, as pytest's own implementation would."""
        if not (
            self._open
            and item.nodeid in self._run.options
            and type(item) is pytest.Function
            and self._needs_nothing(item)
            and _parents_are_set_up(item)
        ):
            return None
        hooks = item.ihook
        hooks.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        self._check(item, nextitem, hooks)
        hooks.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _needs_nothing(self, item: Any) -> bool:
        """Whether to call its function with its parameters is all there is to a test."""
        function, key = item.function, id(item._fixtureinfo)
        shared = self._shared.get(key)
        if shared is None or shared.function is not function:
            only_parameters = set(item.fixturenames) <= set(direct_arguments(item))
            brief = only_parameters and not called_by_others(item.obj)
            self._shared[key] = shared = _Shared(function, brief, item.location[:2])
        elif shared.brief:  # what pytest finds out anew for each case
            item.location = (*shared.place, item.getmodpath())
        return shared.brief and not any(mark.name in ACTED_ON for mark in item.iter_markers())

    def _check(self, item: Any, nextitem: pytest.Item | None, hooks: Any) -> None:
        """Do what ``_pytest.runner.runtestprotocol`` does."""
        if not item._request:  # it ran before
            item._initrequest()
        if hasattr(item, "callspec"):
            item.funcargs.update(item.callspec.params)
        try:
            passed = self._phase(item, "setup", hooks).passed
            if passed:
                passed = call_and_report(item, "call").passed
            session = item.session
            if session.shouldfail or session.shouldstop:
                nextitem = None
            if passed and nextitem is not None and nextitem.parent is item.parent:
                self._phase(item, "teardown", hooks, nextitem=nextitem)
            else:  # of what it shared with others, or whatever a failure may have left
                call_and_report(item, "teardown", nextitem=nextitem)
        finally:
            os.environ.pop(CURRENT, None)
            item._request = False
            item.funcargs = None

    def _phase(
        self, item: pytest.Item, when: Literal["setup", "teardown"], hooks: Any, **given: Any
    ) -> pytest.TestReport:
        """Do what ``_pytest.runner.call_and_report`` does, without what is left out."""
        run = partial(self._hooks[f"pytest_runtest_{when}"], item=item, **given)
        call = pytest.CallInfo.from_call(run, when, reraise=self._reraise)
        makereport = self._hooks["pytest_runtest_makereport"]
        if call.excinfo is not None:
            makereport = hooks.pytest_runtest_makereport
        report: pytest.TestReport = makereport(item=item, call=call)
        hooks.pytest_runtest_logreport(report=report)
        if check_interactive_exception(call, report):
            hooks.pytest_exception_interact(node=item, call=call, report=report)
        return report


def _parents_are_set_up(item: pytest.Item) -> bool:
    """Whether an earlier test had its module, class and so on set up without an error."""
    stack: Any = item.session._setupstate.stack
    return bool(stack) and next(reversed(stack)) is item.parent and stack[item.parent][1] is None
