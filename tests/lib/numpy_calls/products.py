"""Sums of products: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import Table, any_of, fixed

SMOOTH: Table = {
    np.matmul: any_of(
        *(
            fixed(np.matmul, a, b)
            for a, b in [
                ((3,), (3,)),
                ((2, 3), (3,)),
                ((3,), (3, 2)),
                ((2, 3), (3, 2)),
                ((2, 1, 2, 3), (3, 3, 1)),
                ((2, 2, 3), (3,)),
                ((3,), (2, 3, 2)),
                ((1, 3), (2, 3, 2)),
            ]
        )
    ),
    np.dot: any_of(
        *(
            fixed(np.dot, a, b)
            for a, b in [
                ((), (2,)),
                ((3,), (3,)),
                ((2, 3), (3,)),
                ((2, 3), (3, 2)),
                ((2, 3), (2, 3, 2)),
                ((2, 2, 3), (3, 2)),
                ((3,), (2, 3, 1)),
            ]
        )
    ),
    np.vdot: fixed(np.vdot, (2, 3), (2, 3), analytic=False),
    np.vecdot: fixed(np.vecdot, (2, 3), (3,), analytic=False),
    np.inner: any_of(
        *(
            fixed(np.inner, a, b)
            for a, b in [((3,), (3,)), ((2, 3), (3,)), ((2, 3), (2, 3)), ((), (2,))]
        )
    ),
    np.outer: any_of(fixed(np.outer, (3,), (2,)), fixed(np.outer, (2, 2), ())),
    np.tensordot: any_of(
        fixed(np.tensordot, (2, 3, 2), (3, 2, 2)),
        fixed(lambda a, b: np.tensordot(a, b, axes=0), (2,), (3,)),
        fixed(lambda a, b: np.tensordot(a, b, axes=([-1, 0], [1, 2])), (2, 3, 2), (3, 2, 2)),
        fixed(lambda a, b: np.tensordot(a, b, axes=(1, 0)), (2, 3), (3, 2)),
    ),
    np.einsum: any_of(
        fixed(lambda a, b: np.einsum("ij,jk", a, b), (2, 3), (3, 2)),
        fixed(lambda a, b: np.einsum("ij, jk -> ki", a, b), (2, 3), (3, 2)),
        fixed(lambda a: np.einsum("ij->j", a), (2, 3)),
        fixed(lambda a: np.einsum("ii", a), (3, 3)),
        fixed(lambda a: np.einsum("iij->ij", a), (2, 2, 3)),
        fixed(lambda a: np.einsum("ii->i", a), (3, 3)),
        fixed(lambda a, b, c: np.einsum("i,ij,j->", a, b, c), (2,), (2, 3), (3,)),
        fixed(lambda a, b: np.einsum("...i,...i->...", a, b), (2, 3), (3,)),
        fixed(lambda a, b: np.einsum("...i,...i", a, b), (1, 3), (2, 3)),
        fixed(lambda a, b: np.einsum("ij,ij->i", a, b), (1, 3), (2, 1)),
        fixed(lambda a, b: np.einsum("ij,j->j", a, b), (2, 3), (1,)),
        fixed(lambda a, b: np.einsum("i,j->", a, b), (2,), (3,)),
        fixed(lambda a, b: np.einsum(",i->i", a, b), (), (3,)),
        fixed(lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]), (2, 3), (3, 2)),
        fixed(lambda a, b: np.einsum(a, [Ellipsis, 0], b, [0, 1]), (2, 3), (3, 2)),
        fixed(lambda a: np.einsum("ij->", a, optimize=True), (2, 3)),
        fixed(
            lambda a, b, c: np.einsum("ij,jk,kl->il", a, b, c, optimize="greedy"),
            (2, 3),
            (3, 2),
            (2, 1),
        ),
    ),
    np.cross: any_of(
        fixed(np.cross, (2, 3), (3,)),
        fixed(lambda a, b: np.cross(a, b, axis=0), (3, 2), (3, 2)),
        fixed(lambda a, b: np.cross(a, b, axisa=0, axisc=0), (3, 2), (2, 3)),
    ),
    np.kron: any_of(
        fixed(np.kron, (2, 2), (1, 3)),
        fixed(np.kron, (2,), (3,)),
        fixed(np.kron, (2, 2), (3,)),
        fixed(np.kron, (2, 1, 2), (2, 2)),
        fixed(np.kron, (), (2, 3)),
    ),
}
if hasattr(np, "matvec"):  # numpy 2.2
    SMOOTH[np.matvec] = fixed(np.matvec, (2, 2, 3), (3,), analytic=False)
    SMOOTH[np.vecmat] = fixed(np.vecmat, (2, 3), (2, 3, 2), analytic=False)
