"""The total loss at many points at once: one more axis, over the points, beside that of the cases.

Evaluating a small suite takes as long as it takes to call numpy, not to compute; so many points
together cost little more than one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.choice import Kind
from softtape.chunks import derived
from softtape.engines.numpy import Program
from softtape.graph import CONSTANT, Graph
from softtape.groups import FAILURES, Group
from softtape.objective import Layout, Objective
from softtape.transforms.batch import (
    WEIGHTS,
    CannotBatchError,
    batch_points,
    case_key,
    stacked_constants,
)
from softtape.transforms.fuse import fuse
from softtape.transforms.replay import layouts

__all__ = ["Points"]

Floats: TypeAlias = NDArray[np.float64]

_ELEMENTS = 16384  # most of one array, for all points of a block: some of them stay in cache
_BLOCK: Mapping[Kind, int] = {"value": 64, "jacobian": 16}  # most points of a block
_LEAST = 4  # points in a block: with fewer nothing is gained
_LONG = 1000  # nodes in all groups: to compile as many numpy calls takes longer than it saves
_MOST_PARAMS = 64  # numbers of θ: JᵀJ is kept of each point
_PATIENCE = 8  # as many times the paths were new: compiling takes more than it saves
_MOST_PROGRAMS = 128  # kept, for paths that are taken again


class Points:
    """The total loss of an objective at many points, one in each row of an array.

    A point is known where each test takes the path that it takes at the point settled at.

    Parameters
    ----------
    objective
        The total loss at one point.
    """

    def __init__(self, objective: Objective) -> None:
        """Compile nothing yet."""
        self._objective = objective
        self._programs: dict[tuple[Any, ...], _Program] = {}
        self._changes = 0  # of the paths, to new ones
        self._possible = True

    def settle(self, theta: Floats) -> bool:
        """Let each test take its path at a point; tell whether others can be asked for now."""
        if not self._possible or not np.isfinite(self._objective.value(theta)):
            return False
        before = set(self._programs)
        self._possible = self._current("value") is not None
        if before and not before >= self._programs.keys():
            self._changes += 1
        self._possible = self._possible and self._changes < _PATIENCE
        return self._possible

    def values(self, thetas: Floats) -> Floats:
        """Return 𝓛 at each point, shape (k,); nan where it is not known."""
        programs = self._current("value")
        assert programs is not None
        total, known = np.zeros(len(thetas)), np.ones(len(thetas), bool)
        for program, place, outputs in self._run(programs, thetas, known):
            total[place] += np.sum(outputs[0] * program.weights, axis=1)
        return _told(total, known)

    def models(self, thetas: Floats) -> tuple[Floats, Floats, Floats] | None:
        """Return 𝓛 = Σ r² at each point, nan where it is not known, Jᵀr and JᵀJ.

        Their shapes are (k,), (k, n) and (k, n, n). Returns None where there are no residuals,
        more than a few Params, or operations that cannot be batched.
        """
        count, n = thetas.shape
        layout = self._objective.layout
        programs = self._current("jacobian") if n <= _MOST_PARAMS else None
        if programs is None:
            return None
        total, known = np.zeros(count), np.ones(count, bool)
        slope, normal = np.zeros((count, n)), np.zeros((count, n, n))
        for program, place, outputs in self._run(programs, thetas, known):
            residuals, rows = program.rows(outputs, layout)
            if layout.coordinates is not None:
                pulled = map(layout.coordinates.pulled_back, thetas[place], rows)
                rows = np.stack([*pulled])
            turned = rows.transpose(0, 2, 1)
            total[place] += np.sum(residuals**2, axis=1)
            slope[place] += (turned @ residuals[:, :, None])[..., 0]
            normal[place] += turned @ rows
        return _told(total, known), slope, normal

    def _current(self, kind: Kind) -> list[_Program] | None:
        """Return the program of each group, on the paths of now; None where one has none."""
        programs: list[_Program] = []
        nodes = 0
        for group in self._objective.groups:
            if not isinstance(group, Group) or (kind == "jacobian" and not group.has_residuals):
                return None
            nodes += len(group.template.graph)
            if nodes > _LONG:
                return None
            key = kind, group.template.path, *group.members
            if key not in self._programs:
                if len(self._programs) >= _MOST_PROGRAMS:
                    self._programs.clear()
                try:
                    self._programs[key] = _Program(group, kind)
                except (CannotBatchError, *FAILURES):
                    return None
            programs.append(self._programs[key])
        return programs

    def _run(
        self, programs: Sequence[_Program], thetas: Floats, known: NDArray[np.bool_]
    ) -> Iterator[tuple[_Program, slice, Sequence[Any]]]:
        """Give what each program puts out, block by block; mark the points that are not known."""
        inputs = self._inputs(thetas)
        for program in programs:
            for start in range(0, len(thetas), program.size):
                place = slice(start, min(start + program.size, len(thetas)))
                part = {key: value[place] for key, value in inputs.items()}
                try:
                    outputs, holds = program.run(part, place.stop - start)
                except FAILURES:  # at one of the points, which one is not told
                    known[place] = False
                    continue
                known[place] &= holds
                yield program, place, outputs

    def _inputs(self, thetas: Floats) -> dict[str, Any]:
        """Return the values of each Param, with an axis over the points."""
        layout = self._objective.layout
        if layout.coordinates is not None:
            thetas = np.stack([layout.coordinates.values(theta) for theta in thetas])
        inputs = {}
        for key, place in layout.slices.items():
            value = thetas[:, place].reshape(-1, *layout.shapes[key])
            inputs[key] = value.astype(np.float32) if key in layout.narrow else value
        return inputs


def _told(total: Floats, known: NDArray[np.bool_]) -> Floats:
    """Return what an optimizer is told: nan means that it has to ask for this point alone."""
    return np.where(known, np.where(np.isnan(total), np.inf, total), np.nan)


class _Program:
    """What a group computes at a block of points.

    Attributes
    ----------
    weights
        Weight of each case.
    size
        How many points a block has.
    """

    def __init__(self, group: Group, kind: Kind) -> None:
        """Compile it.

        Raises
        ------
        CannotBatchError
            It cannot be run at many points at once, or nothing would be gained.
        """
        first, template = group.cases[0], group.template
        graph = first.graph
        if kind == "jacobian":
            form = template.residuals_with(first.constants, first.start)
            assert form is not None  # only groups that have residuals are asked
            graph = form
        numbers = [k for k, node in enumerate(template.graph.nodes) if node[0] == CONSTANT]
        columns = stacked_constants([case.constants for case in group.cases])
        varying = {n: c for n, c in zip(numbers, columns, strict=True) if c is not None}
        self.weights = group.weights
        self._keys = list(graph.inputs)
        self._guards = [expected for _, expected in graph.guards]
        self._count = len(graph.outputs)
        one = derived(graph, varying, len(group.cases), kind)
        self.size = min(_BLOCK[kind], _ELEMENTS // _largest(one))
        if self.size < _LEAST:
            raise CannotBatchError("large arrays")
        many = batch_points(one, self._keys, self.size)
        given = {WEIGHTS: self.weights, **{case_key(n): c for n, c in varying.items()}}
        made = fuse(many, given)
        given = {key: value for key, value in given.items() if key in made.inputs}
        self._program = Program(made, [*given])
        self._bound = self._program.bind(given)
        self._workspace = self._program.workspace()

    @np.errstate(all="ignore")
    def run(self, inputs: Mapping[str, Any], count: int) -> tuple[Sequence[Any], NDArray[np.bool_]]:
        """Return the outputs at up to a block of points, and at which of them the guards hold.

        The outputs are overwritten by the next block.
        """
        missing = self.size - count
        part = {key: inputs[key] for key in self._keys}
        if missing:
            part = {k: np.concatenate([v, np.repeat(v[:1], missing, 0)]) for k, v in part.items()}
        program = self._program
        outputs = program.compute(program.before(part), self._bound, self._workspace, True)
        assert outputs is not None  # guards are looked at here, point by point
        holds = np.ones(self.size, bool)
        guarded = outputs[len(outputs) - len(self._guards) :]
        for value, expected in zip(guarded, self._guards, strict=True):
            equal = (value == expected) | ((value != value) & (expected != expected))
            holds &= equal.reshape(self.size, -1).all(axis=1)
        return [output[:count] for output in outputs], holds[:count]

    def rows(self, outputs: Sequence[Any], layout: Layout) -> tuple[Floats, Floats]:
        """Return the residuals and their derivatives by θ, shapes (k, m) and (k, m, n)."""
        count, cases, n = len(outputs[0]), len(self.weights), layout.size
        roots = np.sqrt(self.weights)[:, None]
        residuals, rows = [], []
        blocks = iter(outputs[self._count :])
        for output in outputs[: self._count]:
            part = np.reshape(output, (count, cases, -1))
            block = np.zeros((*part.shape, n))
            for key in self._keys:
                place = layout.slices[key]
                block[..., place] = np.reshape(next(blocks), (*part.shape, -1))
            residuals.append(np.reshape(part * roots, (count, -1)))
            rows.append(np.reshape(block * roots[:, :, None], (count, -1, n)))
        return np.concatenate(residuals, axis=1), np.concatenate(rows, axis=1)


def _largest(graph: Graph) -> int:
    """Return the size of the largest value that a graph computes."""
    return max(int(np.size(value)) for value in layouts(graph))
