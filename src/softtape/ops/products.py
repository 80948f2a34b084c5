"""Sums of products: matmul, dot, einsum and their family."""

from __future__ import annotations

import operator
from typing import Any, NoReturn

import numpy as np

from softtape.graph import ndim_of
from softtape.ops.complex import conj
from softtape.ops.indexing import shared
from softtape.ops.registry import Kind, implements, primitive
from softtape.ops.shaping import unbroadcast

__all__: list[str] = []


def _matmul_left(g: Any, a: Any, b: Any) -> Any:
    if np.ndim(b) == 1:
        return g * b if np.ndim(a) == 1 else np.expand_dims(g, -1) * b
    if np.ndim(a) == 1:
        g = np.expand_dims(g, -2)
        return unbroadcast(np.squeeze(g @ np.swapaxes(b, -1, -2), -2), np.shape(a))
    return unbroadcast(g @ np.swapaxes(b, -1, -2), np.shape(a))


def _matmul_right(g: Any, a: Any, b: Any) -> Any:
    if np.ndim(a) == 1:
        return g * a if np.ndim(b) == 1 else np.expand_dims(a, -1) * np.expand_dims(g, -2)
    if np.ndim(b) == 1:
        product = np.swapaxes(a, -1, -2) @ np.expand_dims(g, -1)
        return unbroadcast(np.squeeze(product, -1), np.shape(b))
    return unbroadcast(np.swapaxes(a, -1, -2) @ g, np.shape(b))


_matmul = implements(np.matmul)(
    primitive(
        "matmul",
        operator.matmul,
        (
            lambda g, y, a, b: unbroadcast(_matmul_left(g, a, b), np.shape(a)),
            lambda g, y, a, b: unbroadcast(_matmul_right(g, a, b), np.shape(b)),
        ),
        kind=Kind.MULTILINEAR,
    )
)


def _einsum_rule(i: int, g: Any, y: Any, *operands: Any, subscripts: str) -> Any:
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    wanted, others = terms[i], [t for j, t in enumerate(terms) if j != i]
    # Letters of this operand that no other term carries were summed: their cotangent is constant.
    seen = set(output).union(*others)
    present = "".join(c for c in wanted if c in seen)
    rest = [x for j, x in enumerate(operands) if j != i]
    made = np.einsum(",".join([output, *others]) + "->" + present, g, *rest)
    lengths = iter(np.shape(made))
    made = np.reshape(made, tuple(next(lengths) if c in seen else 1 for c in wanted))
    # a letter may have length 1 in one operand and be longer in another
    shape = np.shape(operands[i])
    summed = tuple(1 if n == 1 else m for m, n in zip(np.shape(made), shape, strict=True))
    return np.broadcast_to(unbroadcast(made, summed), shape)


_einsum = primitive(
    "einsum",
    lambda *operands, subscripts: np.einsum(subscripts, *operands, optimize=len(operands) > 2),
    _einsum_rule,
    kind=Kind.MULTILINEAR,
)


@implements(np.einsum)
def _np_einsum(subscripts: Any, *operands: Any, optimize: Any = False, dtype: Any = None) -> Any:
    if not isinstance(subscripts, str):
        subscripts, operands = _from_sublists(subscripts, *operands)
    if dtype is not None:
        operands = tuple(np.astype(_array(x), np.dtype(dtype)) for x in operands)
    subscripts = _explicit(subscripts.replace(" ", ""), [np.ndim(x) for x in operands])
    given = (subscripts, *operands)
    terms = subscripts.split("->")[0].split(",")
    if any(len(set(t)) != len(t) for t in terms):
        arrays, terms = _without_diagonals(operands, terms)
        operands = tuple(arrays)
        subscripts = ",".join(terms) + "->" + subscripts.split("->")[1]
    made = _einsum(*operands, subscripts=subscripts)
    return shared(made, given[1], np.einsum, given[0]) if len(given) == 2 else made


def _array(x: Any) -> Any:
    return x if hasattr(x, "_softtape_record") else np.asarray(x)


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _from_sublists(*arguments: Any) -> tuple[str, tuple[Any, ...]]:
    """Write ``np.einsum(a, [0, 1], b, [1, 2], [0, 2])`` with letters."""

    def term(places: Any) -> str:
        return "".join("..." if i is Ellipsis else _LETTERS[int(i)] for i in places)

    count = len(arguments) // 2
    inputs = ",".join(term(arguments[2 * i + 1]) for i in range(count))
    arrow = f"->{term(arguments[-1])}" if len(arguments) % 2 else ""
    return inputs + arrow, arguments[: 2 * count : 2]


def _explicit(subscripts: str, ndims: list[int]) -> str:
    """Write out the ellipsis and the implicit output."""
    inputs, arrow, output = subscripts.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum {subscripts!r} names {len(terms)} operands, got {len(ndims)}")
    free = [c for c in _LETTERS if c not in inputs]
    hidden = [
        n - len(t.replace("...", "")) if "..." in t else 0
        for t, n in zip(terms, ndims, strict=True)
    ]
    letters = "".join(free[: max(hidden)])
    terms = [
        t.replace("...", letters[len(letters) - h :]) for t, h in zip(terms, hidden, strict=True)
    ]
    if arrow:
        return ",".join(terms) + "->" + output.replace("...", letters)
    joined = "".join(terms)
    once = sorted(c for c in set(joined) - set(letters) if joined.count(c) == 1)
    return ",".join(terms) + "->" + letters + "".join(once)


def _without_diagonals(operands: Any, terms: list[str]) -> tuple[list[Any], list[str]]:
    """Replace repeated letters of one term (``ii``) by the diagonal they mean."""
    arrays, names = [], []
    for x, term in zip(operands, terms, strict=True):
        while len(set(term)) != len(term):
            letter = next(c for c in term if term.count(c) > 1)
            i, j = [k for k, c in enumerate(term) if c == letter][:2]
            if np.shape(x)[i] != np.shape(x)[j]:
                raise ValueError(f"einsum: axes {letter!r} of one operand differ in length")
            x = np.diagonal(x, 0, i, j)
            term = "".join(c for k, c in enumerate(term) if k not in (i, j)) + letter
        arrays.append(x)
        names.append(term)
    return arrays, names


@implements(np.dot)
def _np_dot(a: Any, b: Any) -> Any:
    if ndim_of(a) == 0 or ndim_of(b) == 0:
        return a * b
    if ndim_of(b) <= 2:
        return _matmul(a, b)
    return np.tensordot(a, b, axes=((-1,), (-2,)))


@implements(np.vdot)
def _np_vdot(a: Any, b: Any, /) -> Any:
    return np.ravel(conj(a)) @ np.ravel(b)


@implements(np.vecdot)
def _np_vecdot(x1: Any, x2: Any, /, axis: int = -1, keepdims: bool = False) -> Any:
    if axis != -1:  # which counts in each operand before they are broadcast
        x1, x2 = np.moveaxis(x1, axis, -1), np.moveaxis(x2, axis, -1)
    made = np.sum(conj(x1) * x2, axis=-1, keepdims=keepdims)
    return np.moveaxis(made, -1, axis) if keepdims and axis != -1 else made


@implements(np.inner)
def _np_inner(a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    if np.ndim(a) == np.ndim(b) == 1:
        return np.matmul(a, b)  # one node, in which a sum of squares shows
    return np.tensordot(a, b, axes=((-1,), (-1,)))


@implements(np.outer)
def _np_outer(a: Any, b: Any) -> Any:
    return np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))


@implements(np.tensordot)
def _np_tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    if isinstance(axes, int):
        axes = range(np.ndim(a) - axes, np.ndim(a)), range(axes)
    left_axes, right_axes = ((s,) if isinstance(s, int) else s for s in axes)
    left = [i % np.ndim(a) for i in left_axes]
    right = [i % np.ndim(b) for i in right_axes]
    keep_a = [i for i in range(np.ndim(a)) if i not in left]
    keep_b = [i for i in range(np.ndim(b)) if i not in right]
    shape_a, shape_b = [np.shape(a)[i] for i in keep_a], [np.shape(b)[i] for i in keep_b]
    inner = int(np.prod([np.shape(a)[i] for i in left]))
    a2 = np.reshape(np.transpose(a, (*keep_a, *left)), (int(np.prod(shape_a)), inner))
    b2 = np.reshape(np.transpose(b, (*right, *keep_b)), (inner, int(np.prod(shape_b))))
    return np.reshape(a2 @ b2, (*shape_a, *shape_b))


# numpy 2.5 has no cross product of pairs, as np.linalg.cross never had
_CROSSED = {2, 3} if np.lib.NumpyVersion(np.__version__) < "2.5.0" else {3}


def _refuse_lengths(m: int, n: int) -> NoReturn:
    """Raise what numpy does, in its words."""
    raise ValueError(
        "Both input arrays must be (arrays of) 3-dimensional vectors, "
        f"but they are {m} and {n} dimensional instead."
    )


@implements(np.cross)
def _np_cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    lengths = np.shape(a)[-1], np.shape(b)[-1]
    if not _CROSSED.issuperset(lengths):
        _refuse_lengths(*lengths)
    if lengths == (2, 2):
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    (a0, a1, a2), (b0, b1, b2) = (
        [v[..., i] if i < n else 0.0 for i in range(3)]
        for v, n in zip((a, b), lengths, strict=True)
    )
    parts = [a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0]
    return np.moveaxis(np.stack(parts, axis=-1), -1, axisc)


@implements(np.linalg.cross)
def _np_linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    lengths = np.shape(x1)[axis], np.shape(x2)[axis]
    if lengths != (3, 3):
        _refuse_lengths(*lengths)
    return np.cross(x1, x2, axis=axis)


@implements(np.kron)
def _np_kron(a: Any, b: Any) -> Any:
    n = max(np.ndim(a), np.ndim(b))
    a, b = (np.reshape(x, (1,) * (n - np.ndim(x)) + np.shape(x)) for x in (a, b))
    # each axis of a, followed by the same axis of b, and both taken together
    left = np.reshape(a, [k for m in np.shape(a) for k in (m, 1)])
    right = np.reshape(b, [k for m in np.shape(b) for k in (1, m)])
    return np.reshape(left * right, [p * q for p, q in zip(np.shape(a), np.shape(b), strict=True)])


def _np_matvec(x1: Any, x2: Any, /) -> Any:
    return np.squeeze(np.matmul(x1, np.expand_dims(x2, -1)), -1)


def _np_vecmat(x1: Any, x2: Any, /) -> Any:
    return np.squeeze(np.matmul(np.expand_dims(np.conjugate(x1), -2), x2), -2)


if hasattr(np, "matvec"):  # numpy 2.2
    implements(np.matvec)(_np_matvec)
    implements(np.vecmat)(_np_vecmat)
