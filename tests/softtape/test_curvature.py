"""Products of the Hessian of the total loss, against complex steps of its gradient and autograd."""

from functools import partial

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

from softtape.coordinates import Coordinates, Simplex
from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape

LAYOUT = Layout({"a": (), "m": (2, 3), "s": (3,)})
RNG = np.random.default_rng(5)
ROWS = RNG.normal(size=(7, 3))


def loss(xp, row, a, m, s):
    h = xp.tanh(xp.dot(m, row) * a)
    return xp.sum(h**2) * xp.exp(-a) + xp.dot(s, row) ** 2 * a + xp.sum(xp.log(s + 2) * s)


def trace(row, values):
    with Tape() as tape:
        return tape.graph([loss(np, row, *(tape.input(key, values[key]) for key in "ams"))])


def objective(layout=LAYOUT):
    start = layout.unpack(np.full(10, 0.3))
    terms = [
        Term(f"test[{i}]", trace(row, start), partial(trace, row), weight=1.0 + i)
        for i, row in enumerate(ROWS)
    ]
    return Objective(terms, layout)


def by_autograd(theta):
    def total(theta):
        parts = theta[0], anp.reshape(theta[1:7], (2, 3)), theta[7:]
        return sum((1.0 + i) * loss(anp, row, *parts) for i, row in enumerate(ROWS))

    return autograd.hessian(total)(theta)


def test_products_are_those_of_the_hessian():
    problem, theta = objective(), RNG.uniform(0.1, 1, 10)
    hessian = by_autograd(theta)
    for direction in (np.eye(10)[0], RNG.normal(size=10)):
        product = problem.hessian_product(theta, direction)
        assert product == pytest.approx(hessian @ direction, rel=1e-11, abs=1e-11)
    columns = [problem.hessian_product(theta, e) for e in np.eye(10)]
    assert np.array(columns) == pytest.approx(hessian, rel=1e-11, abs=1e-11)


def test_on_a_log_scale_and_a_simplex():
    simplex = Simplex(slice(7, 10), 3, 1e-15)
    one, ends = np.array([0]), (np.array([1e-9]), np.array([1e9]))
    coordinates = Coordinates(one, np.array([0.7]), *ends, [simplex])
    problem = objective(Layout(LAYOUT.shapes, coordinates=coordinates))
    theta, direction = RNG.uniform(0.1, 1, 10), RNG.normal(size=10)
    step = 1e-6 * direction
    ahead, behind = (problem.value_and_gradient(theta + sign * step)[1] for sign in (1, -1))
    product = problem.hessian_product(theta, direction)
    assert product == pytest.approx((ahead - behind) / 2e-6, rel=1e-6, abs=1e-7)


def test_a_test_without_a_slope_adds_nothing():
    def flat(values):
        with Tape() as tape:
            tape.input("a", values["a"])
            return tape.graph([4.0])

    def square(values):
        with Tape() as tape:
            return tape.graph([tape.input("a", values["a"]) ** 2])

    terms = [Term(f.__name__, f({"a": 1.0}), f) for f in (flat, square)]
    problem = Objective(terms, Layout({"a": ()}))
    assert problem.hessian_product(np.ones(1), np.array([3.0])) == pytest.approx([6.0])
