"""The hooks that trace a check for ``--soft-coverage``, and look at what a fit has traced."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from pytest_soft import workers
from pytest_soft.collect import limit_of
from pytest_soft.fitting import Fitting, spared_heap
from pytest_soft.limits import above_limits
from pytest_soft.run import RUN, Run
from pytest_soft.settings import runs_tests
from pytest_soft.stand_ins import stand_ins
from pytest_soft.trace import Traces, read_by
from pytest_soft.values import of_project
from pytest_soft.verdict import TestLoss
from softtape.errors import StoreError
from softtape.graph import Graph
from softtape.param import peek
from softtape.patches import following as numpy_and_math_follow
from softtape.terms import PlainTerm, Term, TrialError

if TYPE_CHECKING:
    from pytest_soft.coverage import Coverage

__all__ = ["Covering"]

_SENT = "soft_coverage"


class Covering:
    """Looks at the tapes before the tests run: in a check at its own, in a fit at the fit's."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Measure within the wrapper that fits, so after the fit."""
        config = session.config
        run = config.stash[RUN]
        if _first(config) and runs_tests(config) and not session.testsfailed:
            run.coverage = self._measured(session, run)
            if run.coverage is not None and hasattr(config, "workeroutput"):
                config.workeroutput[_SENT] = run.coverage.to_dict()
        return (yield)

    def _measured(self, session: pytest.Session, run: Run) -> Coverage | None:
        fitting = session.config.pluginmanager.get_plugin("soft-fitting")
        settings = run.settings
        untraced: dict[str, str] = {}
        if isinstance(fitting, Fitting):
            terms, values, cases, limits = fitting.take_traced()
        else:
            terms, values, cases, limits, untraced = _traced(session, run)
        above = above_limits(
            _losses(session, run, terms, values, cases, limits),
            threshold=settings.threshold,
            mean_threshold=settings.mean_threshold,
            worst_threshold=settings.worst_threshold,
            suite_thresholds=settings.suite_thresholds,
            ratchet=settings.ratchet,
        )
        if not (settings.coverage or above):
            return None
        from pytest_soft.blame import blame
        from pytest_soft.coverage import Coverage

        taking_part = [term for term in terms if term.traced and term.weight]
        found = Coverage(asked=settings.coverage, untraced=untraced)
        if found.asked:
            from pytest_soft.reach import reach

            found.tests = [term.name for term in taking_part]
            found.params = reach(
                taking_part,
                values,
                of_project(session.config),
                absolute=run.settings.absolute_sigma,
            )
            found.untraced |= {t.name: t.refusal for t in terms if isinstance(t, PlainTerm)}
        found.blames = list(blame(taking_part, values, above))
        return found

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take it from the worker that measured (a hook of pytest-xdist)."""
        sent = getattr(node, "workeroutput", {}).get(_SENT)
        if sent is not None:
            from pytest_soft.coverage import Coverage

            node.config.stash[RUN].coverage = Coverage.from_dict(sent)


def _first(config: pytest.Config) -> bool:
    """Whether this is the process that measures: that of the run, or the first worker."""
    if config.pluginmanager.hasplugin("dsession"):
        return False  # the controller, which runs no tests
    worker = getattr(config, "workerinput", None)
    return worker is None or worker["workerid"] == workers.FIRST


class _Constant:
    """Registered while a check is traced: what outlives a test must not keep a recording."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """Read Params plainly in fixtures that outlive a single test, as the check itself does."""
        if fixturedef.scope == "function":
            return (yield)
        with read_by(None):
            return (yield)


def _traced(
    session: pytest.Session, run: Run
) -> tuple[list[Term], dict[str, Any], dict[str, int], dict[str, float | None], dict[str, str]]:
    """Trace the soft tests at the values that the check runs with; tell why others were not."""
    items = [i for i in session.items if isinstance(i, pytest.Function) and i.nodeid in run.options]
    traces = Traces(session, peek)
    terms: list[Term] = []
    cases: dict[str, int] = {}
    untraced: dict[str, str] = {}
    constant = session.config.pluginmanager.register(_Constant())
    try:
        with spared_heap(), stand_ins(session.config), numpy_and_math_follow():
            for item, following in zip(items, [*items[1:], None], strict=False):
                tracing, failure = traces.trace(item, following)
                if failure is not None:
                    untraced[item.nodeid] = failure.line
                if tracing.graph is not None:
                    weight = run.options[item.nodeid].fitted_weight
                    terms.append(Term(item.nodeid, tracing.graph, _not_again, weight))
                    cases[item.nodeid] = tracing.cases
    finally:
        session.config.pluginmanager.unregister(name=constant)
    terms.sort(key=lambda term: term.name)  # whatever order they run in
    values = {key: v for term in terms for key, v in term.starts.items()}
    limits = {i.nodeid: limit_of(i.obj, run.options[i.nodeid].threshold) for i in items}
    return terms, values, cases, limits, untraced


def _not_again(values: Mapping[str, Any]) -> Graph:
    del values
    raise TrialError("a check traces a test once")


def _losses(
    session: pytest.Session,
    run: Run,
    terms: Sequence[Term],
    values: Mapping[str, Any],
    cases: Mapping[str, int],
    limits: Mapping[str, float | None],
) -> dict[str, TestLoss]:
    """Return what the check is about to measure of the tests that were traced."""
    losses = _losses_on_tape(run, terms, values)
    last: Mapping[str, float] = {}
    if run.settings.ratchet is not None:
        from pytest_soft.ratchet import kept_losses

        with suppress(StoreError):  # the verdict says so
            last = kept_losses(session.config.rootpath, losses)
    tests = {}
    for name, loss in losses.items():
        options = run.options[name]
        tests[name] = TestLoss(
            loss,
            cases.get(name, 1),
            options.weight,
            limits[name],
            held_out=bool(options.holdout),
            suite=options.suite,
            last=last.get(name),
        )
    return tests


def _losses_on_tape(
    run: Run, terms: Sequence[Term], values: Mapping[str, Any]
) -> Mapping[str, float]:
    """Return the losses of the traced tests at these values, which a fit has told already."""
    known = run.fit.losses if run.fit is not None else {}
    traced = [term.name for term in terms if term.traced]
    if all(name in known for name in traced):
        return {name: known[name] for name in traced}
    from pytest_soft.reach import losses_at

    return losses_at(terms, values)
