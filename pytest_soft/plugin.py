"""The hooks. Each is thin: what they call can be tested without pytest.

This module is imported in every pytest run of an environment that has pytest-soft, so it imports
neither numpy nor softtape, nor what else only a run with soft tests needs.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_soft.collect import MARK, Options, called_by_others, may_assert, measuring, options_of
from pytest_soft.run import CAUGHT, LOSS, RUN, Run
from pytest_soft.settings import Settings, add_options, reports_wanted
from pytest_soft.split import is_held_out

if TYPE_CHECKING:
    from pytest_soft.verdict import TestLoss

__all__: list[str] = []

__tracebackhide__ = True  # tracebacks shall end in the user's own code


_PHASES = ("setup", "call", "teardown")
_KNOWN_PYTEST = pytest.version_tuple < (10,)  # brief checks rely on what is not public


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare our own hooks."""
    from pytest_soft import hookspec

    pluginmanager.add_hookspecs(hookspec)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare our options."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before any user code is imported, seal the Params of a run that will trace tests."""
    known = early_config.known_args_namespace
    if known.soft_fit or known.soft_check is not None:
        _register_fitting(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Check the options, and declare the mark."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(weight=1.0, threshold=None, holdout=None, suite=None): a test that returns a loss "
        "(see pytest-soft)",
    )
    run = config.stash[RUN] = Run(Settings.of(config))
    each = getattr(config.option, "dist", "no") == "each"
    config.pluginmanager.register(_Collector(run, each=each), "soft-losses")
    if reports_wanted(config):
        from pytest_soft.current import Current

        config.pluginmanager.register(Current(), "soft-params")
    if config.getoption("soft_compare") is not None and not hasattr(config, "workerinput"):
        from pytest_soft.compare import read_report

        run.earlier = read_report(Path(config.getoption("soft_compare")))
    if run.settings.fit or run.settings.coverage:
        from pytest_soft.covering import Covering

        config.pluginmanager.register(Covering(), "soft-covering")
    if run.settings.traces:
        _register_fitting(config)  # where the plugin was loaded too late to do so before


def _register_fitting(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("soft-fitting"):
        from pytest_soft.fitting import Fitting

        config.pluginmanager.register(Fitting(config), "soft-fitting")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Read what the authors of soft tests asked for; last, since hooks may add marks too."""
    run = config.stash[RUN]
    known: dict[tuple[Any, ...], Options | None] = {}  # of the cases of a function, read once
    others = False
    for item in items:
        marks = tuple(map(id, item.iter_markers(MARK)))
        if marks:
            key = (type(item), id(item.parent), *marks)
            if key not in known:
                known[key] = options_of(item)
                others = others or called_by_others(item.obj)  # type: ignore[attr-defined]
            options = known[key]
            if options is not None:
                run.options[item.nodeid] = _decided(options, item.nodeid, run.settings)
    if run.options and _KNOWN_PYTEST and not config.pluginmanager.has_plugin("soft-brief"):
        from pytest_soft.brief import Brief

        config.pluginmanager.register(Brief(config, run), "soft-brief")
    if others and not config.pluginmanager.has_plugin("soft-catching"):
        from pytest_soft.catching import Catching

        config.pluginmanager.register(Catching(run, _keep_caught), "soft-catching")


def _decided(options: Options, nodeid: str, settings: Settings) -> Options:
    """Return options that say whether the test is held out."""
    if options.holdout is not None or not settings.holdout:
        return options
    return options._replace(holdout=is_held_out(nodeid, settings.seed, settings.holdout))


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Note which test files do not run as a whole."""
    for item in items:
        item.config.stash[RUN].deselected.add(item.nodeid.partition("::")[0])


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a soft test, and keep its loss instead of warning that it returned something."""
    run = pyfuncitem.config.stash[RUN]
    options = run.options.get(pyfuncitem.nodeid)
    if options is None or CAUGHT in pyfuncitem.stash:
        return None
    pyfuncitem.stash[LOSS] = None, 0, None  # a rerun must not show the loss of the run before
    # pytest's own list of them, which knows defaults and mock.patch; not public
    wanted = pyfuncitem._fixtureinfo.argnames
    given = {name: pyfuncitem.funcargs[name] for name in wanted}
    if run.record is not None:  # it is traced, not checked
        run.record(measuring(pyfuncitem.obj)(**given))
        return True
    if may_assert(pyfuncitem.obj):
        loss = _check_asserts(pyfuncitem, given)
    else:
        loss = _keep_loss(pyfuncitem, pyfuncitem.obj(**given))
    _hold_to_threshold(loss, options)
    return True


def _keep_caught(item: pytest.Function, returned: Any, holds: bool | None) -> None:
    """Keep what a test returned that others called."""
    loss = _keep_loss(item, returned, holds)
    if holds is not False:
        _hold_to_threshold(loss, item.config.stash[RUN].options[item.nodeid])


def _hold_to_threshold(loss: float, options: Options) -> None:
    if options.threshold is not None and loss > options.threshold:
        _fail(f"the loss {loss:.6g} is above the threshold {options.threshold:.6g} of this test")


def _keep_loss(item: pytest.Function, returned: Any, holds: bool | None = None) -> float:
    from pytest_soft.loss import LossError, loss_of

    problem = ""
    try:
        loss, cases = loss_of(returned)
    except LossError as error:
        problem = str(error)
    if problem:  # not in the handler, or pytest shows our own exception before this one
        file, line, _ = item.location
        _fail(f"{file}:{(line or 0) + 1}: the soft test {problem}")
    item.stash[LOSS] = loss, cases, holds
    return loss


def _check_asserts(item: pytest.Function, given: dict[str, Any]) -> float:
    """Check a test by its assertions, or like any other if it returns a loss."""
    from pytest_soft.asserts import measure

    soft = measure(item.obj, given)
    if soft is None:
        return _keep_loss(item, item.obj(**given))
    if soft.holds:
        return _keep_loss(item, soft.losses(), holds=True)
    if soft.met:
        item.add_report_section("call", "soft asserts", "\n".join(soft.lines()))
        _keep_loss(item, soft.losses(), holds=False)
    item.obj(**given)  # raises in pytest's own words
    return _fail("the assertions held when the test was run again: it does not repeat itself")


def _fail(message: str) -> NoReturn:
    """Fail the test with nothing but a message; without a visible frame, pytest adds a line."""
    __tracebackhide__ = False
    pytest.fail(message, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the loss on the report, as plain numbers, so that it also travels from a worker."""
    report = yield
    begins = report.when == "setup" and hasattr(item.config, "workerinput")
    if report.when != "call" and report.passed and not begins:
        return report  # a set-up that went well says that a test begins which may kill its worker
    options = item.config.stash[RUN].options.get(item.nodeid)
    if options is not None:
        nothing = None, 0, None
        measured = item.stash.get(LOSS, nothing) if report.when == "call" else nothing
        loss, cases, holds = measured
        soft = {
            "loss": loss,
            "cases": cases,
            "weight": options.weight,
            "threshold": options.threshold,
            "holds": holds,
            "held_out": bool(options.holdout),
            "suite": options.suite,
        }
        report.soft = soft  # type: ignore[attr-defined]  # reports take extra plain data
    return report


class _Collector:
    """Collects losses from reports, which come from this process or from workers."""

    def __init__(self, run: Run, *, each: bool) -> None:
        self._run = run
        self._each = each  # of several workers runs every test
        self._begun: dict[str, dict[str, Any]] = {}
        self._by_worker: dict[str, dict[object, TestLoss]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the loss of a test that was not skipped; of a rerun test, the last one."""
        soft = getattr(report, "soft", None)
        if soft is None and report.when not in _PHASES:  # of a worker that died, by pytest-xdist
            soft = self._begun.get(report.nodeid)
        if soft is None:
            return
        from pytest_soft.verdict import TestLoss

        tests, expected = self._run.tests, hasattr(report, "wasxfail")
        if report.skipped and not expected:
            return
        if report.when == "teardown":
            if report.failed and report.nodeid in tests:
                self._keep(report, tests[report.nodeid]._replace(error=True))
        elif report.when == "setup" and report.passed:
            self._begun[report.nodeid] = soft
        elif report.passed:
            self._keep(report, TestLoss(**soft, counts=not expected))
        elif report.when == "call" or report.failed:
            strict = report.failed and str(report.longrepr).startswith("[XPASS(strict)]")
            test = TestLoss(**soft, counts=not (expected or strict))
            self._keep(report, test._replace(error=report.failed and not test.failed))

    def _keep(self, report: pytest.TestReport, test: TestLoss) -> None:
        """Keep what a test measured; where each worker measures it, the worst."""
        tests, name = self._run.tests, report.nodeid
        if self._each:
            of = self._by_worker.setdefault(name, {})
            of[getattr(report, "node", None)] = test
            test = max(of.values(), key=lambda found: found.badness)
        tests[name] = test


def pytest_report_teststatus(
    report: pytest.CollectReport | pytest.TestReport,
) -> tuple[str, str, str] | None:
    """Show the loss behind the word PASSED of ``-v``."""
    soft = getattr(report, "soft", None)
    if soft is None or soft["loss"] is None or report.when != "call" or hasattr(report, "wasxfail"):
        return None
    if not report.passed:
        return None
    return "passed", ".", f"PASSED loss {soft['loss']:.3g}"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let the exit status say what the verdict says."""
    if hasattr(session.config, "workerinput"):
        return  # only the controller sees all tests
    run = session.config.stash[RUN]
    if run.settings.ratchet is not None or run.fit is not None:
        from pytest_soft.ratchet import ratchet

        ratchet(run, session.config.rootpath)
    if run.tests and not run.settings.traces and "softtape.param" in sys.modules:
        from pytest_soft.glance import glance

        run.staleness = glance(session)
    verdict = run.verdict()
    quiet = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if verdict is None:
        return
    if not verdict.passed and session.exitstatus in quiet:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if reports_wanted(session.config):
        from pytest_soft.report.files import write_reports

        write_reports(session, run, verdict)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode
) -> None:
    """Print the section «soft», where there is something to say."""
    config = terminalreporter.config
    run = config.stash[RUN]
    verdict = run.verdict()
    interrupted = exitstatus == pytest.ExitCode.INTERRUPTED and not terminalreporter.stats
    if verdict is None or (interrupted and run.fit is None and not run.tests):
        return  # Ctrl-C while tests were collected or traced: there is nothing to judge
    from pytest_soft.report.terminal import summary_lines

    verbosity = config.get_verbosity()
    if verbosity >= 0:
        terminalreporter.write_sep("=", "soft")
    width = config.get_terminal_writer().fullwidth
    lines = summary_lines(
        verdict, run.tests, run.fit, coverage=run.coverage, verbosity=verbosity, width=width
    )
    for line, markup in lines:
        terminalreporter.write_line(line, **markup)
    if run.staleness is not None:
        from pytest_soft.report.staleness import staleness_lines

        lines = staleness_lines(
            run.staleness, fitted=run.fit is not None, verbosity=verbosity, width=width
        )
        for line, markup in lines:
            terminalreporter.write_line(line, **markup)
    if run.comparison is not None:
        from pytest_soft.report.comparison import comparison_lines

        lines = comparison_lines(run.comparison, verbosity=verbosity, width=width)
        for line, markup in lines:
            terminalreporter.write_line(line, **markup)
