"""Run soft tests under the tape: fixtures as pytest runs them, the program as Python runs it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite, prod
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import pytest
from _pytest.runner import runtestprotocol  # not public, but what pytest-rerunfailures uses too

from pytest_soft.loss import OUTLIVED, LossError, loss_of, parts_of
from pytest_soft.run import RUN
from pytest_soft.shortcut import Shortcut, forget_instance
from softtape.errors import ParamError, TraceError
from softtape.graph import CONSTANT, Graph, shape_of
from softtape.location import Location, user_location
from softtape.reading import Readable, Reader, set_reader
from softtape.tape import Tape, Traced

__all__ = [
    "AT_IMPORT",
    "Measuring",
    "Sealed",
    "TraceFailure",
    "Traces",
    "Tracing",
    "first_non_finite",
    "in_fixture",
    "read_by",
    "uses_float32",
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

    def show(self, param: Readable, /) -> None:
        """Let it pass: a text has no slope anyway."""


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


class Tracing:
    """The recording of one test in progress; a context manager while it runs.

    Attributes
    ----------
    tape
        Where it is recorded.
    graph
        The record, whose output is the sum of what the test returned; None until it has.
    problem
        Why what it returned is no loss.
    losses
        The parts of what it returned, each with the path that leads to it.
    """

    __slots__ = ("graph", "losses", "problem", "tape")

    def __init__(self, tape: Tape) -> None:
        """Nothing is recorded yet."""
        self.tape = tape
        self.graph: Graph | None = None
        self.problem: str | None = None
        self.losses: list[tuple[str, Any]] = []

    def __enter__(self) -> Self:
        """Record from now on."""
        self.tape.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Close the tape."""
        self.tape.__exit__(*error)

    @property
    def done(self) -> bool:
        """Whether the test returned a loss."""
        return self.graph is not None

    def drop(self) -> None:
        """Forget what it returned: it was skipped, or failed."""
        self.graph = None

    def record(self, returned: Any) -> bool:
        """Take what the test returned; tell whether it is a loss, else why not is kept."""
        total: Any = None
        number = type(returned) is Traced and isinstance(returned._value, float)  # most are
        try:
            for name, part in (("", returned),) if number else parts_of(returned):
                if getattr(part, "_tape", self.tape) is not self.tape:
                    raise LossError(OUTLIVED)
                self.losses.append((name, part))
                loss = np.sum(part) if shape_of(part) else part
                total = loss if total is None else total + loss
            self.graph = self.tape.graph([total])
        except LossError as error:
            self.problem = str(error)
        except TraceError as error:  # the line it names is ours: leave it out
            reason = str(error).split("\n", 1)[-1]
            self.problem = f"returned something the tape cannot follow: {reason}"
        return self.graph is not None

    @property
    def cases(self) -> int:
        """How many losses its loss is the sum of."""
        return sum(prod(shape_of(part)) for _, part in self.losses)

    def non_finite(self) -> tuple[str, Any] | None:
        """Return the first part of the loss that is NaN or infinite, with its path."""
        for name, part in self.losses:
            value = getattr(part, "_value", part)
            number = isinstance(value, float)
            if not (isfinite(value) if number else np.isfinite(np.asarray(value, float)).all()):
                return name, value
        return None


class Measuring:
    """The plain run of one test that cannot be traced; a context manager while it runs.

    It answers for Params as they are, and notes which of them are read (see
    :class:`softtape.reading.Reader`).

    Attributes
    ----------
    read_values
        Value of each Param that was read, by key.
    loss
        What the test returned; None until it has.
    cases
        How many losses that is the sum of.
    problem
        Why what it returned is no loss.
    """

    def __init__(self, start: Callable[[Any], Any]) -> None:
        """Run nothing yet; ``start`` gives the value of a Param."""
        self.read_values: dict[str, Any] = {}
        self.loss: float | None = None
        self.cases = 0
        self.problem: str | None = None
        self._start = start
        self._before: Reader | None = None

    def __enter__(self) -> Self:
        """Answer for Params from now on."""
        self._before = set_reader(self)
        return self

    def __exit__(self, *error: object) -> None:
        """Let the one before answer again."""
        set_reader(self._before)

    def read(self, param: Readable, /) -> Any:
        """Return the value of ``param``."""
        value = self._start(param)
        self.read_values[param.key] = value
        return value

    def show(self, param: Readable, /) -> None:
        """Take note of a Param that a text was made of: it may come back as a number."""
        self.read(param)

    @property
    def done(self) -> bool:
        """Whether the test returned a loss."""
        return self.loss is not None

    def drop(self) -> None:
        """Forget what it returned: it was skipped, or failed."""
        self.loss = None

    def record(self, returned: Any) -> bool:
        """Take what the test returned; tell whether it is a loss, else why not is kept."""
        try:
            self.loss, self.cases = loss_of(returned)
        except LossError as error:
            self.problem = str(error)
        return self.done


Running = TypeVar("Running", Tracing, Measuring)


_PLACE = re.compile(r"Error: \S+:\d+: ")


class TraceFailure(NamedTuple):
    """A test that could not be traced: its id and pytest's own account of why."""

    nodeid: str
    text: str

    @property
    def line(self) -> str:
        """Its message and its place."""
        lines = self.text.strip().splitlines()
        messages = [line[1:].strip() for line in lines if line.startswith("E ")]
        if messages and _PLACE.search(messages[0]):  # ours name the user's line themselves
            return " ".join(messages)
        return f"{messages[-1]} ({lines[-1]})" if messages else lines[-1]


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
        self._session_run = session.config.stash[RUN]
        self._start = start
        self._shortcut = Shortcut(session.config)
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
        return self._run(item, following, lambda: Tracing(Tape(locate=locate, start=self._start)))

    def measure(
        self, item: pytest.Function, following: pytest.Item | None = None
    ) -> tuple[Measuring, TraceFailure | None]:
        """Run one test plainly, with fixtures as for a trace.

        Returns
        -------
        tuple[Measuring, TraceFailure | None]
            Its loss, None where the test was skipped or failed, and the failure if there was one.
        """
        return self._run(item, following, lambda: Measuring(self._start))

    def _run(
        self, item: pytest.Function, following: pytest.Item | None, begin: Callable[[], Running]
    ) -> tuple[Running, TraceFailure | None]:
        following = following or self._boundary
        try:
            with begin() as running:
                if self._shortcut.run(item, following, running.record):
                    return running, None
            forget_instance(item)
            return self._by_protocol(item, following, begin())
        finally:
            forget_instance(item)

    def _by_protocol(
        self, item: pytest.Function, following: pytest.Item, running: Running
    ) -> tuple[Running, TraceFailure | None]:
        self._session_run.record = running.record
        try:
            with running:
                reports = runtestprotocol(item, log=False, nextitem=following)
        finally:
            self._session_run.record = None
        if running.problem:
            return running, TraceFailure(item.nodeid, f"the soft test {running.problem}")
        expected = any(hasattr(report, "wasxfail") for report in reports)
        # an unexpected pass of a strict xfail is a failed report of a test that did return
        strict = running.done and any(r.when == "call" and r.failed for r in reports)
        if expected or strict:
            running.drop()
            return running, None
        failed = next((report for report in reports if report.failed), None)
        if failed is not None:
            running.drop()
            return running, TraceFailure(item.nodeid, failed.longreprtext)
        return running, None


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


def uses_float32(graph: Graph) -> bool:
    """Whether numbers of less than eight bytes take part: the tape computes with float64."""
    parts = [*graph.start.values(), *(attrs for op, _, attrs in graph.nodes if op == CONSTANT)]
    dtypes = [part.dtype for part in parts if hasattr(part, "dtype")]
    return any(dtype.kind == "f" and dtype.itemsize < 8 for dtype in dtypes)


def _finite(value: Any) -> bool:
    kind = getattr(np.asarray(value).dtype, "kind", "O")
    return kind not in "fc" or bool(np.all(np.isfinite(value)))
