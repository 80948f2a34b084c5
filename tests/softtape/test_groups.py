"""Batched evaluation against the same tests evaluated one by one, on the programs people write."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape

LAYOUT = Layout({"a": (), "b": (3,), "m": (3, 3)})
THETA = np.array([1.2, 0.4, -0.3, 0.9, *np.linspace(0.5, -0.7, 9)])
ONES = np.ones(3)


def newton(a, x):
    """A loop whose number of steps depends on the values."""
    y = 1.0
    while abs(y * y - (a * a + x * x)) > 1e-9:
        y = 0.5 * (y + (a * a + x * x) / y)
    return (y - 1.0) ** 2


def branches(a, x):
    if a * x > 0.5:
        return (a - x) ** 2
    if a > 1:
        return (a + x) ** 2 + 1.0
    return (np.sin(a * x) - 1.0) ** 2 * 3


PROGRAMS = {
    "sine": lambda a, b, m, x, v, i: (np.sin(a * x) - 0.5) ** 2,
    "scalars": lambda a, b, m, x, v, i: (np.exp(-a * x * x) / (1 + a * a) - x) ** 2 + (a - x) ** 2,
    "uniform only": lambda a, b, m, x, v, i: (a - 2.0) ** 2,
    "integer data": lambda a, b, m, x, v, i: (a**2 * i - (i + 1)) ** 2 / (i + 2),
    "exponent": lambda a, b, m, x, v, i: (np.abs(a) ** i - x) ** 2,
    "weights": lambda a, b, m, x, v, i: (a - x) ** 2 / (1 + x * x) * 0.5,
    "vector": lambda a, b, m, x, v, i: np.mean((b * v - x) ** 2),
    "broadcast": lambda a, b, m, x, v, i: np.sum((b[:, None] * v + x) ** 2) / 9,
    "dot": lambda a, b, m, x, v, i: (b @ v - x) ** 2,
    "dot of data": lambda a, b, m, x, v, i: (v @ v * a - x) ** 2,
    "layer": lambda a, b, m, x, v, i: np.sum((np.tanh(v @ m + b) - v) ** 2),
    "layer, other side": lambda a, b, m, x, v, i: np.sum((np.tanh(m @ v + b) - v) ** 2),
    "matrices": lambda a, b, m, x, v, i: np.sum((m @ (v[:, None] * ONES + x) - a) ** 2),
    "solve": lambda a, b, m, x, v, i: np.sum(np.linalg.solve(m @ m.T + np.eye(3) * x**2, b)),
    "det": lambda a, b, m, x, v, i: (np.linalg.det(m + x * np.eye(3)) - 1) ** 2,
    "einsum": lambda a, b, m, x, v, i: (np.einsum("i,ij,j->", v, m, b) - x) ** 2,
    "lookup": lambda a, b, m, x, v, i: (b[np.array([i % 3, 0])] @ v[:2] - x) ** 2,
    "lookup in data": lambda a, b, m, x, v, i: np.sum((a * v[np.array([2, 0])] - b[:2]) ** 2),
    "slices": lambda a, b, m, x, v, i: np.sum((m[1:, :2] * v[:2] - b[-1]) ** 2),
    "reductions": lambda a, b, m, x, v, i: np.max(m * v) + np.prod(1 + b * v) + np.std(v * b),
    "axes": lambda a, b, m, x, v, i: np.sum(np.sum((m * v).T, axis=0) * np.cumsum(b * x)),
    "joining": lambda a, b, m, x, v, i: np.sum(np.concatenate([b * x, v * a, ONES]) ** 2),
    "stacking": lambda a, b, m, x, v, i: np.sum(np.stack([a * x, a, b[0]]) ** 2),
    "reshape": lambda a, b, m, x, v, i: np.sum((np.reshape(m * x, -1)[2:5] - v) ** 2),
    "outer": lambda a, b, m, x, v, i: np.sum((np.outer(b, v) - m) ** 2),
    "where": lambda a, b, m, x, v, i: np.sum(np.where(v > 0, b * v, a * v) ** 2),
    "sort": lambda a, b, m, x, v, i: np.sum(np.sort(b * v) * np.arange(3)),
    "interp": lambda a, b, m, x, v, i: (np.interp(x, [-3.0, 0.0, 3.0], b) - a) ** 2,
    "interp of data": lambda a, b, m, x, v, i: (np.interp(a, np.arange(3.0), v) - x) ** 2,
    "diagonal": lambda a, b, m, x, v, i: np.sum(np.diag(b * x) @ v) + np.trace(m * x),
    "norm": lambda a, b, m, x, v, i: np.linalg.norm(b - v) + np.linalg.norm(m * x),
    "list of residuals": lambda a, b, m, x, v, i: sum((a * v[j] - b[j]) ** 2 for j in range(3)),
    "branches": lambda a, b, m, x, v, i: branches(a, x),
    "newton": lambda a, b, m, x, v, i: newton(a, x),
    "mask": lambda a, b, m, x, v, i: np.sum((b * v)[b * v > 0] ** 2),
    "max of two": lambda a, b, m, x, v, i: (max(a, x) - 1.5) ** 2,
}  # fmt: skip


def terms(names, cases, seed=0):
    """One test per name and case, on data of its own."""
    random = np.random.default_rng(seed)
    made = []
    for name in names:
        for k in range(cases):
            x, v = float(random.normal()), random.normal(size=3)

            def trace(values, name=name, x=x, v=v, k=k):
                with Tape() as tape:
                    # a test reads only the Params it needs
                    read = [tape.input(key, values[key]) for key in ("a", "b", "m")]
                    total = PROGRAMS[name](*read, x, v, k)
                    return tape.graph([total])

            graph = trace(LAYOUT.unpack(THETA))
            made.append(Term(f"{name}[{k}]", graph, trace, weight=0.5 + k % 3))
    return made


def one_by_one(names, cases, theta, seed=0):
    """Sum over objectives of a single, freshly traced test each."""
    value, gradient, rows = 0.0, np.zeros(theta.size), []
    for term in terms(names, cases, seed):
        graph = term._trace(LAYOUT.unpack(theta))
        single = Objective([Term(term.name, graph, term._trace, term.weight)], LAYOUT)
        v, g = single.value_and_gradient(theta)
        value, gradient = value + v, gradient + g
        if single.has_residuals:
            rows.append(single.residuals_and_jacobian(theta))
    return value, gradient, rows


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_batched_equals_one_by_one(name):
    problem = Objective(terms([name], 5), LAYOUT)
    for theta in (THETA, THETA * 0.7, -THETA, THETA + 0.1, THETA):
        expected, slope, rows = one_by_one([name], 5, theta)
        value, gradient = problem.value_and_gradient(theta)
        assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-10)
        assert problem.value(theta) == pytest.approx(expected, rel=1e-12, abs=1e-12)
        if rows:
            assert problem.has_residuals
            r, jacobian = problem.residuals_and_jacobian(theta)
            assert r @ r == pytest.approx(expected, rel=1e-12)
            np.testing.assert_allclose(2 * jacobian.T @ r, slope, rtol=1e-10, atol=1e-10)
            # row by row, too: the order of the rows is free, their Gram matrix is not
            singles = np.concatenate([j for _, j in rows])
            np.testing.assert_allclose(jacobian.T @ jacobian, singles.T @ singles, atol=1e-9)


def test_programs_of_many_tests_together():
    names = [n for n in PROGRAMS if n != "newton"]
    problem = Objective(terms(names, 3), LAYOUT)
    expected, slope, _ = one_by_one(names, 3, THETA * 1.1)
    value, gradient = problem.value_and_gradient(THETA * 1.1)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-10)
    losses = problem.losses(THETA * 1.1)
    weights = [term.weight for term in problem.terms]
    assert np.dot(losses, weights) == pytest.approx(expected, rel=1e-12)


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=12), st.integers(1, 9))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_paths_that_flip_give_the_gradient_of_the_path_taken(points, cases):
    names = ["branches", "max of two", "mask"]
    problem = Objective(terms(names, cases), LAYOUT)
    for a in points:
        theta = THETA.copy()
        theta[0], theta[1] = a, a / 2 - 0.3
        expected, slope, _ = one_by_one(names, cases, theta)
        value, gradient = problem.value_and_gradient(theta)
        assert value == pytest.approx(expected, rel=1e-12, abs=1e-14)
        np.testing.assert_allclose(gradient, slope, rtol=1e-11, atol=1e-12)


def test_paths_are_kept_for_when_they_return():
    problem = Objective(terms(["branches"], 6), LAYOUT)
    there, back = THETA.copy(), THETA.copy()
    there[0], back[0] = 0.2, 1.7
    for theta in (there, back):
        problem.value(theta)
    retraces = problem.retraces
    for _ in range(3):
        for theta in (there, back):
            problem.value_and_gradient(theta)
    assert problem.retraces == retraces


def test_more_cases_than_lanes(monkeypatch):
    monkeypatch.setattr("softtape.groups._CHUNK", 4)
    names = ["sine", "layer", "branches"]
    problem = Objective(terms(names, 11), LAYOUT)
    for theta in (THETA, -THETA):
        expected, slope, _ = one_by_one(names, 11, theta)
        value, gradient = problem.value_and_gradient(theta)
        assert value == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-11, atol=1e-12)
    r, jacobian = Objective(terms(["sine"], 11), LAYOUT).residuals_and_jacobian(THETA)
    assert r.shape == (11,)
    assert jacobian.shape == (11, THETA.size)


def test_a_suite_of_one_program_is_one_group():
    problem = Objective(terms(["sine"], 50), LAYOUT)
    problem.value(THETA)
    assert len(problem._groups) == 1


def test_repeated_evaluations_give_the_same_bits():
    problem = Objective(terms(["sine", "layer", "branches"], 40), LAYOUT)
    value, gradient = problem.value_and_gradient(THETA)
    problem.value_and_gradient(-THETA)
    again = Objective(terms(["sine", "layer", "branches"], 40), LAYOUT)
    assert again.value_and_gradient(THETA)[0] == value
    np.testing.assert_array_equal(again.value_and_gradient(THETA)[1], gradient)


def test_one_singular_case_makes_the_total_infinite_and_is_named():
    def trace(values, x):
        with Tape() as tape:
            a = tape.input("a", values["a"])
            m = np.stack([np.stack([a, x]), np.stack([x, x])])
            return tape.graph([np.sum(np.linalg.inv(m) ** 2)])

    made = []
    for x in (1.0, 2.0, 3.0):
        again = lambda values, x=x: trace(values, x)  # noqa: E731
        made.append(Term(f"x={x}", again({"a": 5.0}), again))
    problem = Objective(made, Layout({"a": ()}))
    assert np.isfinite(problem.value(np.array([5.0])))
    assert problem.value(np.array([2.0])) == np.inf
    assert problem.last_failure.startswith("x=2.0: ")
