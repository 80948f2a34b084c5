"""Derivatives of functions, against autograd, complex steps and difference quotients."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softtape import (
    DerivativeError,
    Param,
    SoftError,
    TraceError,
    check_grads,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    stop_gradient,
    value_and_grad,
    vjp,
)
from softtape.engines import Program
from softtape.graph import Graph
from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape
from softtape.transforms import value_and_gradient

Function = Callable[..., Any]
X = np.array([0.7, -0.4, 1.3])

# each is given the numpy module to use
PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "polynomial": lambda np, x: np.sum(x**3) * x[0] - x[1] * x[2] ** 2,
    "layers": lambda np, x: np.sum(np.tanh(np.outer(x, x) @ x) ** 2),
    "rational": lambda np, x: np.sum(np.exp(-x) / (1.0 + x**2)) * np.log(2.0 + x[0]),
    "solve": lambda np, x: np.linalg.solve(np.outer(x, x) + 3 * np.eye(3), np.sin(x)) @ x,
    "indices": lambda np, x: np.sum(x[::-1] * x) + np.prod(x[:2]) + np.max(x) ** 3,
    "joining": lambda np, x: np.sum(np.cumsum(np.concatenate([x, np.cos(x)])) ** 2),
    "norm": lambda np, x: np.sqrt(np.sum(x * x)) ** 3 + np.std(x),
    "branch": lambda np, x: x[0] ** 3 * x[1] if x[0] > x[1] else x[1] * 2.0,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_first_to_third_order_against_autograd(name: str) -> None:
    def ours(x: Any) -> Any:
        return PROGRAMS[name](np, x)

    def peer(x: Any) -> Any:
        return PROGRAMS[name](anp, x)

    value, gradient = value_and_grad(ours)(X)
    assert value == pytest.approx(peer(X), rel=1e-14)
    np.testing.assert_allclose(gradient, autograd.grad(peer)(X), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(hessian(ours)(X), autograd.hessian(peer)(X), rtol=1e-9, atol=1e-11)
    third = autograd.jacobian(autograd.hessian(peer))(X)
    np.testing.assert_allclose(jacobian(hessian(ours))(X), third, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", PROGRAMS)
def test_all_ways_to_second_derivatives_agree(name: str) -> None:
    def f(x: Any) -> Any:
        return PROGRAMS[name](np, x)

    v, w = np.array([0.3, 1.0, -0.5]), np.array([-1.0, 0.2, 0.4])

    def by_jvp(x: Any) -> Any:
        return jvp(f, (x,), (v,))[1]

    def by_vjp(x: Any) -> Any:
        return vjp(f, x)[1](1.0)[0]

    wanted = w @ hessian(f)(X) @ v
    for found in (
        jvp(by_jvp, (X,), (w,))[1],
        vjp(by_jvp, X)[1](1.0)[0] @ w,
        jvp(by_vjp, (X,), (w,))[1] @ v,
        vjp(by_vjp, X)[1](v)[0] @ w,
        hvp(f, (X,), (v,))[0] @ w,
        grad(lambda x: grad(f)(x) @ v)(X) @ w,
    ):
        assert found == pytest.approx(wanted, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("name", sorted(set(PROGRAMS) - {"solve", "indices", "branch", "norm"}))
def test_gradients_against_complex_steps(name: str) -> None:
    gradient = grad(lambda x: PROGRAMS[name](np, x))(X)
    for i in range(3):
        step = np.zeros(3, complex)
        step[i] = 1e-30j
        slope = PROGRAMS[name](np, X + step).imag / 1e-30
        assert gradient[i] == pytest.approx(slope, rel=1e-13)


def test_many_orders_of_a_number() -> None:
    f: Function = lambda x: np.sin(2.0 * x)  # noqa: E731
    for order in range(1, 6):
        f = grad(f)
        wanted = 2.0**order * np.sin(1.4 + order * np.pi / 2)
        assert f(0.7) == pytest.approx(wanted, rel=1e-12)
    zero = grad(grad(grad(lambda x: x**2)))(3.0)
    assert zero == 0.0


def test_reference_values_of_hvp_and_jacobians() -> None:
    def f(x: Any, y: Any) -> Any:
        return {"a": x * y, "b": [np.sum(x) * y]}

    made = jacobian(f, (0, 1))(np.array([1.0, 2.0]), 3.0)
    np.testing.assert_array_equal(made["a"][0], 3 * np.eye(2))
    np.testing.assert_array_equal(made["a"][1], [1.0, 2.0])
    np.testing.assert_array_equal(made["b"][0][0], [3.0, 3.0])
    assert made["b"][0][1] == 3.0
    products = hvp(lambda x, y: np.sum(x**2) * y, (np.array([1.0, 2.0]), 3.0), (np.ones(2), 0.0))
    np.testing.assert_array_equal(products[0], [6.0, 6.0])
    assert products[1] == 6.0


@pytest.mark.parametrize("shape", [(2, 3), (5, 2), (2, 5), (0, 2), (2, 0)])
def test_a_jacobian_is_the_same_by_rows_and_by_columns(shape: tuple[int, int]) -> None:
    # whichever sweeps are fewer: outputs against inputs decide
    m, n = shape
    matrix = np.arange(1.0, m * n + 1).reshape(m, n)
    made = jacobian(lambda x: np.sin(matrix @ x))(np.linspace(0, 1, n))
    np.testing.assert_allclose(made, np.cos(matrix @ np.linspace(0, 1, n))[:, None] * matrix)


# ---- nesting


def test_perturbations_are_not_confused() -> None:
    # Siskind and Pearlmutter, 2005
    by_grad = grad(lambda x: x * grad(lambda y: x + y)(1.0))
    by_jvp = jvp(lambda x: x * jvp(lambda y: x + y, (1.0,), (1.0,))[1], (1.0,), (1.0,))[1]
    assert by_grad(1.0) == by_jvp == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0) == 6.0
    assert (
        grad(lambda x: grad(lambda y: y * grad(lambda z: x * y * z * z)(y))(x))(2.0) == 72.0
    )  # 18 x²
    mixed = grad(lambda x: jvp(lambda y: y * x * grad(lambda z: x * z * y)(x), (x,), (1.0,))[1])
    assert mixed(2.0) == 2 * 3 * 4.0  # d/dx 2 x³
    carried = grad(lambda x: vjp(lambda y: y * x, x)[1](x)[0])
    assert carried(3.0) == 6.0


def test_a_closure_over_an_outer_value_keeps_its_gradient() -> None:
    def loss(w: Any) -> Any:
        def u(t: Any) -> Any:
            return np.tanh(w[0] * t) * w[1]

        points = np.array([0.1, 0.5, 0.9])
        return sum((grad(u)(t) + u(t) - 1.0) ** 2 for t in points)

    w = np.array([0.8, 1.7])

    def plain(w: Any) -> Any:
        t = np.array([0.1, 0.5, 0.9])
        slope = w[1] * w[0] / np.cosh(w[0] * t) ** 2
        return np.sum((slope + w[1] * np.tanh(w[0] * t) - 1.0) ** 2)

    np.testing.assert_allclose(grad(loss)(w), autograd.grad(lambda w: _peer(w))(w), rtol=1e-12)
    assert loss(w) == pytest.approx(plain(w), rel=1e-14)


def _peer(w: Any) -> Any:
    t = anp.array([0.1, 0.5, 0.9])
    slope = w[1] * w[0] / anp.cosh(w[0] * t) ** 2
    return anp.sum((slope + w[1] * anp.tanh(w[0] * t) - 1.0) ** 2)


def test_an_inner_derivative_that_meets_no_outer_value_is_plain() -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.append(grad(np.sin)(0.5))
        return x * seen[-1]

    assert grad(f)(2.0) == pytest.approx(np.cos(0.5))
    assert type(seen[0]) is np.float64


omega = Param(1.2, name="omega")
shift = Param(np.array([0.3, -0.1]), name="shift")


def residual(x: Any) -> Any:
    """Of the equation u'' + u = 0 for u(x) = sin(ω x + s₀) + s₁ x², a derivative in a loss."""

    def u(x: Any) -> Any:
        return np.sin(omega * x + shift[0]) + shift[1] * x**2

    return (grad(grad(u))(x) + u(x)) ** 2


def plain_residual(w: float, s0: float, s1: float, x: float) -> Any:
    return ((1 - w * w) * np.sin(w * x + s0) + s1 * (2 + x * x)) ** 2


def recorded(program: Callable[[], Any]) -> Graph:
    with Tape() as tape:
        return tape.graph([program()])


def test_a_derivative_in_a_loss_stays_connected_to_params() -> None:
    graph = recorded(lambda: residual(0.7))
    assert set(graph.inputs) == {omega.key, shift.key}
    run = Program(value_and_gradient(graph)).run(
        {omega.key: np.float64(0.9), shift.key: np.array([0.2, 0.4])}
    )
    assert run is not None
    value, *slopes = run
    by_key = dict(zip(graph.inputs, slopes, strict=True))
    assert value == pytest.approx(plain_residual(0.9, 0.2, 0.4, 0.7), rel=1e-12)
    wanted = grad(plain_residual, (0, 1, 2))(0.9, 0.2, 0.4, 0.7)
    assert by_key[omega.key] == pytest.approx(wanted[0], rel=1e-11)
    np.testing.assert_allclose(by_key[shift.key], wanted[1:], rtol=1e-11)
    # without a tape, Params act as their values
    assert residual(0.7) == pytest.approx(plain_residual(1.2, 0.3, -0.1, 0.7), rel=1e-12)


def test_cases_with_derivatives_in_their_loss_are_evaluated_together() -> None:
    keys = [omega.key, shift.key]
    layout = Layout({omega.key: (), shift.key: (2,)})

    def term(x: float) -> Term:
        def trace(values: Any) -> Graph:
            with Tape(start=lambda param: values[param.key]) as tape:
                return tape.graph([residual(x)])

        start = {omega.key: np.float64(1.2), shift.key: np.array([0.3, -0.1])}
        return Term(str(x), trace(start), trace)

    points = np.linspace(0.1, 2.0, 7)
    problem = Objective([term(x) for x in points], layout)
    theta = np.array([0.9, 0.2, 0.4])
    assert list(layout.unpack(theta)) == keys
    value, gradient = problem.value_and_gradient(theta)

    def total(w: Any, s0: Any, s1: Any) -> Any:
        return np.sum(plain_residual(w, s0, s1, points))

    assert value == pytest.approx(total(*theta), rel=1e-12)
    np.testing.assert_allclose(gradient, grad(total, (0, 1, 2))(*theta), rtol=1e-11)
    assert len({t.path for t in problem.terms}) == 1
    assert problem.retraces == 0


def test_a_branch_inside_an_inner_derivative_is_guarded() -> None:
    def program() -> Any:
        return grad(lambda x: x**3 if x > 1 else x**2)(omega)

    graph = recorded(program)
    assert Program(graph).run({omega.key: np.float64(2.0)}) == [12.0]
    assert Program(graph).run({omega.key: np.float64(0.5)}) is None


def test_a_derivative_of_a_program_by_its_argument_and_by_a_param() -> None:
    assert grad(lambda w, x: w * x)(omega, 3.0) == 3.0
    made = grad(lambda p: p["w"] ** 2)({"w": omega})
    assert made == {"w": pytest.approx(2.4)}


# ---- programs as people write them


def test_control_flow_follows_the_values_at_each_call() -> None:
    def f(x: Any) -> Any:
        while x < 10:
            x = x * x
        return x

    made = grad(f)
    assert [made(x) for x in (11.0, 5.0, 2.0)] == [1.0, 10.0, 32.0]


def test_a_constant_behind_a_branch_has_slope_zero() -> None:
    made = value_and_grad(lambda x: 0.0 if x < 0 else x)
    assert made(-1.0) == (0.0, 0.0)
    assert made(2.0) == (2.0, 1.0)
    np.testing.assert_array_equal(
        hessian(lambda x: np.sum(x) if x[0] > 0 else 1.0)(X), np.zeros((3, 3))
    )


def test_math_and_array_makers_are_followed() -> None:
    def f(x: Any) -> Any:
        return np.array([math.sin(x[0]) * x[1], x[0]]) @ np.array([2.0, 1.0])

    np.testing.assert_allclose(
        grad(f)(np.array([0.5, 3.0])), [6 * math.cos(0.5) + 1, 2 * math.sin(0.5)]
    )
    assert type(math.sin(0.5)) is float


def test_widths_are_kept() -> None:
    x = np.array([1.0, 2.0], np.float32)
    value, made = value_and_grad(lambda x: np.sum(x * x) * np.float64(1.5))(x)
    assert (value.dtype, made.dtype) == (np.float64, np.float32)
    assert jacobian(lambda x: x * x)(x).dtype == np.float32
    assert jvp(lambda x: x * x, (x,), (np.ones(2),))[1].dtype == np.float32
    assert grad(lambda x: x)(np.float32(1.0)).dtype == np.float32


def test_stop_gradient_in_the_functional_form() -> None:
    assert grad(lambda x: x * stop_gradient(x))(3.0) == 3.0


def test_keyword_and_other_arguments_may_be_anything() -> None:
    def f(x: Any, kind: str, *, n: int) -> Any:
        return x**n if kind == "power" else x

    assert grad(f)(2.0, "power", n=3) == 12.0
    assert grad(f, -2)(2.0, "power", n=3) == 12.0
    assert grad(f).__name__ == "grad(f)"


def test_slopes_at_zero_and_infinity_do_not_warn() -> None:
    assert grad(np.sqrt)(0.0) == np.inf
    assert grad(lambda x: np.where(x > 0, x, 0.0) + x**2)(0.0) == 0.0


def test_vjp_may_be_pulled_back_many_times_and_adds_shared_results() -> None:
    value, back = vjp(lambda x, y: (x * y, x * y, y), 2.0, 3.0)
    assert value == (6.0, 6.0, 3.0)
    assert back((1.0, 0.0, 0.0)) == (3.0, 2.0)
    assert back((1.0, 1.0, 1.0)) == (6.0, 5.0)
    _, of_itself = vjp(lambda x: (x, x), 2.0)
    assert of_itself((1.0, 2.0)) == (3.0,)


def test_threads_do_not_disturb_each_other() -> None:
    def one(i: int) -> float:
        return float(grad(lambda x: grad(lambda y: math.sin(x * y) * i)(x))(0.5 + i))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(40))) == [one(i) for i in range(40)]
    assert type(math.sin(0.5)) is float


def test_production_does_not_import_the_derivatives() -> None:
    script = (
        "import sys, softtape; assert 'grad' in dir(softtape); "
        "assert not any('functional' in name for name in sys.modules); "
        "assert softtape.grad(lambda x: x * x)(3.0) == 6.0; softtape.gard"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "AttributeError: module 'softtape' has no attribute 'gard'" in done.stderr


# ---- containers


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclasses.dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any

    def __post_init__(self) -> None:
        assert isinstance(self.bias, float)

    def __call__(self, x: Any) -> Any:
        return np.tanh(self.weight @ x + self.bias)


def test_dataclasses_named_tuples_and_empty_containers() -> None:
    layer = Layer(np.array([[1.0, 2.0], [0.5, -1.0]]), 0.3)
    x = np.array([0.2, 0.4])
    made = grad(lambda p: np.sum(p[0](x)) * p[1].left)((layer, Pair(2.0, {"none": []})))
    assert type(made[0]) is Layer
    assert made[1] == Pair(pytest.approx(np.sum(layer(x))), {"none": []})
    slope = 2.0 * (1 - layer(x) ** 2)
    np.testing.assert_allclose(made[0].weight, np.outer(slope, x), rtol=1e-14)
    assert made[0].bias == pytest.approx(np.sum(slope), rel=1e-14)
    second = hessian(lambda p: np.sum(p(x)))(layer)
    assert type(second.weight) is Layer
    np.testing.assert_allclose(second.weight.bias, second.bias.weight, rtol=1e-13)


numbers = st.floats(-1, 1, allow_subnormal=False)
shapes = st.sampled_from([(), (1,), (3,), (2, 2), (1, 3), (0,)])
leaves = shapes.map(lambda s: np.ones(s)[()])
containers = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        | st.tuples(inner, inner).map(lambda pair: Pair(*pair))
    ),
    max_leaves=5,
)


def fold(f: Callable[[Any], Any], value: Any) -> Any:
    """The sum of ``f`` over all leaves, by a way of our own through the containers."""
    if isinstance(value, dict):
        return sum((fold(f, v) for v in value.values()), 0.0)
    if isinstance(value, (list, tuple)):
        return sum((fold(f, v) for v in value), 0.0)
    return f(value)


def filled(value: Any, source: np.random.Generator) -> Any:
    if isinstance(value, dict):
        return {k: filled(v, source) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [filled(v, source) for v in value]
        return Pair(*parts) if isinstance(value, Pair) else type(value)(parts)
    return source.uniform(-1, 1, np.shape(value))[()]


@settings(max_examples=30)
@given(containers, st.integers(0, 2**16))
def test_any_container_to_second_order(shape: Any, seed: int) -> None:
    source = np.random.default_rng(seed)
    x, v = filled(shape, source), filled(shape, source)

    def f(x: Any, y: Any) -> Any:
        total = fold(lambda leaf: np.sum(np.sin(leaf) * leaf), x)
        return total**2 + y * np.exp(0.1 * total)

    check_grads(f, (x, 0.5), order=2)
    product = hvp(f, (x, 0.5), (v, 0.3))
    gradient = grad(f, (0, 1))

    def along(t: float) -> Any:
        moved = _moved(x, v, t)
        g, h = gradient(moved, 0.5 + 0.3 * t)
        return _flat(g), h

    h = 1e-5
    (a, c), (b, d) = along(h), along(-h)
    np.testing.assert_allclose(_flat(product[0]), (a - b) / (2 * h), rtol=1e-6, atol=1e-7)
    assert product[1] == pytest.approx((c - d) / (2 * h), rel=1e-6, abs=1e-7)


def _flat(value: Any) -> Any:
    out: list[Any] = []
    fold(lambda leaf: out.extend(np.ravel(leaf)) or 0.0, value)
    return np.array(out)


def _moved(x: Any, v: Any, t: float) -> Any:
    if isinstance(x, dict):
        return {k: _moved(x[k], v[k], t) for k in x}
    if isinstance(x, (list, tuple)):
        parts = [_moved(a, b, t) for a, b in zip(x, v, strict=True)]
        return Pair(*parts) if isinstance(x, Pair) else type(x)(parts)
    return x + t * v


# ---- misuse: each message names the place and the way out

F = np.array([1.0, 2.0])
MISUSE: dict[str, tuple[Callable[[], Any], str]] = {
    "array": (lambda: grad(lambda x: x)(F), r"shape \(2,\).*softtape\.jacobian, or sum"),
    "container": (lambda: grad(lambda x: (x, x))(1.0), r"returned a tuple.*softtape\.jacobian"),
    "integer": (lambda: grad(lambda x: x)(3), r"argument 0 is 3 \(int.*such as 3\.0"),
    "integers": (lambda: grad(np.sum)(np.arange(3)), r"ndarray of int64.*astype\(float\)"),
    "truth": (lambda: grad(lambda x: x)(True), r"argument 0 is True \(bool"),
    "complex": (lambda: grad(lambda x: x)(1j), r"complex.*real and imaginary"),
    "string": (
        lambda: grad(lambda p: p["a"])({"a": 1.0, "kind": "tanh"}),
        r"0\['kind'\] is 'tanh'",
    ),
    "field": (lambda: grad(lambda p: p.left)(Pair(1.0, None)), r"argument 0\[1\] is None"),
    "no container": (lambda: grad(lambda p: p["a"])(OrderedDict(a=1.0)), "argument 0 is Ordered"),
    "no such argument": (lambda: grad(lambda x: x, 1)(1.0), "called with 1 positional argument;"),
    "keyword": (lambda: grad(lambda x: x)(x=1.0), "0 positional arguments; those given by keyw"),
    "argnums": (lambda: grad(lambda x: x, "x")(1.0), "argnums='x' is neither an integer"),
    "list of argnums": (lambda: grad(lambda x: x, [0])(1.0), "neither an integer nor a tuple"),
    "twice": (lambda: grad(lambda x, y: x, (0, -2))(1.0, 2.0), "an argument twice"),
    "constant": (lambda: grad(lambda x: 3.0)(1.0), "returned 3.0, which was not computed from"),
    "nothing": (lambda: grad(lambda x: None)(1.0), "returned is None"),
    "whole result": (lambda: grad(np.argmax)(F), "int64.*no derivative"),
    "result": (lambda: jacobian(lambda x: {"y": x, "n": "a"})(1.0), r"returned\['n'\] is 'a'"),
    "bare primal": (lambda: jvp(np.sin, 1.0, 1.0), "primals and tangents are tuples"),
    "tangents": (lambda: jvp(np.sin, (1.0,), ()), "1 primals but 0 tangents"),
    "shape": (lambda: jvp(np.sin, (F,), (np.ones(3),)), r"tangents\[0\] has shape \(3,\), but"),
    "built": (
        lambda: jvp(lambda x: x[0], ([1.0],), ([1.0, 2.0],)),
        "not built like the primals",
    ),
    "cotangent": (lambda: vjp(np.sin, F)[1](1.0), r"cotangent has shape \(\)"),
    "cotangent kind": (lambda: vjp(np.sin, F)[1]("1"), "cotangent is '1'"),
    "order": (lambda: check_grads(np.sin, (1.0,), order=0), "order=0"),
    "modes": (lambda: check_grads(np.sin, (1.0,), modes=("forward",)), "'forward'"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_explained(name: str) -> None:
    use, message = MISUSE[name]
    with pytest.raises(DerivativeError) as error:
        use()
    where, said = str(error.value).split("\n", 1)  # the line itself holds the pattern, too
    assert "test_functional.py:" in where
    assert re.search(message, said), said
    assert isinstance(error.value, SoftError)


def test_leaving_the_tape_is_refused_as_in_a_fit() -> None:
    with pytest.raises(TraceError, match="Drop the call"):
        grad(lambda x: float(x) ** 2)(1.0)

    made = np.zeros(2)

    def filled(x: Any) -> Any:
        made[0] = x
        return np.sum(made)

    with pytest.raises(TraceError, match=r"np\.stack"):
        grad(filled)(1.0)
    kept = []
    grad(lambda x: kept.append(x) or x)(1.0)
    with pytest.raises(TraceError, match="outlived"):
        _ = kept[0] + 1.0
    with pytest.raises(TraceError, match="outlived"):
        grad(lambda x: x * kept[0])(1.0)


def test_an_error_in_the_function_is_its_own_and_leaves_nothing_open() -> None:
    with pytest.raises(ZeroDivisionError):
        grad(lambda x: x * (1 // 0))(1.0)
    assert grad(lambda x: x * x)(1.0) == 2.0
    assert type(math.sin(1.0)) is float


def test_check_grads_finds_a_wrong_derivative() -> None:
    def wrong(x: Any) -> Any:
        return np.sum(stop_gradient(x) * x)

    with pytest.raises(AssertionError, match=r"wrong: jvp is .*, but difference quotients give"):
        check_grads(wrong, (X,), order=1)
    with pytest.raises(AssertionError, match="vjp is"):
        check_grads(wrong, (X,), order=1, modes=["rev"])
    second = lambda x: np.sum(stop_gradient(x) * x * x + x**2) / 2  # noqa: E731
    with pytest.raises(AssertionError):
        check_grads(second, (X,), order=2)
