"""Cases of numbers by the compiled interpreter, against the numpy engine and against each alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softtape.engines import fast, fast_lanes
from softtape.lanes import CompiledLanes
from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape

pytestmark = pytest.mark.skipif(
    not fast.available(), reason="the extra «fast» is not installed"
)  # fmt: skip

LAYOUT = Layout({"a": (), "b": ()})
AT = np.array([1.2, -0.4])


def newton(a, x):
    y = 1.0
    while abs(y * y - (a * a + x * x)) > 1e-9:
        y = 0.5 * (y + (a * a + x * x) / y)
    return (y - 1.0) ** 2


def branches(a, b, x):
    if a * x > 0.5:
        return (a - x) ** 2
    if a > 1:
        return (b + x) ** 2 + 1.0
    return (np.sin(a * x) - b) ** 2 * 3


PROGRAMS = {
    "sine": lambda a, b, x, i: (np.sin(a * x) - 0.5) ** 2,
    "uniform": lambda a, b, x, i: (a - 2.0 * b) ** 2,
    "uniform factors": lambda a, b, x, i: (np.exp(a) * b * x - np.sin(a * b)) ** 2,
    "two uses": lambda a, b, x, i: (a * x + a * a * x * x - b / (a + 3.0) - a) ** 2,
    "doubled": lambda a, b, x, i: (a + a - x) * (a + a - x) + (b - b * x) ** 2,
    "sum": lambda a, b, x, i: sum((a * j * x - b) ** 2 for j in range(3)),
    "weights": lambda a, b, x, i: (a - x) ** 2 / (1 + x * x) * 0.5,
    "not squares": lambda a, b, x, i: np.exp(a * x) + np.abs(b - x),
    "exponents": lambda a, b, x, i: np.abs(a - 0.3) ** (i % 4) + b * x,
    "negative exponents": lambda a, b, x, i: (a**-i * b - x) ** 2,
    "power of Params": lambda a, b, x, i: (np.abs(a) ** (b * x) - 1.0) ** 2.0,
    "integers": lambda a, b, x, i: (a**2 * i - (i + 1)) ** 2 / (i + 2),
    "the case alone": lambda a, b, x, i: (a * 0.0 + x) * (1 + i),
    "branches": lambda a, b, x, i: branches(a, b, x),
    "newton": lambda a, b, x, i: newton(a, x),
    "max of two": lambda a, b, x, i: (max(a, x) - min(b, x)) ** 2,
    "truths": lambda a, b, x, i: (a > x) * (a - x) ** 2 + np.sign(b - x) * b,
    "held": lambda a, b, x, i: np.floor(3 * a * x) * b + a,
}


def suite(program, cases, start=AT, layout=LAYOUT):
    points = np.random.default_rng(3).normal(size=cases).tolist()
    made = []
    for i, x in enumerate(points):

        def trace(values, x=x, i=i):
            with Tape() as tape, np.errstate(all="ignore"):
                read = [tape.input(key, values[key]) for key in layout.shapes]
                return tape.graph([program(*read, x, i)])

        made.append(Term(f"[{i}]", trace(layout.unpack(start)), trace, weight=0.5 + i % 3))
    return made


def compare(ours, theirs, theta, rtol=1e-12):
    value, gradient = theirs.value_and_gradient(theta)
    scale = np.abs(gradient).max(initial=1.0)
    got, slope = ours.value_and_gradient(theta)
    assert got == pytest.approx(value, rel=rtol, abs=rtol)
    np.testing.assert_allclose(slope, gradient, rtol=rtol, atol=rtol * scale)
    np.testing.assert_allclose(ours.losses(theta), theirs.losses(theta), rtol=rtol, atol=rtol)
    assert ours.has_residuals == theirs.has_residuals
    if ours.has_residuals:
        (r, rows), (s, expected) = (o.residuals_and_jacobian(theta) for o in (ours, theirs))
        np.testing.assert_allclose(r, s, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(rows, expected, rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize("cases", [1, 2, 11])
@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_as_by_numpy(name, cases):
    ours, theirs = (Objective(suite(PROGRAMS[name], cases), LAYOUT, e) for e in ("numba", "numpy"))
    for theta in (AT, AT * 0.7, -AT, AT + 0.1, AT):
        compare(ours, theirs, theta)
    kinds = {type(g._lanes) for g in ours._groups.values() if len(g.cases) > 1}
    assert kinds <= {CompiledLanes}


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_on_few_rows_with_its_derivatives(name, monkeypatch):
    monkeypatch.setattr(fast_lanes, "_LONG", 0)  # as if all were long
    monkeypatch.setattr(fast_lanes, "_WORK", 100)
    ours, theirs = (Objective(suite(PROGRAMS[name], 19), LAYOUT, e) for e in ("numba", "numpy"))
    for theta in (AT, AT * 0.7, -AT, AT):
        compare(ours, theirs, theta)


NOT_FINITE = {  # at b = 0
    "zero times infinity": lambda a, b, x, i: (a * x + 0.0 * np.sqrt(b * abs(x))) ** 2,
    "of the lower of two": lambda a, b, x, i: np.maximum(a, np.sqrt(b * b) * abs(x) - 1),
    "of one Param": lambda a, b, x, i: (a * x + np.sqrt(b) * abs(x)) ** 2,
    "of all cases": lambda a, b, x, i: (a * x + x * np.sqrt(b)) ** 2 + (np.sqrt(b) - a) ** 2,
    "of a guard alone": lambda a, b, x, i: (a * x) ** 2 if np.sqrt(b) < abs(x) + 1 else b,
    "of some cases": lambda a, b, x, i: np.exp(a * x) + a * x * np.sqrt(b + i % 3),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("name", NOT_FINITE)
def test_slopes_that_are_not_finite_as_by_numpy(name, long, monkeypatch):
    monkeypatch.setattr(fast_lanes, "_LONG", 0 if long else 1 << 30)
    monkeypatch.setattr(fast_lanes, "_MOST_LANES", 8)
    for cases in (3, 8, 13):  # some lanes of the last block have no case
        ours, theirs = (
            Objective(suite(NOT_FINITE[name], cases, AT**2), LAYOUT, e) for e in ("numba", "numpy")
        )
        for b in (0.3, 0.0):
            theta = np.array([0.7, b])
            pairs = zip(*(o.value_and_gradient(theta) for o in (ours, theirs)), strict=True)
            for got, wanted in pairs:
                np.testing.assert_allclose(got, wanted, rtol=1e-12)
            assert ours.has_residuals == theirs.has_residuals
            if ours.has_residuals:
                rows = (o.residuals_and_jacobian(theta)[1] for o in (ours, theirs))
                finite = [np.isfinite(r).all(axis=1).tolist() for r in rows]
                assert finite[0] == finite[1]


@pytest.mark.parametrize("name", ["sine", "two uses", "sum", "branches"])
def test_blocks_and_chunks_of_any_length(name, monkeypatch):
    monkeypatch.setattr(fast_lanes, "_MOST_LANES", 8)
    monkeypatch.setattr(fast_lanes, "_WORK", 100)  # a block is a chunk
    for cases in (7, 8, 9, 33):
        ours, theirs = (
            Objective(suite(PROGRAMS[name], cases), LAYOUT, e) for e in ("numba", "numpy")
        )
        compare(ours, theirs, AT)
        compare(ours, theirs, -AT)


def test_more_params_than_residuals():
    layout = Layout(dict.fromkeys("abcde", ()))
    theta = np.linspace(0.3, 1.1, 5)

    def program(a, b, c, d, e, x, i):
        shared = np.exp(a * b) + c
        return (shared * x - d) ** 2 + (np.sin(shared) * e - x * d) ** 2

    ours, theirs = (
        Objective(suite(program, 6, theta, layout), layout, e) for e in ("numba", "numpy")
    )
    compare(ours, theirs, theta)


@pytest.mark.parametrize("long", [fast_lanes._LONG, 0])
def test_the_same_bits_by_one_thread_and_two(monkeypatch, long):
    monkeypatch.setattr(fast_lanes, "_WORK", 1000)
    monkeypatch.setattr(fast_lanes, "_LONG", long)
    results = []
    for threads in (1, 2, 2):
        problem = Objective(suite(PROGRAMS["two uses"], 1700), LAYOUT, "numba", threads)
        value, gradient = problem.value_and_gradient(AT)
        results.append((value, *gradient))
    assert results[0] == results[1] == results[2]


STEPS = [
    lambda u, v: 0.5 * (u + v),
    lambda u, v: u - 0.5 * v,
    lambda u, v: u * v,
    lambda u, v: u / (1 + v * v),
    lambda u, v: np.sin(u) + v,
    lambda u, v: np.cos(u * v),
    lambda u, v: np.tanh(u) * v,
    lambda u, v: np.exp(-u * u),
    lambda u, v: np.log1p(u * u) - v,
    lambda u, v: np.sqrt(1 + u * u),
    lambda u, v: np.arctan(u),
    lambda u, v: max(u, v),
    lambda u, v: (1 + u * u) ** (0.3 * v),
    lambda u, v: np.hypot(u, 1 + v * v),
    lambda u, v: u if u > v else 0.5 * v * v,
    lambda u, v: abs(u - v),
]


@given(
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.integers(0, 99), st.integers(0, 99)),
        min_size=1,
        max_size=14,
    ),
    st.integers(1, 20),
)
@settings(derandomize=True, deadline=None, max_examples=30)
def test_random_programs(steps, cases):
    def program(a, b, x, i):
        values = [a, b, x, a * x]
        for step, i1, i2 in steps:
            made = step(values[i1 % len(values)], values[i2 % len(values)])
            values.append(np.tanh(made))  # keeps the problem well conditioned
        return (values[-1] - x) ** 2 + values[-2] ** 2 + 0.1 * a * a

    ours, theirs = (Objective(suite(program, cases), LAYOUT, e) for e in ("numba", "numpy"))
    for theta in (AT, np.array([-0.3, 0.9])):
        compare(ours, theirs, theta, rtol=2e-12)
        alone = [Objective([t], LAYOUT, "numba") for t in suite(program, cases, theta)]
        total = sum(o.value_and_gradient(theta)[1] for o in alone)
        np.testing.assert_allclose(ours.value_and_gradient(theta)[1], total, rtol=1e-11, atol=1e-11)
