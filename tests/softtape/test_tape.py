"""Programs under tracing: they compute what they always did, or stop and say where and why."""

from __future__ import annotations

import copy
import functools
import inspect
import json
import math
import operator
import pickle
import re
import statistics
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from math import exp, sin
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softtape import grad, reading
from softtape.engines import Program
from softtape.errors import TraceError
from softtape.graph import CONSTANT, Graph
from softtape.patches import following
from softtape.reading import set_reader
from softtape.tape import Tape, Traced, stop_gradient
from softtape.transforms import simplify, value_and_gradient

Operation = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_reader_is_left_behind() -> Iterator[None]:
    yield
    assert reading.reader is None


@pytest.fixture
def tape() -> Iterator[Tape]:
    with Tape() as tape:
        yield tape


@pytest.fixture
def t(tape: Tape) -> Any:
    """A traced number, 1.5."""
    return tape.input("t", 1.5)


@pytest.fixture
def v(tape: Tape) -> Any:
    """A traced vector, [1, 2, 3]."""
    return tape.input("v", np.array([1.0, 2.0, 3.0]))


def traced_graph(program: Operation, **inputs: Any) -> Graph:
    with Tape() as tape:
        made = program(**{key: tape.input(key, value) for key, value in inputs.items()})
        return tape.graph([made])


def gradient(program: Operation, **inputs: Any) -> dict[str, Any]:
    made = Program(value_and_gradient(traced_graph(program, **inputs))).run(inputs)
    assert made is not None
    return dict(zip(inputs, made[1:], strict=True))


def value(x: Any) -> Any:
    assert isinstance(x, Traced)
    return x._value


# ---- operators


BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.mod,
    operator.floordiv,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
    divmod,
]


@pytest.mark.parametrize("operation", BINARY, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "other",
    [
        2.5,
        2,
        True,
        np.float64(2.5),
        np.float32(2.5),
        np.int64(2),
        np.array(2.5),
        np.array([2.5, 3]),
    ],
    ids=repr,
)
def test_operators_work_both_ways_round(t: Any, operation: Operation, other: Any) -> None:
    for got, wanted in [
        (operation(t, other), operation(1.5, other)),
        (operation(other, t), operation(other, 1.5)),
    ]:
        pairs = zip(got, wanted, strict=True) if operation is divmod else [(got, wanted)]
        for g, w in pairs:
            np.testing.assert_array_equal(value(g), w)
            assert np.shape(value(g)) == np.shape(w)


@pytest.mark.parametrize("operation", BINARY[:6], ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", [[2.0, 3.0, 4.0], (2.0, 3.0, 4.0)], ids=repr)
def test_operators_take_lists_as_arrays(v: Any, operation: Operation, other: Any) -> None:
    x, y = np.array([1.0, 2.0, 3.0]), np.array(other)
    np.testing.assert_array_equal(value(operation(v, other)), operation(x, y))
    np.testing.assert_array_equal(value(operation(other, v)), operation(y, x))


def test_operators_take_lists_of_traced_values(t: Any, v: Any) -> None:
    np.testing.assert_array_equal(value(v * [t, 1.0, 2 * t]), [1.5, 2.0, 9.0])
    row = [t, 1.0, 2 * t]
    np.testing.assert_array_equal(value(row + v), [2.5, 3.0, 6.0])
    np.testing.assert_array_equal(value(v @ [t, 0, 0]), 1.5)


def test_matmul_both_ways_round(v: Any) -> None:
    m = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(value(m @ v), [8.0, 26.0])
    np.testing.assert_array_equal(value(v @ m.T), [8.0, 26.0])
    np.testing.assert_array_equal(value(m.tolist() @ v), [8.0, 26.0])


def test_unary_operators(t: Any) -> None:
    assert [value(x) for x in (-t, +t, abs(-t), ~(t > 0))] == [-1.5, 1.5, 1.5, False]


def test_truth_operators(v: Any) -> None:
    both = (v > 1) & (v < 3) | (v == 3) ^ (v == 3)
    np.testing.assert_array_equal(value(both), [False, True, False])


@pytest.mark.parametrize(
    "program",
    [
        lambda a, b: (a > 1) - (a < 1),
        lambda a, b: (a > 1) + (b > 1) + (a > b),
        lambda a, b: (a > 1) * (b > 1) + (a > b),
        lambda a, b: (True + (a > 1)) * (True - (b > 1)),
        lambda a, b: -(a > 1) + abs(a > 1) - +(b > 1),
        lambda a, b: (math.sin(a) > 0.9) - (math.fmod(b, 1.2) > 0.4),
        lambda a, b: math.tanh(a > 1) + math.exp(b > a) * 1.0,
    ],
)
def test_truths_of_python_numbers_are_counted_as_python_does(program: Operation) -> None:
    with following(), Tape() as tape:
        made = program(tape.input("a", 1.5), tape.input("b", 0.5))
        assert made._value == program(1.5, 0.5)
        graph = simplify(tape.graph([made]))
    for a, b in [(1.5, 0.5), (0.5, 1.5), (2.0, 1.5), (0.1, 0.1)]:
        assert Program(graph).run({"a": np.float64(a), "b": np.float64(b)}) == [program(a, b)]


def test_a_list_is_indexed_by_a_comparison_of_python_numbers_under_guard() -> None:
    with Tape() as tape:
        a, b = tape.input("a", 1.5), tape.input("b", 0.5)
        made = [a * 2, b][a > b]
        graph = simplify(tape.graph([made]))
    assert made._value == 0.5
    assert Program(graph).run({"a": 3.0, "b": 2.0}) == [2.0]
    assert Program(graph).run({"a": 2.0, "b": 3.0}) is None


def test_comparison_with_what_is_no_number(t: Any) -> None:
    assert (t == None) is False  # noqa: E711 -- what an old program may write
    assert (t == "1.5") is False
    assert t != "1.5"
    with pytest.raises(TypeError):
        t + "1"
    with pytest.raises(TypeError):
        t + None


def test_gradients_pass_reflected_operators() -> None:
    row = np.array([1.0, 2.0])

    def program(t: Any) -> Any:
        return np.sum(row / t + row**t + np.float64(2) * t - (row - t)) + 2 % t + 2.0**t

    def plain(t: float) -> float:
        return float(program(t))

    h = 1e-6
    got = gradient(program, t=np.float64(1.3))["t"]
    assert got == pytest.approx((plain(1.3 + h) - plain(1.3 - h)) / (2 * h), rel=1e-7)


def test_in_place_operators_rebind_scalars(t: Any) -> None:
    x = t
    x += 1
    x *= 2
    x -= t
    x /= 2
    x **= 2
    assert value(x) == ((1.5 + 1) * 2 - 1.5) ** 2 / 4
    assert value(t) == 1.5


# ---- what Python asks of a number


def guards(tape: Tape) -> list[Any]:
    return [expected for _, expected in tape.guards]


def test_truth_is_guarded(tape: Tape, t: Any) -> None:
    assert t > 1
    assert not t < 1
    assert t
    assert not t * 0
    assert guards(tape) == [True, False, True, False]


@pytest.mark.parametrize("x", [np.array([2.0]), np.array([[2.0]]), np.array(2.0)])
def test_truth_of_a_single_element_holds_where_it_was_recorded(x: Any) -> None:
    graph = traced_graph(lambda x: np.sum(x) if x > 1 else np.sum(-x), x=x)
    assert Program(graph).run({"x": x}) == [2.0]
    assert Program(graph).run({"x": x - 2}) is None


def test_truth_of_an_array_raises_as_in_numpy(v: Any) -> None:
    with pytest.raises(ValueError, match="ambiguous"):
        bool(v > 1)


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (int, 2),
        (round, 3),
        (math.floor, 2),
        (math.ceil, 3),
        (math.trunc, 2),
        (lambda t: list(range(int(t))), [0, 1]),
        (lambda t: max(t, 1.0) is t, True),
        (lambda t: min(t, 1.0), 1.0),
        (lambda t: sorted([t, 1.0, 9.0])[1] is t, True),
        (lambda t: 2.7 in [1.0, t], True),
        (lambda t: any([t < 0, t > 2]) and all([t > 0, t < 3]), True),
    ],
)
def test_decisions_are_guarded(ask: Operation, answer: Any) -> None:
    with Tape() as tape:
        t = tape.input("t", 2.7)
        assert ask(t) == answer
        graph = tape.graph([t * 1.0])
    assert graph.guards
    assert Program(graph).run({"t": np.float64(2.7)}) == [2.7]
    assert Program(graph).run({"t": np.float64(-5.0)}) is None


def test_round_to_digits_is_flat_but_traced(tape: Tape, t: Any) -> None:
    assert value(round(t * 1.111, 1)) == 1.7
    assert not tape.guards


def test_positions_index_lists_and_arrays_under_guard(tape: Tape, v: Any) -> None:
    plain = np.array([10.0, 20.0, 30.0])
    assert ["a", "b", "c"][np.argmax(v)] == "c"
    assert plain[np.argmax(v)] == 30.0
    np.testing.assert_array_equal(plain[np.argsort(-v)], [30.0, 20.0, 10.0])
    np.testing.assert_array_equal(plain[v > 1.5], [20.0, 30.0])
    np.testing.assert_array_equal(value(v[v > 1.5]), [2.0, 3.0])
    graph = tape.graph([v.sum()])
    assert Program(graph).run({"v": np.array([1.0, 2.0, 3.5])}) == [6.5]
    assert Program(graph).run({"v": np.array([3.0, 2.0, 1.0])}) is None


def test_positions_index_traced_arrays_without_guard(tape: Tape, v: Any) -> None:
    assert value(v[np.argmax(v)]) == 3.0
    graph = tape.graph([v[np.argmax(v)]])
    assert not graph.guards
    assert Program(graph).run({"v": np.array([7.0, 2.0, 3.0])}) == [7.0]


def test_only_integers_are_an_index(t: Any) -> None:
    with pytest.raises(TypeError, match="only integers"):
        range(t)
    with pytest.raises(TypeError, match="only integers"):
        [1, 2][t]


def test_traced_values_are_shown_as_their_value(t: Any, v: Any, capsys: Any) -> None:
    assert f"{t:.3f} {t} {v}" == "1.500 1.5 [1. 2. 3.]"
    assert str(t) == "1.5"
    assert "%s" % t == "1.5"  # noqa: UP031 -- what an old program may write
    assert repr(t) == "traced(1.5)"
    print(t, v)  # noqa: T201
    assert capsys.readouterr().out == "1.5 [1. 2. 3.]\n"


def test_shape_questions(v: Any, t: Any) -> None:
    m = v[None, :] * np.ones((2, 1))
    assert (m.shape, m.ndim, m.size, len(m), m.T.shape, m.mT.shape) == (
        (2, 3),
        2,
        6,
        2,
        (3, 2),
        (3, 2),
    )
    assert (t.shape, t.ndim, t.size, t.dtype) == ((), 0, 1, np.dtype(float))
    with pytest.raises(TypeError):
        len(t)
    with pytest.raises(TypeError):
        iter(t)


def test_copies_of_numbers_are_the_value_itself(t: Any, v: Any) -> None:
    assert copy.copy(t) is t
    assert copy.deepcopy([t])[0] is t
    assert v.copy() is not v
    assert v.copy()._index == v._index


# ---- programs


def test_loops_recursion_and_generators() -> None:
    def power(x: Any, n: int) -> Any:
        return 1.0 if n == 0 else x * power(x, n - 1)

    def terms(x: Any) -> Iterator[Any]:
        for n in range(4):
            yield power(x, n)

    def program(x: Any) -> Any:
        total = sum(terms(x))
        while total < 50:
            total = total * 2
        return total

    assert gradient(program, x=np.float64(2.0)) == {"x": (1 + 4 + 12) * 4.0}


def test_rows_of_a_traced_array() -> None:
    def program(x: Any) -> Any:
        parts = [np.sum(row) ** 2 for row in x]
        a, b = parts
        return np.stack([a, b, *(e for e in x.flat)]).sum() + x.tolist()[1][0] + x.item(0)

    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(gradient(program, x=x)["x"], [[8.0, 7.0], [16.0, 15.0]])


def test_methods_that_name_places() -> None:
    def program(x: Any) -> Any:
        chosen = x.compress([True, False], axis=1).sum() + x.item(1, 0) + 2 * x.item((0, 1))
        row = x[0]
        counted = row.searchsorted(1.5) + row.argpartition(1)[1] + float(x.argmax())
        assert (x.nbytes, x.itemsize) == (32, 8)
        return chosen * counted + row.argmax().choose([row[0], row[1]])

    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(gradient(program, x=x)["x"], [[5.0, 11.0], [10.0, 0.0]])


class Vector:
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __add__(self, other: Vector) -> Vector:
        return Vector(self.x + other.x, self.y + other.y)

    def __mul__(self, factor: Any) -> Vector:
        return Vector(self.x * factor, self.y * factor)

    __rmul__ = __mul__


class Unknown:
    __array_ufunc__ = None

    def __radd__(self, other: Any) -> Any:
        return other * 3.0


def test_another_type_has_its_own_operators() -> None:
    def program(x: Any) -> Any:
        place = Vector(1.0, 2.0)
        for _ in range(3):
            place = place + x * Vector(3.0, -1.0) * 0.5
        return place.x * place.y + (x + Unknown())

    x = 0.5
    # (1 + 4.5 x) (2 - 1.5 x) + 3 x
    assert gradient(program, x=x)["x"] == pytest.approx(9.0 - 1.5 - 13.5 * x + 3.0)

    with pytest.raises(TraceError, match="unsupported operand"):
        gradient(lambda x: x - Unknown(), x=x)


def test_series_are_multiplied_and_converted() -> None:
    def program(x: Any) -> Any:
        series = np.polynomial.Chebyshev(x).convert(kind=np.polynomial.Polynomial)
        return (x[0] * series)(0.5)

    x = np.array([1.0, 2.0, 3.0])  # x[0] (x[0] + 0.5 x[1] - 0.5 x[2])
    np.testing.assert_allclose(grad(program)(x), [2.0 + 1.0 - 1.5, 0.5, -0.5])


def test_a_chain_of_many_operations_does_not_recurse() -> None:
    def program(x: Any) -> Any:
        for _ in range(5000):
            x = x * 1.0001 + 0.0
        return x

    assert gradient(program, x=np.float64(1.0))["x"] == pytest.approx(1.0001**5000)


@pytest.mark.parametrize(
    "method",
    [
        "sum",
        "prod",
        "mean",
        "std",
        "var",
        "max",
        "min",
        "ptp",
        "cumsum",
        "cumprod",
        "argmax",
        "argmin",
        "argsort",
        "all",
        "any",
        "ravel",
        "squeeze",
        "round",
        "trace",
        "diagonal",
        "copy",
        "flatten",
        "transpose",
        "tolist",
        "conj",
    ],
)
def test_methods_do_what_numpy_does(tape: Tape, method: str) -> None:
    x = np.array([[1.25, -2.5, 3.0], [0.5, 4.0, -1.0]])
    got = getattr(tape.input("x", x), method)()
    got = [[value(e) for e in row] for row in got] if method == "tolist" else value(got)
    # numpy's arrays have lost the method ptp
    wanted = np.ptp(x) if method == "ptp" else getattr(x, method)()
    np.testing.assert_allclose(got, wanted, rtol=1e-15)


def test_methods_with_arguments(tape: Tape) -> None:
    plain = np.arange(6.0).reshape(1, 2, 3)
    x = tape.input("x", plain)
    for call in [
        lambda x: x.reshape(3, 2),
        lambda x: x.reshape((6,)),
        lambda x: x.transpose(2, 0, 1),
        lambda x: x.transpose((2, 0, 1)),
        lambda x: x.sum(axis=(0, 1), keepdims=True),
        lambda x: x.mean(1),
        lambda x: x.std(axis=2, ddof=1),
        lambda x: x.swapaxes(0, 2),
        lambda x: x.take([0, 2], axis=-1),
        lambda x: x.repeat(2, axis=0),
        lambda x: x.clip(1, 4),
        lambda x: x.dot([1.0, 2.0, 3.0]),
        lambda x: x.squeeze(axis=0),
        lambda x: x.round(0),
        lambda x: x.real,
        lambda x: x.astype(np.float32),
        lambda x: np.add.reduce(x),
        lambda x: np.add.reduce(x, axis=None),
        lambda x: np.multiply.reduce(x, 2, keepdims=True),
        lambda x: np.maximum.reduce(x, axis=(0, 1)),
        lambda x: np.minimum.reduce(x, axis=-1, initial=2.0),
        lambda x: np.add.accumulate(x, 1),
        lambda x: np.multiply.accumulate(x),
        lambda x: np.subtract.outer(x, plain[0, 0]),
        lambda x: np.multiply.outer([1.0, 2.0], x),
        lambda x: np.add(x, 1.0, dtype=np.float32),
        lambda x: plain.clip(x, 3.0),
        lambda x: np.sum(x, axis=0, keepdims=1),
    ]:
        wanted, got = call(plain), value(call(x))
        assert np.asarray(got).dtype == np.asarray(wanted).dtype
        np.testing.assert_array_equal(got, wanted)


def test_astype_without_gradient_is_guarded(tape: Tape, v: Any) -> None:
    assert v.astype(float, copy=False) is v
    np.testing.assert_array_equal((v * 1.1).astype(int), [1, 2, 3])
    np.testing.assert_array_equal((v - 1).astype(bool), [False, True, True])
    assert len(tape.guards) == 2


def test_constants_are_snapshots() -> None:
    def program(x: Any) -> Any:
        plain = np.array([1.0, 2.0])
        first = np.sum(x * plain)
        plain[:] = 10.0
        return first + np.sum(x * plain)

    graph = traced_graph(program, x=np.array([1.0, 1.0]))
    assert Program(graph).run({"x": np.array([1.0, 1.0])}) == [23.0]


@pytest.mark.parametrize("size", [1000, 20_000])
def test_an_unchanged_constant_is_stored_once(size: int) -> None:
    plain = np.arange(float(size))
    graph = traced_graph(lambda x: np.sum(x * plain) + np.sum(x / (1 + x * plain)), x=2.0)
    assert sum(op == CONSTANT and np.size(a) == size for op, _, a in graph.nodes) == 1


def test_a_changed_sign_of_zero_deep_in_a_large_constant_is_seen() -> None:
    plain = np.zeros((20_000, 2)).T

    def program(x: Any) -> Any:
        first = np.sum(x * plain)
        plain[1, 17_000] = -0.0
        return first + np.sum(np.arctan2(plain, x))

    graph = traced_graph(program, x=-1.0)
    assert sum(op == CONSTANT and np.size(a) == 40_000 for op, _, a in graph.nodes) == 2


def test_stop_gradient_follows_the_value_and_stops_the_slope() -> None:
    def program(x: Any) -> Any:
        return x * stop_gradient(x)

    graph = traced_graph(program, x=np.float64(3.0))
    run = Program(value_and_gradient(graph)).run
    assert run({"x": np.float64(3.0)}) == [9.0, 3.0]
    assert run({"x": np.float64(5.0)}) == [25.0, 5.0]
    assert stop_gradient(2.0) == 2.0


# ---- what would leave the tape is refused, with the place and the way out


def refusal(program: Operation, *args: Any) -> str:
    with pytest.raises(TraceError) as caught:
        program(*args)
    return str(caught.value)


def assigned(target: Any, index: Any, x: Any) -> None:
    target[index] = x


def augmented(target: Any, x: Any) -> Any:
    target += x
    return target


@functools.lru_cache
def cached(x: Any) -> Any:
    return x


REFUSED: list[tuple[Operation, str, str]] = [
    # program, what the message says is wrong, the replacement it names
    (lambda t, v: float(t), "float()", "already acts as its number"),
    (lambda t, v: float(math.pi * t), "float()", "already acts as its number"),
    (lambda t, v: float(v), "float()", "index or sum"),
    (lambda t, v: math.sin(t), "math.sin", "np.sin"),
    (lambda t, v: math.floor(t) + math.exp(t), "math.exp", "np.exp"),
    (lambda t, v: sin(t), "math.sin", "np.sin"),
    (lambda t, v: 2 * exp(t), "math.exp", "np.exp"),
    (lambda t, v: math.pow(t, 2), "math.pow", "np.power"),
    (lambda t, v: math.atan2(t, 2), "math.atan2", "np.atan2"),
    (lambda t, v: math.isnan(t), "math.isnan", "np.isnan"),
    (lambda t, v: math.fsum([t, t]), "math.fsum", "np.sum"),
    (lambda t, v: math.dist([t], [1.0]), "math.dist", "np.linalg.norm"),
    (lambda t, v: math.exp(v) + math.erf(t), "math.erf", "scipy.special.erf"),
    (lambda t, v: complex(t), "complex()", "x + 1j * y"),
    (lambda t, v: t * Fraction(1, 2), "Fraction(1, 2)", "float"),
    (lambda t, v: t * Decimal(2), "Decimal('2')", "float"),
    (lambda t, v: t * np.array(["a"]), "dtype <U1", "Only numbers"),
    *(
        (program, "making a plain array", "np.stack")
        for program in (
            lambda t, v: np.array([t, 1.0]),
            lambda t, v: np.array(t),
            lambda t, v: np.array([v, v]),
            lambda t, v: np.array([t], dtype=object),
            lambda t, v: np.asarray(v),
            lambda t, v: np.asanyarray([t]),
            lambda t, v: np.ascontiguousarray(v),
            lambda t, v: np.full(3, t),
            lambda t, v: np.mean([t, t]),
            lambda t, v: np.sum([t, t]),
            lambda t, v: np.max([t, 1.0]),
            lambda t, v: np.sort([t, 1.0]),
            lambda t, v: np.dot([t, t], [1.0, 2.0]),
            lambda t, v: np.linalg.norm([t, t]),
            lambda t, v: np.linalg.inv([[t, 0.0], [0.0, 1.0]]),
            lambda t, v: np.sin([t]),
            lambda t, v: np.ones(2) * [t, 1.0],
            lambda t, v: np.concatenate([[t], [t]]),
            lambda t, v: np.where([True, False], [t, t], [0.0, 0.0]),
            lambda t, v: np.float64(t),
            lambda t, v: np.float32(t),
            lambda t, v: np.int64(t),
            lambda t, v: np.arange(t),
            lambda t, v: np.vectorize(lambda x: x * 2)(v),
            lambda t, v: np.ma.array(v),
            lambda t, v: np.arange(3.0).dot(v),
            lambda t, v: assigned(np.zeros(3), slice(None), v),
        )
    ),
    (lambda t, v: np.random.default_rng(0).normal(t, 1.0), "drawing random numbers", "mean + std"),
    (lambda t, v: augmented(np.zeros(3), t), "np.add", "x = x + y"),
    (lambda t, v: augmented(np.zeros(3), v), "np.add", "x = x + y"),
    (lambda t, v: augmented(v, 1.0), "what the program was given", "np.array(x)"),
    (lambda t, v: assigned(v, 0, 1.0), "what the program was given", "np.array(x)"),
    (lambda t, v: assigned(v[1:], 0, t), "what the program was given", "np.array(x)"),
    (lambda t, v: hash(t), "hash()", "plain numbers"),
    (lambda t, v: {t: 1}, "dict key", "plain numbers"),
    (lambda t, v: {t, v}, "hash()", "plain numbers"),
    (lambda t, v: cached(t), "lru_cache", "plain numbers"),
    (lambda t, v: pickle.dumps(t), "pickling", "in the process"),
    *(
        (program, name, "has no rule")
        for name, program in {
            "np.save": lambda t, v: np.save("never.npy", v),
        }.items()
    ),
    (lambda t, v: np.sin(v, out=np.zeros(3)), "out=", "x = x + y"),
    (lambda t, v: np.sum(v, out=np.zeros(())), "out= of np.sum", "np.where"),
    (lambda t, v: np.put(np.zeros(3), 0, t), "np.put with a plain array", "np.array(x)"),
    (lambda t, v: np.copyto(np.zeros(3), v), "np.copyto with a plain array", "np.array(x)"),
    (lambda t, v: np.add.at(np.zeros(3), 0, t), "np.add.at with a plain array", "np.array(x)"),
    (lambda t, v: np.sin(v, where=np.array([True, False, True])), "where=", "np.where"),
    (lambda t, v: np.histogram(v), "np.histogram", "smooth count"),
    (lambda t, v: np.histogram2d(v, v), "np.histogram2d", "smooth count"),
    (lambda t, v: np.roots(v), "np.roots", "custom_root"),
    (lambda t, v: np.quantile(v, t, method="lower"), "np.quantile", "method='lower'"),
    (lambda t, v: np.pad(v, 1, lambda *_: None), "np.pad", "join the parts"),
    (lambda t, v: np.unique(v[None], axis=0), "np.unique", "no axis"),
    (lambda t, v: np.linalg.qr(v[None], "raw"), "np.linalg.qr", "use 'reduced'"),
    (lambda t, v: np.ravel(np.outer(v, v), order="K"), "np.ravel", "order='C'"),
    (lambda t, v: statistics.fmean([t, t]), "statistics.fmean", "np.mean(x)"),
    (lambda t, v: statistics.mean([t, t]), "statistics.mean", "np.mean(x)"),
    (lambda t, v: statistics.stdev([t, 2 * t]), "statistics.stdev", "np.std(x, ddof=1)"),
    (lambda t, v: statistics.pvariance([t, t]), "statistics.pvariance", "np.var(x)"),
    (lambda t, v: v.astype("U5"), "astype(<U5)", "tape knows numbers"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_refused_with_place_and_replacement(t: Any, v: Any, number: int) -> None:
    program, what, instead = REFUSED[number]
    message = refusal(program, t, v)
    place, _, explanation = message.partition("\n")
    assert what in explanation
    assert instead in explanation
    path, line, text = re.fullmatch(r"(.*?):(\d+): (.*)", place).groups()  # type: ignore[union-attr]
    assert Path(path).resolve() == Path(__file__).resolve()
    assert Path(__file__).read_text().splitlines()[int(line) - 1].strip() == text
    assert text  # the line itself is shown


def test_refusal_points_at_the_very_line(t: Any) -> None:
    line = inspect.currentframe().f_lineno + 2  # type: ignore[union-attr]
    with pytest.raises(TraceError, match=rf"test_tape\.py:{line}: float\(t\)"):
        float(t)


def test_assigning_a_traced_element_is_refused_by_the_tape() -> None:
    # numpy turns what float() raises here into a ValueError of its own; the tape undoes that
    def program() -> None:
        with Tape() as tape:
            a, t = np.zeros(3), tape.input("t", 1.5)
            a[0] = t

    message = refusal(program)
    assert "a[0] = t\nassigning into a plain array" in message
    assert "np.stack" in message

    def collected() -> None:
        with Tape() as tape:
            np.fromiter([tape.input("t", 1.5)], float)

    refusal(collected)


@pytest.mark.parametrize("kind", [ValueError, SystemError, TypeError, AttributeError, KeyError])
def test_a_refusal_that_other_code_hides_is_raised_by_tapes_and_derivatives(
    kind: type[Exception],
) -> None:
    def hidden(t: Any) -> Any:
        try:
            return float(t)
        except TypeError as error:
            raise kind("not understood") from error

    def program() -> None:
        with Tape() as tape:
            hidden(tape.input("t", 1.5))

    for run in (program, lambda: grad(hidden)(1.5)):
        if kind is KeyError:  # which says something else
            with pytest.raises(KeyError, match="not understood"):
                run()
        else:
            assert "return float(t)\n" in refusal(run)


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda t: Decimal(t), "a fit computes in floats"),
        (lambda t: Fraction(t), "float"),
        (lambda t: json.dumps({"x": t}), "does not know traced values"),
    ],
)
def test_code_that_does_not_know_traced_values_is_named(call: Operation, instead: str) -> None:
    def program() -> None:
        with Tape() as tape:
            call(tape.input("t", 1.5))

    message = refusal(program)
    assert re.match(r".*test_tape\.py:\d+: \(lambda t: ", message)
    assert instead in message


def test_errors_of_the_user_pass_unchanged() -> None:
    cause = KeyError("x")
    with pytest.raises(ValueError, match="mine") as caught, Tape():
        raise ValueError("mine") from cause
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize(
    "program",
    [
        lambda t, v: json.dumps(t),
        lambda t, v: v.sort(),
        lambda t, v: np.nditer(v),
    ],
)
def test_other_ways_off_the_tape_fail_too(t: Any, v: Any, program: Operation) -> None:
    with pytest.raises((TypeError, AttributeError)):
        program(t, v)


MAYBE_DISPATCHED: list[Operation] = [
    lambda np_, t, v: np_.append(v, t),
    lambda np_, t, v: np_.append(v, [t, t]),
    lambda np_, t, v: np_.concatenate([[t], v]),
    lambda np_, t, v: np_.stack([t, 1.0, t]),
    lambda np_, t, v: np_.hstack([t, v]),
    lambda np_, t, v: np_.vstack([v, [1.0, 2.0, 3.0]]),
    lambda np_, t, v: np_.column_stack([v, [1.0, 2.0, 3.0]]),
    lambda np_, t, v: np_.hypot(t, [t, 1.0]),
    lambda np_, t, v: np_.where([True, False], t, 0.0),
    lambda np_, t, v: np_.interp(1.2, [0.0, 1.0, 2.0], v),
    lambda np_, t, v: np_.interp(t, [0.0, t, 2.0], [t, 2.0, t]),
    lambda np_, t, v: np_.polyval([1.0, t], t),
    lambda np_, t, v: np_.polyval(v, [1.0, 2.0]),
    lambda np_, t, v: np_.average([1.0, 2.0, 3.0], weights=v),
    lambda np_, t, v: np_.tensordot(v, [t, t, 1.0], 1),
    lambda np_, t, v: np_.einsum("i,i", [t, t, 1.0], v),
    lambda np_, t, v: np_.dot([1.0, 2.0, 3.0], v),
    lambda np_, t, v: np_.cross([1.0, 2.0, 3.0], v),
    lambda np_, t, v: np_.convolve([1.0, 2.0], v),
    lambda np_, t, v: np_.clip([1.0, 2.0, 3.0], t, 2.5),
    lambda np_, t, v: np_.maximum([1.0, 2.0, 3.0], t),
    lambda np_, t, v: np_.full_like(v, t),
    lambda np_, t, v: np_.eye(3) * t,
    lambda np_, t, v: np_.outer([1.0, 2.0], v),
    lambda np_, t, v: np_.average(v, weights=[1.0, 2.0, 3.0]),
    lambda np_, t, v: np_.trapezoid(v, [0.0, 1.0, t + 3]),
    lambda np_, t, v: np_.linalg.solve(np_.eye(3) * t, [1.0, 2.0, 3.0]),
    lambda np_, t, v: np_.sum(v, where=[True, False, True]),
]


@pytest.mark.parametrize("program", MAYBE_DISPATCHED)
def test_lists_among_the_arguments_stay_on_the_tape(program: Operation) -> None:
    start = {"t": np.float64(1.5), "v": np.array([1.0, 2.0, 3.0])}

    def plain(t: Any, v: Any) -> Any:
        return np.sum(np.asarray(program(np, t, v)) ** 2)

    got = gradient(lambda t, v: np.sum(program(np, t, v) ** 2), **start)
    h = 1e-6
    assert got["t"] == pytest.approx(
        (plain(1.5 + h, start["v"]) - plain(1.5 - h, start["v"])) / (2 * h), rel=1e-7, abs=1e-7
    )
    for i, step in enumerate(np.eye(3) * h):
        difference = plain(1.5, start["v"] + step) - plain(1.5, start["v"] - step)
        assert got["v"][i] == pytest.approx(difference / (2 * h), rel=1e-6, abs=1e-7)


# ---- the life of a tape


def test_a_value_that_outlives_its_tape_is_refused() -> None:
    with Tape() as tape:
        t = tape.input("t", 1.5)
        truth = t > 1
    for use in (
        lambda: t + 1,
        lambda: 1 + t,
        lambda: np.sin(t),
        lambda: -t,
        lambda: bool(t),
        lambda: bool(truth),
        lambda: int(t),
        lambda: np.ones(2) * t,
        lambda: stop_gradient(t),
        lambda: tape.input("u", 1.0),
    ):
        assert "outlived the run" in refusal(use)
    assert str(t) == "1.5"  # an error report may still show it


def test_values_of_two_tapes_do_not_mix() -> None:
    with Tape() as outer:
        a = outer.input("a", 1.0)
        with Tape() as inner:
            b = inner.input("b", 2.0)
            for use in (
                lambda: a + b,
                lambda: b * a,
                lambda: np.arctan2(a, b),
                lambda: np.stack([b, a]),
                lambda: inner.graph([a]),
            ):
                refusal(use)
        assert value(a + 1.0) == 2.0  # the outer one goes on


def test_an_error_in_mid_trace_leaves_no_reader_active() -> None:
    def broken() -> None:
        with Tape() as tape:
            assert reading.reader is tape
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert reading.reader is None
    with Tape() as outer:
        with pytest.raises(KeyError), Tape():
            {}["x"]
        assert reading.reader is outer


def test_set_reader_returns_the_one_before() -> None:
    with Tape() as tape:
        assert set_reader(None) is tape
        assert set_reader(tape) is None


def test_a_tape_reads_a_param_once() -> None:
    class Blank:
        key = "omega"

        def _softtape_peek(self) -> float:
            return 2.0

    blank = Blank()
    with Tape() as tape:
        assert tape.read(blank) is tape.read(blank)
        assert value(tape.read(blank)) == 2.0
        assert tape.start == {"omega": 2.0}
    with Tape(start=lambda param: 7.0) as tape:
        assert value(tape.read(blank)) == 7.0


def test_locations_name_the_lines_of_the_user() -> None:
    with Tape(locate=True) as tape:
        t = tape.input("t", 1.5)
        line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
        made = np.sin(t)
        assert tape.locations is not None
        location, known = tape.locations[made._index]
        assert (location.line, location.text) == (line, "made = np.sin(t)")
        assert known == np.sin(1.5)


# ---- random programs: a guard breaks exactly where the program goes another way


@st.composite
def programs(draw: Any) -> list[tuple[Any, ...]]:
    """Draw the statements of a small program over a stack of scalars."""
    step = st.one_of(
        st.tuples(
            st.sampled_from(["+", "-", "*", "max", "floor"]), st.integers(0, 9), st.integers(0, 9)
        ),
        st.tuples(st.just("if"), st.integers(0, 9), st.sampled_from([-1.0, 0.0, 0.5])),
        st.tuples(st.just("loop"), st.integers(0, 9), st.just(0)),
        st.tuples(st.sampled_from(["sin", "abs", "round"]), st.integers(0, 9), st.just(0)),
    )
    return draw(st.lists(step, min_size=1, max_size=8))


def interpret(program: list[tuple[Any, ...]], x: Any, y: Any, path: list[Any]) -> Any:
    """Run ``program``; note in ``path`` which way it went."""
    stack = [x, y]
    for op, i, j in program:
        a = stack[i % len(stack)]
        if op == "if":
            path.append(bool(a > j))
            stack.append(a * 2.0 if path[-1] else a - 1.0)
        elif op == "loop":
            path.append(bool(np.abs(a) < 4))
            path.append(int(np.abs(a)) if path[-1] else 1)
            for _ in range(path[-1]):
                a = a * 0.5 + y
            stack.append(a)
        elif op == "round":
            path.append(round(a))
            stack.append(a - path[-1])
        elif op == "sin":
            stack.append(np.sin(a))
        elif op == "abs":
            stack.append(abs(a))
        else:
            b = stack[j % len(stack)]
            if op == "max":
                path.append(bool(b > a))
                stack.append(b if path[-1] else a)
            elif op == "floor":
                path.append(math.floor(a))
                stack.append(b + path[-1])
            else:
                stack.append({"+": a + b, "-": a - b, "*": np.sin(a) * b}[op])
    return stack[-1] + 0.0 * x + 0.0 * y


points = st.floats(-3.0, 3.0).map(lambda x: round(x, 3))


def traced_path(program: list[tuple[Any, ...]], at: tuple[float, float]) -> tuple[Graph, list[Any]]:
    path: list[Any] = []
    with Tape() as tape:
        x, y = (tape.input(key, np.float64(v)) for key, v in zip("xy", at, strict=True))
        return tape.graph([interpret(program, x, y, path)]), path


def test_guards_break_exactly_where_the_path_changes() -> None:
    outcomes = set()

    @settings(derandomize=True, deadline=None, max_examples=150, database=None)
    @given(programs(), st.tuples(points, points), st.tuples(points, points))
    def check(
        program: list[tuple[Any, ...]], a: tuple[float, float], b: tuple[float, float]
    ) -> None:
        at_a, path_a = traced_path(program, a)
        at_b, path_b = traced_path(program, b)
        inputs = dict(zip("xy", map(np.float64, b), strict=True))
        plain_path: list[Any] = []
        plain = interpret(program, *inputs.values(), plain_path)
        assert plain_path == path_b
        fresh = Program(value_and_gradient(at_b)).run(inputs)
        assert fresh is not None
        assert fresh[0] == plain
        same = path_a == path_b
        outcomes.add((same, bool(path_a)))
        for derived in (at_a, value_and_gradient(at_a), simplify(value_and_gradient(at_a))):
            moved = Program(derived).run(inputs)
            assert (moved is not None) == same
            if moved is not None:
                np.testing.assert_array_equal(moved, fresh[: len(moved)])

    check()
    assert outcomes == {(True, True), (False, True), (True, False)}
