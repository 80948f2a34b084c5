"""Gradients of roots and fixed points: to higher orders, in containers, of an ODE, in a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from softtape import (
    DerivativeError,
    check_grads,
    custom_fixed_point,
    custom_root,
    grad,
    hessian,
    jacobian,
    jvp,
)
from softtape.graph import Graph
from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape


@custom_root(lambda x, a, b: np.cos(x) * a - x * b)
def crossing(start: Any, a: Any, b: Any) -> Any:
    """By a solver that could never be traced."""
    assert type(a) in (float, np.float64)
    return brentq(lambda x: np.cos(x) * a - x * b, 0.0, 1.5, xtol=1e-15, rtol=1e-14)


@custom_fixed_point(lambda x, m, c: np.tanh(m @ x) + c)
def settled(start: Any, m: Any, c: Any) -> Any:
    x = start
    for _ in range(200):
        x = np.tanh(m @ x) + c
    return x


M = np.array([[0.3, -0.2], [0.1, 0.4]])
C = np.array([0.5, -0.3])


def test_a_root_to_third_order_in_both_modes() -> None:
    check_grads(lambda a, b: crossing(0.5, a, b), (1.2, 0.9), order=3, rtol=1e-5)
    x = crossing(0.5, 1.0, 1.0)
    assert grad(crossing, 1)(0.5, 1.0, 1.0) == pytest.approx(np.cos(x) / (1 + np.sin(x)))
    assert grad(crossing, 0)(0.5, 1.0, 1.0) == 0.0


def test_a_fixed_point_is_differentiated_as_its_iteration_is() -> None:
    def unrolled(m: Any, c: Any) -> Any:
        x = np.zeros(2)
        for _ in range(60):
            x = np.tanh(m @ x) + c
        return x

    ours = jacobian(lambda m, c: settled(np.zeros(2), m, c), (0, 1))(M, C)
    for found, wanted in zip(ours, jacobian(unrolled, (0, 1))(M, C), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-11)
    second = hessian(lambda c: np.sum(settled(np.zeros(2), M, c) ** 2))(C)
    np.testing.assert_allclose(second, hessian(lambda c: np.sum(unrolled(M, c) ** 2))(C), rtol=1e-9)


def reactor(state: Any, p: Any) -> Any:
    """Rates of a stirred tank in which a becomes b, and a pair of b becomes c."""
    first = p["k"][0] * state["a"]
    second = p["k"][1] * state["b"] ** 2
    return {
        "a": p["inflow"] - first - state["a"],
        "b": first - 2 * second - state["b"],
    }


@custom_root(reactor)
def steady_state(start: Any, p: Any) -> Any:
    """Follow the ODE (Runge-Kutta 4) until nothing moves any more."""
    state, dt = start, 0.05
    for _ in range(4000):
        k1 = reactor(state, p)
        k2 = reactor({n: x + dt / 2 * k1[n] for n, x in state.items()}, p)
        k3 = reactor({n: x + dt / 2 * k2[n] for n, x in state.items()}, p)
        k4 = reactor({n: x + dt * k3[n] for n, x in state.items()}, p)
        state = {n: x + dt / 6 * (k1[n] + 2 * k2[n] + 2 * k3[n] + k4[n]) for n, x in state.items()}
        if max(abs(v) for v in k1.values()) < 1e-15:
            break
    return state


def test_the_steady_state_of_an_ode_in_its_rate_constants() -> None:
    p = {"k": np.array([1.5, 0.8]), "inflow": 2.0}
    start = {"a": 0.0, "b": 0.0}
    made = grad(lambda p: steady_state(start, p)["b"])(p)

    def exact(p: Any) -> Any:
        a = p["inflow"] / (1 + p["k"][0])
        return (np.sqrt(1 + 8 * p["k"][1] * p["k"][0] * a) - 1) / (4 * p["k"][1])

    wanted = grad(exact)(p)
    np.testing.assert_allclose(made["k"], wanted["k"], rtol=1e-11)
    assert made["inflow"] == pytest.approx(wanted["inflow"], rel=1e-11)
    tangent = jvp(lambda p: steady_state(start, p)["b"], (p,), (p,))[1]
    assert tangent == pytest.approx(jvp(exact, (p,), (p,))[1], rel=1e-11)


def test_a_fit_of_what_a_solver_finds() -> None:
    def term(b: float) -> Term:
        def trace(values: Any) -> Graph:
            with Tape() as tape:
                return tape.graph([(crossing(0.5, tape.input("a", values["a"]), b) - 0.6) ** 2])

        return Term(str(b), trace({"a": np.float64(1.0)}), trace)

    problem = Objective([term(b) for b in (0.8, 0.9, 1.0)], Layout({"a": ()}))

    def total(a: float) -> float:
        return sum((crossing(0.5, a, b) - 0.6) ** 2 for b in (0.8, 0.9, 1.0))

    value, gradient = problem.value_and_gradient(np.array([1.2]))
    assert value == pytest.approx(total(1.2), rel=1e-12)
    h = 1e-5
    assert gradient[0] == pytest.approx((total(1.2 + h) - total(1.2 - h)) / (2 * h), rel=1e-7)


def test_arguments_that_are_no_floats_and_roots_that_depend_on_nothing() -> None:
    @custom_root(lambda x, n, a: x**n - a)
    def nth_root(start: Any, n: int, a: Any) -> Any:
        return a ** (1 / n)

    assert grad(nth_root, 2)(1.0, 3, 8.0) == pytest.approx(1 / 12)
    assert grad(lambda s: nth_root(s, 3, 8.0) * s)(2.0) == pytest.approx(2.0)
    alone = custom_root(lambda x: x - 1.0)(lambda start: 1.0 + 0 * start)
    assert grad(lambda s: alone(s) * s)(2.0) == 1.0


def test_misuse_and_singular_points() -> None:
    few = custom_root(lambda x, a: np.sum(x) - a)(lambda start, a: np.ones(2) * a)
    with pytest.raises(DerivativeError, match="returned 1 numbers for the 2 numbers of x"):
        grad(lambda a: np.sum(few(np.ones(2), a)))(1.0)
    double = custom_root(lambda x, a: (x - a) ** 2)(lambda start, a: a)
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        grad(double, 1)(0.0, 1.0)
