"""The hooks of a run that traces tests, to fit or to look; registered only in such a run."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_soft import workers
from pytest_soft.fit import AGAIN, Fit
from pytest_soft.goal import Goal
from pytest_soft.journal import Journal
from pytest_soft.keep import Keeping
from pytest_soft.lock import Lock, LockedError
from pytest_soft.optimizers import registered
from pytest_soft.report.progress import Progress
from pytest_soft.run import RUN
from pytest_soft.settings import runs_tests
from pytest_soft.solve import FitProgress
from pytest_soft.stand_ins import stand_ins
from pytest_soft.summary import FitSummary, Trouble
from pytest_soft.trace import AT_IMPORT, TraceFailure, in_fixture, read_by
from pytest_soft.values import group_by_key, set_values
from softtape.reading import set_reader
from softtape.terms import Term

if TYPE_CHECKING:
    from pytest_soft.against import Inputs
    from pytest_soft.figures import Curve

__all__ = ["Fitting", "spared_heap"]

_SENT, _SEEN = "soft_fit", "soft_stale"
_DIED = "a worker died before the fit was done"


class Fitting:
    """Fits once the tests are collected, before they run.

    Parameters
    ----------
    config
        pytest's; its Params stay sealed until the fit, and are free again afterwards.
    """

    def __init__(self, config: pytest.Config) -> None:
        """Seal: what a module computes from a Param while it is imported could not be fitted."""
        self._before = set_reader(AT_IMPORT)
        self._fit_done: Fit | None = None
        self._looked: Fit | None = None
        config.add_cleanup(self._unseal)

    def pytest_configure(self, config: pytest.Config) -> None:
        """Take the optimizers of conftests; what is none is refused before tests are collected."""
        self._optimizers = registered(config)
        if getattr(config.option, "dist", "no") != "no" and not hasattr(config, "workerinput"):
            from pytest_soft.relay import Relay

            config.pluginmanager.register(Relay(), "soft-relay")

    def _unseal(self) -> None:
        set_reader(self._before)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Keep other fits of the project out; workers are part of the fit of their controller."""
        config = session.config
        file = _in_cache(config, "fit.lock")
        fits = config.stash[RUN].settings.fit and runs_tests(config)
        if file is None or not fits or hasattr(config, "workerinput"):
            return
        try:
            config.add_cleanup(Lock(file).release)
        except LockedError as error:
            raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Fit, then let pytest run all tests on plain numbers."""
        folder = workers.shared_folder(session.config)
        if folder is not None and session.config.workerinput["workerid"] != workers.FIRST:  # type: ignore[attr-defined]
            values = workers.receive(folder)
            set_values(group_by_key(list(values)), values)
        elif _will_run_tests(session):
            sealing, interrupted = session.config.pluginmanager.register(_Sealing()), False
            try:
                with spared_heap(), stand_ins(session.config):
                    if session.config.stash[RUN].settings.fit:
                        interrupted = self._fit(session)
                    else:
                        self._look(session)
            finally:
                session.config.pluginmanager.unregister(name=sealing)
                if folder is not None:
                    workers.publish(folder, {})  # where the fit ended before it had values
            if interrupted:
                raise session.Interrupted("the fit was stopped from the keyboard")
        elif folder is not None:
            workers.publish(folder, {})
        set_reader(None)
        ended = yield
        if self._fit_done is not None:
            with stand_ins(session.config):
                self._fit_done.compare(session.config.stash[RUN].tests)
            _send(session.config)
        return ended

    def take_traced(
        self,
    ) -> tuple[Sequence[Term], dict[str, Any], Mapping[str, int], Mapping[str, float | None]]:
        """Return the tests as the fit traced them, the values it found, their cases and limits.

        Only once: afterwards the tests are let go.
        """
        fit = self._fit_done or self._looked
        if fit is None:
            return (), {}, {}, {}
        terms, fit.traced = fit.traced, ()
        starts = {key: value for term in terms for key, value in term.starts.items()}
        return terms, {**starts, **fit.values}, fit.cases, fit.limits

    def _fit(self, session: pytest.Session) -> bool:
        """Fit; return whether that was interrupted."""
        config = session.config
        run = config.stash[RUN]
        drawn = any(config.getoption(name) is not None for name in ("soft_html", "soft_plot"))
        curve, folder = _curve() if drawn else None, workers.shared_folder(config)
        with Progress.on(config) as progress:
            shown = _sending(folder) if folder else progress
            fit = self._made(session, _reporting(config, shown, curve), drawn=drawn)
            run.fit = fit.run()
        if curve is not None and run.fit.after is not None:
            curve.end(run.fit.after)
            run.fit.curve = curve.points
        self._fit_done, run.staleness = fit, fit.changes
        if hasattr(config, "workeroutput"):
            config.workeroutput[_SEEN] = run.staleness, []
        if folder is not None:
            workers.leave_word(folder, run.fit.to_dict())
            workers.publish(folder, fit.values)
        _send(config)
        return run.fit.interrupted

    def _look(self, session: pytest.Session) -> None:
        """Say what changed since the last fit."""
        config = session.config
        run = config.stash[RUN]
        fit = self._made(session)
        run.staleness, self._looked = fit.look(), fit
        troubles = [t for t in fit.summary.troubles if not t.text.startswith(AGAIN)]
        run.problems += [f"{t.title}: {TraceFailure(t.title, t.text).line}" for t in troubles]
        if hasattr(config, "workeroutput"):
            config.workeroutput[_SEEN] = run.staleness, run.problems

    def _made(
        self,
        session: pytest.Session,
        callback: Callable[[FitProgress], None] | None = None,
        *,
        drawn: bool = False,
    ) -> Fit:
        config = session.config
        run = config.stash[RUN]
        settings = run.settings
        tests = {
            item: options
            for item in session.items
            if isinstance(item, pytest.Function)
            and (options := run.options.get(item.nodeid)) is not None
        }
        goal = Goal(
            settings.optimizer,
            settings.early_end,
            settings.max_steps,
            settings.timeout,
            settings.engine,
            settings.restarts,
            settings.seed,
            settings.batch_size,
            settings.epochs,
            settings.schedule,
            self._optimizers,
        )
        worker = getattr(config, "workerinput", None)
        return Fit(
            session,
            tests,
            goal,
            seed=settings.seed,
            keeping=Keeping(
                dry_run=settings.dry_run,
                writes=worker is None or worker["workerid"] == workers.FIRST,
                source=settings.write == "source",
                prune=settings.prune and not settings.dry_run,
            ),
            profile=settings.profile,
            absolute_sigma=settings.absolute_sigma,
            figures=_inputs_of(tests) if drawn else None,
            callback=callback,
            journal=Journal(goal, partial(_in_cache, config, "checkpoint.npz")),
            resume=settings.resume,
            kfold=settings.kfold,
        )

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Let the workers meet (a hook of pytest-xdist)."""
        workers.open_folder(node.config, node)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        """Take the summary from the worker that stored (a hook of pytest-xdist)."""
        if node.gateway.id != workers.FIRST:
            return
        workers.close(node.config)
        output, run = getattr(node, "workeroutput", {}), node.config.stash[RUN]
        run.staleness, problems = output.get(_SEEN, (None, []))
        run.problems += problems
        if not run.settings.fit:
            return
        sent = output.get(_SENT)
        if sent is None and error:
            sent = workers.word(node.config)  # it died after the fit
        if sent is not None:
            node.config.stash[RUN].fit = FitSummary.from_dict(sent)
        elif error:
            trouble = Trouble(_DIED, f"{workers.FIRST}, which fits for all workers: {error}")
            node.config.stash[RUN].fit = FitSummary(troubles=[trouble])

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, config: pytest.Config) -> None:
        """After Ctrl-C nobody told the controller how the fit ended."""
        run = config.stash[RUN]
        said = workers.word(config) if run.fit is None else None
        if said is not None:
            run.fit = FitSummary.from_dict(said)


def _curve() -> Curve:
    from pytest_soft.figures import Curve

    return Curve()


def _inputs_of(tests: Iterable[pytest.Function]) -> Inputs:
    from pytest_soft.against import inputs_of

    return inputs_of(tests)


def _sending(folder: Path) -> Callable[[FitProgress], None]:
    from pytest_soft.relay import Sending

    return Sending(folder)


def _reporting(
    config: pytest.Config, show: Callable[[FitProgress], None], curve: Curve | None
) -> Callable[[FitProgress], None]:
    """Return what is called after each step: shows it, and calls our hook if anybody listens."""
    hook = config.hook.pytest_soft_step
    heard = bool(hook.get_hookimpls())

    def report(progress: FitProgress) -> None:
        show(progress)
        if curve is not None:
            curve.add(progress.best_value)
        if heard:
            hook(config=config, progress=progress)

    return report


def _in_cache(config: pytest.Config, name: str) -> Path | None:
    """Return the path of a file of ours in pytest's cache; None where there is no cache."""
    cache = getattr(config, "cache", None)
    try:
        return None if cache is None else cache.mkdir("pytest-soft") / name
    except OSError:
        return None


def _send(config: pytest.Config) -> None:
    """Let the controller have the summary, where this is a worker."""
    summary = config.stash[RUN].fit
    if hasattr(config, "workeroutput") and summary is not None:
        config.workeroutput[_SENT] = summary.to_dict()


@contextmanager
def spared_heap() -> Iterator[None]:
    """Keep the garbage collector from searching all that pytest collected, as graphs pile up."""
    if gc.get_freeze_count():  # somebody froze objects for longer
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Sealing:
    """Registered while tests are traced: the check must not pay for it with each fixture."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """Seal Params for fixtures that outlive a single test."""
        if fixturedef.scope == "function":
            return (yield)
        with read_by(in_fixture(fixturedef.argname, fixturedef.scope)):
            return (yield)


def _will_run_tests(session: pytest.Session) -> bool:
    """Whether pytest's own loop is going to run tests in this process."""
    config = session.config
    if not runs_tests(config) or config.pluginmanager.hasplugin("dsession"):
        return False
    return not session.testsfailed or bool(config.option.continue_on_collection_errors)
