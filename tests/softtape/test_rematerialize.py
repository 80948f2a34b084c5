"""Checkpointed functions: the same derivatives, with less memory; as nodes of a graph."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softtape import (
    Param,
    check_grads,
    checkpoint,
    custom_vjp,
    grad,
    hessian,
    hvp,
    jacobian,
    value_and_grad,
)
from softtape.engines import Program
from softtape.graph import Graph
from softtape.tape import Tape
from softtape.transforms import jacobian as graph_jacobian
from softtape.transforms import simplify, value_and_gradient
from softtape.transforms.template import template_of

omega = Param(0.9, name="omega")
X = np.array([0.4, -0.7, 1.1])


def segment(x: Any) -> Any:
    for _ in range(10):
        x = np.sin(x) * omega
    return x


def chain(step: Callable[[Any], Any], times: int = 10) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for _ in range(times):
            x = step(x)
        return np.sum(x * x)

    return run


def mixed(x: Any, p: Any, n: int, *, name: str = "w") -> Any:
    y = np.cumsum(x * p[name])
    return {"y": y**n if y[0] > 0 else y, "s": (np.sum(y), y[0] * p["b"])}


def test_derivatives_are_those_of_the_function() -> None:
    plain, kept = chain(segment), chain(checkpoint(segment))
    assert kept(X) == plain(X)
    assert value_and_grad(kept)(X)[0] == plain(X)
    np.testing.assert_allclose(grad(kept)(X), grad(plain)(X), rtol=1e-12)
    np.testing.assert_allclose(hessian(kept)(X), hessian(plain)(X), rtol=1e-10)
    np.testing.assert_allclose(
        jacobian(hessian(kept))(X), jacobian(hessian(plain))(X), rtol=1e-8, atol=1e-12
    )
    np.testing.assert_allclose(
        hvp(kept, (X,), (X,))[0], grad(lambda x: grad(plain)(x) @ X)(X), rtol=1e-10
    )


def test_containers_branches_and_static_arguments() -> None:
    p = {"w": 1.3, "b": np.float64(0.5)}
    check_grads(lambda x, p: checkpoint(mixed)(x, p, 2), (X, p), order=3)
    np.testing.assert_array_equal(checkpoint(mixed)(X, p, 2)["y"], mixed(X, p, 2)["y"])
    assert checkpoint(mixed).__name__ == "mixed"


def test_results_that_are_no_floats_come_as_they_are() -> None:
    @checkpoint
    def f(x: Any) -> Any:
        return x[0] * 2, "name", None, 3, np.argmax(x), x[0] > 0

    seen = []

    def whole(x: Any) -> Any:
        y, *others = f(x)
        seen.extend(others)
        return y

    np.testing.assert_array_equal(grad(whole)(X), [2.0, 0.0, 0.0])
    assert seen == ["name", None, 3, 2, True]
    assert grad(checkpoint(lambda x: 1.0 if x > 0 else x))(2.0) == 0.0


def test_the_second_derivative_inside_of_a_checkpoint() -> None:
    inner = checkpoint(lambda x: grad(lambda y: np.sum(np.sin(y * x)))(x))
    check_grads(inner, (X,), order=2)


def test_widths_are_kept() -> None:
    made = grad(lambda x: np.sum(checkpoint(np.sin)(x)))(X.astype(np.float32))
    assert made.dtype == np.float32


def peak(f: Callable[..., Any], x: Any) -> float:
    """Most memory in use while ``f`` is differentiated, in sizes of ``x``."""
    f(x)
    tracemalloc.start()
    try:
        f(x)
        return tracemalloc.get_traced_memory()[1] / x.nbytes
    finally:
        tracemalloc.stop()


def test_less_is_remembered() -> None:
    # 100 steps of two operations each: 10 results, and one segment of 20 at a time
    x = np.linspace(0.0, 1.0, 20_000)
    assert peak(grad(chain(segment)), x) > 190
    assert peak(grad(chain(checkpoint(segment))), x) < 50


# ---- in a graph


def recorded(program: Callable[[Any], Any], x: Any) -> Graph:
    with Tape() as tape:
        return tape.graph([program(tape.input("x", x))])


def test_one_node_of_a_graph_with_params_and_guards() -> None:
    part = checkpoint(lambda x: x**3 * omega if x > 1 else x)
    graph = recorded(lambda x: part(x) ** 2, np.float64(2.0))
    assert sum(op == "call" for op, _, _ in graph.nodes) == 1
    inputs = {"x": np.float64(3.0), omega.key: np.float64(0.5)}
    assert Program(graph).run(inputs) == [(27 * 0.5) ** 2]
    assert Program(graph).run({**inputs, "x": np.float64(0.5)}) is None
    wanted = {"x": 2 * 13.5 * 27 * 0.5, omega.key: 2 * 13.5 * 27}
    for derived in (value_and_gradient(graph), graph_jacobian(graph)):
        made = Program(simplify(derived)).run(inputs)
        assert made is not None
        assert dict(zip(graph.inputs, made[1:], strict=True)) == pytest.approx(wanted)


def test_a_graph_remembers_less_too() -> None:
    x = np.linspace(0.0, 1.0, 20_000)

    def held(step: Callable[[Any], Any]) -> tuple[Any, int]:
        """Gradient, and the memory its program keeps from one run to the next."""
        graph = simplify(value_and_gradient(recorded(chain(step), x)))
        tracemalloc.start()
        try:
            program = Program(graph)
            made = program.run({"x": x, omega.key: np.float64(0.9)})
            return made, tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    plain, kept = held(segment), held(checkpoint(segment))
    np.testing.assert_allclose(kept[0][1], plain[0][1], rtol=1e-12)
    assert plain[1] > 3 * kept[1]


def test_signatures_tell_parts_apart() -> None:
    long = np.arange(5000.0)
    other = long.copy()
    other[2500] = 0.5

    def kind(f: Callable[[Any], Any]) -> Any:
        return template_of(recorded(lambda x: np.sum(checkpoint(f)(x)), np.float64(2.0))).path

    programs: list[Callable[[Any], Any]] = [
        np.sin, np.cos, lambda x: x * 2.0, lambda x: x * 3.0, lambda x: x * long,
        lambda x: x * other,
    ]  # fmt: skip
    kinds = [kind(f) for f in programs]
    assert len(set(kinds)) == len(kinds)
    assert kinds == [kind(f) for f in programs]


def test_a_function_with_rules_inside() -> None:
    f = custom_vjp(lambda x: x**3)
    f.defvjp(lambda g, y, x: g * 3 * x**2)
    check_grads(checkpoint(lambda x: f(x) * x), (X,), order=2)
