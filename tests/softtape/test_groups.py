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
    "svd": lambda a, b, m, x, v, i: np.sum(np.linalg.svd(m + np.diag(v))[0] ** 3) * x,
    "full svd": lambda a, b, m, x, v, i: np.sum(np.abs(np.linalg.svd(m[:, :2] * v[:2] + a)[0])),
    "eigh": lambda a, b, m, x, v, i: np.sum(np.abs(np.linalg.eigh(m + m.T + np.diag(v))[1]) * v),
    "eig": lambda a, b, m, x, v, i: np.sum(np.abs(np.linalg.eigvals(m + np.diag(v))) ** 2),
    "qr": lambda a, b, m, x, v, i: np.sum(np.abs(np.linalg.qr(m + np.diag(v), "complete")[1])),
    "pinv": lambda a, b, m, x, v, i: np.sum(np.linalg.pinv(m[:2] + v) @ v[:2] - b) ** 2,
    "nuclear": lambda a, b, m, x, v, i: np.linalg.norm(m * v, "nuc") + np.linalg.norm(m + x, 2),
    "spectrum": lambda a, b, m, x, v, i: np.sum(np.abs(np.fft.fft(b * v, 5) - x) ** 2) / 5,
    "filter": lambda a, b, m, x, v, i: np.sum(np.fft.irfft(np.fft.rfft(v, 6) * a, 6)[:3] - b) ** 2,
    "spectrum 2-d": lambda a, b, m, x, v, i: np.sum(np.abs(np.fft.rfftn(m * v)) ** 2 * (x * x)),
    "impedance": lambda a, b, m, x, v, i: abs(1 / (a + 1j * x * b[0]) + x / (1j + a)) ** 2,
    "phasor": lambda a, b, m, x, v, i: np.mean(np.abs(np.exp(1j * v * a) * b - (v + 1j * x)) ** 2),
    "complex data": lambda a, b, m, x, v, i: np.sum(np.real(np.vdot(b + 1j * v, m @ (v - 1j * a)))),
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
@settings(derandomize=True, deadline=None, max_examples=20)
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
    monkeypatch.setattr("softtape.chunks._CHUNK", 4)
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


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_first_evaluation_has_the_bits_of_the_later_ones(name):
    problem = Objective(terms([name], 3), LAYOUT)
    value, gradient = problem.value_and_gradient(THETA)
    assert problem.value(THETA) == problem.value(THETA)
    assert problem.value_and_gradient(THETA)[0] == value
    np.testing.assert_array_equal(problem.value_and_gradient(THETA)[1], gradient)


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


# ---- what reviews found: each against the same tests alone


ALONE = Layout({"a": (), "b": (3,), "o": (1,)})
AT = np.array([1.2, 0.4, -0.3, 0.9, 0.8])
PIXELS = [np.array(p, np.uint8) for p in ([200, 100, 3], [90, 255, 17], [1, 2, 250])]
HALVES = [np.float16(300.0), np.float16(400.0), np.float16(7.0)]
VECTORS = [np.array([0.1, -0.2, 0.7]), np.array([1.0, 0.3, -0.5]), np.array([0.2, 0.2, 0.0])]
EDGES = {
    # fixed factors are joined only where that is exact
    "products of uint8": (lambda a, b, o, d: np.sum(b * d * d), PIXELS),
    "uniform uint8": (lambda a, b, o, d: np.sum(b * PIXELS[0] * PIXELS[1]) * d, [1.0, 2.0]),
    "long integers": (lambda a, b, o, d: a * d * (d + 2), [5_000_000_000, 7_000_000_000]),
    "float16": (lambda a, b, o, d: a * d * HALVES[0], HALVES),
    "float32": (lambda a, b, o, d: np.sum((b * d * d - 1) ** 2), [v.astype("f") for v in VECTORS]),
    "integers beyond int64": (lambda a, b, o, d: np.sin(a * d), [2**70, 1, 2**63, -5]),
    # products of vectors whose lengths differ by broadcasting
    "one by many": (lambda a, b, o, d: np.sum(o * b * 2.0) * d, [0.5, 1.5]),
    "one by constants": (lambda a, b, o, d: np.sum(o * VECTORS[0] * a) + a * d, [0.5, 1.5]),
    # exponents
    "exponents": (lambda a, b, o, d: np.abs(a - 0.3) ** d, [2, 3, 4]),
    "negative exponents": (lambda a, b, o, d: a**d, [-1, 2, 0, 1, -3]),
    "exponent as array": (lambda a, b, o, d: (a - d) ** np.array(2.0), [0.5, 1.5]),
    "root of truths": (lambda a, b, o, d: np.sum((b > d) ** 0.5 / 3 * b), [0.1, -0.1]),
    # truth values
    "matmul of truths": (lambda a, b, o, d: ((b > d) @ (b < 2 * d + 9)) * a, VECTORS),
    "truths and numbers": (lambda a, b, o, d: (a * d - 1) ** 2 + d, [True, 0, 1.0, np.int8(2)]),
    # indices and axes
    "take a number": (lambda a, b, o, d: np.take(b * d, 1), [0.5, 1.5]),
    "axis of numpy's": (lambda a, b, o, d: np.sum(np.cumsum(b * d, axis=np.int64(0))), [0.5, 1.5]),
    # nothing to sum
    "no elements": (lambda a, b, o, d: np.sum((b[:0] * d) ** 2) + (a - d) ** 2, [0.5, 1.5]),
    "only no elements": (lambda a, b, o, d: np.sum((b[:0] * d) ** 2), [0.5, 1.5]),
    "no elements, repeated": (lambda a, b, o, d: np.sum(b[:0] ** 2 + (a - d) ** 2), [0.5, 1.5]),
}  # fmt: skip


def of_data(program, data, layout=ALONE, theta=AT):
    """One test per item of data."""
    made = []
    for k, d in enumerate(data):

        def trace(values, d=d):
            with Tape() as tape, np.errstate(all="ignore"):
                read = [tape.input(key, values[key]) for key in layout.shapes]
                return tape.graph([program(*read, d)])

        made.append(Term(f"[{k}]", trace(layout.unpack(theta)), trace))
    return made


@pytest.mark.parametrize("name", EDGES)
def test_edges_batched_equal_one_by_one_and_plain(name):
    program, data = EDGES[name]
    problem = Objective(of_data(program, data), ALONE)
    for theta in (AT, AT * 0.5, AT + 0.1):
        singles = [Objective([term], ALONE) for term in of_data(program, data, theta=theta)]
        value, gradient = problem.value_and_gradient(theta)
        plain = sum(program(*ALONE.unpack(theta).values(), d) for d in data)
        assert value == pytest.approx(plain, rel=1e-12)
        assert problem.value(theta) == pytest.approx(plain, rel=1e-12)
        slope = sum(single.value_and_gradient(theta)[1] for single in singles)
        np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-10)
        if problem.has_residuals:
            assert all(single.has_residuals for single in singles)
            r, jacobian = problem.residuals_and_jacobian(theta)
            assert r @ r == pytest.approx(plain, rel=1e-12)
            np.testing.assert_allclose(2 * jacobian.T @ r, slope, rtol=1e-10, atol=1e-10)


def test_a_loss_squared_in_one_case_and_cubed_in_another_shows_no_residuals():
    problem = Objective(of_data(lambda a, b, o, d: np.abs(a) ** d, [2, 3]), ALONE)
    assert not problem.has_residuals
    assert Objective(of_data(lambda a, b, o, d: np.abs(a) ** d, [2, 2.0]), ALONE).has_residuals


def test_a_narrow_constant_does_not_narrow_the_gradient():
    half = np.float16(300.0)
    problem = Objective(of_data(lambda a, b, o, d: a * d * d, [half]), ALONE)
    assert problem.value_and_gradient(AT)[1][0] == 90_000.0  # more than float16 holds


@pytest.mark.parametrize("data", [[4.0], [4.0, 9.0]])
def test_losses_that_reach_no_param_have_residuals(data):
    layout = Layout({})
    problem = Objective(of_data(lambda d: d, data, layout, np.zeros(0)), layout)
    r, jacobian = problem.residuals_and_jacobian(np.zeros(0))
    np.testing.assert_array_equal(r, np.sqrt(data))
    assert jacobian.shape == (len(data), 0)


@pytest.mark.parametrize("shapes", [{"e": (0,)}, {"e": (0,), "a": ()}])
def test_a_param_without_elements(shapes):
    layout = Layout(shapes)
    theta = np.full(layout.size, 1.5)
    program = lambda e, *rest: np.sum((np.sum(e, axis=0) + sum(rest)) ** 2)  # noqa: E731
    problem = Objective(of_data(program, [0.5, 2.0], layout, theta), layout)
    value, gradient = problem.value_and_gradient(theta)
    r, jacobian = problem.residuals_and_jacobian(theta)
    assert r @ r == pytest.approx(value)
    np.testing.assert_allclose(2 * jacobian.T @ r, gradient)


@pytest.mark.parametrize("data", [[0], [0, 1]])
def test_a_trial_point_where_numpy_raises_counts_as_infinite(data):
    programs = {
        "negative power": lambda a, b, o, d: (3 + np.argmax(b)) ** -np.count_nonzero(a > d + 1) * a,
        "beyond the end": lambda a, b, o, d: b[np.argmax(b) + np.count_nonzero(a > d + 1)] * a,
    }
    for program in programs.values():
        problem = Objective(of_data(program, data, theta=AT * 0.5), ALONE)
        assert problem.value(AT * 10) == np.inf
        assert problem.last_failure.startswith("[0]")
        assert np.isfinite(problem.value(AT * 0.6))


def test_groups_that_nothing_is_in_are_forgotten(monkeypatch):
    monkeypatch.setattr("softtape.objective._MOST_PATHS", 4)
    program = lambda a, b, o, d: (a - int(a * d * 50)) ** 2  # noqa: E731
    problem = Objective(of_data(program, [1.0, 1.3]), ALONE)
    for a in np.linspace(0, 2, 60):
        theta = np.array([a, *AT[1:]])
        plain = sum(program(*ALONE.unpack(theta).values(), d) for d in (1.0, 1.3))
        assert problem.value(theta) == pytest.approx(plain)
    assert len(problem._groups) <= 6


def test_einsum_refuses_a_diagonal_of_unequal_axes_as_numpy_does():
    program = lambda a, b, o, d: np.einsum("ii->", b[:, None] * d)  # noqa: E731
    with pytest.raises(ValueError, match=r"differ in length|don't match"):
        of_data(program, [1.0])
