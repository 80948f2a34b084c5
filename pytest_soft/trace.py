"""Run soft tests under the tape: fixtures as pytest runs them, the program as Python runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import numpy as np
import pytest
from _pytest.runner import runtestprotocol  # not public, but what pytest-rerunfailures uses too

from pytest_soft.collect import MARK
from pytest_soft.loss import OUTLIVED, LossError, parts_of
from softtape.errors import ParamError, TraceError
from softtape.graph import Graph
from softtape.location import Location, user_location
from softtape.tape import Readable, Reader, Tape, set_reader

__all__ = [
    "AT_IMPORT",
    "TRACING",
    "Sealed",
    "TraceFailure",
    "Traces",
    "Tracing",
    "first_non_finite",
    "in_fixture",
    "read_by",
]


__tracebackhide__ = True  # messages and tracebacks shall end in the user's own code


class Sealed:
    """Answers for Params where no tape can follow: a value read there would be a constant."""

    def __init__(self, when: str, instead: str) -> None:
        """Say ``when`` the reading happens and what to do ``instead``."""
        self._when = when
        self._instead = instead

    def read(self, param: Readable, /) -> Any:
        """Raise an error that names the line which reads."""
        __tracebackhide__ = True
        raise ParamError(
            f"{user_location()}\nThe Param declared at {param.where} is read {self._when}:\n"
            f"what is computed from it there would stay constant in the fit.\n{self._instead}"
        )


AT_IMPORT = Sealed(
    "while test files are imported and collected",
    "Compute it in a function that the test calls, declare the Param frozen=True,\n"
    "or read it on purpose as a constant by softtape.stop_gradient(param).",
)


def in_fixture(name: str, scope: str) -> Sealed:
    """Return the reader for the set-up of a fixture that outlives a single test."""
    return Sealed(
        f"in the {scope}-scoped fixture {name!r}, which is kept for several tests",
        "Give the fixture function scope, or compute it in the test.",
    )


@dataclass(eq=False)
class Tracing:
    """The recording of one test in progress."""

    tape: Tape
    graph: Graph | None = None
    problem: str | None = None
    losses: list[Any] = field(default_factory=list)

    def record(self, returned: Any) -> None:
        """Make the sum of what the test returned the output of the graph."""
        total: Any = None
        try:
            for name, part in parts_of(returned):
                if getattr(part, "_tape", self.tape) is not self.tape:
                    raise LossError(OUTLIVED)
                self.losses.append((name, part))
                loss = np.sum(part) if np.ndim(part) else part
                total = loss if total is None else total + loss
            self.graph = self.tape.graph([total])
        except LossError as error:
            self.problem = str(error)
        except TraceError as error:  # the line it names is ours: leave it out
            reason = str(error).split("\n", 1)[-1]
            self.problem = f"returned something the tape cannot follow: {reason}"


TRACING = pytest.StashKey[Tracing]()


@dataclass(frozen=True)
class TraceFailure:
    """A test that could not be traced: its id and pytest's own account of why."""

    nodeid: str
    text: str


class _Boundary(pytest.Item):
    """Stands for «whatever comes next»: fixtures narrower than the session end before it."""

    def runtest(self) -> None:
        """Never run."""


class Traces:
    """Traces soft tests of a session, each in a set-up and teardown of its own.

    Parameters
    ----------
    session
        The session that collected them.
    start
        Gives the value of a Param (see :class:`softtape.tape.Tape`).
    """

    def __init__(self, session: pytest.Session, start: Callable[[Any], Any]) -> None:
        """Trace nothing yet."""
        self._session = session
        self._start = start
        self._foreign_hooks = _foreign_hooks(session.config)
        self._boundary: _Boundary = _Boundary.from_parent(session, name="soft-fit")

    def trace(
        self, item: pytest.Function, following: pytest.Item | None = None, *, locate: bool = False
    ) -> tuple[Tracing, TraceFailure | None]:
        """Run one test under a tape.

        Parameters
        ----------
        item
            The test.
        following
            The test that is traced next; fixtures they share are kept.
        locate
            Note the source line of each operation.

        Returns
        -------
        tuple[Tracing, TraceFailure | None]
            The recording, whose graph is None where the test was skipped or failed, and the
            failure if there was one.
        """
        tracing = Tracing(Tape(locate=locate, start=self._start))
        if self._needs_no_set_up(item) and self._call(item, tracing):
            return tracing, None
        tracing = Tracing(Tape(locate=locate, start=self._start))
        item.stash[TRACING] = tracing
        try:
            with tracing.tape:
                reports = runtestprotocol(item, log=False, nextitem=following or self._boundary)
        finally:
            del item.stash[TRACING]
        if tracing.problem:
            return tracing, TraceFailure(item.nodeid, f"the soft test {tracing.problem}")
        expected = any(hasattr(report, "wasxfail") for report in reports)
        # an unexpected pass of a strict xfail is a failed report of a test that did return
        strict = tracing.graph is not None and any(r.when == "call" and r.failed for r in reports)
        if expected or strict:
            tracing.graph = None
            return tracing, None
        failed = next((report for report in reports if report.failed), None)
        if failed is not None:
            tracing.graph = None
            return tracing, TraceFailure(item.nodeid, failed.longreprtext)
        return tracing, None

    def _needs_no_set_up(self, item: pytest.Function) -> bool:
        """Whether calling the function is all there is to running the test.

        So it is for a plain function that uses nothing but ``parametrize``, unless some plugin
        or conftest has a say in how tests run. Pytest's protocol would cost ten times the call.
        """
        if self._foreign_hooks or item.cls is not None:
            return False
        callspec = getattr(item, "callspec", None)
        given = callspec.params if callspec is not None else {}
        if not given.keys() >= set(item.fixturenames) or any(map(_may_skip, item.iter_markers())):
            return False
        # an indirect parameter is what a fixture is called with, not what it returns
        own = item._fixtureinfo.name2fixturedefs
        return all(name not in own or _is_direct(own[name]) for name in given)

    def _call(self, item: pytest.Function, tracing: Tracing) -> bool:
        """Call the function; if it raises, tell so, and let pytest run the test and report."""
        given = item.callspec.params if hasattr(item, "callspec") else {}
        wanted = item._fixtureinfo.argnames
        try:
            with tracing.tape, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                tracing.record(item.obj(**{name: given[name] for name in wanted}))
        except (Exception, pytest.fail.Exception, pytest.skip.Exception):
            return False
        return tracing.graph is not None


_RUN_HOOKS = (
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
    "pytest_runtest_call",
    "pytest_runtest_teardown",
    "pytest_pyfunc_call",
)
_HARMLESS = ("_pytest.", "pytest_soft.", "xdist.", "_hypothesis_pytestplugin")


def _foreign_hooks(config: pytest.Config) -> bool:
    """Whether a plugin or conftest has a say in how tests run."""
    impls = (i for name in _RUN_HOOKS for i in getattr(config.hook, name).get_hookimpls())
    return any(not (impl.function.__module__ or "").startswith(_HARMLESS) for impl in impls)


def _may_skip(mark: pytest.Mark) -> bool:
    """Whether a mark does something when the test runs, as far as can be known."""
    return mark.name not in ("parametrize", MARK)


def _is_direct(definitions: Sequence[pytest.FixtureDef[Any]]) -> bool:
    """Whether a name stands for a parameter itself, which pytest wraps in a fixture of its own."""
    return definitions[-1].func.__module__.startswith("_pytest.")


@contextmanager
def read_by(reader: Reader | None) -> Iterator[None]:
    """Let ``reader`` answer for Params, and the one before again afterwards."""
    before = set_reader(reader)
    try:
        yield
    finally:
        set_reader(before)


def first_non_finite(tape: Tape) -> tuple[str, Location, list[Any]] | None:
    """Return where NaN or inf first came up in a tape recorded with ``locate``.

    Returns
    -------
    tuple[str, Location, list[Any]] | None
        The operation, the line and the values it was computed from; None if all is finite.
    """
    located: Mapping[int, tuple[Location, Any]] = tape.locations or {}
    for number, (op, args, _) in enumerate(tape.nodes):
        if number not in located or op == "input":
            continue
        location, value = located[number]
        if not _finite(value):
            operands = [located[a][1] if a in located else tape.nodes[a][2] for a in args]
            return op, location, operands
    return None


def _finite(value: Any) -> bool:
    kind = getattr(np.asarray(value).dtype, "kind", "O")
    return kind not in "fc" or bool(np.all(np.isfinite(value)))
