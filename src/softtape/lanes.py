"""The cases of a group run by the compiled interpreter, all operations on numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.choice import Kind
from softtape.engines.fast_lanes import LaneProgram
from softtape.graph import CONSTANT, Graph
from softtape.singles import Share
from softtape.transforms.batch import stacked_constants
from softtape.transforms.template import Template

__all__ = ["CompiledLanes"]

Floats: TypeAlias = NDArray[np.float64]

_LEFT_OUT: Floats = np.zeros(0)  # the losses, where their total is all that is asked for


class _Case(Protocol):
    @property
    def constants(self) -> Sequence[Any]: ...

    @property
    def weight(self) -> float: ...


class CompiledLanes:
    """Programs of a graph of numbers, and the constants of the cases they run on.

    Parameters
    ----------
    graph
        The graph of any of the cases.
    threads
        How many threads may run chunks of cases at the same time.
    """

    def __init__(self, graph: Graph, threads: int = 1) -> None:
        """Start without cases."""
        self._threads = threads
        self._graph = graph
        self._numbers = [k for k, node in enumerate(graph.nodes) if node[0] == CONSTANT]
        self._varying: list[int] = []
        self._columns: Floats = np.zeros((0, 0))
        self._weights: Floats = np.zeros(0)
        self._distinct: Floats = self._weights  # a single one where they are all equal
        self._programs: dict[bool, LaneProgram] = {}

    def fill(self, cases: Sequence[_Case]) -> None:
        """Take these cases, instead of those before."""
        made = stacked_constants([case.constants for case in cases])
        known, columns = set(self._varying), {}
        for number, column, value in zip(self._numbers, made, cases[0].constants, strict=True):
            # what varied once is kept in a column; what does not must be as in the graph
            if column is None and (number in known or not self._as_recorded(number, value)):
                column = np.full(len(cases), float(value))
            if column is not None:
                columns[number] = column
        if list(columns) != self._varying:
            self._varying = list(columns)
            self._programs.clear()
        self._columns = np.array(list(columns.values()), float).reshape(len(columns), len(cases))
        self._weights = weights = np.array([case.weight for case in cases], float)
        self._distinct = weights[:1] if (weights == weights[0]).all() else weights
        for program in self._programs.values():
            program.bind(self._columns, self._distinct)

    def _as_recorded(self, number: int, value: Any) -> bool:
        """Whether a constant is, to the bit, the one in the graph."""
        return np.float64(value).tobytes() == np.float64(self._graph.nodes[number][2]).tobytes()

    def share(self, kind: Kind, inputs: Mapping[str, Any], template: Template) -> Share:
        """Return what the cases, whose structure is ``template``, contribute."""
        if kind == "gradient":
            program = self._programs.get(False) or self._program(self._graph, kind)
            _, holds, total, gradient, _ = program.gradient(inputs)
            return Share(_LEFT_OUT, holds, gradient or {}, total)
        if kind == "value":
            made = self._program(self._graph, kind).values(inputs)
            return Share(made.outputs[0], made.holds)
        form = template.form
        assert form is not None  # only groups that have residuals are asked
        made = self._program(form[0], kind).jacobian(inputs)
        assert made.jacobian is not None
        roots = np.sqrt(self._weights)
        residuals = np.ravel((made.outputs * roots).T)
        rows = {
            key: np.reshape((made.jacobian[:, i] * roots).T, (-1, 1))
            for i, key in enumerate(self._graph.inputs)
        }
        return Share(np.zeros(len(roots)), made.holds, residuals=residuals, rows=rows)

    def _program(self, graph: Graph, kind: Kind) -> LaneProgram:
        of_residuals = kind == "jacobian"
        program = self._programs.get(of_residuals)
        if program is None:
            program = LaneProgram(graph, self._varying, self._threads)
            program.bind(self._columns, self._distinct)
            self._programs[of_residuals] = program
        return program
