"""Every rule against numerical derivatives; a function without a row in the table fails.

A row draws calls: a plain numpy function of a few arrays, with everything else (axes, keywords,
constants) baked in. What is differentiated is taken from the same function, so that a row cannot
disagree with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from softtape.engines import Program
from softtape.graph import Graph
from softtape.ops import FUNCTIONS, PRIMITIVES, Kind
from softtape.tape import Tape, stop_gradient
from softtape.transforms import jacobian, value_and_gradient
from softtape.transforms.replay import derive

Array = Any
few = settings(derandomize=True, deadline=None, max_examples=4, database=None)


@dataclass(frozen=True)
class Call:
    """``function(*operands)``; ``analytic`` when numpy computes it for complex operands too."""

    function: Callable[..., Array]
    operands: tuple[Array, ...]
    analytic: bool = True


Calls = st.SearchStrategy[Call]


# ---- drawing operands


seeds = st.integers(0, 2**32 - 1)
shapes = st.sampled_from([(), (1,), (3,), (2, 3), (2, 1, 2)])
axed_shapes = st.sampled_from([(3,), (2, 3), (2, 1, 3), (3, 2, 2)])
PAIRS = mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)


def uniform(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> Array:
    return rng.uniform(low, high, shape)[()] if shape == () else rng.uniform(low, high, shape)


def distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw values at least 0.2 apart, so that no difference quotient crosses a tie."""
    size = int(np.prod(shape))
    made = (rng.permutation(size) - size / 2 + 0.3) * 0.4 + rng.uniform(-0.1, 0.1, size)
    return made.reshape(shape)[()]


def unary(
    function: Callable[..., Array], low: float = -2.0, high: float = 2.0, *, analytic: bool = True
) -> Calls:
    def call(seed: int, shape: tuple[int, ...]) -> Call:
        return Call(function, (uniform(np.random.default_rng(seed), shape, low, high),), analytic)

    return st.builds(call, seeds, shapes)


def binary(
    function: Callable[..., Array],
    left: tuple[float, float] = (-2.0, 2.0),
    right: tuple[float, float] = (-2.0, 2.0),
    *,
    analytic: bool = True,
) -> Calls:
    def call(seed: int, pair: Any) -> Call:
        rng = np.random.default_rng(seed)
        a, b = pair.input_shapes
        return Call(function, (uniform(rng, a, *left), uniform(rng, b, *right)), analytic)

    return st.builds(call, seeds, PAIRS)


def away_from_ties(function: Callable[..., Array]) -> Calls:
    """Draw pairs whose values differ by at least 0.2 (the kinks have tests of their own)."""

    def call(seed: int, pair: Any) -> Call:
        rng = np.random.default_rng(seed)
        a, b = (np.round(uniform(rng, s, -2, 2)) for s in pair.input_shapes)
        return Call(function, (a + 0.1, b - 0.2), analytic=False)

    return st.builds(call, seeds, PAIRS)


def reduction(
    function: Callable[..., Array],
    *,
    tuples: bool = True,
    low: float = 0.3,
    high: float = 2.0,
    ties: bool = True,
    keepdims: bool = True,
    analytic: bool = True,
) -> Calls:
    """Draw an axis (None, one of either sign, or several), and keepdims."""

    @st.composite
    def calls(draw: Any) -> Call:
        shape = draw(axed_shapes)
        n = len(shape)
        one: st.SearchStrategy[Any] = st.integers(-n, n - 1)
        several = st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True).map(tuple)
        axis = draw(st.one_of(st.none(), one, several) if tuples else st.one_of(st.none(), one))
        keywords: dict[str, Any] = {"axis": axis}
        if keepdims:
            keywords["keepdims"] = draw(st.booleans())
        rng = np.random.default_rng(draw(seeds))
        x = uniform(rng, shape, low, high) if ties else distinct(rng, shape)
        return Call(lambda x: function(x, **keywords), (x,), analytic)

    return calls()


def fixed(
    function: Callable[..., Array],
    *operand_shapes: tuple[int, ...],
    low: float = -2.0,
    high: float = 2.0,
    analytic: bool = True,
    apart: bool = False,
) -> Calls:
    """Draw operands of given shapes."""

    def call(seed: int) -> Call:
        rng = np.random.default_rng(seed)
        made = tuple(
            distinct(rng, s) if apart else uniform(rng, s, low, high) for s in operand_shapes
        )
        return Call(function, made, analytic)

    return st.builds(call, seeds)


def spd(function: Callable[..., Array], *shape: int) -> Calls:
    """Draw well conditioned positive definite matrices, symmetric by construction in ``x``."""

    def call(seed: int) -> Call:
        x = uniform(np.random.default_rng(seed), (*shape, shape[-1]), -1.0, 1.0)
        eye = np.eye(shape[-1])
        return Call(
            lambda x: function(x @ np.swapaxes(x, -1, -2) + 2.0 * eye), (x,), analytic=False
        )

    return st.builds(call, seeds)


def regular(function: Callable[..., Array], *operand_shapes: tuple[int, ...]) -> Calls:
    """Draw operands of which the first is a stack of regular matrices (det > 0)."""

    def call(seed: int) -> Call:
        rng = np.random.default_rng(seed)
        first, *others = (uniform(rng, s, -0.5, 0.5) for s in operand_shapes)
        return Call(function, (first + 2.0 * np.eye(operand_shapes[0][-1]), *others))

    return st.builds(call, seeds)


def joined(parts: Sequence[Array]) -> Array:
    """Return several results as one vector."""
    return np.concatenate([np.ravel(p) for p in parts])


def any_of(*calls: Calls) -> tuple[Calls, ...]:
    """Return several rows of one function: each becomes a test of its own."""
    return calls


mask = np.array([[True, False, True], [False, True, True]])
rows = np.array([[0, 2, 2], [1, 0, 1]])


# ---- the table: numpy function -> the calls that try its rule


SMOOTH: dict[Callable[..., Any], Calls | tuple[Calls, ...]] = {
    # elementwise
    np.add: binary(np.add),
    np.subtract: binary(np.subtract),
    np.multiply: binary(np.multiply),
    np.divide: binary(np.divide, right=(0.5, 2.0)),
    np.power: any_of(
        binary(np.power, left=(0.3, 2.0)),
        unary(lambda x: np.power(x, 2)),
        unary(lambda x: x**2.0 + x**1 + x**0 + x**3 + x**-1.0, 0.5, 2.0),
        unary(lambda x: x ** np.float64(2.5), 0.5, 2.0),
        unary(lambda x: 2.0**x),
        fixed(lambda x: x ** np.array([0, 1, 2.5]), (3,), low=0.5),
    ),
    np.float_power: binary(np.float_power, left=(0.3, 2.0)),
    np.remainder: binary(np.remainder, left=(7.2, 7.4), right=(2.6, 3.0), analytic=False),
    np.fmod: binary(np.fmod, left=(-7.4, -7.2), right=(2.6, 3.0), analytic=False),
    np.divmod: binary(
        lambda a, b: np.divmod(a, b)[0] + np.divmod(a, b)[1],
        left=(7.2, 7.4),
        right=(2.6, 3.0),
        analytic=False,
    ),
    np.negative: unary(np.negative),
    np.positive: unary(np.positive),
    np.absolute: unary(np.absolute, -2.0, -0.2, analytic=False),
    np.fabs: unary(np.fabs, 0.2, 2.0, analytic=False),
    np.exp: unary(np.exp),
    np.exp2: unary(np.exp2),
    np.expm1: unary(np.expm1),
    np.log: unary(np.log, 0.3, 3.0),
    np.log2: unary(np.log2, 0.3, 3.0),
    np.log10: unary(np.log10, 0.3, 3.0),
    np.log1p: unary(np.log1p, -0.5, 3.0),
    np.sqrt: unary(np.sqrt, 0.3, 3.0),
    np.cbrt: unary(np.cbrt, 0.3, 3.0, analytic=False),
    np.square: unary(np.square),
    np.reciprocal: unary(np.reciprocal, 0.5, 2.0),
    np.sin: unary(np.sin),
    np.cos: unary(np.cos),
    np.tan: unary(np.tan, -1.2, 1.2),
    np.arcsin: unary(np.arcsin, -0.8, 0.8),
    np.arccos: unary(np.arccos, -0.8, 0.8),
    np.arctan: unary(np.arctan),
    np.sinh: unary(np.sinh),
    np.cosh: unary(np.cosh),
    np.tanh: unary(np.tanh),
    np.arcsinh: unary(np.arcsinh),
    np.arccosh: unary(np.arccosh, 1.3, 3.0),
    np.arctanh: unary(np.arctanh, -0.8, 0.8),
    np.degrees: unary(np.degrees, analytic=False),
    np.radians: unary(np.radians, analytic=False),
    np.rad2deg: unary(np.rad2deg, analytic=False),
    np.deg2rad: unary(np.deg2rad, analytic=False),
    np.sinc: unary(np.sinc, 0.2, 2.0, analytic=False),
    np.arctan2: binary(np.arctan2, right=(0.4, 2.0), analytic=False),
    np.hypot: binary(np.hypot, right=(0.4, 2.0), analytic=False),
    np.logaddexp: binary(np.logaddexp, analytic=False),
    np.logaddexp2: binary(np.logaddexp2, analytic=False),
    np.maximum: away_from_ties(np.maximum),
    np.minimum: away_from_ties(np.minimum),
    np.fmax: away_from_ties(np.fmax),
    np.fmin: away_from_ties(np.fmin),
    np.copysign: binary(
        lambda a, b: np.copysign(a, stop_gradient(b)), left=(0.3, 2.0), analytic=False
    ),
    np.where: any_of(
        fixed(lambda a, b: np.where(mask, a, b), (2, 3), (3,)),
        fixed(lambda a: np.where(mask, a, 1.0), ()),
    ),
    np.clip: any_of(
        unary(lambda x: np.clip(x, -5, 5), analytic=False),
        unary(lambda x: np.clip(x, None, 3.0), -5, 2.5, analytic=False),
        fixed(lambda x: np.clip(x, -0.5, 0.45), (5,), apart=True, analytic=False),
        fixed(lambda x, low, high: np.clip(x, low, high + 6.0), (3,), (), (3,), analytic=False),
        unary(lambda x: np.clip(x, min=-5, max=5), analytic=False),
    ),
    np.real: unary(np.real, analytic=False),
    np.conjugate: unary(np.conjugate, analytic=False),
    np.nan_to_num: fixed(
        lambda x: np.nan_to_num(np.where(mask[0], x, np.array([np.nan, np.nan, np.inf]))),
        (2, 3),
        analytic=False,
    ),
    # reductions
    np.sum: any_of(
        reduction(np.sum),
        fixed(lambda x: np.sum(x, where=mask, initial=2.0), (2, 3)),
        fixed(
            lambda x: np.sum(x, axis=1, dtype=float, keepdims=True, where=mask),
            (2, 3),
            analytic=False,
        ),
    ),
    np.prod: any_of(
        reduction(np.prod),
        fixed(lambda x: np.prod(x, axis=0, where=mask, initial=2.0), (2, 3)),
        fixed(np.prod, (40,), low=0.8, high=1.2),
    ),
    np.max: any_of(
        reduction(np.max, ties=False, analytic=False),
        fixed(
            lambda x: np.max(x, axis=1, where=mask, initial=-9.0),
            (2, 3),
            apart=True,
            analytic=False,
        ),
    ),
    np.amax: reduction(np.amax, ties=False, analytic=False),
    np.min: any_of(
        reduction(np.min, ties=False, analytic=False),
        fixed(
            lambda x: np.min(x, axis=1, where=mask, initial=9.0),
            (2, 3),
            apart=True,
            analytic=False,
        ),
    ),
    np.amin: reduction(np.amin, ties=False, analytic=False),
    np.ptp: reduction(np.ptp, ties=False, analytic=False),
    np.mean: any_of(reduction(np.mean), fixed(lambda x: np.mean(x, axis=1, where=mask), (2, 3))),
    np.average: any_of(
        reduction(np.average),
        fixed(lambda x, w: np.average(x, axis=1, weights=w), (2, 3), (3,), low=0.4),
        fixed(lambda x, w: np.average(x, weights=w, keepdims=True), (2, 3), (2, 3), low=0.4),
    ),
    np.var: any_of(
        reduction(np.var, analytic=False),
        fixed(lambda x: np.var(x, axis=0, ddof=1), (3, 2), analytic=False),
        fixed(lambda x: np.var(x, axis=1, correction=1), (3, 2), analytic=False),
        fixed(lambda x: np.var(x, axis=1, mean=np.zeros((3, 1))), (3, 2), analytic=False),
    ),
    np.std: fixed(lambda x: np.std(x, axis=0, ddof=1), (4, 2), apart=True, analytic=False),
    np.cumsum: reduction(np.cumsum, tuples=False, keepdims=False),
    np.cumprod: reduction(np.cumprod, tuples=False, keepdims=False),
    np.nansum: fixed(
        lambda x: np.nansum(np.where(mask, x, np.nan), axis=0), (2, 3), analytic=False
    ),
    np.nanmean: fixed(
        lambda x: np.nanmean(np.where(mask, x, np.nan), axis=1), (2, 3), analytic=False
    ),
    # products
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
    ),
    np.cross: any_of(
        fixed(np.cross, (2, 3), (3,)),
        fixed(lambda a, b: np.cross(a, b, axis=0), (3, 2), (3, 2)),
        fixed(lambda a, b: np.cross(a, b, axisa=0, axisc=0), (3, 2), (2, 3)),
    ),
    np.convolve: any_of(
        *(
            fixed(lambda a, v, mode=mode: np.convolve(a, v, mode), (n,), (m,), analytic=False)
            for mode in ("full", "same", "valid")
            for n, m in [(4, 3), (3, 4), (5, 2), (2, 2)]
        ),
        fixed(lambda v: np.convolve([1.0, 2.0, 3.0], v), (2,), analytic=False),
    ),
    np.trapezoid: any_of(
        fixed(lambda y: np.trapezoid(y, dx=0.5, axis=0), (3, 2), analytic=False),
        fixed(np.trapezoid, (2, 3), (3,), analytic=False),
        fixed(np.trapezoid, (2, 3), (2, 3), analytic=False),
    ),
    np.polyval: any_of(
        fixed(np.polyval, (3,), (2,)), fixed(lambda p: np.polyval(p, [1.0, 2.0]), (3,))
    ),
    np.kron: fixed(np.kron, (2, 2), (1, 3)),
    # shaping
    np.reshape: any_of(
        fixed(lambda x: np.reshape(x, (3, -1)), (2, 3)),
        fixed(lambda x: np.reshape(x, -1), (2, 3)),
        fixed(lambda x: np.reshape(x, (1, 1)), ()),
    ),
    np.ravel: fixed(np.ravel, (2, 3)),
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
    np.diff: any_of(
        fixed(lambda a: np.diff(a, n=2), (2, 4)), fixed(lambda a: np.diff(a, axis=0), (2, 4))
    ),
    np.copy: fixed(np.copy, (2, 3)),
    np.full_like: fixed(lambda a, b: np.full_like(a, b), (2, 3), (), analytic=False),
    # indexing
    np.take: any_of(
        fixed(lambda a: np.take(a, rows), (5,)),
        fixed(lambda a: np.take(a, [2, 0], axis=-1), (2, 3)),
        fixed(lambda a: np.take(a, 1, axis=0), (2, 3)),
    ),
    np.take_along_axis: any_of(
        fixed(lambda a: np.take_along_axis(a, rows, axis=1), (2, 3)),
        fixed(lambda a: np.take_along_axis(a, rows[:1], axis=1), (2, 3)),
        fixed(lambda a: np.take_along_axis(a, rows[0], axis=None), (2, 3)),
    ),
    np.sort: reduction(np.sort, tuples=False, keepdims=False, ties=False, analytic=False),
    np.median: any_of(
        reduction(np.median, tuples=False, ties=False, analytic=False),
        fixed(lambda a: np.median(a, axis=(0, 2)), (2, 3, 2), apart=True, analytic=False),
        fixed(
            lambda a: np.median(a, axis=(0, 2), keepdims=True),
            (2, 2, 1),
            apart=True,
            analytic=False,
        ),
    ),
    np.diagonal: any_of(
        fixed(np.diagonal, (2, 3)),
        fixed(lambda a: np.diagonal(a, -1, 0, 2), (3, 2, 3)),
        fixed(lambda a: np.diagonal(a, 2), (2, 4)),
    ),
    np.trace: fixed(lambda a: np.trace(a, 1), (3, 3)),
    np.diag: any_of(fixed(lambda a: np.diag(a, -1), (3,)), fixed(lambda a: np.diag(a, 1), (3, 3))),
    np.tril: fixed(lambda a: np.tril(a, 1), (3, 3), analytic=False),
    np.triu: fixed(np.triu, (2, 3, 3), analytic=False),
    np.interp: any_of(
        fixed(
            # inside the intervals: at knots the slope jumps
            lambda x, xp, fp: np.interp(
                [-9.0, 0.5, 1.5, 9.0] + 0.1 * x, xp * 0.1 + np.arange(3), fp
            ),
            (4,),
            (3,),
            (3,),
            analytic=False,
        ),
        fixed(
            lambda x: np.interp(x + 0.1, [-1.0, 0.0, 1.0], [1.0, 3.0, 2.0], left=-5.0, right=7.0),
            (6,),
            apart=True,
            analytic=False,
        ),
    ),
    # linear algebra
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
    np.linalg.norm: any_of(
        fixed(np.linalg.norm, (4,), analytic=False),
        fixed(np.linalg.norm, (2, 3), analytic=False),
        fixed(lambda a: np.linalg.norm(a, "fro"), (2, 3), analytic=False),
        fixed(lambda a: np.linalg.norm(a, axis=1, keepdims=True), (2, 3), analytic=False),
        *(
            fixed(lambda a, p=p: np.linalg.norm(a, p, axis=0), (3, 2), apart=True, analytic=False)
            for p in (1, 2, 3, 1.5, np.inf, -np.inf)
        ),
    ),
    np.linalg.matrix_power: any_of(
        *(regular(lambda a, n=n: np.linalg.matrix_power(a, n), (3, 3)) for n in (1, 2, 3, 5, -2))
    ),
}
SMOOTH[np.round] = SMOOTH[np.around] = unary(lambda x: x * np.round(x, 1), 0.11, 0.14)

# Primitives no numpy function of the same name stands for: the calls that record them.
HIDDEN: dict[str, Calls | tuple[Calls, ...]] = {
    "astype": fixed(lambda x: (x.astype("f4").astype("f8") - x) ** 2 + x, (3,), analytic=False),
    "getitem": any_of(
        fixed(lambda x: x[1], (3,)),
        fixed(lambda x: x[..., None, ::-1], (2, 3)),
        fixed(lambda x: x[1:, np.array([0, 0, 2])], (2, 3)),
        fixed(lambda x: x[mask], (2, 3)),
        fixed(lambda x: x[[1, 1], :, [0, 1]], (2, 2, 3)),
        fixed(lambda x: x[()], ()),
        fixed(lambda x: x[-1, 1:0:-1], (2, 3)),
        fixed(lambda x: x[np.array(1)], (3,)),
    ),
    "scatter_add": fixed(lambda x: np.diag(x * x), (3,)),
}


# ---- functions without a gradient


def plain(function: Callable[..., Any], *operands: Any) -> st.SearchStrategy[Call]:
    return st.just(Call(function, tuple(operands)))


points = np.array([[1.5, -0.5, 0.0], [2.5, 1.5, -2.0]])
others = np.array([1.5, 0.5, -2.0])
truth = points > 0

FLAT: dict[Callable[..., Any], st.SearchStrategy[Call]] = {
    **{f: plain(f, points) for f in (np.sign, np.floor, np.ceil, np.trunc, np.rint, np.signbit)},
    **{f: plain(f, points / 0.5) for f in (np.isfinite, np.isinf, np.isnan, np.logical_not)},
    **{
        f: plain(f, points, others)
        for f in (
            np.floor_divide,
            np.heaviside,
            np.greater,
            np.greater_equal,
            np.less,
            np.less_equal,
            np.equal,
            np.not_equal,
            np.logical_and,
            np.logical_or,
            np.logical_xor,
        )
    },
    **{
        f: plain(lambda a, b, f=f: f(a > 0, b > 0), points, others)
        for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)
    },
    np.invert: plain(lambda a: np.invert(a > 0), points),
    **{
        f: st.one_of(
            plain(f, points),
            plain(lambda a, f=f: f(a, axis=1), points),
            plain(lambda a, f=f: f(a, axis=0, keepdims=True), points),
        )
        for f in (np.argmax, np.argmin, np.all, np.any, np.count_nonzero)
    },
    np.argsort: st.one_of(
        plain(np.argsort, points),
        plain(lambda a: np.argsort(a, axis=None), points),
        plain(lambda a: np.argsort(a, 0, stable=True), points),
        plain(lambda a: np.argsort(a, kind="mergesort"), points * 0),
    ),
    np.shape: plain(np.shape, points),
    np.ndim: plain(np.ndim, points),
    np.size: st.one_of(plain(np.size, points), plain(lambda a: np.size(a, 1), points)),
    np.zeros_like: plain(np.zeros_like, points),
    np.ones_like: st.one_of(
        plain(np.ones_like, points), plain(lambda a: np.ones_like(a, dtype=int), points)
    ),
    np.result_type: plain(lambda a: np.result_type(a, np.float32), points),
    np.iscomplexobj: plain(np.iscomplexobj, points),
}

# What depends on the values so that no tape can hold it: refused.
REFUSED = (np.nonzero, np.flatnonzero, np.argwhere)


# ---- what is checked


def record(function: Callable[..., Any], operands: Sequence[Array]) -> Graph:
    with Tape() as tape:
        traced = [tape.input(f"x{i}", x) for i, x in enumerate(operands)]
        return tape.graph([function(*traced)])


def weighted_sum(function: Callable[..., Array], weights: Array) -> Callable[..., Array]:
    return lambda *operands: np.sum(weights * function(*operands))


def named(operands: Sequence[Array]) -> dict[str, Array]:
    return {f"x{i}": x for i, x in enumerate(operands)}


def run(graph: Graph, operands: Sequence[Array]) -> list[Array]:
    with np.errstate(all="ignore"):
        made = Program(graph).run(named(operands))
    assert made is not None
    return made


def changed(operands: Sequence[Array], i: int, at: int, step: complex) -> list[Array]:
    made = list(operands)
    flat = np.array(made[i], dtype=complex if isinstance(step, complex) else float).ravel()
    flat[at] += step
    made[i] = flat.reshape(np.shape(operands[i]))[()]
    return made


def numeric_jacobian(call: Call, i: int) -> Array:
    """Complex step where numpy knows the function for complex numbers, else differences."""
    f, columns = call.function, []
    for at in range(np.size(call.operands[i])):
        if call.analytic:
            moved = f(*changed(call.operands, i, at, 1e-30j))
            columns.append(np.imag(moved) / 1e-30)
        else:
            columns.append(richardson(lambda h, at=at: f(*changed(call.operands, i, at, h))))
    return np.stack([np.ravel(c) for c in columns], axis=1)


def richardson(f: Callable[[float], Array], h: float = 2e-3) -> Array:
    """Differentiate at 0 with an error of h⁴."""

    def difference(h: float) -> Array:
        return (f(h) - f(-h)) / (2.0 * h)

    return (4.0 * difference(h / 2.0) - difference(h)) / 3.0


def assert_close(got: Any, wanted: Any, rtol: float) -> None:
    scale = float(np.max(np.abs(wanted), initial=1.0))
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol * scale)


ROWS = {
    f"{name}-{i}" if isinstance(row, tuple) else name: calls
    for name, row in [*((f.__name__, row) for f, row in SMOOTH.items()), *HIDDEN.items()]
    for i, calls in enumerate(row if isinstance(row, tuple) else [row])
}
each_row = pytest.mark.parametrize("name", sorted(ROWS))


def test_every_function_has_a_row() -> None:
    known = {*SMOOTH, *FLAT, *REFUSED}
    assert set(FUNCTIONS) <= known, {f.__name__ for f in set(FUNCTIONS) - known}
    assert known <= set(FUNCTIONS), {f.__name__ for f in known - set(FUNCTIONS)}


def test_every_primitive_with_a_rule_is_recorded_by_some_row() -> None:
    recorded: set[str] = set()

    for calls in ROWS.values():

        @settings(few, max_examples=2)
        @given(calls)
        def collect(call: Call) -> None:
            with np.errstate(all="ignore"):
                recorded.update(n[0] for n in record(call.function, call.operands).nodes)

        collect()
    wanted = {name for name, p in PRIMITIVES.items() if p.kind is not Kind.CONSTANT}
    wanted -= {"call"}  # see test_custom.py
    assert wanted <= recorded, wanted - recorded


@each_row
def test_value(name: str) -> None:
    @few
    @given(ROWS[name])
    def check(call: Call) -> None:
        with np.errstate(all="ignore"):
            wanted = call.function(*call.operands)
            graph = record(call.function, call.operands)
        (got,) = run(graph, call.operands)
        assert np.shape(got) == np.shape(wanted)
        assert np.asarray(got).dtype == np.asarray(wanted).dtype
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)
        # elsewhere too: nothing of the recorded run has become a constant
        moved = [x * 1.003 for x in call.operands]
        with np.errstate(all="ignore"):
            wanted = call.function(*moved)
        np.testing.assert_allclose(run(graph, moved)[0], wanted, rtol=1e-12, atol=1e-14)

    check()


@each_row
def test_first_derivatives(name: str) -> None:
    @few
    @given(ROWS[name], seeds)
    def check(call: Call, seed: int) -> None:
        rtol = 1e-10 if call.analytic else 1e-7
        n = len(call.operands)
        with np.errstate(all="ignore"):
            y = call.function(*call.operands)
            wanted = [numeric_jacobian(call, i) for i in range(n)]
            graph = record(call.function, call.operands)

            weights = np.random.default_rng(seed).uniform(-1, 1, np.shape(y))
            total = record(weighted_sum(call.function, weights), call.operands)
        _, *gradients = run(value_and_gradient(total), call.operands)
        for x, gradient, block in zip(call.operands, gradients, wanted, strict=True):
            assert np.shape(gradient) == np.shape(x)
            assert_close(np.ravel(gradient), np.ravel(weights) @ block, rtol)

        # a Jacobian goes forward where the inputs are fewer than the outputs, else backward
        inputs = sum(np.size(x) for x in call.operands)
        more = inputs // max(1, np.size(y)) + 1
        many = Graph(graph.nodes, graph.outputs * more, (), graph.inputs, graph.start)
        forward = run(jacobian(many), call.operands)[more : more + n]
        with np.errstate(all="ignore"):
            wide = record(lambda *x: call.function(*x[:-1]), [*call.operands, np.zeros(np.size(y))])
        backward = run(jacobian(wide), [*call.operands, np.zeros(np.size(y))])[1 : 1 + n]
        for blocks in (forward, backward):
            for x, block, expected in zip(call.operands, blocks, wanted, strict=True):
                scalar = np.ndim(y) == 0 and np.ndim(x) == 0
                assert np.shape(block) == (() if scalar else expected.shape)
                assert_close(np.reshape(block, expected.shape), expected, rtol)

    check()


@each_row
def test_second_derivatives(name: str) -> None:
    @few
    @given(ROWS[name], seeds)
    def check(call: Call, seed: int) -> None:
        rng = np.random.default_rng(seed)
        with np.errstate(all="ignore"):
            weights = rng.uniform(-1, 1, np.shape(call.function(*call.operands)))
            # squared, so that linear functions have second derivatives too
            first = value_and_gradient(
                record(lambda *x: np.sum((weights * call.function(*x)) ** 2), call.operands)
            )
        directions = [rng.uniform(-1, 1, np.shape(x)) for x in call.operands]
        slope = derive(
            first,
            lambda values: [
                sum(
                    np.sum(v * values[o])
                    for v, o in zip(directions, first.outputs[1:], strict=True)
                )
            ],
        )
        _, *got = run(value_and_gradient(slope), call.operands)

        def gradient_at(h: float) -> Array:
            moved = [x + h * v for x, v in zip(call.operands, directions, strict=True)]
            return np.concatenate([np.ravel(g) for g in run(first, moved)[1:]])

        assert_close(np.concatenate([np.ravel(g) for g in got]), richardson(gradient_at), 1e-6)

    check()


@each_row
def test_float32_stays_float32(name: str) -> None:
    if name == "astype":
        return  # a row about widening

    @settings(few, max_examples=2)
    @given(ROWS[name])
    def check(call: Call) -> None:
        operands = [np.float32(x) if np.ndim(x) == 0 else x.astype("f4") for x in call.operands]
        with np.errstate(all="ignore"):
            wanted = call.function(*operands)
            graph = record(call.function, operands)
            total = record(lambda *x: np.sum(call.function(*x)), operands)
        assert np.asarray(run(graph, operands)[0]).dtype == np.asarray(wanted).dtype
        for gradient in run(value_and_gradient(total), operands)[1:]:
            assert np.asarray(gradient).dtype == np.float32

    check()


@pytest.mark.parametrize("function", FLAT, ids=lambda f: f.__name__)
def test_flat_functions_keep_the_value_and_have_no_slope(function: Callable[..., Any]) -> None:
    @few
    @given(FLAT[function])
    def check(call: Call) -> None:
        wanted = call.function(*call.operands)
        with Tape() as tape:
            traced = [tape.input(f"x{i}", x) for i, x in enumerate(call.operands)]
            made = call.function(*traced)
            if not hasattr(made, "_index"):  # a plain result: the same whatever the values
                assert type(made) is type(wanted)
                np.testing.assert_equal(made, wanted)
                return
            graph = tape.graph([made])
            total = tape.graph([np.sum(made * 1.0) + 0.0 * sum(np.sum(t) for t in traced)])
        (got,) = run(graph, call.operands)
        assert np.asarray(got).dtype == np.asarray(wanted).dtype
        np.testing.assert_array_equal(got, wanted)
        for gradient in run(value_and_gradient(total), call.operands)[1:]:
            assert not np.any(gradient)

    check()
