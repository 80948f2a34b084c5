"""One test's share of 𝓛: traced, or, where it cannot be, run plainly."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softtape.choice import EngineChoice, Kind
from softtape.errors import NoResidualsError, SoftError
from softtape.graph import Graph
from softtape.groups import Case, CaseError, Group
from softtape.singles import Share

__all__ = ["Members", "NoSquaresError", "PlainTerm", "ShapeOfProblemChanged", "Term", "TrialError"]

_MOST_PATHS = 32
_PATIENCE = 8  # so many new paths in a row: a test that is not expected to repeat one


class TrialError(Exception):
    """A test cannot be evaluated at a trial point; its loss there counts as infinite."""


class ShapeOfProblemChanged(SoftError):  # noqa: N818 -- an event to act on, not a user's error
    """A test took a path that reaches a new Param, or that shows no residuals."""


class NoSquaresError(ShapeOfProblemChanged, NoResidualsError):
    """A test took a path that shows no residuals; on another one it may show them again."""


class Members(Protocol):
    """Tests that are evaluated together: a `Group`, or a single one that is run plainly."""

    members: list[int]

    @property
    def runs_tests(self) -> bool:
        """Whether an evaluation runs the program itself."""

    @property
    def has_residuals(self) -> bool:
        """Whether all losses are visibly sums of squares."""

    @property
    def alone(self) -> str | None:
        """The operation for which they have to be run one by one, if there is one."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weight of each test."""

    def remove(self, members: set[int], /) -> None:
        """Let tests go."""

    def take(self, members: list[int], terms: Sequence[Term], /) -> None:
        """Hold these tests from now on, in ascending order, instead of those before."""

    def share(self, kind: Kind, inputs: Mapping[str, Any], trusted: Container[int], /) -> Share:
        """Return what they contribute where the Params are ``inputs``.

        numpy's error state is to ignore everything.
        """


class Term:
    """One test's share of 𝓛.

    Parameters
    ----------
    name
        How messages call it (the test id).
    graph
        What it computed; the first output is its loss, a scalar.
    trace
        Runs the test at other values and returns its graph there. Called when a guard
        broke. It may raise :class:`TrialError`.
    weight
        Factor of its loss in 𝓛, not negative.
    """

    __slots__ = ("_cases", "_new", "_trace", "name", "path", "starts", "traces", "weight")

    def __init__(
        self,
        name: str,
        graph: Graph,
        trace: Callable[[Mapping[str, Any]], Graph],
        weight: float = 1.0,
    ) -> None:
        """Start with the path of ``graph``."""
        case = Case(graph, weight)
        self.name = name
        self.weight = weight
        self.traces = 1
        self._trace = trace
        self._new = 0  # paths in a row that it had not taken before
        self._cases: tuple[Case, ...] = (case,)  # one for each path known; takes less than a dict
        self.starts = case.start
        self.path: Hashable = case.template.path

    @property
    def paths(self) -> dict[Hashable, Case]:
        """The paths known, the latest last."""
        return {case.template.path: case for case in self._cases}

    @property
    def case(self) -> Case:
        """What it recorded on its path."""
        cases = self._cases
        return cases[0] if len(cases) == 1 else self.paths[self.path]

    @property
    def repeats(self) -> bool:
        """Whether trying the paths it took before is expected to be cheaper than tracing."""
        return self._new < _PATIENCE

    @property
    def traced(self) -> bool:
        """Whether there is a graph of it, and hence a gradient."""
        return True

    def reweighted(self, weight: float) -> Term:
        """Return the same test with another weight, which knows the path taken last."""
        return Term(self.name, self.paths[self.path].graph, self._trace, weight)

    def join(
        self, number: int, path: Hashable, group: Any, choice: EngineChoice, threads: int
    ) -> Members:
        """Take a path; return the group of it with this test in it.

        Parameters
        ----------
        number
            What the group is to call this test.
        path
            One of ``paths``.
        group
            That of the other tests on this path, or None.
        choice, threads
            For a new group.
        """
        self.path = path
        case = self.case
        if group is None:
            group = Group(case.template, choice, threads, fleeting=self.traces > 1)
        group.add(number, case)
        joined: Members = group
        return joined

    def graph_at(self, inputs: Mapping[str, Any]) -> Graph:
        """Trace the test where the Params are ``inputs``, and keep nothing of it."""
        return self._trace(inputs)

    def trace_again(self, inputs: Mapping[str, Any]) -> Hashable:
        """Trace the test where the Params are ``inputs``, and return the path it takes."""
        case = Case(self.graph_at(inputs), self.weight)
        path = case.template.path
        paths = self.paths
        self._new = 0 if path in paths else self._new + 1
        paths.pop(path, None)
        paths[path] = case
        if len(paths) > _MOST_PATHS:
            del paths[next(p for p in paths if p not in (path, self.path))]
        self._cases = tuple(paths.values())
        self.starts = {**case.start, **self.starts}
        self.traces += 1
        if not case.template.graph.inputs.keys() <= inputs.keys():
            raise ShapeOfProblemChanged(f"{self.name} took a path that reaches another Param")
        return path


class PlainTerm(Term):
    """A test that cannot be traced: its loss is known by running it, and has no gradient.

    Parameters
    ----------
    name
        How messages call it (the test id).
    run
        Runs the test at other values; returns its loss and the value of each Param it read. It
        may raise :class:`TrialError`.
    starts
        Value of each Param it reads, where it is now.
    refusal
        Why it cannot be traced.
    weight
        Factor of its loss in 𝓛, not negative.
    """

    __slots__ = ("_run", "refusal")

    def __init__(
        self,
        name: str,
        run: Callable[[Mapping[str, Any]], tuple[float, Mapping[str, Any]]],
        starts: Mapping[str, Any],
        refusal: str,
        weight: float = 1.0,
    ) -> None:
        """Run nothing yet."""
        self.name = name
        self.weight = weight
        self.traces = 1
        self.starts = dict(starts)
        self.path = ("plain", name)
        self.refusal = refusal
        self._run = run
        self._cases = ()

    @property
    def traced(self) -> bool:
        """Whether there is a graph of it, and hence a gradient."""
        return False

    def reweighted(self, weight: float) -> PlainTerm:
        """Return the same test with another weight."""
        return PlainTerm(self.name, self._run, self.starts, self.refusal, weight)

    def join(
        self, number: int, path: Hashable, group: Any, choice: EngineChoice, threads: int
    ) -> Members:
        """Return the test as a group of its own; ``choice`` and ``threads`` do not matter."""
        del path, group, choice, threads
        return _Plain(number, self)

    def loss(self, inputs: Mapping[str, Any]) -> float:
        """Run the test where the Params are ``inputs``.

        Raises
        ------
        ShapeOfProblemChanged
            It read a Param that is not among them.
        """
        loss, read = self._run(inputs)
        if not read.keys() <= inputs.keys():
            self.starts = {**read, **self.starts}
            raise ShapeOfProblemChanged(f"{self.name} reads another Param")
        return loss


class _Plain:
    """A test that is run plainly, as a group of one."""

    runs_tests = True
    has_residuals = False
    alone = None

    def __init__(self, number: int, term: PlainTerm) -> None:
        self.members = [number]
        self.weights = np.array([term.weight])
        self._term = term

    def remove(self, members: set[int]) -> None:
        self.members = [member for member in self.members if member not in members]

    def take(self, members: list[int], terms: Sequence[Term]) -> None:
        del terms
        self.members = members

    def share(self, kind: Kind, inputs: Mapping[str, Any], trusted: Container[int]) -> Share:
        """Return its loss.

        Raises
        ------
        CaseError
            It cannot be evaluated there.
        SoftError
            A derivative is asked for.
        """
        del trusted
        (member,) = self.members
        if kind != "value":
            raise SoftError(f"{self._term.name} has no gradient: {self._term.refusal}")
        try:
            return Share(np.array([self._term.loss(inputs)]))
        except TrialError as error:
            raise CaseError(member, error) from error
