"""Reshaping, joining, repeating: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import Table, any_of, fixed, joined, reduction

SMOOTH: Table = {
    np.reshape: any_of(
        fixed(lambda x: np.reshape(x, (3, -1)), (2, 3)),
        fixed(lambda x: np.reshape(x, -1), (2, 3)),
        fixed(lambda x: np.reshape(x, (1, 1)), ()),
        fixed(lambda x: np.reshape(x, (3, 2), order="F"), (2, 3)),
    ),
    np.ravel: any_of(fixed(np.ravel, (2, 3)), fixed(lambda x: np.ravel(x, "F"), (2, 3))),
    np.transpose: any_of(
        fixed(np.transpose, (2, 3)),
        fixed(lambda x: np.transpose(x, (1, -1, 0)), (2, 1, 3)),
    ),
    np.matrix_transpose: fixed(np.matrix_transpose, (2, 1, 3)),
    np.swapaxes: fixed(lambda x: np.swapaxes(x, 0, -1), (2, 1, 3)),
    np.moveaxis: any_of(
        fixed(lambda x: np.moveaxis(x, 0, -1), (2, 1, 3)),
        fixed(lambda x: np.moveaxis(x, (0, 2), (1, 0)), (2, 1, 3)),
    ),
    np.expand_dims: fixed(lambda x: np.expand_dims(x, (0, -1)), (2, 3)),
    np.squeeze: any_of(fixed(np.squeeze, (1, 3, 1)), fixed(lambda x: np.squeeze(x, 0), (1, 1))),
    np.broadcast_to: any_of(
        fixed(lambda x: np.broadcast_to(x, (2, 3)), (3,)),
        fixed(lambda x: np.broadcast_to(x, (2, 3)), (2, 1)),
        fixed(lambda x: np.broadcast_to(x, 3), ()),
    ),
    np.broadcast_arrays: fixed(lambda a, b: joined(np.broadcast_arrays(a, b)), (3,), (2, 1)),
    np.flip: reduction(np.flip, keepdims=False),
    np.fliplr: fixed(np.fliplr, (2, 3)),
    np.flipud: fixed(np.flipud, (2, 3)),
    np.concatenate: any_of(
        fixed(lambda a, b: np.concatenate([a, b], axis=-1), (2, 3), (2, 1)),
        fixed(lambda a, b: np.concatenate((a, np.ones((1, 3)), b)), (2, 3), (1, 3)),
        fixed(lambda a, b: np.concatenate([a, b], axis=None), (2, 3), ()),
        fixed(lambda a, b: np.concatenate([[a], b]), (), (2,)),
    ),
    np.stack: any_of(
        fixed(lambda a, b: np.stack([a, b]), (2, 3), (2, 3)),
        fixed(lambda a, b: np.stack((a, b), axis=-1), (2, 3), (2, 3)),
        fixed(lambda a: np.stack([a, 1.0, a * a]), ()),
        fixed(np.stack, (2, 3)),
    ),
    np.atleast_1d: fixed(lambda a, b: joined(np.atleast_1d(a, b)), (), (2,)),
    np.atleast_2d: fixed(lambda a, b: joined(np.atleast_2d(a, b)), (), (2,)),
    np.vstack: fixed(lambda a, b: np.vstack([a, b]), (3,), (2, 3)),
    np.hstack: any_of(
        fixed(lambda a, b: np.hstack([a, b]), (3,), ()),
        fixed(lambda a, b: np.hstack([a, b]), (2, 1), (2, 2)),
    ),
    np.column_stack: fixed(lambda a, b: np.column_stack([a, b]), (2,), (2, 2)),
    np.append: any_of(
        fixed(np.append, (2, 2), ()),
        fixed(lambda a, b: np.append(a, b, axis=0), (2, 2), (1, 2)),
        fixed(lambda a, b: np.append(a, [b, 2.0 * b]), (2,), ()),
    ),
    np.array_split: fixed(lambda a: joined(np.array_split(a, 3)), (7,)),
    np.split: any_of(
        fixed(lambda a: joined([2.0 * np.split(a, 2, axis=1)[1]]), (2, 4)),
        fixed(lambda a: joined([p * p for p in np.split(a, [1, 3])]), (4,)),
    ),
    np.roll: any_of(
        fixed(lambda a: np.roll(a, 2), (2, 3)),
        fixed(lambda a: np.roll(a, -1, axis=1), (2, 3)),
        fixed(lambda a: np.roll(a, (1, -2), axis=(0, 1)), (2, 3)),
    ),
    np.repeat: any_of(
        fixed(lambda a: np.repeat(a, 2, axis=0), (2, 3)),
        fixed(lambda a: np.repeat(a, [1, 0, 2], axis=-1), (2, 3)),
        fixed(lambda a: np.repeat(a, 3), ()),
    ),
    np.tile: any_of(
        fixed(lambda a: np.tile(a, (2, 1, 2)), (2, 3)), fixed(lambda a: np.tile(a, 2), (2, 1))
    ),
    np.copy: fixed(np.copy, (2, 3)),
    np.full_like: fixed(lambda a, b: np.full_like(a, b), (2, 3), (), analytic=False),
    np.atleast_3d: fixed(lambda a, b: joined(np.atleast_3d(a, b)), (2,), (2, 3)),
    np.dstack: fixed(lambda a, b: np.dstack([a, b]), (2, 3), (2, 3, 2)),
    np.block: any_of(
        fixed(lambda a, b: np.block([[a, b], [b.T, 2.0 * np.eye(1)]]), (2, 2), (2, 1)),
        fixed(lambda a, b: np.block([a, b, 1.0]), (2,), ()),
        fixed(lambda a, b: np.block([[[a]], [[b]]]), (2, 3), (2, 3)),
    ),
    np.unstack: fixed(lambda a: joined([p * p for p in np.unstack(a, axis=1)]), (2, 3)),
    np.hsplit: any_of(
        fixed(lambda a: joined([p * p for p in np.hsplit(a, 2)]), (2, 4)),
        fixed(lambda a: np.hsplit(a, [1])[1], (3,)),
    ),
    np.vsplit: fixed(lambda a: np.vsplit(a, 2)[1], (4, 2)),
    np.dsplit: fixed(lambda a: np.dsplit(a, [1])[1], (2, 2, 3)),
    np.rollaxis: any_of(
        fixed(lambda a: np.rollaxis(a, 2), (2, 1, 3)),
        fixed(lambda a: np.rollaxis(a, 0, 2), (2, 1, 3)),
    ),
    np.rot90: any_of(
        fixed(np.rot90, (2, 3)),
        *(fixed(lambda a, k=k: np.rot90(a, k, axes=(0, 2)), (2, 1, 3)) for k in (-1, 2, 4)),
    ),
    np.resize: any_of(
        fixed(lambda a: np.resize(a, (2, 4)), (3,)), fixed(lambda a: np.resize(a, 3), (2, 2))
    ),
}
