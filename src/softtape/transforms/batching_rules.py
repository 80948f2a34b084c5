"""How each primitive is applied to all cases at once.

A rule gets the operands, which of them have the case axis (always the first one), the static
keywords and the number of cases, and gives the results of all cases, the case axis first.
Primitives of kind elementwise or constant without a rule of their own act on each element by
itself. ``numpy``'s functions here may meet traced values: rules record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from softtape.ops import Primitive
from softtape.ops.indexing import Slot

__all__ = ["RULES", "CannotBatchError", "elementwise", "with_axis"]

Rule: TypeAlias = Callable[[Primitive, list[Any], list[bool], dict[str, Any], int], Any]


class CannotBatchError(Exception):
    """An operation has no batching rule for its operands; the cases are run one by one."""


def _ndim(value: Any, flag: bool) -> int:
    """Number of axes of one case."""
    return int(np.ndim(value)) - flag


def with_axis(value: Any, flag: bool, cases: int) -> Any:
    """Return a value with the case axis, whether it has it already (``flag``) or not."""
    return value if flag else np.broadcast_to(value, (cases, *np.shape(value)))


def _aligned(value: Any, flag: bool, ndim: int) -> Any:
    """Put axes of length one after the case axis, so that cases broadcast as single ones do."""
    missing = ndim - _ndim(value, flag)
    if not flag or missing <= 0:
        return value
    shape = np.shape(value)
    return np.reshape(value, (shape[0],) + (1,) * missing + shape[1:])


def elementwise(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    """Apply a primitive that acts on each element by itself, with broadcasting."""
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
    parts = [with_axis(x, f, cases) for x, f in zip(operands, flags, strict=True)]
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
    stacked = [with_axis(x, f, cases) for x, f in zip(operands, flags, strict=True)]
    return primitive(*stacked, **attrs)


def _searchsorted(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    table, values = operands
    if not flags[0]:
        return primitive(table, values, **attrs)
    # a table of its own for each case: count how many of its entries lie before
    values = with_axis(values, flags[1], cases)
    shape = np.shape(table)
    table = np.reshape(table, (cases, *(1,) * (np.ndim(values) - 1), shape[1]))
    values = np.expand_dims(values, -1)
    before = table < values if attrs["side"] == "left" else table <= values
    return np.sum(before, axis=-1)


def _lexsort(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    axis = attrs["axis"]
    return primitive(np.moveaxis(operands[0], 1, 0), axis=axis if axis < 0 else axis + 1)


def _scatter_add(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    g, *arrays = operands
    index, shape = attrs["index"], (cases, *attrs["shape"])
    if not any(flags[1:]) and not _moves_axes(index):
        full = (slice(None), *index)
        return primitive(with_axis(g, flags[0], cases), *arrays, shape=shape, index=full)
    return _scatter_each(primitive, operands, flags, index, shape)


def _moves_axes(index: tuple[Any, ...]) -> bool:
    """Whether index arrays apart from each other put their axes first."""
    places = [k for k, i in enumerate(index) if isinstance(i, (Slot, int, np.integer))]
    return any(isinstance(i, Slot) for i in index) and places[-1] - places[0] >= len(places)


def _scatter_each(
    primitive: Primitive,
    operands: list[Any],
    flags: list[bool],
    index: tuple[Any, ...],
    shape: tuple[int, ...],
) -> Any:
    """Each case has places of its own: the number of the case is one more index."""
    g, *arrays = operands
    if not isinstance(index[0], Slot) or _moves_axes(index) or any(map(_is_mask, arrays)):
        raise CannotBatchError("scatter_add with this index")
    cases = shape[0]
    ndim = max(_ndim(a, f) for a, f in zip(arrays, flags[1:], strict=True))
    arrays = [_aligned(a, f, ndim) for a, f in zip(arrays, flags[1:], strict=True)]
    number = np.arange(cases).reshape((cases,) + (1,) * ndim)
    shifted = tuple(Slot(i.number + 1) if isinstance(i, Slot) else i for i in index)
    g = with_axis(g, flags[0], cases)
    return primitive(g, number, *arrays, shape=shape, index=(Slot(0), *shifted))


def _convolve(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    """Many convolutions at once, as products with a matrix of shifts."""
    (a, v), (fa, fv) = operands, flags
    n, m = np.shape(a)[-1], np.shape(v)[-1]
    shift = np.arange(n + m - 1)[:, None] - np.arange(m)[None, :]
    inside = (shift >= 0) & (shift < n)
    rows = np.where(inside, np.take(a, np.clip(shift, 0, n - 1), axis=-1), 0.0)
    if not fv:
        return rows @ v
    return v @ np.transpose(rows) if not fa else np.einsum("cij,cj->ci", rows, v)


def _along_last(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    """Primitives that put new axes of their own first."""
    moved = primitive(operands[0], **attrs)
    return np.moveaxis(moved, len(np.shape(attrs["q"])), 0)


def _call(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    if not attrs["node"].vectorized:
        raise CannotBatchError("a function with rules of its own")
    return primitive(*operands, **attrs)


def _running_place(
    primitive: Primitive, operands: list[Any], flags: list[bool], attrs: dict[str, Any], cases: int
) -> Any:
    # both are of one array, so both vary
    return primitive(*operands, axis=attrs["axis"] + 1)


def _refused(primitive: Primitive, *rest: Any) -> Any:
    raise CannotBatchError(primitive.name)


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("sum", "max", "min", "prod", "cumsum", "flip"), _along_axes),
    **dict.fromkeys(("fft", "ifft", "rfft", "irfft"), _along_axes),
    **dict.fromkeys(("argmax", "argmin", "argsort", "all", "any", "count_nonzero"), _along_axes),
    **dict.fromkeys(("running_maximum", "running_minimum"), _along_axes),
    **dict.fromkeys(("argpartition", "unwrapping"), _along_axes),
    **dict.fromkeys(("unique_index", "unique_inverse", "unique_counts"), _refused),
    "running_place": _running_place,
    **dict.fromkeys(("concatenate", "stack"), _joining),
    **dict.fromkeys(("inv", "det", "adjugate", "logabsdet", "sign_det", "phase_det"), _stacked),
    **dict.fromkeys(("cholesky", "solve", "eigh", "eig", "svd", "qr", "pinv"), _stacked),
    "orthonormal_rest": _stacked,
    "scipy.linalg.expm": _stacked,
    "reshape": _reshape,
    "broadcast_to": _broadcast_to,
    "transpose": _transpose,
    "matmul": _matmul,
    "einsum": _einsum,
    "getitem": _getitem,
    "searchsorted": _searchsorted,
    "lexsort": _lexsort,
    "convolve": _convolve,
    "known_places": _along_last,
    "call": _call,
    "scatter_add": _scatter_add,
}
