"""Every rule against numerical derivatives; a function without a row in the tables fails.

The tables are in tests/lib/numpy_calls.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_calls import FLAT, ROWS, SMOOTH
from numpy_calls.draw import Array, Call
from numpy_calls.series_classes import SERIES_ROWS

from softtape.engines import Program, fast
from softtape.graph import Graph
from softtape.ops import FUNCTIONS, PRIMITIVES, REFUSED, Kind
from softtape.ops.assignment import CHANGING
from softtape.patches import following
from softtape.singles import Single, can_compile, make_single
from softtape.tape import Tape
from softtape.transforms import jacobian, value_and_gradient
from softtape.transforms.replay import derive, replay
from softtape.transforms.vjp import gradient_of, read_by_sweep

few = settings(derandomize=True, deadline=None, max_examples=2, database=None)
seeds = st.integers(0, 2**32 - 1)


@functools.cache
def drawn(name: str) -> list[tuple[Call, int]]:
    """Draw two calls of a row and their seeds: once, since drawing takes longer than checking."""
    made = []

    @few
    @given(ROWS[name], seeds)
    def draw(call: Call, seed: int) -> None:
        made.append((call, seed))

    draw()
    return made


def each_drawn(name: str, check: Callable[[Call, int], None]) -> None:
    for call, seed in drawn(name):
        try:
            check(call, seed)
        except BaseException as error:
            error.add_note(f"in {call!r} with seed {seed}")
            raise


# ---- what is checked


def record(function: Callable[..., Any], operands: Sequence[Array]) -> Graph:
    with following(), Tape() as tape:
        traced = [tape.input(f"x{i}", x) for i, x in enumerate(operands)]
        return tape.graph([function(*traced)])


def weighted_sum(function: Callable[..., Array], weights: Array) -> Callable[..., Array]:
    return lambda *operands: np.sum(weights * function(*operands))


def named(operands: Sequence[Array]) -> dict[str, Array]:
    return {f"x{i}": x for i, x in enumerate(operands)}


def program(graph: Graph) -> Callable[[Sequence[Array]], list[Array]]:
    """Compile a graph once, to run on many operands."""
    compiled = Program(graph)

    def run(operands: Sequence[Array]) -> list[Array]:
        with np.errstate(all="ignore"):
            made = compiled.run(named(operands))
        assert made is not None
        return made

    return run


def run(graph: Graph, operands: Sequence[Array]) -> list[Array]:
    return program(graph)(operands)


@functools.lru_cache(maxsize=4)  # of the tests of one row, which follow one another
def weighted(call: Call, seed: int) -> tuple[Array, Graph, list[Array]]:
    """Return weights of what a call gives, their sum with it, and by numpy its value and slopes."""
    with np.errstate(all="ignore"):
        shape = np.shape(call.function(*call.operands))
        weights = np.random.default_rng(seed).uniform(-1, 1, shape)
        total = record(weighted_sum(call.function, weights), call.operands)
    return weights, total, run(value_and_gradient(total), call.operands)


def changed(operands: Sequence[Array], i: int, at: int, step: complex) -> list[Array]:
    made = list(operands)
    flat = np.array(made[i], dtype=complex if isinstance(step, complex) else float).ravel()
    flat[at] += step
    made[i] = flat.reshape(np.shape(operands[i]))[()]
    return made


def numeric_jacobian(call: Call, i: int, step: float = 2e-3) -> Array:
    """Complex step where numpy knows the function for complex numbers, else differences."""
    f, columns = call.function, []
    for at in range(np.size(call.operands[i])):
        if call.analytic:
            moved = f(*changed(call.operands, i, at, 1e-30j))
            columns.append(np.imag(moved) / 1e-30)
        else:
            columns.append(richardson(lambda h, at=at: f(*changed(call.operands, i, at, h)), step))
    return np.stack([np.ravel(c) for c in columns], axis=1)


def richardson(f: Callable[[float], Array], h: float = 2e-3) -> Array:
    """Differentiate at 0 with an error of h⁴."""

    def difference(h: float) -> Array:
        return (f(h) - f(-h)) / (2.0 * h)

    return (4.0 * difference(h / 2.0) - difference(h)) / 3.0


def assert_close(got: Any, wanted: Any, rtol: float) -> None:
    scale = float(np.max(np.abs(wanted), initial=1.0))
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol * scale)


# by module, so that pytest runs the tests of one row in succession and a worker draws it once
each_row = pytest.mark.parametrize("name", sorted(ROWS), scope="module")


def test_every_function_has_a_row() -> None:
    known = {*SMOOTH, *FLAT, *REFUSED, *CHANGING}  # for the last, see test_arrays.py
    assert set(FUNCTIONS) <= known, {f.__name__ for f in set(FUNCTIONS) - known}
    assert known <= set(FUNCTIONS), {f.__name__ for f in known - set(FUNCTIONS)}


def test_every_primitive_with_a_rule_is_recorded_by_some_row() -> None:
    recorded: set[str] = set()

    for row in ROWS:
        for call, _ in drawn(row):
            with np.errstate(all="ignore"):
                recorded.update(n[0] for n in record(call.function, call.operands).nodes)
    wanted = {name for name, p in PRIMITIVES.items() if p.kind is not Kind.CONSTANT}
    wanted = {name for name in wanted if not name.startswith("scipy.")}  # see test_special.py
    wanted -= {"call", "adjugate", "i1"}  # see test_custom.py; derivatives of det and i0
    assert wanted <= recorded, wanted - recorded


def check_value(call: Call, _: int) -> None:
    with np.errstate(all="ignore"):
        wanted = call.function(*call.operands)
        graph = record(call.function, call.operands)
    again = program(graph)
    (got,) = again(call.operands)
    assert np.shape(got) == np.shape(wanted)
    assert np.asarray(got).dtype == np.asarray(wanted).dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)
    # elsewhere too: nothing of the recorded run has become a constant
    moved = [x * 1.003 for x in call.operands]
    with np.errstate(all="ignore"):
        wanted = call.function(*moved)
    np.testing.assert_allclose(again(moved)[0], wanted, rtol=1e-12, atol=1e-14)


@each_row
def test_value(name: str) -> None:
    each_drawn(name, check_value)


def check_first_derivatives(call: Call, seed: int) -> None:
    check_jacobians(call, check_gradient(call, seed))


def check_gradient(call: Call, seed: int) -> list[Array]:
    """Return the Jacobians by quotients that the gradient was compared with."""
    rtol = 1e-10 if call.analytic else 1e-7
    with np.errstate(all="ignore"):
        wanted = [numeric_jacobian(call, i) for i in range(len(call.operands))]
    weights, _, (_, *gradients) = weighted(call, seed)
    for x, gradient, block in zip(call.operands, gradients, wanted, strict=True):
        assert np.shape(gradient) == np.shape(x)
        assert_close(np.ravel(gradient), np.ravel(weights) @ block, rtol)
    return wanted


def check_what_is_not_read(call: Call, seed: int) -> None:
    _, total, _ = weighted(call, seed)
    with np.errstate(all="ignore"):
        values, kept = (replay(total, named(call.operands)) for _ in range(2))
        for number, read in enumerate(read_by_sweep(total)):
            if not read and getattr(kept[number], "dtype", np.dtype(int)).kind in "fc":
                kept[number] = np.full_like(kept[number], np.nan)
        for got, wanted in zip(gradient_of(total, kept), gradient_of(total, values), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_a_sweep_reads_only_what_it_is_said_to_read() -> None:
    for name in ROWS:
        check_what_is_not_read(*drawn(name)[0])


def check_jacobians(call: Call, wanted: Sequence[Array]) -> None:
    rtol = 1e-10 if call.analytic else 1e-7
    n = len(call.operands)
    with np.errstate(all="ignore"):
        y = call.function(*call.operands)
        graph = record(call.function, call.operands)
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


@each_row
def test_first_derivatives(name: str) -> None:
    """The Jacobians of the first draw only: they take the longest; the many draws compare all."""
    first = drawn(name)[0][0]
    each_drawn(name, lambda *d: (check_first_derivatives if d[0] is first else check_gradient)(*d))


def check_second_derivatives(call: Call, seed: int) -> None:
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
            sum(np.sum(v * values[o]) for v, o in zip(directions, first.outputs[1:], strict=True))
        ],
    )
    _, *got = run(value_and_gradient(slope), call.operands)

    gradient = program(first)

    def gradient_at(h: float) -> Array:
        moved = [x + h * v for x, v in zip(call.operands, directions, strict=True)]
        return np.concatenate([np.ravel(g) for g in gradient(moved)[1:]])

    assert_close(np.concatenate([np.ravel(g) for g in got]), richardson(gradient_at), 1e-6)


@each_row
def test_second_derivatives(name: str) -> None:
    """On the last draw; the many draws compare them on each."""
    check_second_derivatives(*drawn(name)[-1])


def shares(program: Single, operands: Sequence[Array]) -> list[list[Any]]:
    """Return loss and gradients as a case by itself gives them: at first by the tape, then by a
    program that was made for it."""
    made = []
    for _ in range(2):
        with np.errstate(all="ignore"):
            share = program.share("gradient", named(operands), 1.0, guarded=True)
        assert share is not None
        made.append([share.losses[0], *(share.gradient[f"x{i}"] for i in range(len(operands)))])
    return made


def check_engines(call: Call, seed: int) -> None:
    _, total, wanted = weighted(call, seed)
    made = shares(make_single(total), call.operands)  # by Python's floats, where all is numbers
    if fast.available() and can_compile(total):
        made += shares(make_single(total, compiled=True), call.operands)
    for got in made:
        for part, expected in zip(got, wanted, strict=True):
            assert_close(part, expected, 1e-12)


@each_row
def test_engines_agree(name: str) -> None:
    """On the first draw; the many draws compare them on each."""
    check_engines(*drawn(name)[0])


def check_float32(call: Call, seed: int) -> None:
    """Dtypes of values and gradients, and that the gradients are those of float64 but rounded."""
    narrow = [np.float32(x) if np.ndim(x) == 0 else x.astype("f4") for x in call.operands]
    wide = [x.astype(float) for x in narrow]
    with np.errstate(all="ignore"):
        wanted = np.asarray(call.function(*narrow))
        graph = record(call.function, narrow)
        weights = np.random.default_rng(seed).uniform(-1, 1, wanted.shape).astype("f4")
        made, exact = (
            run(value_and_gradient(record(weighted_sum(call.function, weights), x)), x)
            for x in (narrow, wide)
        )
    assert np.asarray(run(graph, narrow)[0]).dtype == wanted.dtype
    for gradient, expected in zip(made[1:], exact[1:], strict=True):
        assert np.asarray(gradient).dtype == np.float32
        assert_close(gradient, expected, 30 * np.finfo("f4").eps)


@each_row
def test_float32_stays_float32(name: str) -> None:
    """On the last draw; the many draws compare them on each."""
    if name != "astype":  # a row about widening
        check_float32(*drawn(name)[-1])


def has_slopes(call: Call) -> bool:
    """Whether quotients of two widths agree: then none of them crosses a kink."""
    with np.errstate(all="ignore"):
        wide, narrow = (
            [numeric_jacobian(call, i, step) for i in range(len(call.operands))]
            for step in (2e-3, 1e-3)
        )
    return all(np.allclose(a, b, 5e-8, 5e-8) for a, b in zip(wide, narrow, strict=True))


CHECKS = [
    check_value,
    check_first_derivatives,
    check_second_derivatives,
    check_engines,
    check_float32,
]


@pytest.mark.many
@pytest.mark.parametrize("name", [*sorted(ROWS), *SERIES_ROWS])
def test_many_more_draws(name: str) -> None:
    tried = []

    @settings(few, max_examples=20)
    @given((ROWS | SERIES_ROWS)[name], seeds)
    def check(call: Call, seed: int) -> None:
        if not call.analytic and not has_slopes(call):
            return
        tried.append(call)
        for rule in CHECKS:
            if name != "astype" or rule is not check_float32:
                rule(call, seed)

    check()
    assert tried


@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated:DeprecationWarning")  # from 2.5 on
@pytest.mark.parametrize("function", FLAT, ids=lambda f: f.__name__)
def test_flat_functions_keep_the_value_and_have_no_slope(function: Callable[..., Any]) -> None:
    @few
    @given(FLAT[function])
    def check(call: Call) -> None:
        wanted = call.function(*call.operands)
        with following(), Tape() as tape:
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
