"""Cases that took the same path, evaluated together.

A :class:`Group` holds the cases of one signature (see :mod:`softtape.transforms.template`), which
:mod:`softtape.chunks` runs together; where that cannot be, they are run one by one.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Container, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.choice import EngineChoice, Kind
from softtape.chunks import Lanes, merged
from softtape.columns import Recording
from softtape.engines import floats
from softtape.graph import Graph
from softtape.lanes import CompiledLanes
from softtape.singles import Share, Single, can_compile, make_single
from softtape.transforms.batch import CannotBatchError
from softtape.transforms.residuals import Needs
from softtape.transforms.template import Template, template_of

__all__ = ["FAILURES", "Case", "CaseError", "Group"]

Floats: TypeAlias = NDArray[np.float64]

_MANY = 16  # as many cases are worth compiling even for a path that is taken only once
_LONG = 2000  # nodes: compiling the numpy calls of as long a batch takes seconds
_BY_TABLE = 100  # as many long scalar cases are run faster one by one, by a table, than batched

# what numpy raises where a program fails at the values it meets, not for how it is written: a
# singular matrix, an index out of range, a negative power of an integer
FAILURES = (ArithmeticError, IndexError, ValueError)


class CaseError(Exception):
    """A case cannot be evaluated at this point.

    Parameters
    ----------
    member
        Which case.
    error
        Why.
    """

    def __init__(self, member: int, error: Exception) -> None:
        """Keep which case it was."""
        super().__init__(str(error))
        self.member = member


class Case:
    """One test on one path: a lane of a group.

    Parameters
    ----------
    graph
        What it recorded.
    weight
        Factor of its loss in 𝓛.
    """

    __slots__ = ("_compiled", "_single", "constants", "start", "template", "weight")

    def __init__(self, graph: Graph, weight: float) -> None:
        """Keep its constants; a graph and programs of its own are made only to run it alone."""
        self.template = template = template_of(graph)
        self.constants = template.constants_of(graph)
        self.start = template.start_of(graph)
        self.weight = weight
        self._single: Single | None = None
        self._compiled = False

    @property
    def graph(self) -> Graph:
        """Its graph, pruned."""
        return self.template.graph_with(self.constants, self.start)

    def share(
        self, kind: Kind, inputs: Mapping[str, Any], *, compiled: bool, guarded: bool
    ) -> Share:
        """Return what it contributes when it is run alone."""
        if self._single is None or compiled != self._compiled:
            residuals = partial(self.template.residuals_with, self.constants, self.start)
            self._single = make_single(
                self.graph, residuals, compiled=compiled, searched=self.template.searched
            )
            self._compiled = compiled
        share = self._single.share(kind, inputs, self.weight, guarded=guarded)
        return Share(np.full(1, np.nan), np.zeros(1, bool)) if share is None else share


class _Term(Protocol):
    @property
    def case(self) -> Case: ...


class Group:
    """All cases of one signature.

    Parameters
    ----------
    template
        That of any of them.
    choice
        Which engine is to run them.
    threads
        How many threads may run chunks of cases at the same time.
    fleeting
        Whether this path may never be taken again: then it is compiled for a few cases only
        when it is asked for a second time.

    Attributes
    ----------
    members
        What the caller calls the cases: numbers, in ascending order.
    alone
        The operation for which the cases have to be run one by one; None where there is none.
    """

    runs_tests = False  # graphs are run, not the program

    def __init__(
        self, template: Template, choice: EngineChoice, threads: int = 1, *, fleeting: bool = False
    ) -> None:
        """Start without cases."""
        self.members: list[int] = []
        self.cases: list[Case] = []
        self._stale: bool
        self._ready: dict[Kind, Callable[[Mapping[str, Any]], Share]]  # for just these cases
        self._squares: bool | None
        self._weights: Floats | None
        self._template = template
        self._lanes: Lanes | CompiledLanes | None = None
        self._lanes_compiled = False
        self.alone: str | None = None
        self._choice = choice
        self._built: set[Kind] = set()  # the kinds for which numpy has programs
        self._threads = threads
        self._unasked: set[Kind] = {"value", "gradient", "jacobian"} if fleeting else set()
        self._changed()

    @property
    def state(self) -> tuple[list[Kind], list[Kind]]:
        """The kinds never asked for, and those with programs; they decide what computes."""
        return sorted(self._unasked), sorted(self._built)

    @state.setter
    def state(self, state: tuple[list[Kind], list[Kind]]) -> None:
        self._unasked, self._built = set(state[0]), set(state[1])

    @property
    def template(self) -> Template:
        """What the cases have in common."""
        return self._template

    @property
    def has_residuals(self) -> bool:
        """Whether the losses of all cases are visibly sums of squares."""
        if self._squares is None:
            form = self._template.form
            self._squares = form is not None and self._needs_met(form[1])
        return self._squares

    def _needs_met(self, needs: Mapping[int, Needs]) -> bool:
        numbers = Recording.of(self._template.graph.nodes).constant_numbers
        places = np.searchsorted(numbers, list(needs)).tolist()
        wanted: dict[Needs, list[Any]] = {}
        for place, need in zip(places, needs.values(), strict=True):
            column = [case.constants[place] for case in self.cases]
            same = len({*map(id, column)}) == 1  # as an exponent is
            wanted.setdefault(need, []).extend(column[:1] if same else column)
        return all(need.met_by_all(constants) for need, constants in wanted.items())

    @property
    def weights(self) -> Floats:
        """Weight of each case."""
        if self._weights is None:
            self._weights = np.array([case.weight for case in self.cases])
        return self._weights

    def add(self, member: int, case: Case) -> None:
        """Take in a case; ``member`` is what the caller calls it."""
        if not self.members or member > self.members[-1]:  # as when all tests are joined in turn
            self.members.append(member)
            self.cases.append(case)
        else:
            place = bisect(self.members, member)
            self.members.insert(place, member)
            self.cases.insert(place, case)
        self._changed()

    def remove(self, members: set[int]) -> None:
        """Let cases go."""
        kept = [i for i, m in enumerate(self.members) if m not in members]
        self.members = [self.members[i] for i in kept]
        self.cases = [self.cases[i] for i in kept]
        self._changed()

    def take(self, members: list[int], terms: Sequence[_Term]) -> None:
        """Hold these cases from now on, in ascending order, instead of those before."""
        self.members, self.cases = members, [terms[member].case for member in members]
        self._changed()

    def _changed(self) -> None:
        self._stale, self._squares, self._weights, self._ready = True, None, None, {}

    def share(self, kind: Kind, inputs: Mapping[str, Any], trusted: Container[int]) -> Share:
        """Return what the cases contribute where the Params are ``inputs``.

        numpy's error state is to ignore everything.

        Parameters
        ----------
        kind
            What is asked for.
        inputs
            Value of each Param by key.
        trusted
            Members whose guards need not be asked.

        Raises
        ------
        CaseError
            A case cannot be evaluated there.
        """
        settled = self._can_compile and self._choice.settled
        compiled = self._compiled(kind) if settled is None else settled
        if not compiled and kind in self._ready:
            try:
                return self._ready[kind](inputs)
            except FAILURES:
                pass  # of which case is found below
        if compiled and len(self.cases) > 1:
            try:
                return self._together(kind, inputs, compiled=True)
            except FAILURES:
                pass
        return self._by_numpy(kind, inputs, trusted, compiled=compiled)

    def _by_numpy(
        self, kind: Kind, inputs: Mapping[str, Any], trusted: Container[int], *, compiled: bool
    ) -> Share:
        if not compiled and self._worth_joining(kind):
            try:
                return self._together(kind, inputs, compiled=False)
            except CannotBatchError as error:
                self.alone = str(error)
            except FAILURES:
                pass  # one of them is to blame: the others may have to take another path
        if not compiled:
            self._unasked.discard(kind)
        shares = []
        for member, case in zip(self.members, self.cases, strict=True):
            try:
                guarded = member not in trusted
                shares.append(case.share(kind, inputs, compiled=compiled, guarded=guarded))
            except FAILURES as error:
                raise CaseError(member, error) from error
        return shares[0] if len(shares) == 1 else merged(shares, [1] * len(shares))

    def _worth_joining(self, kind: Kind) -> bool:
        """Whether the cases are to be run together by numpy."""
        if self.alone is not None or len(self.cases) <= self._least:
            return False
        return kind not in self._unasked or len(self.cases) >= _MANY

    @cached_property
    def _least(self) -> int:
        """As many cases are run one by one."""
        graph = self._template.graph
        return _BY_TABLE if len(graph) >= _LONG and floats.suits(graph) else 1

    @cached_property
    def _can_compile(self) -> bool:
        return bool(self._template.asked(can_compile))

    def _compiled(self, kind: Kind) -> bool:
        """Whether numba, which can run it, is to do so this time."""
        built = kind in self._built
        self._built.add(kind)
        nodes, cases = len(self._template.graph), len(self.cases)
        if cases <= self._least:  # one by one
            nodes, cases = nodes * cases, 1
        return self._choice.compiled(kind, nodes, cases, built=built)

    def _together(self, kind: Kind, inputs: Mapping[str, Any], *, compiled: bool) -> Share:
        lanes = self._lanes
        if self._stale or lanes is None or compiled != self._lanes_compiled:
            if lanes is None or compiled != self._lanes_compiled:
                made = CompiledLanes if compiled else Lanes
                self._lanes = lanes = made(self._template.graph, self._threads)
                self._lanes_compiled = compiled
                self._ready = {}
            lanes.fill(self.cases)
            self._stale = False
        if isinstance(lanes, CompiledLanes):
            return lanes.share(kind, inputs, self._template)
        run = lanes.ready(kind, self._template)
        share = run(inputs)
        self._ready[kind] = run
        return share
