"""Linear algebra: the calls that try their rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from numpy_calls.draw import Call, Calls, Table, any_of, fixed, joined, regular, seeds, spd, uniform

EYE = 4.0 * np.eye(4).reshape(2, 2, 4)

TURN = np.array([[0.0, -4.0, 0.0], [4.0, -2.0, 0.0], [0.0, 0.0, 0.0]])  # eigenvalues 1 ± 4i and 6


def wide(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Calls:
    """Draw a stack of matrices whose singular values are apart, and further operands."""

    def call(seed: int) -> Call:
        rng = np.random.default_rng(seed)
        first, *others = (uniform(rng, s, -0.4, 0.4) for s in shapes)
        spread = np.zeros(shapes[0][-2:])
        np.fill_diagonal(spread, [1.0, 3.0, 6.0])
        return Call(function, (first + spread, *others), analytic=False)

    return st.builds(call, seeds)


def symmetric(function: Callable[..., Any]) -> Calls:
    return wide(lambda x: function(x + np.swapaxes(x, -1, -2)), (2, 3, 3))


def norms(function: Callable[..., Any], orders: Iterable[Any], shape: tuple[int, ...]) -> Calls:
    return fixed(
        lambda a: joined([function(a, p) for p in orders]), shape, apart=True, analytic=False
    )


NORMS: Table = {
    np.linalg.norm: any_of(
        fixed(np.linalg.norm, (4,), analytic=False),
        fixed(np.linalg.norm, (2, 1, 3), analytic=False),
        fixed(lambda a: np.linalg.norm(a, axis=1, keepdims=True), (2, 3), analytic=False),
        norms(
            lambda a, p: np.linalg.norm(a, p, axis=0),
            (1, 2, 3, 1.5, -1, np.inf, -np.inf),
            (3, 2),
        ),
        norms(
            lambda a, p: np.linalg.norm(a, p, (2, 0), keepdims=True),
            ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf),
            (2, 1, 2),
        ),
    ),
    np.linalg.vector_norm: norms(
        lambda a, p: np.linalg.vector_norm(a, ord=p, axis=(0, 1)), (2, 1, 0.5, np.inf), (2, 3)
    ),
    np.linalg.matrix_norm: norms(
        lambda a, p: np.linalg.matrix_norm(a, ord=p, keepdims=True), ("fro", "nuc", -1), (2, 2, 3)
    ),
}


def projectors(q: Any) -> Any:
    """Return the projectors on the first column and on the others, which may turn."""
    return np.stack([p @ np.swapaxes(p, -1, -2) for p in (q[..., :1], q[..., 1:])])


DECOMPOSITIONS: Table = {
    np.linalg.eigh: any_of(
        symmetric(lambda a: joined(np.linalg.eigh(a))),
        symmetric(lambda a: np.linalg.eigh(a, "U").eigenvectors),
    ),
    np.linalg.eigvalsh: symmetric(np.linalg.eigvalsh),
    np.linalg.eig: any_of(
        wide(lambda a: np.real(joined(np.linalg.eig(a))), (2, 3, 3)),
        wide(lambda a: np.abs(np.linalg.eig(a + TURN).eigenvectors), (2, 3, 3)),
    ),
    np.linalg.eigvals: wide(lambda a: np.real(np.linalg.eigvals(a)), (3, 3)),
    np.linalg.svd: any_of(
        *(
            wide(lambda a: joined(np.linalg.svd(a, full_matrices=False)), shape)
            for shape in ((3, 2), (2, 2, 3), (3, 3))
        ),
        wide(lambda a: projectors(np.linalg.svd(a).U), (2, 3, 1)),
        wide(lambda a: projectors(np.swapaxes(np.linalg.svd(a).Vh, -1, -2)), (1, 3)),
        symmetric(lambda a: joined(np.linalg.svd(a, hermitian=True))),
    ),
    np.linalg.svdvals: wide(np.linalg.svdvals, (2, 3)),
    np.linalg.qr: any_of(
        *(wide(lambda a: joined(np.linalg.qr(a)), shape) for shape in ((3, 2), (2, 2, 3), (3, 3))),
        wide(lambda a: np.linalg.qr(a, "r"), (3, 2)),
        wide(lambda a: projectors(np.linalg.qr(a, "complete").Q), (2, 3, 1)),
        wide(lambda a: np.linalg.qr(a, "complete").R, (3, 2)),
    ),
}
NAMESPACE: Table = {
    np.linalg.trace: fixed(lambda a: np.linalg.trace(a, offset=1), (2, 3, 3)),
    np.linalg.diagonal: fixed(lambda a: np.linalg.diagonal(a, offset=-1), (2, 3, 3)),
    np.linalg.outer: fixed(np.linalg.outer, (2,), (3,)),
    np.linalg.cross: fixed(lambda a, b: np.linalg.cross(a, b, axis=0), (3, 2), (3, 2)),
    np.linalg.matmul: fixed(np.linalg.matmul, (2, 3), (3, 2)),
    np.linalg.vecdot: fixed(
        lambda a, b: np.linalg.vecdot(a, b, axis=0), (3, 2), (3, 2), analytic=False
    ),
    np.linalg.tensordot: fixed(lambda a, b: np.linalg.tensordot(a, b, axes=1), (2, 3), (3, 2)),
    np.linalg.matrix_transpose: fixed(np.linalg.matrix_transpose, (2, 3)),
}
SMOOTH: Table = {
    np.linalg.inv: regular(np.linalg.inv, (2, 3, 3)),
    np.linalg.det: regular(np.linalg.det, (2, 3, 3)),
    np.linalg.slogdet: any_of(
        spd(lambda a: np.linalg.slogdet(a)[1], 2, 2), spd(lambda a: np.linalg.slogdet(a)[1], 3)
    ),
    np.linalg.solve: any_of(
        regular(np.linalg.solve, (3, 3), (3,)),
        regular(np.linalg.solve, (2, 2, 2), (2, 1)),
        regular(np.linalg.solve, (2, 2), (3, 2, 2)),
        regular(np.linalg.solve, (2, 2, 2), (2,)),
    ),
    np.linalg.cholesky: any_of(
        spd(np.linalg.cholesky, 3),
        spd(np.linalg.cholesky, 2, 2),
        spd(lambda a: np.linalg.cholesky(a, upper=True), 2),
    ),
    **NORMS,
    **DECOMPOSITIONS,
    **NAMESPACE,
    np.linalg.pinv: any_of(
        wide(np.linalg.pinv, (2, 3)),
        wide(lambda a: np.linalg.pinv(a, rtol=1e-9), (2, 3, 2)),
    ),
    np.linalg.lstsq: any_of(
        wide(lambda a, b: joined(np.linalg.lstsq(a, b)[:2]), (3, 2), (3,)),
        wide(lambda a, b: np.linalg.lstsq(a, b, rcond=1e-9)[0], (2, 3), (2, 2)),
        wide(lambda a, b: np.linalg.lstsq(a, b, rcond=-1)[3], (3, 2), (3, 2)),
    ),
    np.linalg.cond: any_of(
        *(wide(lambda a, p=p: np.linalg.cond(a, p), (2, 3, 3)) for p in (None, -2, "fro"))
    ),
    np.linalg.multi_dot: any_of(
        fixed(lambda a, b, c: np.linalg.multi_dot([a, b, c]), (2, 3), (3, 1), (1, 2)),
        fixed(lambda a, b, c: np.linalg.multi_dot([a, b, c]), (2,), (2, 3), (3,)),
        fixed(lambda a, b: np.linalg.multi_dot([a, b]), (2,), (2, 3)),
    ),
    np.linalg.tensorsolve: any_of(
        fixed(lambda a, b: np.linalg.tensorsolve(a + EYE, b), (2, 2, 4), (2, 2)),
        fixed(
            lambda a, b: np.linalg.tensorsolve(np.moveaxis(a + EYE, 2, 0), b, axes=(0,)),
            (2, 2, 4),
            (2, 2),
        ),
    ),
    np.linalg.tensorinv: fixed(lambda a: np.linalg.tensorinv(a + EYE, 2), (2, 2, 4)),
    np.linalg.matrix_power: any_of(
        *(regular(lambda a, n=n: np.linalg.matrix_power(a, n), (3, 3)) for n in (1, 2, 3, 5, -2))
    ),
}
