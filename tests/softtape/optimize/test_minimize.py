import re
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from softtape.errors import SoftError
from softtape.optimize import (
    OPTIMIZERS,
    Adam,
    Bounds,
    LevenbergMarquardt,
    Snapshot,
    State,
    Status,
    minimize,
    watch,
)
from softtape.optimize.choose import EXTERNAL

NATIVE = sorted(OPTIMIZERS.keys() - EXTERNAL)

FREE2 = Bounds.unbounded(2)
START = np.array([-1.2, 1.0])
MONOTONE = ["gradient-descent", "lbfgs", "newton-cg", "lm"]


def fit(objective, theta=START, name="lbfgs", bounds=FREE2, **options):
    return minimize(objective, theta, optimizer=OPTIMIZERS[name](), bounds=bounds, **options)


class Interrupting:
    """Raises on a given evaluation, whichever kind it is."""

    def __init__(self, inner, at, error):
        self.inner, self.at, self.error, self.count = inner, at, error, 0
        self.has_residuals = inner.has_residuals
        self.seen = []

    def _tick(self):
        self.count += 1
        if self.count == self.at:
            raise self.error

    def value(self, theta):
        self._tick()
        self.seen.append(self.inner.value(theta))
        return self.seen[-1]

    def value_and_gradient(self, theta):
        self._tick()
        value, gradient = self.inner.value_and_gradient(theta)
        self.seen.append(value)
        return value, gradient

    def residuals_and_jacobian(self, theta):
        self._tick()
        residuals, jacobian = self.inner.residuals_and_jacobian(theta)
        with np.errstate(over="ignore"):
            self.seen.append(float(np.sum(residuals**2)))
        return residuals, jacobian

    def hessian_product(self, theta, direction):
        self._tick()
        return self.inner.hessian_product(theta, direction)


@pytest.mark.parametrize("name", NATIVE)
def test_a_start_at_the_threshold_takes_no_step_and_keeps_every_bit(name, rosenbrock):
    theta = np.array([0.1 + 0.2, -0.0])
    threshold = rosenbrock.value(theta)
    result = fit(rosenbrock, theta, name, threshold=threshold)
    assert result.status is Status.THRESHOLD
    assert (result.steps, result.evaluations) == (0, 1)
    assert result.theta.tobytes() == theta.tobytes()
    assert result.value == threshold


@pytest.mark.parametrize("name", NATIVE)
def test_the_threshold_is_reached_and_ends_the_fit_at_once(name, rosenbrock):
    watched = Interrupting(rosenbrock, at=-1, error=None)
    result = fit(watched, name=name, threshold=1e-3, max_steps=50_000)
    assert result.status is Status.THRESHOLD
    assert not result.status.converged
    assert rosenbrock.value(result.theta) <= 1e-3
    assert watched.seen[-1] == result.value
    assert all(value > 1e-3 for value in watched.seen[:-1])


def test_threshold_zero_is_honoured(squares):
    exact = squares(lambda b: b - 3.0)
    result = fit(exact, np.array([1.0]), "lm", Bounds.unbounded(1), threshold=0.0)
    assert (result.status, result.value) == (Status.THRESHOLD, 0.0)
    never = squares(lambda b: np.stack([b[0], b[0] - 1]))
    result = fit(never, np.array([1.0]), "lm", Bounds.unbounded(1), threshold=0.0)
    assert result.status.converged
    assert result.value == pytest.approx(0.5)


@pytest.mark.parametrize("name", MONOTONE)
def test_a_second_fit_changes_no_byte_with_zero_residuals(name, squares):
    easier = squares(lambda b: np.stack([3 * (b[0] - 0.3), b[1] - b[0] ** 2, b[1] - 0.09]))
    first = fit(easier, name=name)
    assert first.status.converged
    assert first.value < 1e-24
    second = fit(easier, first.theta, name)
    assert second.theta.tobytes() == first.theta.tobytes()
    assert second.steps == 0


@pytest.mark.parametrize("name", MONOTONE)
@pytest.mark.parametrize("start", [[-1.2, 1.0], [3.0, 2.0], [0.5, -4.0]])
def test_a_second_fit_changes_no_byte_with_residuals_left(name, start, squares):
    x = np.linspace(0, 2, 9)
    y = np.exp(-x) + 0.1 * np.cos(7 * x)
    left = squares(lambda b: b[0] + b[1] * x + 0.1 * b[1] ** 3 - y)
    first = fit(left, np.array(start), name)
    assert first.status.converged
    second = fit(left, first.theta, name)
    assert second.theta.tobytes() == first.theta.tobytes()
    assert second.steps == 0
    assert second.value == pytest.approx(first.value, rel=1e-14)


@pytest.mark.parametrize("name", ["lbfgs", "lm"])
def test_a_second_fit_changes_no_byte_on_rosenbrock_and_powell(name, rosenbrock, powell):
    for objective, start in ((rosenbrock, START), (powell, np.array([0.0, 1.0]))):
        first = fit(objective, start, name)
        assert first.value < 1e-18
        second = fit(objective, first.theta, name)
        assert second.theta.tobytes() == first.theta.tobytes()
        assert second.steps == 0


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("at", [1, 2, 3, 7, 12])
def test_an_interrupt_within_an_evaluation_keeps_the_best_point(name, at, rosenbrock):
    objective = Interrupting(rosenbrock, at, KeyboardInterrupt())
    result = fit(objective, name=name)
    assert result.status is Status.INTERRUPTED
    assert result.error is None
    if at == 1:
        assert np.isnan(result.value)
        assert result.theta.tobytes() == START.tobytes()
    else:
        assert result.value == min(objective.seen)
        assert rosenbrock.value(result.theta) == pytest.approx(result.value, rel=1e-12)


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("error", [ZeroDivisionError("1/0"), SystemExit(3)])
def test_a_crash_keeps_the_best_point_and_hands_over_the_exception(name, error, rosenbrock):
    objective = Interrupting(rosenbrock, 9, error)
    result = fit(objective, name=name)
    assert result.status is Status.CRASHED
    assert result.error is error
    assert result.value == min(objective.seen)


def test_an_interrupt_or_crash_in_the_callback_is_treated_alike(rosenbrock):
    def interrupt(progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    result = fit(rosenbrock, callback=interrupt)
    assert (result.status, result.steps) == (Status.INTERRUPTED, 2)

    def crash(progress):
        raise LookupError(progress.step)

    result = fit(rosenbrock, callback=crash)
    assert result.status is Status.CRASHED
    assert isinstance(result.error, LookupError)


@pytest.mark.parametrize("name", NATIVE)
def test_the_time_limit_is_looked_at_before_each_evaluation(name, rosenbrock, monkeypatch):
    slow = Interrupting(rosenbrock, at=-1, error=None)  # each evaluation takes a second
    clock = SimpleNamespace(monotonic=lambda: float(slow.count))
    monkeypatch.setattr(watch, "time", clock)
    result = fit(slow, name=name, timeout=5.0)
    assert result.status is Status.TIMEOUT
    assert result.evaluations == slow.count == result.seconds == 5
    assert result.value == min(slow.seen)


def test_no_time_at_all_still_evaluates_the_start(rosenbrock):
    result = fit(rosenbrock, timeout=0.0)
    assert (result.status, result.evaluations) == (Status.TIMEOUT, 1)
    assert result.value == pytest.approx(24.2)


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("limit", [0, 1, 4])
def test_max_steps_counts_accepted_steps(name, limit, rosenbrock):
    steps = []
    result = fit(rosenbrock, name=name, max_steps=limit, callback=lambda p: steps.append(p.step))
    assert (result.status, result.steps) == (Status.MAX_STEPS, limit)
    assert steps == list(range(limit + 1))


def test_progress_tells_value_best_and_gradient(rosenbrock):
    log = []
    result = fit(rosenbrock, name="lm", callback=log.append)
    assert log[0].value == pytest.approx(24.2)
    assert log[0].gradient_norm == pytest.approx(232.8677, rel=1e-6)
    assert log[-1].step == result.steps
    assert all(p.description.startswith("damping ") for p in log)
    assert all(p.best_value <= p.value for p in log)
    assert [p.seconds for p in log] == sorted(p.seconds for p in log)


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("options", [{"threshold": 1.5}, {"max_steps": 3}, {}], ids=str)
def test_the_last_call_has_the_loss_that_is_returned(name, options, rosenbrock):
    heard = []
    if not options:
        rosenbrock = Interrupting(rosenbrock, 9, KeyboardInterrupt())
    result = fit(rosenbrock, name=name, callback=heard.append, **options)
    assert (heard[-1].step, heard[-1].best_value) == (result.steps, result.value)
    assert [progress.step for progress in heard] == list(range(result.steps + 1))
    assert heard[-1].description


def test_of_a_fit_that_begins_at_the_threshold_step_0_is_heard(rosenbrock):
    heard = []
    fit(rosenbrock, threshold=100.0, callback=heard.append)
    assert [(progress.step, progress.value) for progress in heard] == [
        (0, pytest.approx(rosenbrock.value(START)))
    ]


def test_the_last_call_is_made_once(rosenbrock):
    def interrupt(progress):
        calls.append(progress.step)
        if progress.value <= 1.5:
            raise KeyboardInterrupt

    calls = []
    result = fit(rosenbrock, threshold=1.5, callback=interrupt)
    assert result.status is Status.INTERRUPTED
    assert calls == list(range(result.steps + 1))
    assert result.value <= 1.5


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("name", NATIVE)
def test_a_start_without_a_finite_loss_is_refused(name, bad, squares):
    objective = squares(lambda b: b * bad)
    with pytest.raises(SoftError, match=f"total loss is {bad} at the start"):
        fit(objective, name=name)


@pytest.mark.parametrize("name", NATIVE)
def test_a_start_without_a_finite_gradient_is_said(name, squares):
    class Kinked(squares):
        def residuals_and_jacobian(self, theta):
            residuals, jacobian = super().residuals_and_jacobian(theta)
            return residuals, np.full_like(jacobian, np.inf)

    result = fit(Kinked(lambda b: b - 5.0), name=name)
    assert (result.status, result.steps) == (Status.NO_GRADIENT, 0)
    assert result.theta.tobytes() == START.tobytes()


@pytest.mark.parametrize(
    ("theta", "options", "message"),
    [
        (np.empty(0), {}, "shape (0,)"),
        (np.array([1.0]), {}, "its bounds (2,)"),
        (np.array([1.0, np.nan]), {}, "variable 1 starts at nan"),
        (np.array([1.0, 9.0]), {}, "variable 1 starts at 9.0, outside its bounds [-1.0, 1.0]"),
        (np.array([1.0, 0.0]), {"threshold": np.nan}, "threshold is nan"),
        (np.array([1.0, 0.0]), {"max_steps": -1}, "max_steps is -1"),
        (np.array([1.0, 0.0]), {"timeout": np.nan}, "timeout is nan"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(theta, options, message, rosenbrock):
    box = Bounds(np.full(2, -1.0), np.full(2, 1.0))
    with pytest.raises(SoftError, match=re.escape(message)):
        fit(rosenbrock, theta, bounds=box, **options)
    assert rosenbrock.asked == []


def test_the_start_array_is_neither_changed_nor_returned(rosenbrock):
    theta = START.copy()
    result = fit(rosenbrock, theta)
    assert theta.tobytes() == START.tobytes()
    assert not np.shares_memory(result.theta, theta)


def test_a_loss_of_all_equal_values_converges_where_it_stands(smooth):
    flat = smooth(lambda _: 3.0, lambda b: np.zeros_like(b))
    for name in ("gradient-descent", "adam", "lbfgs"):
        result = fit(flat, name=name)
        assert (result.status, result.steps) == (Status.GRADIENT, 0)


@pytest.mark.parametrize("name", ["gradient-descent", "lbfgs"])
def test_a_gradient_of_the_wrong_sign_is_a_failure_not_a_convergence(name, smooth):
    wrong = smooth(lambda b: 1 + float(np.sum(b**2)), lambda b: -2 * b)
    result = fit(wrong, name=name)
    assert result.status is Status.FAILED
    assert result.theta.tobytes() == START.tobytes()


def test_lm_with_a_jacobian_of_the_wrong_sign_fails(squares):
    class Wrong(squares):
        def residuals_and_jacobian(self, theta):
            residuals, jacobian = super().residuals_and_jacobian(theta)
            return residuals, -jacobian

    result = fit(Wrong(lambda b: b - 5.0), name="lm")
    assert (result.status, result.steps) == (Status.FAILED, 0)


@pytest.mark.parametrize("name", NATIVE)
def test_two_runs_ask_for_the_same_points(name, rosenbrock, squares):
    again = squares(rosenbrock.residuals)
    fit(rosenbrock, name=name, max_steps=40)
    fit(again, name=name, max_steps=40)
    assert len(rosenbrock.asked) >= 20
    assert [a.tobytes() for a in rosenbrock.asked] == [b.tobytes() for b in again.asked]


@pytest.mark.parametrize("name", NATIVE)
def test_an_optimizer_resumes_from_its_state_alone(name, rosenbrock):
    optimizer = OPTIMIZERS[name]()
    state = optimizer.start(rosenbrock, START, FREE2)
    for _ in range(6):
        state = optimizer.step(rosenbrock, FREE2, state)
    fields = {
        key: value.copy() if isinstance(value, np.ndarray) else value
        for key, value in vars(state).items()
    }
    assert all(isinstance(v, np.ndarray | float | int | None) for v in fields.values())
    copy = type(state)(**fields)
    one = optimizer.step(rosenbrock, FREE2, state)
    other = OPTIMIZERS[name]().step(rosenbrock, FREE2, copy)
    assert one.theta.tobytes() == other.theta.tobytes()


def test_best_seen_survives_a_step_that_raises_the_loss(squares):
    steep = squares(lambda b: b)
    values = []
    result = minimize(
        steep,
        np.array([1.0, -2.0]),
        optimizer=Adam(learning_rate=0.9),
        bounds=FREE2,
        max_steps=60,
        callback=lambda p: values.append(p.value),
    )
    assert any(b > a for a, b in pairwise(values))
    assert result.value == min(values)


def test_the_result_names_the_optimizer_and_the_gradient(rosenbrock):
    result = minimize(rosenbrock, START, optimizer=LevenbergMarquardt(), bounds=FREE2)
    assert result.optimizer == "lm"
    assert result.gradient_norm < 1e-8
    assert result.evaluations == len(rosenbrock.asked)


@dataclass(frozen=True)
class Crawl:
    """Lowers L = b by a fixed fraction in each step."""

    fraction: float
    name: str = "crawl"

    def start(self, objective, theta, bounds):
        value, gradient = objective.value_and_gradient(theta)
        return State(theta=theta, value=value, gradient=gradient, noise=0.0, remaining=value)

    def step(self, objective, bounds, state):
        return self.start(objective, state.theta * (1 - self.fraction), bounds)


@pytest.mark.parametrize(("fraction", "steps"), [(0.9e-6 / 500, 500), (1.1e-6 / 500, 1600)])
def test_a_plateau_ends_the_fit(fraction, steps, smooth):
    objective, snapshots = smooth(lambda b: float(b[0]), np.ones_like), []

    def run(**options):
        bounds = Bounds.unbounded(1)
        return minimize(
            objective,
            np.ones(1),
            optimizer=Crawl(fraction),
            bounds=bounds,
            max_steps=1600,
            **options,
        )

    result = run(snapshots=snapshots.append)
    assert result.steps == steps
    assert result.status is (Status.PLATEAU if steps == 500 else Status.MAX_STEPS)
    assert "lowered the total loss by less than a millionth" in Status.PLATEAU.sentence
    for snapshot in snapshots[::250]:
        again = run(resume=Snapshot.from_plain(snapshot.to_plain()))
        assert (again.status, again.steps) == (result.status, result.steps)
        assert again.theta.tobytes() == result.theta.tobytes()


@pytest.mark.parametrize("name", ["gradient-descent", "lbfgs", "newton-cg"])
def test_what_falls_without_end_has_no_minimum_and_the_start_is_kept(name, smooth):
    objective = smooth(lambda b: float(-b[0]), lambda b: np.array([-1.0]))
    bounds = Bounds.unbounded(1)
    result = minimize(objective, np.array([3.0]), optimizer=OPTIMIZERS[name](), bounds=bounds)
    assert result.status is Status.BOTTOMLESS
    assert (result.theta[0], result.value) == (3.0, -3.0)
    # a likelihood may be far below 0
    objective = smooth(lambda b: float(b[0] ** 2 - 1e20), lambda b: 2 * b)
    result = minimize(objective, np.array([3.0]), optimizer=OPTIMIZERS[name](), bounds=bounds)
    assert result.status.converged
