"""Tapes of scalars on Python's floats against numpy's, operation by operation, bit by bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softtape.engines import Program
from softtape.engines.floats import ScalarProgram, suits
from softtape.engines.scalar import CODES
from softtape.ops import PRIMITIVES
from softtape.tape import Tape
from softtape.transforms import jacobian, value_and_gradient

BINARY = {
    "add", "subtract", "multiply", "divide", "power", "float_power", "maximum", "minimum", "hypot",
    "arctan2", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal",
    "logical_and", "logical_or",
}  # fmt: skip
TRUTHS = {n for n in BINARY if "less" in n or "greater" in n or "equal" in n or "logical" in n}
POINTS = [0.6, -0.4, 0.0, -0.0, 1.5, -3.0, 1e200, 1e-200, np.inf, -np.inf, np.nan]


def record(program, **start):
    with Tape() as tape, np.errstate(all="ignore"):
        made = program(*(tape.input(k, np.float64(v)) for k, v in start.items()))
        return tape.graph(made if isinstance(made, list) else [made])


def same(a, b):
    """Equal with the sign of zeros, NaN being equal to itself."""
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(np.signbit(a), np.signbit(b) | np.isnan(a) & np.signbit(a))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", sorted(set(CODES) - TRUTHS - {"logical_not"}))
def test_each_operation_gives_numpys_values_and_slopes(name):
    primitive = PRIMITIVES[name]
    start = {"x": 0.6, "y": 0.7} if name in BINARY else {"x": 0.6}
    graph = record(lambda *operands: primitive(*operands) + 3.0 * operands[0], **start)
    assert suits(graph)
    ours, theirs = ScalarProgram(graph), Program(value_and_gradient(graph))
    for x in POINTS:
        for y in POINTS if name in BINARY else [0.7]:
            if x == -np.inf and "power" in name:
                continue  # the root of -inf is inf or NaN, depending on how numpy is asked
            inputs = {k: np.float64(v) for k, v in zip(start, (x, y), strict=False)}
            value, *gradient = theirs.run(inputs)
            same(ours.value(inputs), [value])
            np.testing.assert_allclose(
                list(ours.gradient(inputs)[1].values()), gradient, rtol=1e-15
            )


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(numbers, numbers)
def test_arithmetic_has_numpys_bits_everywhere(x, y):
    graph = record(lambda a, b: [a + b, a - b, a * b, a / b, np.sqrt(a), a * a - 1 / b], a=1, b=2)
    inputs = {"a": np.float64(x), "b": np.float64(y)}
    with np.errstate(all="ignore"):
        same(ScalarProgram(graph).value(inputs), Program(graph).run(inputs))


def orbit(a, b, c, x):
    seen = []
    for _ in range(20):
        x, c = x + 0.1 * (a * c - x**2) / (1.0 + b * b), c - 0.1 * np.sin(x) * b + np.exp(-c) / 7
        seen.append(x - 0.5)
    return seen


@pytest.mark.parametrize("outputs", [20, 2])
def test_jacobians_forward_and_backward(outputs):
    start = {"a": 0.3, "b": 0.8, "c": 0.1, "x": 0.5}
    graph = record(lambda *params: orbit(*params)[-outputs:], **start)
    program = ScalarProgram(graph)
    inputs = {k: np.float64(v * 1.1) for k, v in start.items()}
    values, matrix = program.jacobian(inputs)
    made = Program(jacobian(graph)).run(inputs)
    np.testing.assert_allclose(values, made[:outputs], rtol=1e-15)
    blocks = np.reshape(np.array(made[outputs:], float), (outputs, len(start)))
    np.testing.assert_allclose(matrix, blocks, rtol=1e-13, atol=1e-15)
    step = 1e-30  # the complex step has no cancellation
    for j, key in enumerate(start):
        moved = {k: v * 1.1 + (1j * step if k == key else 0.0) for k, v in start.items()}
        column = [np.imag(s) / step for s in orbit(*moved.values())[-outputs:]]
        np.testing.assert_allclose(matrix[:, j], column, rtol=1e-12, atol=1e-15)


def test_many_directions_are_carried_together():
    names = [f"p{i}" for i in range(20)]
    start = {name: 0.1 * i + 0.2 for i, name in enumerate(names)}
    graph = record(lambda *p: [np.sin(p[i] * p[i - 1]) + p[0] for i in range(20)], **start)
    inputs = {k: np.float64(v) for k, v in start.items()}
    program = ScalarProgram(graph)
    made = Program(jacobian(graph)).run(inputs)
    np.testing.assert_allclose(
        program.jacobian(inputs)[1], np.reshape(np.array(made[20:], float), (20, 20)), rtol=1e-14
    )


def test_guards():
    graph = record(lambda x: x * 2.0 if x > 1 else x * 3.0, x=1.5)
    program = ScalarProgram(graph)
    assert program.value({"x": 1.2}) == 2.4
    assert program.value({"x": 0.8}) is None
    assert program.value({"x": 0.8}, guarded=False) == 1.6


@pytest.mark.parametrize(
    "program",
    [
        lambda x: (x > 1) + (x > 2) + x,  # numpy's True + True is True
        lambda x: x * np.float32(1.5),
        lambda x: x * np.ones(2),
        lambda x: x + True,
    ],
)
def test_what_python_computes_otherwise_is_left_to_numpy(program):
    assert not suits(record(program, x=3.0))
