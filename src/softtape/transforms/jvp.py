"""Forward mode, and the Jacobian by whichever mode needs fewer sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from softtape.graph import Graph, shape_of
from softtape.ops import PRIMITIVES, Kind, Primitive
from softtape.ops.complex import is_complex
from softtape.transforms.replay import derive
from softtape.transforms.vjp import pullback, zeros

__all__ = ["jacobian", "jacobian_of", "pushforward", "unit_seeds", "unit_vectors"]


def pushforward(
    graph: Graph, values: Sequence[Any], seeds: Mapping[str, Any], wanted: Sequence[int]
) -> list[Any]:
    """Carry tangents of inputs forward to the nodes numbered ``wanted``.

    Parameters
    ----------
    graph
        The graph that was run.
    values
        Value of each node in that run, plain or traced.
    seeds
        Tangents of each input that moves, by key: a stack of directions, its first axis running
        over them, of shape (directions, \\*shape of the input).
    wanted
        Value numbers of the nodes whose tangents are asked for.

    Returns
    -------
    list[Any]
        One stack of tangents per wanted node, shape (directions, \\*shape); None where it does
        not move.
    """
    tangents: dict[int, Any] = {graph.inputs[key]: seed for key, seed in seeds.items()}
    for number, (op, args, attrs) in enumerate(graph.nodes):
        moving = [tangents.get(a) for a in args]
        if any(t is not None for t in moving):
            operands = [values[a] for a in args]
            tangent = _tangents(PRIMITIVES[op], moving, values[number], operands, attrs or {})
            if tangent is not None:
                tangents[number] = tangent
    return [tangents.get(number) for number in wanted]


def _tangents(
    primitive: Primitive, tangents: list[Any], y: Any, operands: list[Any], attrs: dict[str, Any]
) -> Any:
    """Return the tangents of one node; None if no operand that moves has a gradient."""
    made = _any_tangents(primitive, tangents, y, operands, attrs)
    return np.real(made) if is_complex(made) and not is_complex(y) else made


def _any_tangents(
    primitive: Primitive, tangents: list[Any], y: Any, operands: list[Any], attrs: dict[str, Any]
) -> Any:
    if primitive.kind is Kind.ELEMENTWISE:
        return _elementwise_tangents(primitive, tangents, y, operands, attrs)
    if primitive.kind is Kind.CONSTANT:
        return None
    directions = next(shape_of(t)[0] for t in tangents if t is not None)
    each = [
        _tangent(primitive, [None if t is None else t[d] for t in tangents], y, operands, attrs)
        for d in range(directions)
    ]
    if not each or each[0] is None:
        return None
    shape = shape_of(y)
    return np.stack(each) if directions > 1 else np.reshape(each[0], (1, *shape))


def _elementwise_tangents(
    primitive: Primitive, tangents: list[Any], y: Any, operands: list[Any], attrs: dict[str, Any]
) -> Any:
    """Each element by itself: the Jacobian is diagonal, so a vjp rule gives the tangents too."""
    shape, total = shape_of(y), None
    for i, t in enumerate(tangents):
        rule = None if t is None else primitive.vjp_rule(i)
        if rule is None:
            continue
        directions, *own = shape_of(t)
        if len(own) < len(shape):  # stretched axes stand before the operand's own
            t = np.reshape(t, (directions, *(1,) * (len(shape) - len(own)), *own))
        part = rule(t, y, *operands, **attrs)
        if shape_of(part) != (directions, *shape):
            part = np.broadcast_to(part, (directions, *shape))
        total = part if total is None else total + part
    return total


def _tangent(
    primitive: Primitive, tangents: list[Any], y: Any, operands: list[Any], attrs: dict[str, Any]
) -> Any:
    """Return the tangent of one node in one direction, for kinds other than elementwise."""
    if primitive.kind is Kind.OTHER:
        assert primitive.jvp is not None
        return primitive.jvp(tangents, y, *operands, **attrs)
    if primitive.kind is Kind.LINEAR:
        filled = [zeros(x) if t is None else t for t, x in zip(tangents, operands, strict=True)]
        return primitive(*filled, **attrs)
    total: Any = None
    for i, t in enumerate(tangents):
        if t is not None and primitive.vjp_rule(i) is not None:
            part = primitive(*operands[:i], t, *operands[i + 1 :], **attrs)
            total = part if total is None else total + part
    return total


def jacobian(graph: Graph) -> Graph:
    """Return the graph of all outputs and of their derivatives by each input.

    Its outputs are those of ``graph``, then for each output one block per input: a matrix of
    (size of the output, size of the input), or a scalar where both are scalars. Forward sweeps,
    one per element of the inputs, or reverse sweeps, one per element of the outputs, are recorded,
    whichever are fewer.
    """

    return derive(graph, partial(jacobian_of, graph))


def jacobian_of(graph: Graph, values: Sequence[Any]) -> list[Any]:
    """Return what :func:`jacobian` does, from the values of a run, plain or traced."""
    results = [values[o] for o in graph.outputs]
    n = sum(int(np.size(values[i])) for i in graph.inputs.values())
    m = sum(int(np.size(r)) for r in results)
    return [*results, *(_by_columns(graph, values) if n < m else _by_rows(graph, values))]


def unit_vectors(value: Any) -> list[Any]:
    """One plain unit tangent per element of ``value``, in its shape."""
    size, shape = int(np.size(value)), np.shape(value)
    return [np.reshape(row, shape)[()] for row in np.eye(size, dtype=zeros(value).dtype)]


def unit_seeds(graph: Graph, values: Sequence[Any], keys: Sequence[str]) -> dict[str, Any]:
    """One direction per element of all inputs named ``keys``, as seeds for `pushforward`."""
    given = [values[graph.inputs[key]] for key in keys]
    sizes = [int(np.size(v)) for v in given]
    starts = np.cumsum([0, *sizes])
    seeds = {}
    for key, value, start, size in zip(keys, given, starts, sizes, strict=False):
        seed = np.zeros((int(starts[-1]), size), zeros(value).dtype)
        seed[start : start + size] = np.eye(size)
        seeds[key] = np.reshape(seed, (int(starts[-1]), *np.shape(value)))
    return seeds


def _by_columns(graph: Graph, values: Sequence[Any]) -> list[Any]:
    seeds = unit_seeds(graph, values, list(graph.inputs))
    tangents = pushforward(graph, values, seeds, graph.outputs)
    blocks = []
    for output, tangent in zip(graph.outputs, tangents, strict=True):
        start = 0
        for number in graph.inputs.values():
            size = int(np.size(values[number]))
            parts = [
                zeros(values[output]) if tangent is None else tangent[d]
                for d in range(start, start + size)
            ]
            blocks.append(_block(parts, values[output], values[number], axis=1))
            start += size
    return blocks


def _by_rows(graph: Graph, values: Sequence[Any]) -> list[Any]:
    blocks = []
    wanted = list(graph.inputs.values())
    for output in graph.outputs:
        rows = [pullback(graph, values, {output: u}, wanted) for u in unit_vectors(values[output])]
        for i, number in enumerate(wanted):
            blocks.append(_block([r[i] for r in rows], values[output], values[number], axis=0))
    return blocks


def _block(parts: list[Any], output: Any, given: Any, axis: int) -> Any:
    if np.ndim(output) == 0 and np.ndim(given) == 0:
        return parts[0]
    shape = (int(np.size(output)), int(np.size(given)))
    if not parts:
        return np.zeros(shape)
    return np.reshape(np.stack([np.ravel(p) for p in parts], axis=axis), shape)
