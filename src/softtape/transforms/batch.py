"""Many graphs that differ in their constants alone become one, with a leading case axis.

Two hundred parametrized cases of one test give two hundred graphs of the same *signature* (see
:mod:`softtape.transforms.template`): operations, wiring, static attributes, shapes and guards.
:func:`batch` makes of one of them the
graph of all: constants that differ between the cases become inputs whose first axis runs over the
cases, and each operation that meets one is applied to all cases at once, by its batching rule.
Values that are equal in all cases stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softtape.graph import CONSTANT, INPUT, Graph
from softtape.ops import PRIMITIVES, Kind
from softtape.tape import Tape
from softtape.transforms.batching_rules import RULES, CannotBatchError, elementwise, with_axis
from softtape.transforms.jvp import pushforward, unit_seeds, unit_vectors
from softtape.transforms.replay import as_numpy, derive, layouts
from softtape.transforms.vjp import pullback

__all__ = [
    "WEIGHTS",
    "CannotBatchError",
    "batch",
    "batch_points",
    "batched_gradient",
    "batched_jacobian",
    "case_key",
    "repeatable",
    "stacked_constants",
]

WEIGHTS = "case:weights"


# ---- one graph for all


def batch(graph: Graph, varying: Mapping[int, Any], cases: int, *, tile: bool = False) -> Graph:
    """Return the graph of many cases of which ``graph`` is one.

    Parameters
    ----------
    graph
        The graph of any one case.
    varying
        For each constant that differs between cases, by value number, its values
        stacked along a first axis of length ``cases``. They become inputs named by
        :func:`case_key`; the weights of the cases are one more input, :data:`WEIGHTS`.
    cases
        How many cases there are.
    tile
        Give each case a copy of the other inputs of its own, so that cotangents of the
        copies are gradients case by case. The nodes of the copies are then further outputs.

    Returns
    -------
    Graph
        A graph whose outputs have a leading axis over the cases.

    Raises
    ------
    CannotBatchError
        An operation has no batching rule for what it meets here.
    """
    tape = Tape()
    tape.input(WEIGHTS, np.ones(cases))
    return _batched(tape, graph, varying, cases, tile)


def batch_points(graph: Graph, keys: Sequence[str], points: int) -> Graph:
    """Return the graph of what ``graph`` computes at many points.

    Parameters
    ----------
    graph
        Any graph, also one that :func:`batch` made.
    keys
        The inputs that differ between the points. They get a leading axis over these.
    points
        How many points there are.

    Returns
    -------
    Graph
        A graph whose outputs have a leading axis over the points.

    Raises
    ------
    CannotBatchError
        An operation has no batching rule for what it meets here.
    """
    start = {graph.inputs[key]: as_numpy(graph.start[key]) for key in keys}
    varying = {number: np.repeat(np.asarray(v)[None], points, 0) for number, v in start.items()}
    return _batched(Tape(), graph, varying, points, False)


def _batched(tape: Tape, graph: Graph, varying: Mapping[int, Any], cases: int, tile: bool) -> Graph:
    values: list[Any] = []
    batched: list[bool] = []
    copies: list[Any] = []
    with np.errstate(all="ignore"):
        for number, (op, _, _) in enumerate(graph.nodes):
            value, has_axis = _node(tape, graph, number, values, batched, varying, cases, tile)
            if tile and op == INPUT:
                copies.append(value)
            values.append(value)
            batched.append(has_axis)
        outputs = [with_axis(values[o], batched[o], cases) for o in graph.outputs]
        made = tape.graph([*outputs, *copies])
    guards = tuple((values[g]._index, e) for g, e in graph.guards if hasattr(values[g], "_index"))
    return Graph(made.nodes, made.outputs, guards, made.inputs, made.start)


def case_key(number: int) -> str:
    """Return the key of the input that a varying constant becomes."""
    return f"case:{number}"


def _node(
    tape: Tape,
    graph: Graph,
    number: int,
    values: list[Any],
    batched: list[bool],
    varying: Mapping[int, Any],
    cases: int,
    tile: bool,
) -> tuple[Any, bool]:
    """Return the batched value of one node, and whether it has the case axis."""
    op, args, attrs = graph.nodes[number]
    if op == INPUT:
        if number in varying:
            return tape.input(attrs, varying[number]), True
        value = tape.input(attrs, as_numpy(graph.start[attrs]))
        return (with_axis(value, False, cases), True) if tile else (value, False)
    if op == CONSTANT:
        if number not in varying:
            return attrs, False
        return tape.input(case_key(number), varying[number]), True
    operands, flags = [values[a] for a in args], [batched[a] for a in args]
    primitive = PRIMITIVES[op]
    if not any(flags):
        return primitive(*operands, **(attrs or {})), False
    rule = RULES.get(op)
    if rule is None:
        if primitive.kind not in (Kind.ELEMENTWISE, Kind.CONSTANT):
            raise CannotBatchError(op)
        rule = elementwise
    return rule(primitive, operands, flags, attrs or {}, cases), True


# ---- derivatives of a batched graph


def batched_gradient(graph: Graph, keys: Sequence[str]) -> Graph:
    """Return the graph of the losses, shape (cases,), and of the gradient of their weighted sum.

    Parameters
    ----------
    graph
        What :func:`batch` made of a graph whose output is a loss.
    keys
        The inputs to differentiate by.
    """

    def outputs(values: list[Any]) -> Sequence[Any]:
        losses = graph.outputs[0]
        seeds = {losses: values[graph.inputs[WEIGHTS]]}
        wanted = [graph.inputs[key] for key in keys]
        return [values[losses], *pullback(graph, values, seeds, wanted, done=values)]

    return derive(graph, outputs)


def batched_jacobian(graph: Graph, varying: Mapping[int, Any], cases: int) -> Graph:
    """Return the graph of many cases' outputs and of their derivatives by each input.

    Parameters
    ----------
    graph, varying, cases
        As for :func:`batch`.

    Returns
    -------
    Graph
        A graph whose outputs are those of :func:`batch`, then for each output one block per
        input, of shape (cases, size of the output, size of the input). Forward sweeps, one per
        element of the inputs, or reverse sweeps, one per element of one case's outputs, are
        recorded, whichever are fewer.
    """
    forward = batch(graph, varying, cases)
    n = sum(int(np.size(graph.start[key])) for key in graph.inputs)
    m = sum(int(np.prod(s[1:])) for s in shapes(forward, forward.outputs))
    keys = list(graph.inputs)
    if n <= m:
        return derive(forward, lambda values: _columns(forward, values, keys))
    tiled = batch(graph, varying, cases, tile=True)
    count = len(graph.outputs)
    made = Graph(tiled.nodes, tiled.outputs[:count], tiled.guards, tiled.inputs, tiled.start)
    return derive(made, lambda values: _rows(made, values, tiled.outputs[count:]))


def _columns(graph: Graph, values: Sequence[Any], keys: Sequence[str]) -> list[Any]:
    tangents = pushforward(graph, values, unit_seeds(graph, values, keys), graph.outputs)
    blocks = []
    for output, tangent in zip(graph.outputs, tangents, strict=True):
        cases, *shape = np.shape(values[output])
        size = int(np.prod(shape))
        start = 0
        for key in keys:
            width = int(np.size(graph.start[key]))
            if tangent is None:
                blocks.append(np.zeros((cases, size, width)))
            elif width == 1:
                part = tangent if len(tangent) == 1 else tangent[start]
                blocks.append(np.reshape(part, (cases, size, 1)))
            else:
                part = np.reshape(tangent[start : start + width], (width, cases, size))
                blocks.append(np.moveaxis(part, 0, -1))
            start += width
    return [*(values[o] for o in graph.outputs), *blocks]


def _rows(graph: Graph, values: Sequence[Any], copies: Sequence[int]) -> list[Any]:
    blocks = []
    for output in graph.outputs:
        cases, *shape = np.shape(values[output])
        seeds = [np.broadcast_to(u, (cases, *shape)) for u in unit_vectors(np.zeros(shape))]
        rows = [pullback(graph, values, {output: seed}, copies) for seed in seeds]
        for i, copy in enumerate(copies):
            size = int(np.prod(np.shape(values[copy])[1:]))
            flat = [np.reshape(r[i], (cases, size)) for r in rows]
            blocks.append(np.stack(flat, axis=1) if flat else np.zeros((cases, 0, size)))
    return [*(values[o] for o in graph.outputs), *blocks]


def shapes(graph: Graph, numbers: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shapes of some nodes."""
    values = layouts(graph)
    return [np.shape(values[n]) for n in numbers]


def repeatable(value: Any) -> NDArray[Any]:
    """Return constants as an array of numbers: a Python integer may be too long for numpy's."""
    values = np.asarray(value)
    return values.astype(float) if values.dtype == object else values


def stacked_constants(cases: Sequence[Sequence[Any]]) -> list[Any | None]:
    """Return for each constant its values over the cases along a first axis, None if all equal.

    Parameters
    ----------
    cases
        The constants of each case, in the order of their nodes.
    """
    columns: list[Any | None] = []
    for column in zip(*cases, strict=True):
        if column[0] is column[-1] and len({*map(id, column)}) == 1:
            columns.append(None)
            continue
        values = repeatable(np.array(column))
        columns.append(None if _all_same(values) else values)
    return columns


def _all_same(values: NDArray[Any]) -> bool:
    """Tell whether all rows are the first one, down to the signs of zeros."""
    if not (values[-1] == values[0]).all() or not (values == values[:1]).all():
        return False
    parts = (values.real, values.imag) if values.dtype.kind in "fc" else ()
    return all(bool(np.all(np.signbit(p) == np.signbit(p[:1]))) for p in parts)  # 1 / -0.0
