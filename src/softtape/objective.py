"""From the graphs of many tests to the total loss 𝓛(θ), its gradient, residuals and Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softtape.engines import Program
from softtape.errors import SoftError
from softtape.graph import Graph
from softtape.transforms import jacobian, residuals, simplify, value_and_gradient

__all__ = ["Layout", "Objective", "ShapeOfProblemChanged", "Term", "TrialError"]

_MOST_PATHS = 32


class TrialError(Exception):
    """A test cannot be evaluated at a trial point; its loss there counts as infinite."""


class ShapeOfProblemChanged(SoftError):  # noqa: N818 -- an event to act on, not a user's error
    """A test took a path that reaches a new Param, or that shows no residuals."""


@dataclass(frozen=True)
class Layout:
    """Where each Param lies in θ.

    Attributes:
        shapes: Shape of each Param by key, in the order of θ.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """Place of each Param in θ."""
        places, start = {}, 0
        for key, shape in self.shapes.items():
            stop = start + int(np.prod(shape))
            places[key] = slice(start, stop)
            start = stop
        return places

    @property
    def size(self) -> int:
        """Length of θ."""
        return max((s.stop for s in self.slices.values()), default=0)

    def pack(self, values: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return the values as one vector of shape (size,)."""
        theta = np.empty(self.size)
        for key, place in self.slices.items():
            theta[place] = np.ravel(np.broadcast_to(values[key], self.shapes[key]))
        return theta

    def unpack(self, theta: NDArray[np.float64]) -> dict[str, Any]:
        """Return the vector as one numpy scalar or array per Param, by key."""
        values: dict[str, Any] = {}
        for key, place in self.slices.items():
            shape = self.shapes[key]
            values[key] = theta[place].reshape(shape) if shape else theta[place.start]
        return values


class _Path:
    """One path through a test: its graph, and the programs made of it when first asked for."""

    def __init__(self, graph: Graph) -> None:
        self.graph = simplify(graph)

    @cached_property
    def value(self) -> Program:
        return Program(self.graph)

    @cached_property
    def gradient(self) -> Program:
        return Program(simplify(value_and_gradient(self.graph)))

    @cached_property
    def residuals(self) -> Graph | None:
        return residuals(self.graph)

    @cached_property
    def jacobian(self) -> Program:
        if self.residuals is None:
            raise ShapeOfProblemChanged("a test took a path whose loss is no sum of squares")
        return Program(simplify(jacobian(self.residuals)))


class Term:
    """One test's share of 𝓛.

    Args:
        name: How messages call it (the test id).
        graph: What it computed; the first output is its loss, a scalar.
        trace: Runs the test at other values and returns its graph there. Called when a guard
            broke. It may raise :class:`TrialError`.
        weight: Factor of its loss in 𝓛, not negative.
    """

    def __init__(
        self,
        name: str,
        graph: Graph,
        trace: Callable[[Mapping[str, Any]], Graph],
        weight: float = 1.0,
    ) -> None:
        """Start with the path of ``graph``."""
        self.name = name
        self.weight = weight
        self.traces = 1
        self._trace = trace
        self._paths = [_Path(graph)]

    @property
    def starts(self) -> dict[str, Any]:
        """The Params that its known paths reach, by key, with a value they had."""
        return {key: v for path in self._paths for key, v in path.graph.start.items()}

    @property
    def has_residuals(self) -> bool:
        """Whether the loss is visibly a sum of squares on all known paths."""
        return all(path.residuals is not None for path in self._paths)

    def run(self, kind: str, inputs: Mapping[str, Any]) -> tuple[_Path, list[Any]]:
        """Evaluate on the path that ``inputs`` take, tracing the test again if it is unknown."""
        for i, path in enumerate(self._paths):
            outputs = _run(path, kind, inputs)
            if outputs is not None:
                if i:  # the path of this point is the likeliest at the next one
                    self._paths.insert(0, self._paths.pop(i))
                return path, outputs
        path = _Path(self._trace(inputs))
        self.traces += 1
        self._paths.insert(0, path)
        if not path.graph.inputs.keys() <= inputs.keys():
            raise ShapeOfProblemChanged(f"{self.name} took a path that reaches another Param")
        del self._paths[_MOST_PATHS:]
        # These values took this path just now: guards that rounding lets the engine see
        # differently, at the very border of a branch, do not count.
        outputs = _run(path, kind, inputs, guarded=False)
        assert outputs is not None
        return path, outputs


def _run(
    path: _Path, kind: str, inputs: Mapping[str, Any], *, guarded: bool = True
) -> list[Any] | None:
    program: Program = getattr(path, kind)
    try:
        return program.run(inputs, guarded=guarded)
    except (ArithmeticError, np.linalg.LinAlgError) as error:
        raise TrialError(str(error)) from error


class Objective:
    """The total loss 𝓛(θ) = Σ weight · loss, over tests in their given order.

    Where a test cannot be evaluated, 𝓛 is infinite, which tells an optimizer to shorten its step.

    Args:
        terms: The tests.
        layout: Where each Param lies in θ; holds every Param that a test reaches.
    """

    def __init__(self, terms: Sequence[Term], layout: Layout) -> None:
        """Keep the terms; nothing is evaluated yet."""
        self.terms = terms
        self.layout = layout
        self.last_failure: str | None = None

    @property
    def has_residuals(self) -> bool:
        """Whether 𝓛 is visibly a sum of squares."""
        return all(term.has_residuals for term in self.terms)

    @property
    def retraces(self) -> int:
        """How often a test was traced again because it took a new path."""
        return sum(term.traces - 1 for term in self.terms)

    def losses(self, theta: NDArray[np.float64]) -> list[float]:
        """Return the loss of each test, without its weight; inf where it cannot be evaluated."""
        inputs = self.layout.unpack(theta)
        losses = []
        with np.errstate(all="ignore"):
            for term in self.terms:
                try:
                    losses.append(float(term.run("value", inputs)[1][0]))
                except TrialError as error:
                    self.last_failure = f"{term.name}: {error}"
                    losses.append(np.inf)
        return losses

    def value(self, theta: NDArray[np.float64], /) -> float:
        """Return 𝓛(θ)."""
        total = 0.0
        for term, loss in zip(self.terms, self.losses(theta), strict=True):
            total += term.weight * loss
        return total

    def value_and_gradient(
        self, theta: NDArray[np.float64], /
    ) -> tuple[float, NDArray[np.float64]]:
        """Return 𝓛(θ) and its gradient, of the shape of θ."""
        inputs, places = self.layout.unpack(theta), self.layout.slices
        total, gradient = 0.0, np.zeros(theta.shape)
        with np.errstate(all="ignore"):
            for term in self.terms:
                try:
                    path, (loss, *parts) = term.run("gradient", inputs)
                except TrialError as error:
                    self.last_failure = f"{term.name}: {error}"
                    return np.inf, np.full(theta.shape, np.nan)
                total += term.weight * float(loss)
                for key, part in zip(path.graph.inputs, parts, strict=True):
                    gradient[places[key]] += term.weight * np.ravel(part)
        return total, gradient

    def residuals_and_jacobian(
        self, theta: NDArray[np.float64], /
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return r, shape (m,), with 𝓛 = Σ r², and ∂r/∂θ, shape (m, n)."""
        inputs = self.layout.unpack(theta)
        rows: list[NDArray[np.float64]] = []
        blocks: list[tuple[int, slice, Any]] = []
        start = 0
        with np.errstate(all="ignore"):
            for term in self.terms:
                try:
                    path, outputs = term.run("jacobian", inputs)
                except TrialError as error:
                    self.last_failure = f"{term.name}: {error}"
                    return np.full(1, np.inf), np.full((1, theta.size), np.nan)
                start = self._collect(term, path, outputs, start, rows, blocks)
        matrix = np.zeros((start, theta.size))
        for row, place, block in blocks:
            block = np.reshape(block, (-1, place.stop - place.start))
            matrix[row : row + block.shape[0], place] = block
        return np.concatenate(rows) if rows else np.zeros(0), matrix

    def _collect(
        self,
        term: Term,
        path: _Path,
        outputs: list[Any],
        start: int,
        rows: list[NDArray[np.float64]],
        blocks: list[tuple[int, slice, Any]],
    ) -> int:
        """Note one test's residuals and Jacobian blocks; return the number of the next row."""
        keys = list(path.graph.inputs)
        count = len(outputs) // (1 + len(keys))
        root = np.sqrt(term.weight)
        for j in range(count):
            residual = np.ravel(outputs[j]) * root
            rows.append(residual)
            for i, key in enumerate(keys):
                block = outputs[count + j * len(keys) + i]
                blocks.append((start, self.layout.slices[key], block * root))
            start += residual.size
        return start
