"""The compiled interpreter against the numpy engine, operation by operation and on whole tapes."""

import itertools

import numpy as np
import pytest

from softtape import SoftError
from softtape.choice import check_engine
from softtape.engines import Program, fast, floats
from softtape.engines.scalar import CODES, suits
from softtape.objective import Layout, Objective, Term
from softtape.ops import PRIMITIVES, Kind
from softtape.singles import can_compile, make_single
from softtape.tape import Tape
from softtape.transforms import value_and_gradient
from softtape.transforms.simplify import prune

needs_numba = pytest.mark.skipif(not fast.available(), reason="the extra «fast» is not installed")

INSIDE = {  # where an operation is defined, if not on all numbers
    "sqrt": 0.7, "log": 0.7, "log2": 0.7, "log10": 0.7, "log1p": 0.7, "power": 1.7,
    "float_power": 1.7,
}  # fmt: skip
BINARY = {
    "add", "subtract", "multiply", "divide", "power", "float_power", "maximum", "minimum", "hypot",
    "arctan2", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal",
    "logical_and", "logical_or",
}  # fmt: skip


def record(program, **start):
    with Tape() as tape:
        made = program(*(tape.input(k, v) for k, v in start.items()))
        return tape.graph(made if isinstance(made, list) else [made])


def lotka_volterra(a, b, d, g, x, y, steps=200):
    """Runge–Kutta in plain Python; a sum of squared residuals at ten times."""
    h, loss = 0.1, 0.0
    for n in range(steps):
        k1x, k1y = x * (a - b * y), y * (d * x - g)
        u, v = x + h / 2 * k1x, y + h / 2 * k1y
        k2x, k2y = u * (a - b * v), v * (d * u - g)
        x, y = x + h * k2x, y + h * k2y
        if n % 20 == 0:
            loss = loss + (x - 9.0) ** 2 + (y - 4.0) ** 2
        if x > 20:
            loss = loss + (x - 20) ** 2
    return loss


ODE = {"a": 1.1, "b": 0.4, "d": 0.1, "g": 0.4, "x": 10.0, "y": 5.0}


@needs_numba
@pytest.mark.parametrize("name", CODES)
def test_each_operation(name):
    primitive, inside = PRIMITIVES[name], INSIDE.get(name, 0.6)
    points = [inside, 0.9 * inside] if name in INSIDE else [inside, -0.4, 0.9, -0.95]
    for x in points:
        start = {"x": x, "y": 0.45} if name in BINARY else {"x": x}
        # what the operation gives may be a truth value or have no slope: 3 * x has one
        graph = record(lambda x, *y: primitive(x, *y) * 1.5 + 3.0 * x, **start)
        inputs = {k: np.float64(v) for k, v in start.items()}
        by_numpy = make_single(graph).share("gradient", inputs, 1.0, guarded=True)
        compiled = make_single(graph, compiled=True).share("gradient", inputs, 1.0, guarded=True)
        np.testing.assert_allclose(compiled.losses, by_numpy.losses, rtol=1e-13)
        for key in start:
            assert compiled.gradient[key] == pytest.approx(by_numpy.gradient[key], rel=1e-12)
        outputs, matrix = fast.ScalarProgram(graph).jacobian(inputs)
        assert outputs[0] == compiled.losses[0]
        assert matrix[0] == pytest.approx(list(compiled.gradient.values()), rel=1e-12)


@needs_numba
@pytest.mark.parametrize("count", [1, 7, 8, 20, 40])
def test_derivatives_of_few_inputs_and_of_many(count):
    names = [f"p{i}" for i in range(count)]
    start = {name: 0.1 * i + 0.2 for i, name in enumerate(names)}

    def program(*p):
        x = 1.0
        for i in range(60):
            y = np.sin(x * p[i % count]) - p[i * i % count] / (1.5 + x**2)
            x = 0.5 * x + 0.1 * np.exp(-y * y) * np.hypot(p[i // 2 % count], 0.3) - 0.1 * (-y)
        return [x, x * p[0], 3.0 * p[-1]]

    graph = record(program, **start)
    inputs = {k: np.float64(1.1 * v) for k, v in start.items()}
    ours, theirs = fast.ScalarProgram(graph), floats.ScalarProgram(graph)
    assert ours._rows.has_tangents == (count < 32)
    outputs, matrix = theirs.jacobian(inputs)
    for made in (ours.jacobian(inputs), ours.jacobian(inputs)):  # rows are used again
        np.testing.assert_allclose(made[0], outputs, rtol=1e-12)
        np.testing.assert_allclose(made[1], matrix, rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(ours.value(inputs), ours.gradient(inputs)[0])
    gradient = list(ours.gradient(inputs)[1].values())
    np.testing.assert_allclose(gradient, matrix[0], rtol=1e-11, atol=1e-13)


AROUND = {  # a derivative of zero meets the slope, from its side of the result or of the operand
    "no weight": lambda f, x, y: 0.0 * f(x, y) + x,
    "square": lambda f, x, y: f(x, y) ** 2,
    "lower of two": lambda f, x, y: np.maximum(f(x, y), 9.0) - x,
    "a constant": lambda f, x, y: f(0.0 * x, y) + y,
    "its square": lambda f, x, y: f(x * x, y * y) * x,
}


@needs_numba
@pytest.mark.parametrize("name", CODES)
def test_engines_agree_where_zero_meets_a_slope_that_is_not_finite(name):
    def f(x, y):
        return PRIMITIVES[name](x, y) if name in BINARY else PRIMITIVES[name](x)

    met = set()
    for around in AROUND.values():
        with np.errstate(all="ignore"):
            graph = record(lambda x, y, around=around: around(f, x, y), x=0.5, y=0.4)
        by_floats, compiled = (made.ScalarProgram(graph) for made in (floats, fast))
        slopes = Program(value_and_gradient(graph))
        for x, y in itertools.product((0.0, 1.0, -1.0), (0.0, -1.0)):
            inputs = {"x": np.float64(x), "y": np.float64(y)}
            with np.errstate(all="ignore"):
                wanted = slopes.run(inputs, guarded=False)
                made = [by_floats.gradient(inputs)] if floats.suits(graph) else []
            for outputs, gradient in [*made, compiled.gradient(inputs)]:
                np.testing.assert_allclose(outputs, wanted[:1], rtol=1e-12, atol=1e-15)
                np.testing.assert_allclose([*gradient.values()], wanted[1:], rtol=1e-12, atol=1e-15)
            met.update(np.isnan(wanted[1:]).tolist())
    assert met == {False, True} or name not in INFINITE


INFINITE = {"sqrt", "log", "log2", "log10", "reciprocal", "arcsin", "arccos", "divide"}


@needs_numba
def test_an_infinite_slope_by_one_input_leaves_the_others_as_they_are():
    graph = record(lambda x, y: [np.sqrt(x) + y, 2.0 * y, 3.0 * y], x=0.5, y=0.4)
    _, matrix = fast.ScalarProgram(graph).jacobian({"x": 0.0, "y": 0.4})
    assert matrix.tolist() == [[np.inf, 1.0], [0.0, 2.0], [0.0, 3.0]]


@needs_numba
def test_constants_are_told_apart_by_their_bits():
    def program(x):
        return [x + c for c in [0.0, -0.0, *np.arange(300.0), 1.5, 0.0]] + [-0.0 * x, 0.0 * x]

    graph = record(program, x=1.0)
    for x in (-0.0, 2.0):
        ours, theirs = (made.ScalarProgram(graph).value({"x": x}) for made in (fast, floats))
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(np.signbit(ours), np.signbit(theirs))


@needs_numba
def test_a_graph_that_needs_too_many_rows_at_a_time_is_swept():
    graph = record(lambda x: [x * (0.5 + i) for i in range(70_000)], x=1.5)
    program = fast.ScalarProgram(graph)
    assert not program._rows.has_values
    slopes = 0.5 + np.arange(70_000.0)
    np.testing.assert_array_equal(program.value({"x": 2.0}), 2.0 * slopes)
    np.testing.assert_array_equal(program.jacobian({"x": 2.0})[1][:, 0], slopes)
    assert program.gradient({"x": 2.0})[1] == {"x": 0.5}


def test_codes_are_operations_with_rules():
    assert set(CODES) <= set(PRIMITIVES)
    flat = {n for n in CODES if PRIMITIVES[n].kind is Kind.CONSTANT}
    assert {"less", "sign", "floor", "stop_gradient"} <= flat


@needs_numba
@pytest.mark.parametrize("factor", [1.0, 1.03, 0.9])
def test_a_whole_tape(factor):
    graph = prune(record(lotka_volterra, **ODE))
    assert len(graph) > 3000
    assert suits(graph)
    inputs = {k: np.float64(v * factor) for k, v in ODE.items()}
    for kind in ("value", "gradient", "jacobian"):
        ours = make_single(graph, compiled=True).share(kind, inputs, 2.0, guarded=False)
        theirs = make_single(graph).share(kind, inputs, 2.0, guarded=False)
        np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-12)
        for key in theirs.gradient:
            assert ours.gradient[key] == pytest.approx(theirs.gradient[key], rel=1e-9)
        if kind == "jacobian":
            np.testing.assert_allclose(ours.residuals, theirs.residuals, rtol=1e-11, atol=1e-12)
            for key in ODE:
                np.testing.assert_allclose(ours.rows[key], theirs.rows[key], rtol=1e-8, atol=1e-9)


@needs_numba
def test_guards_hold_or_not_as_in_numpy():
    graph = record(lambda x: x * 2.0 if x > 1 else x * 3.0, x=1.5)
    program = fast.ScalarProgram(graph)
    assert program.value({"x": 1.2}) == 2.4
    assert program.value({"x": 0.8}) is None
    assert program.value({"x": 0.8}, guarded=False) == 1.6
    assert Program(graph).run({"x": np.float64(0.8)}) is None


@needs_numba
def test_objectives_agree_between_engines():
    def trace(values):
        with Tape() as tape:
            return tape.graph([lotka_volterra(**{k: tape.input(k, values[k]) for k in ODE})])

    layout = Layout(dict.fromkeys(ODE, ()))
    theta = layout.pack(ODE)
    made = [
        Objective([Term("t", trace(ODE), trace)], layout, engine) for engine in ("numpy", "numba")
    ]
    for point in (theta, theta * 1.02, theta * 0.97, theta):
        (value, gradient), (ours, slope) = (o.value_and_gradient(point) for o in made)
        assert ours == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(slope, gradient, rtol=1e-9)
        (r, jacobian), (s, matrix) = (o.residuals_and_jacobian(point) for o in made)
        np.testing.assert_allclose(s, r, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(matrix, jacobian, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    "program",
    [
        lambda x: np.sum(np.stack([x, x])),
        lambda x: x * np.ones(3),
        lambda x: np.floor_divide(x, 2.0) + x,
    ],
)
def test_what_the_interpreter_does_not_know_is_left_to_numpy(program):
    graph = record(program, x=1.5)
    assert not can_compile(graph)


def test_float32_is_left_to_numpy():
    graph = record(lambda x: (x - 1.0) ** 2, x=np.float32(0.5))
    assert suits(graph)
    assert not can_compile(graph)


def test_an_engine_that_is_missing_is_named(monkeypatch):
    with pytest.raises(SoftError, match="no engine 'cuda'; choose one of auto, numpy, numba"):
        check_engine("cuda")
    monkeypatch.setattr(fast, "available", lambda: False)
    with pytest.raises(SoftError, match=r"pip install 'pytest-soft\[fast\]'"):
        check_engine("numba")
    check_engine("auto")


@needs_numba
def test_a_slope_by_what_does_not_move_is_not_looked_at():
    def loss(x):  # the residual of the sum's start is the square root of zero
        return 0.0 + (x - 2.5) ** 2

    single = make_single(record(loss, x=1.0), compiled=True)
    share = single.share("jacobian", {"x": 1.5}, 1.0, guarded=True)
    assert share.residuals.tolist() == [0.0, -1.0]
    assert share.rows["x"].tolist() == [[0.0], [1.0]]
    assert "_part" not in single._squares.__dict__
    assert single.share("value", {"x": 2.0}, 1.0, guarded=True).losses == [0.25]
    assert "_loss" not in single.__dict__
