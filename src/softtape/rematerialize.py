"""``checkpoint``: recompute instead of remember."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from softtape.containers import Structure, flatten
from softtape.custom import CALL, Like, joined, like, parted, shown
from softtape.graph import CONSTANT, INPUT, Graph, shape_of
from softtape.ops import PRIMITIVES
from softtape.recording import Recorded, current, record
from softtape.tape import Tape, Traced
from softtape.transforms.jvp import pushforward
from softtape.transforms.replay import as_numpy, replay
from softtape.transforms.simplify import simplify
from softtape.transforms.vjp import pullback, zeros

__all__ = ["checkpoint"]

__tracebackhide__ = True  # pytest shows the user's line instead


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``f`` as a function of whose run a derivative remembers the arguments alone.

    Reverse mode needs the value of each intermediate step. Of a checkpointed function it keeps
    none: where it comes to it, it runs the function's graph once more. A chain of n steps of
    which every √n are one checkpointed function so needs memory for about 2 √n steps instead
    of n, at the price of one more forward run (Griewank and Walther, «Revolve», 2000).

    Parameters
    ----------
    f
        Any function that can be differentiated; it may read Params. It may return
        numbers, arrays and containers of them.

    Returns
    -------
    Callable
        Called like ``f``. In a graph its call is one node, so in a fit it is evaluated case by
        case instead of for all cases at once.
    """

    @functools.wraps(f)
    def checkpointed(*args: Any, **keywords: Any) -> Any:
        leaves, structure = flatten((args, keywords))
        leaves = [current(leaf) for leaf in leaves]
        moving = [i for i, leaf in enumerate(leaves) if type(leaf) is Traced]
        if not moving:
            return f(*args, **keywords)
        returned: list[Any] = []
        built = Structure()

        def on_moving(values: list[Any]) -> Any:
            for i, value in zip(moving, values, strict=True):
                leaves[i] = value
            given, named = structure.rebuild(leaves)
            return f(*given, **named)

        def outputs(result: Any, _: bool) -> list[Any]:
            nonlocal built
            parts, built = flatten(result)
            returned.extend(map(current, parts))
            return [part for part in returned if type(part) is Traced]

        made = record(on_moving, [leaves[i] for i in moving], outputs)
        node = _Part(made.graph, [_value(made, o) for o in made.graph.outputs])
        results, guards = node.results(CALL(joined(list(made.given.values())), node=node))
        for value, (_, expected) in zip(guards, made.graph.guards, strict=True):
            value._tape.guard(value, np.asarray(expected, float)[()])
        known = iter(results)
        return built.rebuild(next(known) if type(x) is Traced else x for x in returned)

    return checkpointed


def _value(made: Recorded, number: int) -> Any:
    op, _, attrs = made.graph.nodes[number]
    return attrs if op == CONSTANT else made.kept[number]


class _Part:
    """A graph as one node of another: its joined inputs give its joined outputs, then guards.

    Parameters
    ----------
    graph
        What it computes.
    outputs
        Numbers or arrays like the outputs.
    """

    vectorized = False

    def __init__(self, graph: Graph, outputs: Sequence[Any]) -> None:
        self._graph = graph
        self._inputs = [like(value) for value in graph.start.values()]
        self._outputs = [like(value) for value in outputs]
        self._guards: list[Like] = [
            (np.shape(expected), np.dtype(float)) for _, expected in graph.guards
        ]

    def __repr__(self) -> str:
        return self._shown

    @cached_property
    def _shown(self) -> str:
        graph = self._graph
        nodes = "; ".join(f"{op} {args} {_attrs(attrs)}" for op, args, attrs in graph.nodes)
        return f"checkpoint({nodes} -> {graph.outputs}, {self._inputs})"

    def results(self, flat: Any) -> tuple[list[Any], list[Any]]:
        """Return the outputs and what is guarded."""
        parts = parted(flat, [*self._outputs, *self._guards])
        return parts[: len(self._outputs)], parts[len(self._outputs) :]

    @cached_property
    def _gone(self) -> list[list[int]]:
        """After each node, the values that nothing needs any more."""
        last = {a: k for k, (_, args, _) in enumerate(self._graph.nodes) for a in args}
        kept = {*self._graph.outputs, *(g for g, _ in self._graph.guards)}
        gone: list[list[int]] = [[] for _ in self._graph.nodes]
        for number in range(len(gone)):
            if number not in kept:
                gone[last.get(number, number)].append(number)
        return gone

    def compute(self, flat: Any) -> Any:
        """Run the graph, letting go of each value when nothing needs it any more."""
        given, values = self._given(flat), {}
        for number, (op, args, attrs) in enumerate(self._graph.nodes):
            if op == CONSTANT:
                values[number] = attrs
            elif op == INPUT:
                values[number] = given[attrs]
            else:
                operands = [values[a] for a in args]
                values[number] = PRIMITIVES[op].compute(*operands, **(attrs or {}))
            for one in self._gone[number]:
                del values[one]
        wanted = [*self._graph.outputs, *(g for g, _ in self._graph.guards)]
        return joined([np.asarray(values[n], float) for n in wanted])

    def vjp(self, g: Any, y: Any, flat: Any) -> Any:
        """Run the graph once more, and back; as a node where this is recorded."""
        if not _traced(g, flat):
            return joined(self._back(self._given(flat), self.results(g)[0]))
        return CALL(joined([flat, g]), node=self._reverse)

    def jvp(self, tangent: Any, y: Any, flat: Any) -> Any:
        """Run the graph once more with tangents; as a node where this is recorded."""
        if not _traced(tangent, flat):
            return joined(self._along(self._given(flat), parted(tangent, self._inputs)))
        return CALL(joined([flat, tangent]), node=self._forward)

    def _given(self, flat: Any) -> dict[str, Any]:
        return dict(zip(self._graph.inputs, parted(flat, self._inputs), strict=True))

    def _back(self, given: Mapping[str, Any], cotangents: Sequence[Any]) -> list[Any]:
        """Return the cotangents of the inputs."""
        with np.errstate(all="ignore"):
            values = replay(self._graph, given)
            seeds: dict[int, Any] = {}
            for output, g in zip(self._graph.outputs, cotangents, strict=True):
                seeds[output] = g if output not in seeds else seeds[output] + g
            return pullback(self._graph, values, seeds, list(self._graph.inputs.values()))

    def _along(self, given: Mapping[str, Any], tangents: Sequence[Any]) -> list[Any]:
        """Return the tangents of the outputs, and zeros for what is guarded."""
        seeds = {
            key: np.reshape(t, (1, *shape_of(t)))
            for key, t in zip(self._graph.inputs, tangents, strict=True)
        }
        with np.errstate(all="ignore"):
            values = replay(self._graph, given)
            moved = pushforward(self._graph, values, seeds, self._graph.outputs)
        made = [
            zeros(values[o]) if t is None else t[0]
            for o, t in zip(self._graph.outputs, moved, strict=True)
        ]
        return made + [np.zeros(shape) for shape, _ in filter(None, self._guards)]

    @cached_property
    def _reverse(self) -> _Part:
        """The node that runs the graph and back: inputs and cotangents to cotangents."""
        seeds = [*self._outputs, *self._guards]
        return self._derived(seeds, lambda given, g: self._back(given, g[: len(self._outputs)]))

    @cached_property
    def _forward(self) -> _Part:
        """The node that runs the graph with tangents: inputs and tangents to tangents."""
        return self._derived(self._inputs, self._along)

    def _derived(
        self, more: Sequence[Like], compute: Callable[[Mapping[str, Any], Sequence[Any]], list[Any]]
    ) -> _Part:
        """Return the node that computes from the inputs and, joined to them, ``more``."""
        tape = Tape()
        given = {key: tape.input(key, as_numpy(x)) for key, x in self._graph.start.items()}
        seeds = [
            tape.input(f"{len(given)}+{i}", np.ones(*each))
            for i, each in enumerate(filter(None, more))
        ]
        made = compute(given, seeds)
        graph = simplify(tape.graph(made))
        tape.close()
        return _Part(graph, made)


def _traced(*values: Any) -> bool:
    return any(type(x) is Traced for x in values)


def _attrs(attrs: Any) -> str:
    if not isinstance(attrs, dict):
        return shown(attrs)
    return str({key: shown(value) for key, value in sorted(attrs.items())})
