"""One test on one path by itself: what cannot be batched, or has nothing to be batched with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.choice import Kind
from softtape.engines import fast, floats
from softtape.engines.numpy import Program
from softtape.engines.scalar import suits
from softtape.graph import Graph
from softtape.transforms.jvp import jacobian, jacobian_of
from softtape.transforms.replay import GuardBroken, replay
from softtape.transforms.residuals import residual_form
from softtape.transforms.simplify import simplify
from softtape.transforms.vjp import gradient_of, read_by_sweep, value_and_gradient

__all__ = ["Share", "Single", "can_compile", "make_single"]

Floats: TypeAlias = NDArray[np.float64]

_Program: TypeAlias = fast.ScalarProgram | floats.ScalarProgram

_NONE: Mapping[str, Any] = MappingProxyType({})


class Share:
    """What cases contribute to 𝓛 at one point.

    Attributes
    ----------
    losses
        Their losses, shape (cases,), without weights; may be left out with a gradient that
        comes with the total.
    holds
        Whether each case's guards hold; where not, its share counts for nothing. None
        where all hold.
    gradient
        Sum of the weighted gradients by key.
    residuals
        Their weighted residuals, case by case.
    rows
        The Jacobian of the residuals by key, shape (residuals, size of the Param).
    total
        Sum of the weighted losses; None where the caller is to form it.
    """

    __slots__ = ("gradient", "holds", "losses", "residuals", "rows", "total")

    def __init__(
        self,
        losses: Floats,
        holds: NDArray[np.bool_] | None = None,
        gradient: Mapping[str, Any] = _NONE,
        total: float | None = None,
        residuals: Floats | None = None,
        rows: Mapping[str, Floats] = _NONE,
    ) -> None:
        """Keep them; one is made at each evaluation."""
        self.losses, self.holds = losses, holds
        self.gradient, self.total = gradient, total
        self.residuals, self.rows = residuals, rows


class Single(Protocol):
    """A case with programs of its own, compiled when first asked for."""

    def share(
        self, kind: Kind, inputs: Mapping[str, Any], weight: float, *, guarded: bool
    ) -> Share | None:
        """Return what the case contributes, or None where its guards do not hold."""
        ...


def make_single(
    graph: Graph,
    residuals: Callable[[], Graph | None] | None = None,
    *,
    compiled: bool = False,
    searched: bool = False,
) -> Single:
    """Return programs for a graph: by Python's floats where all is numbers, else by numpy.

    Parameters
    ----------
    graph
        What the case computes.
    residuals
        Gives the graph of its residuals, where there are any; by default they are searched for.
    compiled
        Whether numba is to run it; only what :func:`can_compile`.
    searched
        Whether ``residuals`` knows the answer: then one program gives loss and residuals.
    """
    found = residuals or partial(_residuals, graph)
    if compiled:
        return _ScalarSingle(graph, found, fast.ScalarProgram, suits, searched)
    if floats.suits(graph):
        return _ScalarSingle(graph, found, floats.ScalarProgram, floats.suits, searched)
    return _NumpySingle(graph, found)


def can_compile(graph: Graph) -> bool:
    """Whether the compiled interpreter, which knows float64 alone, can run a graph."""
    narrow = any(getattr(v, "dtype", None) == np.float32 for v in graph.start.values())
    return not narrow and suits(graph)


def _residuals(graph: Graph) -> Graph | None:
    form = residual_form(graph)
    return None if form is None else form[0]


class _NumpySingle:
    """By numpy: derivatives are graphs, too, made when they are asked for a second time.

    Many a path is taken at one point and never again.
    """

    def __init__(self, graph: Graph, residuals: Callable[[], Graph | None]) -> None:
        self._graph = graph
        self._residual_graph = residuals
        self._keys = list(graph.inputs)
        self._asked: set[Kind] = set()

    @cached_property
    def value(self) -> Program:
        return Program(simplify(self._graph))

    @cached_property
    def gradient(self) -> Program:
        return Program(simplify(value_and_gradient(simplify(self._graph))))

    @cached_property
    def jacobian(self) -> Program:
        return Program(simplify(jacobian(simplify(self._squares))))

    @cached_property
    def _squares(self) -> Graph:
        graph = self._residual_graph()
        assert graph is not None
        return graph

    def _at_once(self, kind: Kind, inputs: Mapping[str, Any], guarded: bool) -> list[Any] | None:
        graph = self._squares if kind == "jacobian" else self._graph
        try:
            read = read_by_sweep(graph) if kind == "gradient" else None
            values = replay(graph, inputs, guarded=guarded, read=read)
        except GuardBroken:
            return None
        if kind == "jacobian":
            return jacobian_of(graph, values)
        return gradient_of(graph, values) if kind == "gradient" else [values[graph.outputs[0]]]

    def share(
        self, kind: Kind, inputs: Mapping[str, Any], weight: float, *, guarded: bool
    ) -> Share | None:
        if kind in self._asked:
            program: Program = getattr(self, kind)
            outputs = program.run(inputs, guarded=guarded)
        else:
            self._asked.add(kind)
            outputs = self._at_once(kind, inputs, guarded)
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


class _ScalarSingle:
    """By a walk over the table of a tape of scalars: derivatives are sweeps over the same table."""

    def __init__(
        self,
        graph: Graph,
        residuals: Callable[[], Graph | None],
        program: Callable[[Graph], _Program],
        suits: Callable[[Graph], bool],
        searched: bool,
    ) -> None:
        self._graph = graph
        self._residual_graph = residuals
        self._keys = list(graph.inputs)
        self._program = program
        self._suits = suits
        self._searched = searched

    @cached_property
    def _loss(self) -> _Program:
        return self._program(self._graph)

    @property
    def _any(self) -> _Program:
        """What gives the loss: what there is, since making it takes as long as running it often."""
        if "_loss" not in self.__dict__ and (self._searched or "_squares" in self.__dict__):
            return self._squares or self._loss
        return self._loss

    @cached_property
    def _squares(self) -> _Program | None:
        """What gives the loss and behind it the residuals, where these are on the same table."""
        residuals = self._residual_graph()
        if residuals is None or not self._suits(residuals):
            return None
        return self._program(
            Graph(
                residuals.nodes, (*self._graph.outputs[:1], *residuals.outputs), residuals.guards,
                residuals.inputs, residuals.start,
            )
        )  # fmt: skip

    @cached_property
    def _by_numpy(self) -> _NumpySingle:
        return _NumpySingle(self._graph, self._residual_graph)

    def share(
        self, kind: Kind, inputs: Mapping[str, Any], weight: float, *, guarded: bool
    ) -> Share | None:
        if kind == "jacobian":
            return self._rows(inputs, weight, guarded=guarded)
        program = self._any
        if kind == "value":
            losses = program.value(inputs, guarded=guarded)
            return None if losses is None else Share(losses[:1])
        made = program.gradient(inputs, guarded=guarded)
        if made is None:
            return None
        gradient = {key: weight * g for key, g in made[1].items()}
        return Share(made[0][:1], gradient=gradient)

    def _rows(self, inputs: Mapping[str, Any], weight: float, *, guarded: bool) -> Share | None:
        if self._squares is None:
            return self._by_numpy.share("jacobian", inputs, weight, guarded=guarded)
        made = self._squares.jacobian(inputs, guarded=guarded)
        if made is None:
            return None
        root = np.sqrt(weight)
        residuals, matrix = made[0][1:] * root, made[1][1:] * root
        rows = {key: matrix[:, i : i + 1] for i, key in enumerate(self._keys)}
        return Share(np.zeros(1), residuals=residuals, rows=rows)
