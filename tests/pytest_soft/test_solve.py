"""From traced tests to the best values found, without pytest."""

import numpy as np
import pytest

from pytest_soft.goal import Goal
from pytest_soft.solve import solve
from pytest_soft.values import group_by_key, set_values
from softtape import Param, SoftError, primitive
from softtape.objective import Term
from softtape.param import assign, peek
from softtape.tape import Tape

a = Param(1.0)
b = Param(np.zeros(2))
single = Param(np.zeros(2, np.float32))
bounded = Param(0.5, bounds=(0.0, 1.0))
unused = Param(3.0)


@pytest.fixture(autouse=True)
def restore():
    before = {p: peek(p) for p in (a, b, single, bounded, unused)}
    yield
    for param, value in before.items():
        assign(param, value)


def term(name, loss, weight=1.0):
    """Return the term of a test function, traced now and again when its path changes."""

    def trace(values):
        set_values(group_by_key(list(values)), values)
        return record(loss)

    return Term(name, record(loss), trace, weight)


def record(loss):
    with Tape() as tape:
        return tape.graph([loss()])


def fit(*terms, limits=None, **goal):
    start = {key: value for t in terms for key, value in t.starts.items()}
    return solve(terms, start, Goal(**goal), limits=limits)


def test_least_squares():
    solution = fit(term("t", lambda: (a - 3) ** 2))
    assert peek(a) == pytest.approx(3, abs=1e-9)
    assert solution.before == 4.0
    assert solution.after == pytest.approx(0, abs=1e-15)
    assert solution.after < solution.before
    assert solution.components[0].optimizer == "lm"
    assert solution.losses == [solution.after]


def test_only_reached_params_move():
    fit(term("t", lambda: (a - 3) ** 2))
    assert peek(unused) == 3.0
    assert np.all(peek(b) == 0)


def test_no_sum_of_squares():
    solution = fit(term("t", lambda: np.cosh(a - 3)))
    assert peek(a) == pytest.approx(3, abs=1e-5)
    assert solution.components[0].optimizer == "lbfgs"


def test_arrays_and_dtypes():
    fit(term("t", lambda: np.sum((b - np.array([1.0, 2.0])) ** 2) + np.sum((single - 0.1) ** 2)))
    assert peek(b) == pytest.approx([1, 2])
    assert peek(single).dtype == np.float32
    assert not peek(single).flags.writeable
    assert np.all(peek(single) == np.float32(0.1))


def test_bounds():
    fit(term("t", lambda: (bounded - 3) ** 2))
    assert peek(bounded) == 1.0


def test_weights():
    fit(term("t", lambda: (a - 3) ** 2, 3.0), term("u", lambda: (a + 1) ** 2, 1.0))
    assert peek(a) == pytest.approx(2.0)


def test_weight_0_takes_no_part():
    solution = fit(
        term("t", lambda: (a - 3) ** 2),
        term("log", lambda: np.log(2 - a), 0.0),  # NaN on the way; no sum of squares either
    )
    assert peek(a) == pytest.approx(3.0)
    assert solution.components[0].optimizer == "lm"
    assert np.isfinite(solution.after)


def test_threshold_ends_the_fit_early():
    solution = fit(term("t", lambda: np.cosh(a - 3) - 1), threshold=0.5, optimizer="lbfgs")
    assert 0 < solution.after <= 0.5
    assert solution.status.name == "THRESHOLD"


def test_threshold_of_a_single_test_keeps_the_fit_going():
    terms = [term("t", lambda: np.cosh(a - 3) - 1)]
    solution = fit(*terms, threshold=0.5, optimizer="lbfgs", limits={"t": 1e-12})
    assert solution.after < 1e-12


def test_max_steps():
    solution = fit(term("t", lambda: np.cosh(a - 3)), max_steps=1, optimizer="gradient-descent")
    assert solution.steps == 1
    assert solution.status.name == "MAX_STEPS"


def test_no_steps_at_all():
    solution = fit(term("t", lambda: (a - 3) ** 2), max_steps=0)
    assert solution.after == solution.before
    assert peek(a) == 1.0


@primitive(vjp=lambda g, y, x, k: (g * k, None))
def scaled(x, k):
    return x * k


def test_what_has_no_batching_rule_is_named():
    def at(k):
        return lambda: (scaled(a, k) - k) ** 2

    solution = fit(*(term(f"t{k}", at(k)) for k in (1.0, 2.0)), term("s", lambda: (a - 1) ** 2))
    assert set(solution.alone) == {"t1.0", "t2.0"}
    assert all("rules of its own" in reason for reason in solution.alone.values())


def test_another_path_is_traced_again():
    def loss():
        return (a - 3) ** 2 if a < 2 else (a - 4) ** 2

    solution = fit(term("t", loss))
    assert solution.retraces >= 1
    assert peek(a) in (pytest.approx(4.0), pytest.approx(2.0, abs=1e-6))


def test_a_path_that_reaches_another_param():
    def loss():
        return (a - 3) ** 2 + 1 if a < 2 else (a - 3) ** 2 + np.sum((b - 1) ** 2) / 4

    solution = fit(term("t", loss))
    assert len(solution.values) == 2
    assert solution.after < 1e-12
    assert np.asarray(peek(b)) == pytest.approx([1, 1])


def test_a_path_that_is_no_sum_of_squares():
    def loss():
        return (a - 3) ** 2 if a < 2 else np.cosh(a - 3) - 1

    solution = fit(term("t", loss))
    assert solution.components[0].optimizer == "lbfgs"
    assert peek(a) == pytest.approx(3.0, abs=1e-4)


@pytest.mark.parametrize("name", ["lm", "lbfgs", "adam", "gradient-descent"])
def test_optimizers_by_name(name):
    solution = fit(term("t", lambda: (a - 3) ** 2), optimizer=name, threshold=1e-6)
    assert solution.components[0].optimizer == name
    assert solution.after <= 1e-6


def test_misspelt_optimizer():
    with pytest.raises(SoftError, match=r"no optimizer 'adma'\. Did you mean 'adam'\?"):
        fit(term("t", lambda: (a - 3) ** 2), optimizer="adma")


def test_lm_by_name_where_it_does_not_fit():
    with pytest.raises(SoftError, match="'lm' needs every loss to be a sum of squares"):
        fit(term("t", lambda: np.cosh(a)), optimizer="lm")


def test_ctrl_c_keeps_the_best():
    calls = []

    def stop(progress):
        calls.append(progress.best_value)
        if len(calls) == 3:
            raise KeyboardInterrupt

    terms = [term("t", lambda: np.cosh(a - 9))]
    start = terms[0].starts
    solution = solve(terms, start, Goal("gradient-descent"), callback=stop)
    assert solution.status.name == "INTERRUPTED"
    assert solution.after < solution.before
    assert solution.after == calls[-1]
    assert peek(a) == next(iter(solution.values.values()))


def test_a_start_that_an_engine_cannot_compute_says_why():
    def unlike_its_trace():
        with Tape() as tape:
            m = np.stack([np.stack([tape.read(a), 1.0]), np.stack([1.0, 1.0])])
            return tape.graph([np.sum(np.linalg.inv(m + np.eye(2)) ** 2)])

    graph = unlike_its_trace()
    (key,) = graph.start
    with pytest.raises(SoftError, match="cannot be computed at the start: t: Singular matrix"):
        solve([Term("t", graph, lambda _: graph)], {key: -0.5}, Goal())
