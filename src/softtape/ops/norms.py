"""Norms of vectors and matrices, of all orders.

Every norm has slope 0 at the origin, by choice: the least of its subgradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softtape.ops.complex import is_complex
from softtape.ops.registry import implements

__all__: list[str] = []


def _as_float(x: Any) -> Any:
    return x if np.issubdtype(x.dtype, np.inexact) else x.astype(float)


def _root(total: Any, power: Any) -> Any:
    """Return the root of a sum of powers; slope 0 at 0."""
    zero = total == 0
    rooted = np.where(zero, 1.0, total)
    rooted = np.sqrt(rooted) if power == 2 else rooted ** (1.0 / power)
    return np.where(zero, 0.0, rooted)[()]


def _euclidean(x: Any, axis: Any, keepdims: Any) -> Any:
    squares = np.real(x) ** 2 + np.imag(x) ** 2 if is_complex(x) else x * x
    return _root(np.sum(squares, axis=axis, keepdims=keepdims), 2)


def _of_vectors(x: Any, order: Any, axis: Any, keepdims: Any) -> Any:
    if order is None or order == 2:
        return _euclidean(x, axis, keepdims)
    if isinstance(order, str):
        raise ValueError(f"np.linalg.norm: ord={order!r} is none of vectors")
    size = np.abs(x)
    if order == np.inf:
        return np.max(size, axis=axis, keepdims=keepdims)
    if order == -np.inf:
        return np.min(size, axis=axis, keepdims=keepdims)
    if order == 0:
        return np.sum(x != 0, axis=axis, keepdims=keepdims).astype(size.dtype)
    if order == 1:
        return np.sum(size, axis=axis, keepdims=keepdims)
    zero = size == 0
    powers = np.where(zero, 0.0 if order > 0 else np.inf, np.where(zero, 1.0, size) ** order)
    return _root(np.sum(powers, axis=axis, keepdims=keepdims), order)


def _of_matrices(x: Any, order: Any, axis: tuple[int, int], keepdims: Any) -> Any:
    if order in (None, "fro", "f"):
        return _euclidean(x, axis, keepdims)
    ndim = np.ndim(x)
    row, column = (a % ndim for a in axis)
    if row == column:
        raise ValueError("np.linalg.norm: the two axes of a matrix norm must differ")
    if order in (1, -1):
        y = _extreme(np.sum(np.abs(x), axis=row, keepdims=True), order, column)
    elif order in (np.inf, -np.inf):
        y = _extreme(np.sum(np.abs(x), axis=column, keepdims=True), order, row)
    elif order in (2, -2, "nuc"):
        s = np.linalg.svdvals(np.moveaxis(x, (row, column), (-2, -1)))
        y = np.sum(s, axis=-1) if order == "nuc" else _extreme(s, order, -1, keepdims=False)
        y = np.expand_dims(y, tuple(sorted((row, column))))
    else:
        raise ValueError(f"np.linalg.norm: ord={order!r} is none of matrices")
    return y if keepdims else np.squeeze(y, (row, column))


def _extreme(x: Any, order: Any, axis: int, *, keepdims: bool = True) -> Any:
    return (np.max if order > 0 else np.min)(x, axis=axis, keepdims=keepdims)


@implements(np.linalg.norm)
def _np_norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x, ndim = _as_float(x), np.ndim(x)
    if axis is None:
        if ord is None:
            return _euclidean(x, tuple(range(ndim)), keepdims)
        axis = tuple(range(ndim))
    axis = (int(axis),) if isinstance(axis, (int, np.integer)) else tuple(axis)
    if len(axis) == 1:
        return _of_vectors(x, ord, axis, keepdims)
    if len(axis) == 2:
        return _of_matrices(x, ord, axis, keepdims)
    raise ValueError("np.linalg.norm: a norm is one of vectors or of matrices")


@implements(np.linalg.vector_norm)
def _np_vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    return _of_vectors(_as_float(x), ord, axis, keepdims)


@implements(np.linalg.matrix_norm)
def _np_matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return _of_matrices(_as_float(x), ord, (-2, -1), keepdims)
