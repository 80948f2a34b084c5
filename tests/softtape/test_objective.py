"""The objective: sums over tests, guards and paths, trial points that fail."""

import numpy as np
import pytest

from softtape.objective import Layout, Objective, ShapeOfProblemChanged, Term, TrialError
from softtape.tape import Tape

START = {"a": 1.3, "b": np.array([0.5, -0.2])}
LAYOUT = Layout({"a": (), "b": (2,)})
THETA = np.array([1.3, 0.5, -0.2])


def term(name, program, weight=1.0, start=START):
    def trace(values):
        with Tape() as tape:
            return tape.graph([program(lambda key: tape.input(key, values[key]))])

    return Term(name, trace(start), trace, weight)


def scalar(read):
    return (np.sin(read("a")) - 0.3) ** 2


def vector(read):
    return np.mean((read("b") * read("a") - np.array([1.0, 2.0])) ** 2)


def branching(read):
    a = read("a")
    return (a - 2.0) ** 2 if a > 1 else 4 * (a + 1.0) ** 2


def difference(f, theta, i, h=1e-6):
    step = np.zeros(theta.size)
    step[i] = h
    return (f(theta + step) - f(theta - step)) / (2 * h)


def test_layout_packs_and_unpacks_in_its_own_order():
    assert LAYOUT.size == 3
    np.testing.assert_array_equal(LAYOUT.pack(START), THETA)
    back = LAYOUT.unpack(THETA)
    assert back["a"] == 1.3
    np.testing.assert_array_equal(back["b"], [0.5, -0.2])
    assert Layout({}).size == 0


def test_layout_gives_float32_params_as_float32():
    layout = Layout({"w": (2,)}, frozenset({"w"}))
    assert layout.unpack(np.array([0.1, 0.2]))["w"].dtype == np.float32


def test_value_gradient_and_losses():
    problem = Objective([term("s", scalar, 2.0), term("v", vector)], LAYOUT)
    expected = [(np.sin(1.3) - 0.3) ** 2, np.mean((START["b"] * 1.3 - [1.0, 2.0]) ** 2)]
    np.testing.assert_allclose(problem.losses(THETA), expected, rtol=1e-14)
    assert problem.value(THETA) == pytest.approx(2 * expected[0] + expected[1], rel=1e-14)
    value, gradient = problem.value_and_gradient(THETA)
    assert value == pytest.approx(problem.value(THETA), rel=1e-14)
    for i in range(3):
        assert gradient[i] == pytest.approx(difference(problem.value, THETA, i), rel=1e-6, abs=1e-9)


def test_residuals_and_jacobian_agree_with_the_value():
    problem = Objective([term("s", scalar, 2.0), term("v", vector)], LAYOUT)
    assert problem.has_residuals
    r, jacobian = problem.residuals_and_jacobian(THETA)
    assert r.shape == (3,)
    assert jacobian.shape == (3, 3)
    assert r @ r == pytest.approx(problem.value(THETA), rel=1e-13)
    gradient = problem.value_and_gradient(THETA)[1]
    np.testing.assert_allclose(2 * jacobian.T @ r, gradient, rtol=1e-12)
    for i in range(3):
        slope = difference(lambda t: problem.residuals_and_jacobian(t)[0], THETA, i)
        np.testing.assert_allclose(jacobian[:, i], slope, rtol=1e-6, atol=1e-8)


def test_a_sum_of_squares_that_overflows_is_infinite_without_a_warning():
    problem = Objective([term("v", vector)], LAYOUT)
    far = THETA * 1e80
    r, _ = problem.residuals_and_jacobian(far)  # a warning is an error here
    assert np.all(np.isfinite(r))
    np.testing.assert_array_equal(problem.last_infinite, far)


def test_a_loss_that_is_no_square_shows_no_residuals():
    problem = Objective([term("v", vector), term("abs", lambda read: abs(read("a")))], LAYOUT)
    assert not problem.has_residuals


def test_weight_zero_measures_without_pulling():
    problem = Objective([term("s", scalar, 0.0), term("v", vector)], LAYOUT)
    assert problem.value(THETA) == pytest.approx(problem.losses(THETA)[1])
    assert problem.losses(THETA)[0] > 0


def test_paths_are_traced_when_first_taken_and_kept():
    problem = Objective([term("branch", branching)], Layout({"a": ()}))
    for a in (1.5, 0.5, 1.7, 0.2, 0.9, 3.0):
        theta = np.array([a])
        expected = (a - 2) ** 2 if a > 1 else 4 * (a + 1) ** 2
        slope = 2 * (a - 2) if a > 1 else 8 * (a + 1)
        value, gradient = problem.value_and_gradient(theta)
        assert value == pytest.approx(expected, rel=1e-14)
        assert gradient[0] == pytest.approx(slope, rel=1e-14)
        r, jacobian = problem.residuals_and_jacobian(theta)
        assert 2 * (jacobian.T @ r)[0] == pytest.approx(slope, rel=1e-13)
    assert problem.retraces == 1


def test_a_new_path_that_reaches_another_param_is_reported():
    def program(read):
        a = read("a")
        return a**2 if a > 1 else a**2 + read("c") ** 2

    problem = Objective([term("t", program, start={"a": 1.3, "c": 1.0})], Layout({"a": ()}))

    def trace_with_c(values):
        with Tape() as tape:
            everything = {"c": 7.0, **values}
            return tape.graph([program(lambda key: tape.input(key, everything[key]))])

    problem.terms[0]._trace = trace_with_c
    with pytest.raises(ShapeOfProblemChanged, match="reaches another Param"):
        problem.value(np.array([0.5]))
    assert set(problem.terms[0].starts) == {"a", "c"}


def test_a_new_path_without_residuals_is_reported():
    def program(read):
        a = read("a")
        return a**2 if a > 1 else abs(a)

    problem = Objective([term("t", program)], Layout({"a": ()}))
    with pytest.raises(ShapeOfProblemChanged, match="no sum of squares"):
        problem.residuals_and_jacobian(np.array([0.5]))
    assert not problem.has_residuals


def test_a_trial_point_that_cannot_be_evaluated_counts_as_infinite():
    def fails(read):
        if read("a") < 0:
            raise TrialError("negative")
        return read("a") ** 2

    problem = Objective([term("t", fails)], Layout({"a": ()}))
    theta = np.array([-1.0])
    assert problem.value(theta) == np.inf
    assert problem.value_and_gradient(theta)[0] == np.inf
    assert not np.isfinite(problem.residuals_and_jacobian(theta)[0]).any()
    assert problem.last_failure == "t: negative"
    assert problem.value(np.array([2.0])) == 4.0


def test_singular_matrices_on_the_way_count_as_infinite():
    def program(read):
        a = read("a")
        m = np.stack([np.stack([a, 1.0]), np.stack([1.0, 1.0])])
        return np.sum(np.linalg.solve(m, np.ones((2, 1))) ** 2)

    problem = Objective([term("t", program)], Layout({"a": ()}))
    assert problem.value(np.array([1.0])) == np.inf
    assert np.isfinite(problem.value(np.array([1.5])))


def test_a_path_just_taken_is_believed_though_the_engine_rounds_otherwise():
    def program(read):
        a = read("a")
        return a**2 if a > 1 else a**3

    def trace(values):
        with Tape() as tape:
            a = tape.input("a", 1.0 + 1e-9)  # the program saw a value beyond the border
            return tape.graph([program(lambda key: a)])

    problem = Objective([Term("t", trace({}), trace)], Layout({"a": ()}))
    assert problem.value(np.array([1.0])) == 1.0  # by the path that was taken: a**2, no error
    assert problem.retraces == 1


@pytest.mark.parametrize("count", [1, 20])
def test_an_evaluation_is_silent_and_leaves_numpys_error_state_as_it_was(count):
    def made(k):
        return term(f"t{k}", lambda read: (np.exp(read("a") * 1e3) - k) ** 2, start={"a": 0.1})

    problem = Objective([made(k) for k in range(count)], Layout({"a": ()}), "numpy")
    with np.errstate(all="raise"):
        for _ in range(3):
            assert problem.value(np.array([1.0])) == np.inf
            assert problem.value_and_gradient(np.array([1.0]))[0] == np.inf
            assert not np.isfinite(problem.residuals_and_jacobian(np.array([1.0]))[0]).any()
        assert set(np.geterr().values()) == {"raise"}
