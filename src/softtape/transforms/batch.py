"""Many graphs that differ in their constants alone become one, with a leading case axis.

Two hundred parametrized cases of one test give two hundred graphs of the same *signature* (see
:mod:`softtape.transforms.template`): operations, wiring, static attributes, shapes and guards.
:func:`batch` makes of one of them the
graph of all: constants that differ between the cases become inputs whose first axis runs over the
cases, and each operation that meets one is applied to all cases at once, by its batching rule.
Values that are equal in all cases stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.graph import CONSTANT, INPUT, Graph
from softtape.ops import PRIMITIVES, Kind, Primitive
from softtape.ops.indexing import Slot
from softtape.tape import Tape
from softtape.transforms.jvp import pushforward, unit_seeds, unit_vectors
from softtape.transforms.replay import as_numpy, derive, replay
from softtape.transforms.vjp import pullback

__all__ = [
    "WEIGHTS",
    "CannotBatchError",
    "batch",
    "batched_gradient",
    "batched_jacobian",
    "case_key",
    "repeatable",
    "stacked_constants",
]

WEIGHTS = "case:weights"
Rule: TypeAlias = Callable[[Primitive, list[Any], list[bool], dict[str, Any], int], Any]


class CannotBatchError(Exception):
    """An operation has no batching rule for its operands; the cases are run one by one."""


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
        outputs = [_with_axis(values[o], batched[o], cases) for o in graph.outputs]
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
        value = tape.input(attrs, as_numpy(graph.start[attrs]))
        return (_with_axis(value, False, cases), True) if tile else (value, False)
    if op == CONSTANT:
        if number not in varying:
            return attrs, False
        return tape.input(case_key(number), varying[number]), True
    operands, flags = [values[a] for a in args], [batched[a] for a in args]
    primitive = PRIMITIVES[op]
    if not any(flags):
        return primitive(*operands, **(attrs or {})), False
    rule = _RULES.get(op)
    if rule is None:
        if primitive.kind not in (Kind.ELEMENTWISE, Kind.CONSTANT):
            raise CannotBatchError(op)
        rule = _elementwise
    return rule(primitive, operands, flags, attrs or {}, cases), True


def _ndim(value: Any, flag: bool) -> int:
    """Number of axes of one case."""
    return int(np.ndim(value)) - flag


def _with_axis(value: Any, flag: bool, cases: int) -> Any:
    return value if flag else np.broadcast_to(value, (cases, *np.shape(value)))


def _aligned(value: Any, flag: bool, ndim: int) -> Any:
    """Put axes of length one after the case axis, so that cases broadcast as single ones do."""
    missing = ndim - _ndim(value, flag)
    if not flag or missing <= 0:
        return value
    shape = np.shape(value)
    return np.reshape(value, (shape[0],) + (1,) * missing + shape[1:])


def _elementwise(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    ndim = max(_ndim(x, f) for x, f in zip(operands, flags, strict=True))
    aligned = [_aligned(x, f, ndim) for x, f in zip(operands, flags, strict=True)]
    return primitive(*aligned, **attrs)


def _along_axes(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    """Reductions and their kin over non-negative axes, given as tuple or number; None is all."""
    axis, ndim = attrs["axis"], np.ndim(operands[0]) - 1
    if axis is None:
        axis = tuple(range(ndim))
        if primitive.name in ("argmax", "argmin"):
            operands, axis = [np.reshape(operands[0], (cases, -1))], 0
    single = isinstance(axis, (int, np.integer))
    moved = axis % max(ndim, 1) + 1 if single else tuple(a + 1 for a in axis)
    return primitive(operands[0], **{**attrs, "axis": moved})


def _joining(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    parts = [_with_axis(x, f, cases) for x, f in zip(operands, flags, strict=True)]
    return primitive(*parts, axis=attrs["axis"] + 1)


def _reshape(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    return primitive(operands[0], shape=(cases, *attrs["shape"]))


def _broadcast_to(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    shape = attrs["shape"]
    return primitive(_aligned(operands[0], True, len(shape)), shape=(cases, *shape))


def _transpose(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    return primitive(operands[0], axes=(0, *(a + 1 for a in attrs["axes"])))


def _matmul(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    (a, b), (fa, fb) = operands, flags
    na, nb = _ndim(a, fa), _ndim(b, fb)
    if na == 1 and nb == 1:
        if fa and fb:
            if np.result_type(a, b).kind not in "fc":
                raise CannotBatchError("matmul of truth values or integers")  # no sum of products
            return np.sum(a * b, axis=-1)
        return a @ b if fa else b @ a
    if na == 1 and nb == 2 and not fb:
        return a @ b  # the vectors of all cases are the rows of one matrix
    if nb == 1 and na == 2 and not fa:
        return b @ np.swapaxes(a, -1, -2)
    a = np.expand_dims(a, -2) if na == 1 else a
    b = np.expand_dims(b, -1) if nb == 1 else b
    ndim = max(na, nb, 2)
    product = _aligned(a, fa, ndim) @ _aligned(b, fb, ndim)
    if na == 1:
        return np.squeeze(product, -2)
    return np.squeeze(product, -1) if nb == 1 else product


def _einsum(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    inputs, output = attrs["subscripts"].split("->")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    case = next(c for c in letters if c not in inputs)
    terms = [case + t if f else t for t, f in zip(inputs.split(","), flags, strict=True)]
    return primitive(*operands, subscripts=",".join(terms) + "->" + case + output)


def _getitem(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    x, *arrays = operands
    index: tuple[Any, ...] = attrs["index"]
    if not arrays:
        return primitive(x, index=(slice(None), *index))
    advanced = [isinstance(i, (Slot, int, np.integer)) for i in index]
    first = advanced.index(True)
    block = index[first : first + sum(advanced)]
    together = all(advanced[first : first + sum(advanced)])
    if not together or (any(flags[1:]) and first) or any(_is_mask(a) for a in arrays):
        raise CannotBatchError("getitem with this index")
    if not any(flags[1:]):
        return primitive(x, *arrays, index=(slice(None), *index))
    ndim = max(_ndim(a, f) for a, f in zip(arrays, flags[1:], strict=True))
    arrays = [_aligned(a, f, ndim) for a, f in zip(arrays, flags[1:], strict=True)]
    if not flags[0]:
        return primitive(x, *arrays, index=index)
    number = np.arange(cases).reshape((cases,) + (1,) * ndim)
    shifted = tuple(Slot(i.number + 1) if isinstance(i, Slot) else i for i in block)
    return primitive(x, number, *arrays, index=(Slot(0), *shifted, *index[len(block) :]))


def _is_mask(array: Any) -> bool:
    return bool(getattr(array, "dtype", None) == np.bool_)


def _stacked(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    """Linear algebra: numpy's own functions run over leading axes."""
    stacked = [_with_axis(x, f, cases) for x, f in zip(operands, flags, strict=True)]
    return primitive(*stacked, **attrs)


def _interval(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    if flags[1]:
        raise CannotBatchError("interp over tables that differ between the cases")
    return primitive(*operands)


def _call(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    if not attrs["node"].vectorized:
        raise CannotBatchError("a function with rules of its own")
    return primitive(*operands, **attrs)


def _refused(primitive: Primitive, *rest: Any) -> Any:
    raise CannotBatchError(primitive.name)


_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("sum", "max", "min", "prod", "cumsum", "flip"), _along_axes),
    **dict.fromkeys(("fft", "ifft", "rfft", "irfft"), _along_axes),
    **dict.fromkeys(("argmax", "argmin", "argsort", "all", "any", "count_nonzero"), _along_axes),
    **dict.fromkeys(("concatenate", "stack"), _joining),
    **dict.fromkeys(("inv", "det", "adjugate", "logabsdet", "sign_det", "phase_det"), _stacked),
    **dict.fromkeys(("cholesky", "solve", "eigh", "eig", "svd", "qr", "pinv"), _stacked),
    "orthonormal_rest": _stacked,
    "reshape": _reshape,
    "broadcast_to": _broadcast_to,
    "transpose": _transpose,
    "matmul": _matmul,
    "einsum": _einsum,
    "getitem": _getitem,
    "interval": _interval,
    "call": _call,
    "scatter_add": _refused,
}


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

    def outputs(values: Sequence[Any]) -> Sequence[Any]:
        losses = graph.outputs[0]
        seeds = {losses: values[graph.inputs[WEIGHTS]]}
        wanted = [graph.inputs[key] for key in keys]
        return [values[losses], *pullback(graph, values, seeds, wanted)]

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
    with np.errstate(all="ignore"):
        values = replay(graph, graph.start)
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
        first = column[0]
        if all(c is first for c in column):
            columns.append(None)
            continue
        values = repeatable(np.stack(column) if np.ndim(first) else np.array(column))
        same = values == values[:1]
        for part in (values.real, values.imag) if values.dtype.kind in "fc" else ():
            same &= np.signbit(part) == np.signbit(part[:1])  # 1 / -0.0 is not 1 / 0.0
        columns.append(None if bool(np.all(same)) else values)
    return columns
