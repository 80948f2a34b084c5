"""The numpy engine for batched graphs: chunk after chunk of cases, into buffers that are reused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from softtape.graph import CONSTANT, INPUT, Graph
from softtape.ops import PRIMITIVES
from softtape.transforms.replay import replay

__all__ = ["CaseProgram", "Workspace"]

Step: TypeAlias = tuple[Callable[..., Any], tuple[int, ...], int, int]
Workspace: TypeAlias = list[Any]

_NO_BUFFER = -1


class CaseProgram:
    """A batched graph made ready to run many times, on one chunk of cases after the other.

    What depends on the cases but on no Param is computed once for each chunk, by :meth:`bind`.
    The rest is computed by :meth:`run`: ufuncs write into buffers, which are used again as soon
    as nothing needs their value any more.

    Parameters
    ----------
    graph
        A batched graph; its guards are values to look at, among the outputs.
    cases
        Keys of the inputs that belong to the chunk.
    """

    def __init__(self, graph: Graph, cases: Sequence[str]) -> None:
        """Plan the steps and the buffers."""
        with np.errstate(all="ignore"):
            shown = replay(graph, graph.start)
        self._count = len(graph.nodes)
        self._outputs = graph.outputs
        self._constants = [
            (k, attrs) for k, (op, _, attrs) in enumerate(graph.nodes) if op == CONSTANT
        ]
        self._case_inputs = [(key, graph.inputs[key]) for key in cases]
        own = set(cases)
        self._inputs = [(key, k) for key, k in graph.inputs.items() if key not in own]
        dynamic: list[bool] = []
        for op, args, attrs in graph.nodes:
            moves = attrs not in own if op == INPUT else any(dynamic[a] for a in args)
            dynamic.append(moves)
        work = [k for k, (op, _, _) in enumerate(graph.nodes) if op not in (CONSTANT, INPUT)]
        self._static = [self._step(graph, k) for k in work if not dynamic[k]]
        used = {a for k in work if dynamic[k] for a in graph.nodes[k][1]} | set(graph.outputs)
        self._kept = sorted(k for k in used if not dynamic[k])
        self._steps, self._buffers = _plan(graph, [k for k in work if dynamic[k]], shown)

    @staticmethod
    def _step(graph: Graph, number: int) -> tuple[Callable[..., Any], tuple[int, ...], int]:
        op, args, attrs = graph.nodes[number]
        return _function(op, attrs), args, number

    def bind(self, cases: Mapping[str, Any]) -> list[tuple[int, Any]]:
        """Return what a chunk contributes: the values of the nodes that depend on it alone."""
        values: Workspace = [None] * self._count
        for number, value in self._constants:
            values[number] = value
        for key, number in self._case_inputs:
            values[number] = cases[key]
        for compute, args, number in self._static:
            values[number] = compute(*[values[a] for a in args])
        return [(k, values[k]) for k in self._kept]

    def workspace(self) -> Workspace:
        """Return the buffers one thread needs, whatever the number of chunks."""
        return [np.empty(shape, dtype) for shape, dtype in self._buffers] + [[None] * self._count]

    def run(
        self, inputs: Mapping[str, Any], bound: Sequence[tuple[int, Any]], workspace: Workspace
    ) -> list[Any]:
        """Return the outputs for one chunk; arrays among them are overwritten by the next run."""
        values = workspace[-1]
        for number, value in bound:
            values[number] = value
        for key, number in self._inputs:
            values[number] = inputs[key]
        for compute, args, number, buffer in self._steps:
            if buffer < 0:
                values[number] = compute(*[values[a] for a in args])
            elif len(args) == 2:
                a, b = args
                values[number] = compute(values[a], values[b], workspace[buffer])
            else:
                values[number] = compute(values[args[0]], workspace[buffer])
        return [values[o] for o in self._outputs]


def _plan(
    graph: Graph, work: Sequence[int], shown: Sequence[Any]
) -> tuple[list[Step], list[tuple[tuple[int, ...], Any]]]:
    """Choose a function and, for ufuncs on arrays, a buffer for each node."""
    last = {a: k for k in work for a in graph.nodes[k][1]}
    for output in graph.outputs:
        last[output] = len(graph.nodes)
    holders: dict[int, int] = {}  # views share the buffer of what they view
    buffers: list[tuple[tuple[int, ...], Any]] = []
    free: dict[tuple[tuple[int, ...], Any], list[int]] = {}
    dies: dict[int, list[int]] = {}
    steps: list[Step] = []
    owner_last: dict[int, int] = {}
    for number in reversed(work):  # a view keeps what it views alive
        for a in graph.nodes[number][1]:
            owner_last[a] = max(owner_last.get(a, -1), last.get(a, -1))
            if graph.nodes[number][0] in _VIEWS:
                reach = max(last.get(number, -1), owner_last.get(number, -1))
                owner_last[a] = max(owner_last[a], reach)
    for number in work:
        op, args, attrs = graph.nodes[number]
        ufunc = getattr(np, op, None)
        kind = (np.shape(shown[number]), getattr(shown[number], "dtype", None))
        if isinstance(ufunc, np.ufunc) and not attrs and kind[0] and len(args) <= 2:
            pool = free.setdefault(kind, [])
            if not pool:
                pool.append(len(buffers))
                buffers.append(kind)
            buffer = pool.pop()
            holders[number] = buffer
            steps.append((ufunc, args, number, buffer))
        else:
            steps.append((_function(op, attrs), args, number, _NO_BUFFER))
        end = max(last.get(number, number), owner_last.get(number, number))
        dies.setdefault(end, []).append(number)
        for gone in dies.pop(number, []):
            if gone in holders and gone != number:
                buffer = holders.pop(gone)
                free[buffers[buffer]].append(buffer)
    return steps, buffers


_VIEWS = {"reshape", "transpose", "broadcast_to", "getitem", "flip", "stop_gradient", "einsum"}


def _function(op: str, attrs: Any) -> Callable[..., Any]:
    """Return the function that computes a node, its static keywords filled in."""
    if op == "sum":
        axis, reduce = attrs["axis"], np.add.reduce  # what np.sum calls, without its wrapper
        return lambda x: reduce(x, axis)
    compute = PRIMITIVES[op].compute
    return partial(compute, **attrs) if attrs else compute
