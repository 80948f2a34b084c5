"""How rows of the tables draw calls.

A row draws calls: a plain numpy function of a few arrays, with everything else (axes, keywords,
constants) baked in. What is differentiated is taken from the same function, so that a row cannot
disagree with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

Array = Any


@dataclass(frozen=True, eq=False)
class Call:
    """``function(*operands)``; ``analytic`` when numpy computes it for complex operands too."""

    function: Callable[..., Array]
    operands: tuple[Array, ...]
    analytic: bool = True


Calls = st.SearchStrategy[Call]
Table = dict[Callable[..., Any], Calls | tuple[Calls, ...]]


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


MASK = np.array([[True, False, True], [False, True, True]])
ROWS = np.array([[0, 2, 2], [1, 0, 1]])


def plain(function: Callable[..., Any], *operands: Any) -> st.SearchStrategy[Call]:
    """Draw this one call."""
    return st.just(Call(function, tuple(operands)))
