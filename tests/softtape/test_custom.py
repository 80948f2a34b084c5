"""Functions with rules of the user's own: derivatives of any order, in fits, and their misuse."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softtape import (
    DerivativeError,
    Param,
    TraceError,
    check_grads,
    custom_jvp,
    custom_vjp,
    grad,
    hessian,
    jacobian,
    primitive,
    value_and_grad,
)
from softtape.engines import Program
from softtape.engines.scalar import suits
from softtape.graph import Graph
from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape
from softtape.transforms import simplify, value_and_gradient
from softtape.transforms.template import template_of

X = np.array([0.4, -0.7, 1.1])


@custom_vjp
def softplus(x: Any) -> Any:
    """Stable log(1 + exp(x))."""
    return np.logaddexp(0.0, x)


@softplus.defvjp
def _softplus_vjp(g: Any, y: Any, x: Any) -> Any:
    return g * np.exp(x - y)


@custom_jvp
def wave(p: Any, k: int, *, scale: float = 1.0) -> Any:
    return {"s": np.sin(p["x"] * k) * scale, "n": p["x"] @ p["x"] * p["y"]}


@wave.defjvp
def _wave_jvp(tangents: Any, y: Any, p: Any, k: int, *, scale: float = 1.0) -> Any:
    t, none = tangents
    assert none is None
    slope = k * np.cos(p["x"] * k) * t["x"] * scale
    return {"s": slope, "n": 2 * p["x"] @ t["x"] * p["y"] + p["x"] @ p["x"] * t["y"]}


def plainly(x: Any) -> Any:
    """What a C extension would do with a traced value: fail."""
    values = x if isinstance(x, (list, tuple)) else (x,)
    assert all(type(v) in (np.ndarray, np.float64, float) for v in values), values
    return x


def table(vectorized: bool = False) -> Any:
    """x³, known to second order by foreign functions alone."""
    second = primitive(
        lambda g, y, x: plainly(g) * 3 * plainly(x) ** 2,
        vjp=lambda h, z, g, y, x: (h * 3 * plainly(x) ** 2, None, h * g * 6 * x),
        vectorized=vectorized,
    )
    return primitive(lambda x: plainly(x) ** 3, vjp=second, vectorized=vectorized)


def test_a_custom_vjp_to_third_order_in_both_modes() -> None:
    check_grads(softplus, (X,), order=3)
    check_grads(lambda x: np.sum(softplus(x * x) * x), (X,), order=3)
    assert softplus(0.0) == np.log(2.0)
    assert softplus.__name__ == "softplus"
    assert softplus.__doc__ == "Stable log(1 + exp(x))."
    assert grad(softplus)(800.0) == 1.0


def test_a_custom_jvp_with_containers_and_static_arguments() -> None:
    check_grads(lambda p: wave(p, 3, scale=0.5), ({"x": X, "y": 2.0},), order=3)
    made = jacobian(lambda p: wave(p, 2)["n"])({"x": X, "y": 2.0})
    np.testing.assert_allclose(made["x"], 4 * X)


def test_a_rule_decides_even_where_it_is_not_the_derivative() -> None:
    # the usual reason for one: a straight-through estimator
    @custom_vjp
    def rounded(x: Any) -> Any:
        return np.round(x)

    rounded.defvjp(lambda g, y, x: g)
    assert value_and_grad(lambda x: rounded(x) ** 2)(1.3) == (1.0, 2.0)


def test_a_primitive_never_sees_a_traced_value() -> None:
    f = table()
    np.testing.assert_array_equal(jacobian(f)(X), np.diag(3 * X**2))
    np.testing.assert_allclose(hessian(lambda x: np.sum(f(x)))(X), np.diag(6 * X))
    check_grads(lambda x: f(np.sin(x)), (X,), order=2)


@pytest.mark.parametrize("rules", ["vjp", "jvp", "both"])
def test_one_rule_of_a_primitive_is_enough(rules: str) -> None:
    def f(x: Any, y: Any) -> Any:
        return [plainly(x) * y, np.sum(x) + y]

    def back(g: Any, z: Any, x: Any, y: Any) -> Any:
        return plainly(g[0]) * y + g[1], np.sum(g[0] * x) + g[1]

    def along(t: Any, z: Any, x: Any, y: Any) -> Any:
        return [plainly(t[0]) * y + x * t[1], np.sum(t[0]) + t[1]]

    given: dict[str, Any] = {"vjp": back, "jvp": along}
    if rules != "both":
        given = {rules: given[rules]}
    made = primitive(**given)(f)
    check_grads(made, (X, 1.7), order=1)


def test_the_derivative_of_a_foreign_rule_is_refused() -> None:
    once = primitive(lambda x: x**3, vjp=lambda g, y, x: 3 * g * x**2)
    assert grad(once)(2.0) == 12.0
    with pytest.raises(DerivativeError, match=r"softtape\.rule .*a higher derivative asks"):
        grad(grad(once))(2.0)


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from([(), (0,), (2,), (1, 3)]), min_size=1, max_size=3),
    st.integers(0, 1000),
)
def test_arguments_of_any_shapes(shapes: list[tuple[int, ...]], seed: int) -> None:
    @custom_vjp
    def f(xs: Any, y: Any) -> Any:
        return tuple(np.sin(x) * y for x in xs), y * y

    @f.defvjp
    def _(g: Any, z: Any, xs: Any, y: Any) -> Any:
        parts, h = g
        each = tuple(a * np.cos(x) * y for a, x in zip(parts, xs, strict=True))
        whole = sum(np.sum(a * np.sin(x)) for a, x in zip(parts, xs, strict=True))
        return each, whole + 2 * h * y

    source = np.random.default_rng(seed)
    xs = tuple(source.uniform(-1, 1, s)[()] for s in shapes)
    check_grads(f, (xs, 0.6), order=2)


def test_integers_truths_and_widths() -> None:
    @custom_vjp
    def pick(x: Any, i: Any, flag: Any) -> Any:
        assert isinstance(i, (int, np.integer))
        assert type(x.dtype) is not None
        return x[i] if flag else x[0] * 2

    @pick.defvjp
    def _(g: Any, y: Any, x: Any, i: Any, flag: Any) -> Any:
        unit = np.eye(len(x))[i] * 1.0 if flag else np.eye(len(x))[0] * 2.0
        return g * unit, None, None

    made = grad(lambda x: pick(x, np.argmax(x), x[0] > 0))(X.astype(np.float32))
    np.testing.assert_array_equal(made, [0, 0, 1])
    assert made.dtype == np.float32


# ---- in a fit

omega = Param(0.8, name="omega")
START = {"w": np.float64(0.8), "v": np.array([0.3, -0.5])}
LAYOUT = Layout({"w": (), "v": (2,)})
THETA = np.array([0.9, 0.2, -0.4])


def objective(program: Callable[..., Any], cases: int = 5) -> Objective:
    def term(x: float) -> Term:
        def trace(values: Any) -> Graph:
            with Tape() as tape:
                w, v = (tape.input(key, values[key]) for key in ("w", "v"))
                return tape.graph([program(w, v, x)])

        return Term(str(x), trace(START), trace)

    return Objective([term(x) for x in np.linspace(0.1, 1.0, cases)], LAYOUT)


@pytest.mark.parametrize("vectorized", [False, True])
def test_a_fit_through_a_primitive(vectorized: bool) -> None:
    f = table(vectorized)
    problem = objective(lambda w, v, x: np.sum((f(w * v + x) - x) ** 2))

    def total(theta: Any) -> Any:
        return sum(
            np.sum(((theta[0] * theta[1:] + x) ** 3 - x) ** 2) for x in np.linspace(0.1, 1.0, 5)
        )

    value, gradient = problem.value_and_gradient(THETA)
    assert value == pytest.approx(total(THETA), rel=1e-13)
    np.testing.assert_allclose(gradient, grad(total)(THETA), rtol=1e-12)
    residuals, matrix = problem.residuals_and_jacobian(THETA)
    np.testing.assert_allclose(2 * matrix.T @ residuals, gradient, rtol=1e-12)


@pytest.mark.parametrize("f", [softplus, lambda x: wave({"x": x, "y": 1.5}, 2)["s"]])
def test_a_fit_through_custom_rules(f: Callable[..., Any]) -> None:
    problem = objective(lambda w, v, x: np.sum((f(w * v + x) - x) ** 2))

    def total(theta: Any) -> Any:
        return sum(np.sum((f(theta[0] * theta[1:] + x) - x) ** 2) for x in np.linspace(0.1, 1.0, 5))

    value, gradient = problem.value_and_gradient(THETA)
    assert value == pytest.approx(total(THETA), rel=1e-13)
    np.testing.assert_allclose(gradient, grad(total)(THETA), rtol=1e-12)


def test_a_vectorized_primitive_is_called_once_for_all_cases() -> None:
    calls = []

    def cube(x: Any) -> Any:
        calls.append(np.shape(x))
        return x**3

    f = primitive(cube, vjp=lambda g, y, x: g * 3 * x**2, vectorized=True)
    problem = objective(lambda w, v, x: (f(w * x) - x) ** 2, cases=50)
    problem.value_and_gradient(THETA)
    calls.clear()
    value, _ = problem.value_and_gradient(THETA)
    assert calls == [(50,)]
    x = np.linspace(0.1, 1.0, 50)
    assert value == pytest.approx(np.sum(((0.9 * x) ** 3 - x) ** 2), rel=1e-12)


def recorded(program: Callable[..., Any], *start: Any) -> Graph:
    with Tape() as tape:
        return tape.graph([program(*(tape.input(str(i), x) for i, x in enumerate(start)))])


def test_graphs_of_different_functions_or_static_arguments_differ() -> None:
    def made(factor: float) -> Any:
        return primitive(lambda x: factor * x, vjp=lambda g, y, x: factor * g)

    def scaled(x: Any, table: Any) -> Any:
        return x * table[0]

    f, g = made(2.0), made(3.0)  # of the same name
    lookup = primitive(scaled, vjp=lambda g, y, x, table: (g * table[0], None))
    long = np.arange(5000)
    other = long.copy()
    other[2500] = 0
    programs: list[Callable[..., Any]] = [
        f, g, lambda x: lookup(x, long), lambda x: lookup(x, other), lambda x: lookup(x, [2, 1]),
    ]  # fmt: skip
    kinds = [template_of(recorded(p, 1.5)).path for p in programs]
    assert all(a != b for a, b in itertools.combinations(kinds, 2))
    assert kinds == [template_of(recorded(p, 2.5)).path for p in programs]
    graph = recorded(lambda x: f(x) + g(x), 1.5)
    assert Program(simplify(value_and_gradient(graph))).run({"0": np.float64(2.0)}) == [10.0, 5.0]
    assert not suits(graph)
    assert "<lambda>" in str(graph)


def test_a_guard_may_hang_on_what_a_primitive_gives() -> None:
    f = table()
    graph = recorded(lambda x: f(x) if f(x) > 1 else x, np.float64(2.0))
    assert Program(graph).run({"0": np.float64(3.0)}) == [27.0]
    assert Program(graph).run({"0": np.float64(0.5)}) is None


# ---- misuse


def test_a_param_inside_is_refused_in_a_fit() -> None:
    inside = custom_vjp(lambda x: x * omega)
    inside.defvjp(lambda g, y, x: g * omega)
    assert grad(inside)(2.0) == 0.8  # without a fit, a Param is its value
    with Tape() as tape, pytest.raises(TraceError, match=r"reads the Param declared.*argument"):
        inside(tape.input("x", 1.0))
    late = custom_vjp(lambda x: x)
    late.defvjp(lambda g, y, x: g * omega)
    with pytest.raises(TraceError, match=r"reads the Param declared at .*test_custom\.py"):
        value_and_gradient(recorded(late, 2.0))


def test_a_traced_value_from_around_is_refused() -> None:
    def outer(w: Any) -> Any:
        f = custom_vjp(lambda x: x * w)
        f.defvjp(lambda g, y, x: g * w)
        return f(w)

    with pytest.raises(TraceError, match="computes with a traced value that is not among its"):
        grad(outer)(2.0)


def custom(rule: Callable[..., Any], f: Callable[..., Any] = np.sin) -> Any:
    made = custom_vjp(f)
    made.defvjp(rule)
    return made


def first(x: Any) -> Any:
    return x["a"]


def by_jvp(rule: Callable[..., Any]) -> Any:
    made = custom_jvp(lambda x: {"y": x})
    made.defjvp(rule)
    return lambda x: made(x)["y"]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: primitive(np.sin), r"sin needs vjp= or jvp=.*stop_gradient"),
        (lambda: grad(custom_vjp(lambda x: x))(1.0), "no rule for its derivative.*defvjp"),
        (lambda: grad(custom_jvp(lambda x: x))(1.0), "no rule for its derivative.*defjvp"),
        (lambda: grad(custom(lambda g, y, x: (g, g)))(1.0), r"returned \(.*, not real num"),
        (lambda: grad(custom(lambda g, y, a, b: g, np.add))(1.0, 2.0), "must return 2 cotangents"),
        (lambda: grad(custom(lambda g, y, x: np.ones(2)))(1.0), r"shape \(2,\) instead of \(\)"),
        (lambda: grad(custom(lambda g, y, x: {"x": g}, first))({"a": 1.0}), "another structure"),
        (lambda: grad(by_jvp(lambda t, y, x: t[0]))(1.0), "tangent of the result in another struc"),
        (lambda: grad(custom(np.multiply, lambda x: "a"))(1.0), "returned 'a', not real numbers"),
        (lambda: grad(custom(np.multiply, lambda x: {"k": 1j}))(1.0), r"returned 1j at \['k'\]"),
        (lambda: grad(lambda x: wave({"x": X, "y": x}, 2, scale=x)["n"])(1.0), "by keyword"),
    ],
)
def test_misuse_is_explained(use: Callable[[], Any], message: str) -> None:
    with pytest.raises(DerivativeError) as error:
        use()
    where, said = str(error.value).split("\n", 1)  # the line itself holds the pattern, too
    assert "test_custom.py:" in where
    assert re.search(message, said), said


def test_a_result_that_changes_its_shape_is_noticed() -> None:
    length = [2]
    f = primitive(lambda x: np.ones(length[0]) * x, vjp=lambda g, y, x: np.sum(g))
    graph = recorded(lambda x: np.sum(f(x)), 1.0)
    program = Program(graph)
    assert program.run({"0": np.float64(2.0)}) == [4.0]
    length[0] = 3
    with pytest.raises(ValueError, match="where before"):
        program.run({"0": np.float64(2.0)})
