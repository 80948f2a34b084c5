"""Programs whose path depends on their values: each evaluation is that of the path taken."""

import math
from inspect import signature

import numpy as np
import pytest

from softtape.objective import Layout, Objective, Term
from softtape.patches import following
from softtape.tape import Tape

LAYOUT = Layout({"a": (), "b": (), "v": (4,)})


def by_if(a, b, x):
    if a * x > b:
        return (a - x) ** 2
    return (np.sin(b * x) - 1.0) ** 2 if b > 0 else (a + b * x) ** 2 + 1.0


def by_while(a, b, x):
    y, steps = x, 0
    while abs(y) < 2.0 and steps < 9:
        y, steps = 1.5 * y + 0.3 * a, steps + 1
    return (y - b) ** 2


def by_max(a, b, x):
    return (max(a, b, x) - min(a * x, b)) ** 2


def by_sorting(a, b, x):
    low, middle, high = sorted([a, b, x * a * b])
    return (low + 2.0 * middle - 3.0 * high) ** 2


def by_newton(a, b, x):
    y, square = 1.0, a * a + b * b + x * x + 0.1
    while abs(y * y - square) > 1e-10:
        y = 0.5 * (y + square / y)
    return (y - 1.0) ** 2


def by_mask(a, b, v, x):
    return np.sum(((v * a)[v * x > b] - 1.0) ** 2)


def by_largest(a, b, v, x):
    return (v[np.argmax(v * x)] * a - b) ** 2


def by_steps(a, b, x):
    total = 0.0 * a
    for k in range(int(4.0 + 3.0 * np.tanh(a * x))):
        total = total + (b - 0.1 * k) ** 2
    return total


def by_domain(a, b, x):
    try:
        return (math.log(a - x) * math.asin(b) - math.log1p(max(0.0, a))) ** 2
    except ValueError:
        return (a * x - b) ** 2


PROGRAMS = [
    *(by_if, by_while, by_max, by_sorting, by_newton, by_mask, by_largest, by_steps, by_domain)
]


def make(program, x, traces=None):
    """A test that notes the values of each of its traces."""

    def trace(values):
        if traces is not None:
            traces.append(values)
        with following(), Tape() as tape, np.errstate(all="ignore"):
            keys = [key for key in signature(program).parameters if key in LAYOUT.shapes]
            read = {key: tape.input(key, values[key]) for key in keys}
            return tape.graph([program(**read, x=x)])

    return trace


def term(program, x, theta, traces=None):
    trace = make(program, x, traces)
    return Term(f"{program.__name__}[{x:.3f}]", trace(LAYOUT.unpack(theta)), trace)


@pytest.mark.parametrize("program", PROGRAMS)
def test_value_gradient_and_path_are_those_of_a_fresh_trace(program):
    random = np.random.default_rng(PROGRAMS.index(program))
    theta = random.normal(size=LAYOUT.size)
    xs = random.normal(size=3).tolist()
    problem = Objective([term(program, x, theta) for x in xs], LAYOUT)
    # a thousand points in all; some repeat, so that tests also return to paths they know
    points = random.normal(size=(90, LAYOUT.size))
    for theta in points[random.integers(90, size=1000 // len(PROGRAMS))]:
        fresh = [term(program, x, theta) for x in xs]
        singles = [Objective([one], LAYOUT).value_and_gradient(theta) for one in fresh]
        value, gradient = problem.value_and_gradient(theta)
        assert value == pytest.approx(sum(v for v, _ in singles), rel=1e-12, abs=1e-12)
        slope = sum(g for _, g in singles)
        np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-10 * abs(slope).max())
        assert [t.path for t in problem.terms] == [t.path for t in fresh]


def test_a_suite_whose_paths_flip_at_each_step():
    xs = np.linspace(0.2, 3.0, 40)
    there, back = np.array([1.0, 0.5, 1, 2, 3, 4]), np.array([1.0, 5.0, 4, 3, 2, 1])
    problem = Objective([term(by_if, float(x), there) for x in xs], LAYOUT)
    for step in range(20):
        theta = (there, back)[step % 2] * (1.0 + 1e-3 * step)
        a, b, *_ = theta
        plain = [(a - x) ** 2 if a * x > b else (np.sin(b * x) - 1.0) ** 2 for x in xs]
        np.testing.assert_allclose(problem.losses(theta), plain, rtol=1e-12)
    assert problem.retraces <= 2 * len(xs)  # each path of each test is recorded once


def test_a_test_that_never_repeats_its_path_is_traced_once_at_each_evaluation():
    program = lambda a, b, x: (a - int(a * 1000) / 999.0) ** 2 * b  # noqa: E731
    traces = []
    theta = np.array([0.5, 2.0, 0, 0, 0, 0])
    problem = Objective([term(program, 0.0, theta, traces), term(by_if, 1.0, theta)], LAYOUT)
    expected = len(traces)
    for step in range(60):
        theta[0] = 0.5 + 0.01 * step
        value, gradient = problem.value_and_gradient(theta)
        expected += step > 0
        assert len(traces) == expected
        rest = by_if(theta[0], theta[1], 1.0)
        assert value == pytest.approx(program(*theta[:2], 0.0) + rest, rel=1e-12)
        assert gradient[1] != 0.0
    assert not problem.terms[0].repeats
    assert problem.terms[1].repeats


def test_a_test_that_repeats_its_paths_again_is_not_traced_any_more():
    program = lambda a, b, x: (a - int(a * 10) / 9.0) ** 2 * b  # noqa: E731
    traces = []
    wandering = np.linspace(0.05, 3.05, 31)
    theta = np.array([0.05, 2.0, 0, 0, 0, 0])
    problem = Objective([term(program, 0.0, theta, traces)], LAYOUT)
    for theta[0] in [*wandering, *[2.55, 2.65] * 3]:
        problem.value_and_gradient(theta)
    count = len(traces)
    for theta[0] in [2.55, 2.65] * 5:
        problem.value_and_gradient(theta)
    assert len(traces) == count


def test_the_total_does_not_remember_which_paths_were_taken_before():
    random = np.random.default_rng(3)
    xs = random.normal(size=60)
    theta = np.array([1.0, 0.4, 1, 2, 3, 4])
    problem = Objective([term(by_if, float(x), theta) for x in xs], LAYOUT)
    fresh = problem.value(theta)
    for _ in range(10):
        problem.value(random.normal(size=LAYOUT.size))
    assert problem.value(theta) == fresh
