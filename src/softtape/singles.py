"""One test on one path by itself: what cannot be batched, or has nothing to be batched with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.engines import fast
from softtape.engines.numpy import Program
from softtape.engines.scalar import suits
from softtape.errors import SoftError
from softtape.graph import Graph
from softtape.transforms.jvp import jacobian
from softtape.transforms.residuals import residual_form
from softtape.transforms.simplify import simplify
from softtape.transforms.vjp import value_and_gradient

__all__ = ["ENGINES", "Kind", "Share", "Single", "check_engine", "make_single", "prefers_numba"]

Kind: TypeAlias = Literal["value", "gradient", "jacobian"]
Floats: TypeAlias = NDArray[np.float64]

ENGINES = ("auto", "numpy", "numba")
# nodes from which numba's import (0.4 s) costs less than numpy's programs for the derivatives
_WORTH_AN_IMPORT = 10_000
_WORTH_A_PROGRAM = 300  # where it is imported anyway


@dataclass(slots=True)
class Share:
    """What cases contribute to 𝓛 at one point.

    Attributes
    ----------
    losses
        Their losses, shape (cases,), without weights.
    holds
        Whether each case's guards hold; where not, its share counts for nothing. None
        where all hold.
    gradient
        Sum of the weighted gradients by key.
    residuals
        Their weighted residuals, case by case.
    rows
        The Jacobian of the residuals by key, shape (residuals, size of the Param).
    """

    losses: Floats
    holds: NDArray[np.bool_] | None = None
    gradient: Mapping[str, Any] = field(default_factory=dict)
    residuals: Floats | None = None
    rows: Mapping[str, Floats] = field(default_factory=dict)


class Single(Protocol):
    """A case with programs of its own, compiled when first asked for."""

    def share(
        self, kind: Kind, inputs: Mapping[str, Any], weight: float, *, guarded: bool
    ) -> Share | None:
        """Return what the case contributes, or None where its guards do not hold."""
        ...


def check_engine(engine: str) -> None:
    """Refuse an engine that does not exist, or is not installed.

    Raises
    ------
    SoftError
        The message names the way out.
    """
    if engine not in ENGINES:
        raise SoftError(f"there is no engine {engine!r}; choose one of {', '.join(ENGINES)}")
    if engine == "numba" and not fast.available():
        raise SoftError("the engine 'numba' needs numba: pip install 'pytest-soft[fast]'")


def make_single(
    graph: Graph, engine: str = "auto", residuals: Callable[[], Graph | None] | None = None
) -> Single:
    """Return programs for a graph, by the engine that suits it.

    ``auto`` takes numba for long tapes of scalars, where it is installed and its import pays.

    Parameters
    ----------
    graph
        What the case computes.
    engine
        ``auto``, ``numpy`` or ``numba``.
    residuals
        Gives the graph of its residuals, where there are any; by default they are searched for.
    """
    kind = _FastSingle if prefers_numba(graph, engine) else _NumpySingle
    return kind(graph, residuals or partial(_residuals, graph))


def _residuals(graph: Graph) -> Graph | None:
    form = residual_form(graph)
    return None if form is None else form[0]


def prefers_numba(graph: Graph, engine: str = "auto") -> bool:
    """Whether the compiled interpreter can run a graph, and is expected to be the faster way."""
    if engine == "numpy" or not fast.available():
        return False
    least = _WORTH_A_PROGRAM if "numba" in sys.modules else _WORTH_AN_IMPORT
    return (engine == "numba" or len(graph) >= least) and suits(graph)


class _NumpySingle:
    """By numpy: derivatives are graphs, too."""

    def __init__(self, graph: Graph, residuals: Callable[[], Graph | None]) -> None:
        self._graph = graph
        self._residual_graph = residuals
        self._keys = list(graph.inputs)

    @cached_property
    def value(self) -> Program:
        return Program(simplify(self._graph))

    @cached_property
    def gradient(self) -> Program:
        return Program(simplify(value_and_gradient(simplify(self._graph))))

    @cached_property
    def jacobian(self) -> Program:
        graph = self._residual_graph()
        assert graph is not None
        return Program(simplify(jacobian(simplify(graph))))

    def share(
        self, kind: Kind, inputs: Mapping[str, Any], weight: float, *, guarded: bool
    ) -> Share | None:
        program: Program = getattr(self, kind)
        outputs = program.run(inputs, guarded=guarded)
        if outputs is None:
            return None
        if kind == "jacobian":
            return self._rows(outputs, inputs, np.sqrt(weight))
        share = Share(np.array([float(outputs[0])]))
        if kind == "gradient":
            share.gradient = {k: weight * g for k, g in zip(self._keys, outputs[1:], strict=True)}
        return share

    def _rows(self, outputs: list[Any], inputs: Mapping[str, Any], root: float) -> Share:
        """Join the blocks of the Jacobian, output by output."""
        keys = self._keys
        count = len(outputs) // (1 + len(keys))
        residuals = np.concatenate([np.ravel(r) for r in outputs[:count]]) * root
        rows = {}
        for i, key in enumerate(keys):
            size = int(np.size(inputs[key]))
            blocks = [
                np.reshape(outputs[count + j * len(keys) + i], (np.size(outputs[j]), size))
                for j in range(count)
            ]
            rows[key] = root * np.concatenate(blocks)
        return Share(np.zeros(1), residuals=residuals, rows=rows)


class _FastSingle:
    """By the compiled interpreter: derivatives are sweeps over the same arrays."""

    def __init__(self, graph: Graph, residuals: Callable[[], Graph | None]) -> None:
        self._graph = graph
        self._residual_graph = residuals
        self._keys = list(graph.inputs)

    @cached_property
    def _loss(self) -> fast.ScalarProgram:
        return fast.ScalarProgram(self._graph)

    @cached_property
    def _residuals(self) -> fast.ScalarProgram | None:
        graph = self._residual_graph()
        return fast.ScalarProgram(graph) if graph is not None and suits(graph) else None

    @cached_property
    def _by_numpy(self) -> _NumpySingle:
        return _NumpySingle(self._graph, self._residual_graph)

    def share(
        self, kind: Kind, inputs: Mapping[str, Any], weight: float, *, guarded: bool
    ) -> Share | None:
        if kind == "jacobian":
            if self._residuals is None:
                return self._by_numpy.share(kind, inputs, weight, guarded=guarded)
            residuals = self._residuals.value(inputs, guarded=guarded)
            if residuals is None:
                return None
            root = np.sqrt(weight)
            matrix = self._residuals.jacobian() * root
            rows = {key: matrix[:, i : i + 1] for i, key in enumerate(self._keys)}
            return Share(np.zeros(1), residuals=residuals * root, rows=rows)
        losses = self._loss.value(inputs, guarded=guarded)
        if losses is None:
            return None
        share = Share(losses)
        if kind == "gradient":
            share.gradient = {key: weight * g for key, g in self._loss.gradient().items()}
        return share
