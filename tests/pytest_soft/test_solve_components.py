"""Tests and Params that share nothing are fits of their own that make up one."""

import itertools
import time

import numpy as np
import pytest

from pytest_soft.goal import Goal
from pytest_soft.solve import solve, without_slope
from pytest_soft.values import group_by_key, set_values
from softtape import Param, SoftError
from softtape.objective import Term
from softtape.optimize import Status
from softtape.param import assign, peek
from softtape.tape import Tape

a, b, c = Param(1.0), Param(1.0), Param(1.0)
valley = Param(np.array([-1.2, 1.0]))


@pytest.fixture(autouse=True)
def restore():
    before = {p: peek(p) for p in (a, b, c, valley)}
    yield
    for param, value in before.items():
        assign(param, value)


def record(loss):
    with Tape() as tape:
        return tape.graph([loss() * 1.0])


def term(name, loss, weight=1.0):
    def trace(values):
        set_values(group_by_key(list(values)), values)
        return record(loss)

    return Term(name, record(loss), trace, weight)


def fit(*terms, limits=None, callback=None, **goal):
    start = {key: value for t in terms for key, value in t.starts.items()}
    return solve(terms, start, Goal(**goal), limits=limits, callback=callback)


def rosenbrock():
    return 100 * (valley[1] - valley[0] ** 2) ** 2 + (1 - valley[0]) ** 2


def square(param, at=3.0):
    return lambda: (param - at) ** 2


def hill(param, at=3.0):
    return lambda: np.cosh(param - at)


def test_each_gets_its_own_optimizer():
    solution = fit(term("s", square(a)), term("h", hill(b)), term("s2", square(a, 5.0)))
    assert peek(a) == pytest.approx(4.0)
    assert peek(b) == pytest.approx(3.0, abs=1e-5)
    assert [x.optimizer for x in solution.components] == ["lm", "lbfgs"]
    assert [[t.name for t in x.terms] for x in solution.components] == [["s", "s2"], ["h"]]
    assert solution.losses == pytest.approx([1.0, 1.0, 1.0])
    assert solution.before == pytest.approx(4 + 16 + np.cosh(2))
    assert solution.after == pytest.approx(3.0)
    assert solution.status.converged
    assert solution.optimizer == "lm for 1, lbfgs for 1 of the components, as suits each"


@pytest.mark.parametrize("name", ["auto", "lbfgs", "gradient-descent"])
def test_a_slow_one_costs_an_easy_one_nothing(name):
    alone = fit(term("easy", square(a)), optimizer=name, max_steps=500)
    found = peek(a)
    assign(a, 1.0)
    both = fit(term("slow", rosenbrock), term("easy", square(a)), optimizer=name, max_steps=500)
    slow, easy = both.components
    assert peek(a) == found
    assert easy.evaluations == alone.evaluations < slow.evaluations
    assert easy.status is alone.status


def test_their_order_changes_no_bit():
    losses = {"a": square(a), "h": hill(b), "r": rosenbrock}
    found = set()
    for names in itertools.permutations(losses):
        for param, value in ((a, 1.0), (b, 1.0), (valley, np.array([-1.2, 1.0]))):
            assign(param, value)
        solution = fit(*(term(name, losses[name]) for name in names))
        found.add(tuple(np.asarray(v).tobytes() for _, v in sorted(solution.values.items())))
    assert len(found) == 1


# ---- the threshold


def test_the_threshold_is_on_the_sum():
    terms = [term("a", square(a)), term("h", hill(b)), term("r", rosenbrock)]
    solution = fit(*terms, threshold=2.5, optimizer="gradient-descent")
    assert 1.5 < solution.after <= 2.5
    assert solution.status is Status.THRESHOLD
    assert solution.after == pytest.approx(sum(solution.losses), rel=1e-12)


def test_one_above_its_share_sends_the_others_on():
    solution = fit(term("a", square(a)), term("h", hill(b)), threshold=1.1)  # of it, 1 for cosh
    assert solution.after <= 1.1
    assert solution.status is Status.THRESHOLD
    early, converged = solution.components
    assert converged.after > 1.1 / 2
    assert early.status is Status.THRESHOLD


def test_a_threshold_out_of_reach_leaves_none_half_way():
    solution = fit(term("a", square(a)), term("h", hill(b)), threshold=0.9)
    assert all(component.status.converged for component in solution.components)
    assert solution.after == pytest.approx(1.0)
    assert peek(a) == pytest.approx(3.0, abs=1e-9)


def test_nothing_moves_where_the_sum_is_low_enough():
    terms = [term("a", square(a)), term("b", square(b, 1.5))]  # 4, far above its share, and 0.25
    solution = fit(*terms, threshold=5.0)
    assert solution.steps == 0
    assert (peek(a), peek(b)) == (1.0, 1.0)
    assert solution.status is Status.THRESHOLD


def test_tests_without_params_count():
    terms = [term("a", square(a)), term("half", lambda: 0.5, 2.0), term("b", square(b))]
    solution = fit(*terms, threshold=1.5, optimizer="gradient-descent")
    assert 1.0 <= solution.after <= 1.5
    assert solution.before == 9.0
    assert solution.losses[1] == 0.5
    assert len(solution.components) == 2
    assert fit(*terms, threshold=0.9).status.converged


def test_the_limit_of_a_single_test_sends_its_component_on():
    terms = [term("a", square(a)), term("b", square(b))]
    solution = fit(*terms, threshold=2.0, limits={"b": 1e-9}, optimizer="gradient-descent")
    first, second = solution.components
    assert first.status is Status.THRESHOLD
    assert second.after <= 1e-9
    assert 1e-3 < first.after <= 1.0
    assert solution.status is Status.THRESHOLD


# ---- limits


def test_the_limit_on_steps_is_for_each():
    solution = fit(term("a", hill(a)), term("b", hill(b)), max_steps=2)
    assert [component.steps for component in solution.components] == [2, 2]
    assert solution.steps == 4
    assert solution.outcome == Status.MAX_STEPS.sentence


def test_time_is_shared(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    terms = [term("slow", rosenbrock), term("easy", square(a)), term("too", square(b))]
    solution = fit(*terms, optimizer="gradient-descent", timeout=3000)
    slow, *easy = solution.components
    assert slow.status is Status.TIMEOUT
    assert all(component.status.converged for component in easy)
    assert 3000 <= next(clock) < 3100  # what these did not use went to the slow one
    assert solution.outcome == f"1 of 3 components {Status.TIMEOUT.sentence}"


def test_no_time_at_all():
    solution = fit(term("a", square(a)), term("b", hill(b)), timeout=0)
    assert {component.status for component in solution.components} == {Status.TIMEOUT}
    assert (peek(a), peek(b)) == (1.0, 1.0)


def test_ctrl_c_keeps_the_best_of_all():
    def stop(progress):
        if progress.component == 2 and progress.step > after_first:
            raise KeyboardInterrupt

    terms = [term("a", square(a)), term("h", hill(b, 9.0)), term("c", square(c))]
    after_first = fit(terms[0]).steps
    assign(a, 1.0)
    solution = fit(*terms, callback=stop)
    assert solution.status is Status.INTERRUPTED
    assert peek(a) == pytest.approx(3.0)
    assert 1.0 < peek(b) < 8.9
    assert peek(c) == 1.0
    assert solution.components[1].improved
    assert solution.components[2].status is None
    assert set(solution.values) == {a.key, b.key}
    assert solution.after == pytest.approx(sum(solution.losses))


def test_progress_is_that_of_the_whole():
    seen = []
    terms = [term("a", square(a)), term("h", hill(b, 9.0)), term("c", square(c))]
    solution = fit(*terms, callback=seen.append)
    assert [p.component for p in seen] == sorted(p.component for p in seen)
    assert {p.components for p in seen} == {3}
    assert [p.step for p in seen] == list(range(solution.steps + 1))
    assert seen[0].value == solution.before
    assert seen[-1].best_value == pytest.approx(solution.after)
    best = [p.best_value for p in seen]
    assert best == sorted(best, reverse=True)


# ---- components that fail


def singular():
    """Return a graph that inverts a matrix which is singular where a is -0.5."""
    with Tape() as tape:
        m = np.stack([np.stack([tape.read(a), 1.0]), np.stack([1.0, 1.0])])
        return tape.graph([np.sum(np.linalg.inv(m + np.eye(2)) ** 2)])


def test_one_that_cannot_be_started_leaves_the_others_alone():
    graph = singular()
    bad, good = Term("bad", graph, lambda _: graph), term("good", square(b))
    start = {a.key: -0.5, b.key: 1.0}
    solution = solve([bad, good], start, Goal(threshold=1e-3))
    failed, fitted = solution.components
    assert not failed.started
    assert "cannot be computed at the start: bad: Singular matrix" in str(failed.error)
    assert fitted.status.converged
    assert list(solution.values) == [b.key]
    assert peek(b) == pytest.approx(3.0)
    assert solution.losses[0] == np.inf


def test_lm_by_name_fits_where_it_can():
    solution = fit(term("a", square(a)), term("h", hill(b)), optimizer="lm")
    fitted, failed = solution.components
    assert fitted.status.converged
    assert "'lm' needs every loss to be a sum of squares" in str(failed.error)
    with pytest.raises(SoftError, match="no optimizer 'adma'"):
        fit(term("a", square(a)), term("h", hill(b)), optimizer="adma")


def test_one_that_crashes_keeps_its_best():
    def trace(values):
        raise RuntimeError("out of paper")

    with Tape() as tape:
        x = tape.read(a)
        assert x < 2
        graph = tape.graph([np.cosh(x - 3)])
    solution = fit(Term("crash", graph, trace), term("b", square(b)))
    crashed, fitted = solution.components
    assert crashed.status is Status.CRASHED
    assert str(crashed.error) == "out of paper"
    assert crashed.started
    assert peek(a) < 2
    assert fitted.status.converged
    assert solution.outcome == f"1 of 2 components {Status.CRASHED.sentence}"


# ---- paths


def test_a_path_that_reaches_another_component_joins_the_two():
    def loss():
        return (a - 3) ** 2 if a < 2 else (a - 3) ** 2 + (a + b - 7) ** 2

    alone = fit(term("c", square(c)))
    assign(c, 1.0)
    terms = [term("a", loss), term("b", square(b, 4.0)), term("c", square(c))]
    solution = fit(*terms)
    joined, other = solution.components
    assert [t.name for t in joined.terms] == ["a", "b"]
    assert (peek(a), peek(b)) == (pytest.approx(3.0), pytest.approx(4.0))
    assert other.evaluations == alone.evaluations
    assert solution.before == 4.0 + 9.0 + 4.0
    assert joined.before == 13.0
    assert joined.improved
    assert solution.retraces >= 1


def test_joined_to_one_that_was_done():
    def loss():
        return (b - 3) ** 2 if b < 2 else (b - 3) ** 2 + (a + b - 7) ** 2

    seen = []
    solution = fit(term("a", square(a, 4.0)), term("b", loss), callback=seen.append)
    (joined,) = solution.components
    assert (peek(a), peek(b)) == (pytest.approx(4.0), pytest.approx(3.0))
    assert joined.steps == solution.steps == seen[-1].step
    assert joined.before == 9.0 + 4.0


def test_joined_with_a_threshold():
    def loss():
        return (a - 3) ** 2 if a < 2 else (a - 3) ** 2 + (a + b - 7) ** 2

    terms = [term("a", loss), term("b", square(b, 4.0)), term("c", hill(c))]
    assert fit(*terms, threshold=1.01).after <= 1.01


# ---- what is only measured


def test_weight_0_connects_nothing():
    terms = [term("a", square(a)), term("ab", lambda: a * b, 0.0), term("b", square(b))]
    solution = fit(*terms)
    assert len(solution.components) == 2
    assert solution.losses[1] == pytest.approx(9.0)


def test_params_of_weight_0_alone_stay():
    solution = fit(term("a", square(a)), term("c", square(c), 0.0))
    assert solution.values[c.key] == 1.0
    assert solution.losses[1] == 4.0
    only = fit(term("c", square(c), 0.0))
    assert only.components == []
    assert only.after == 0.0
    assert only.status.converged


def test_measured_where_its_path_reaches_another_param():
    terms = [term("a", square(a)), term("ab", lambda: 1.0 * a if a < 2 else a + b, 0.0)]
    assert fit(*terms).losses[1] == pytest.approx(4.0)


# ---- Params without slope


def test_params_without_slope_are_found_in_each():
    def step():
        return 2.0 if b < 5 else 1.0

    solution = fit(term("a", square(a)), term("step", step), term("h", hill(c)))
    assert without_slope(solution, {b.key}) == {b.key}
    assert without_slope(solution, {a.key, c.key}) == set()
