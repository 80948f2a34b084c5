"""The default engine: walk the nodes of a graph with numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from softtape.graph import CONSTANT, INPUT, Graph, same_value
from softtape.ops import PRIMITIVES

__all__ = ["Program"]

_NO_CHECK = object()


class Program:
    """A graph made ready to run many times.

    Parameters
    ----------
    graph
        What to run.
    """

    __slots__ = ("_inputs", "_outputs", "_steps", "_values")

    def __init__(self, graph: Graph) -> None:
        """Resolve every node to the function that computes it."""
        expected = dict(graph.guards)
        self._values: list[Any] = [None] * len(graph.nodes)
        self._inputs: list[tuple[str, int, Any]] = []
        self._outputs = graph.outputs
        self._steps: list[tuple[Callable[..., Any], tuple[int, ...], int, Any]] = []
        for number, (op, args, attrs) in enumerate(graph.nodes):
            if op == CONSTANT:
                self._values[number] = attrs
            elif op == INPUT:
                check = expected.get(number, _NO_CHECK)
                self._inputs.append((attrs, number, check))
            else:
                compute = PRIMITIVES[op].compute
                compute = partial(compute, **attrs) if attrs else compute
                self._steps.append((compute, args, number, expected.get(number, _NO_CHECK)))

    def run(self, inputs: Mapping[str, Any], *, guarded: bool = True) -> list[Any] | None:
        """Return the outputs, or None as soon as a guard does not hold.

        Parameters
        ----------
        inputs
            Value of each input, by key: arrays, and numpy scalars rather than Python
            floats, which would raise where numpy gives inf.
        guarded
            Whether to ask the guards at all.
        """
        values = self._values
        for key, number, check in self._inputs:
            values[number] = inputs[key]
            if guarded and check is not _NO_CHECK and not same_value(values[number], check):
                return None
        for compute, args, number, check in self._steps:
            if len(args) == 2:
                a, b = args
                value = compute(values[a], values[b])
            elif len(args) == 1:
                value = compute(values[args[0]])
            else:
                value = compute(*[values[a] for a in args])
            if check is not _NO_CHECK and guarded and not same_value(value, check):
                return None
            values[number] = value
        return [values[o] for o in self._outputs]
