"""Newton-CG on the total loss of tests, whose Hessian is asked for by products alone."""

import numpy as np
import pytest

from softtape import SoftError
from softtape.objective import Layout, Objective, Term
from softtape.optimize import Bounds, NewtonCG, Snapshot, minimize
from softtape.tape import Tape
from tests.unconstrained.test_unconstrained import PROBLEMS


def total(loss, start):
    """Return the objective of one soft test that takes a list of numbers."""
    keys = [f"x{i:02}" for i in range(len(start))]

    def trace(values):
        with Tape() as tape:
            return tape.graph([loss([tape.input(key, float(values[key])) for key in keys])])

    graph = trace(dict(zip(keys, start, strict=True)))
    return Objective([Term("test", graph, trace)], Layout(dict.fromkeys(keys, ())))


def fit(objective, start, bounds=None, **options):
    bounds = bounds or Bounds.unbounded(len(start))
    start = np.array(start, dtype=float)
    with np.errstate(all="ignore"):
        return minimize(objective, start, optimizer=NewtonCG(), bounds=bounds, **options)


def rosenbrock(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def test_a_quadratic_takes_one_step():
    weights = np.logspace(0, 3, 8)

    def loss(x):
        return sum(w * (c - i) ** 2 for i, (w, c) in enumerate(zip(weights, x, strict=True)))

    start = [2.0] * 8
    result = fit(total(loss, start), start, max_steps=1)
    assert result.theta == pytest.approx(np.arange(8), abs=1e-9)
    assert result.evaluations <= 2 + 2 * 8


@pytest.mark.parametrize(
    "name",
    [
        *("1 Rosenbrock", "3 Powell badly scaled", "4 Brown badly scaled", "5 Beale"),
        *("7 helical valley", "8 Bard", "13 Powell singular", "14 Wood", "15 Kowalik and Osborne"),
        *("16 Brown and Dennis", "25 variably dimensioned", "26 trigonometric"),
        *("28 discrete boundary value", "31 Broyden banded", "33 linear, rank 1"),
    ],
)
def test_it_reaches_the_published_minimum(name):
    problem = PROBLEMS[name]
    loss = total(lambda x: sum(r * r for r in problem.residuals(x)), problem.start)
    result = fit(loss, problem.start)
    assert result.status.converged
    assert any(
        result.value <= 1e-16 if minimum == 0 else result.value == pytest.approx(minimum, rel=1e-5)
        for minimum in problem.minima
    )


def test_it_leaves_a_saddle_by_negative_curvature():
    start = [1e-3, 0.5]
    result = fit(total(lambda x: (x[0] ** 2 - 1) ** 2 + x[1] ** 2, start), start)
    assert result.theta == pytest.approx([1.0, 0.0], abs=1e-7)
    assert result.steps < 15


def test_an_optimum_on_a_bound():
    bounds = Bounds(np.array([-2.0, -2.0]), np.array([0.5, 2.0]))
    result = fit(total(rosenbrock, (-1.2, 1.0)), (-1.2, 1.0), bounds)
    assert result.theta == pytest.approx([0.5, 0.25], abs=1e-9)
    assert result.theta[0] == 0.5
    assert result.status.converged


def test_units_of_a_millionth_beside_a_million():
    unit, start = (1e-6, 1e6), (-1.2e-6, 1.0e6)
    result = fit(total(lambda x: rosenbrock([x[0] / 1e-6, x[1] / 1e6]), start), start)
    assert result.theta / unit == pytest.approx([1.0, 1.0], rel=1e-9)
    assert result.steps < 40


def test_the_rest_is_the_same_from_every_step():
    snapshots, start = [], (-1.2, 1.0)
    whole = fit(total(rosenbrock, start), start, snapshots=snapshots.append)
    for snapshot in snapshots:
        resumed = Snapshot.from_plain(snapshot.to_plain())
        rest = fit(total(rosenbrock, start), start, resume=resumed)
        assert rest.theta.tobytes() == whole.theta.tobytes()
        assert (rest.status, rest.steps, rest.evaluations, rest.value) == (
            *(whole.status, whole.steps, whole.evaluations, whole.value),
        )


def test_a_program_that_branches_is_followed_onto_its_other_path():
    def loss(x):
        return (x[0] - 3) ** 4 if x[0] > 1 else (x[0] - 3) ** 2 + 12

    result = fit(total(loss, [-1.0]), [-1.0])
    assert result.theta == pytest.approx([3.0], abs=1e-2)


def test_an_objective_without_products_is_refused():
    class Plain:
        has_residuals = False

        def value_and_gradient(self, theta):
            return float(theta @ theta), 2 * theta

    with pytest.raises(SoftError, match=r"asks the objective for hessian_product\(theta, dir"):
        fit(Plain(), [1.0])


def test_its_state_says_what_a_step_took():
    said = []
    fit(total(rosenbrock, (-1.2, 1.0)), (-1.2, 1.0), max_steps=2, callback=said.append)
    assert all("radius" in p.description and "products" in p.description for p in said)
