"""What holds for every optimizer on any problem of a family, found by hypothesis."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from softtape.optimize import OPTIMIZERS, Bounds, Status, minimize
from softtape.optimize.choose import EXTERNAL

NATIVE = sorted(OPTIMIZERS.keys() - EXTERNAL)

numbers = st.floats(-3, 3, allow_subnormal=False)
names = st.sampled_from(NATIVE)
quick = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def problems(draw):
    """Residuals of a random smooth model with a box around the start, hole and units included."""
    n = draw(st.integers(1, 4))
    vector = st.lists(numbers, min_size=n, max_size=n).map(np.array)
    target, start = draw(vector), draw(vector)
    unit = 10.0 ** draw(st.integers(-6, 6))
    wall = draw(st.one_of(st.none(), st.floats(3.5, 5.0)))
    below, above = np.abs(draw(vector)), np.abs(draw(vector))
    if draw(st.booleans()):
        below = np.full(n, np.inf)

    def residuals(theta):
        b = theta / unit
        parts = [b - target, 0.3 * np.sin(b).sum() * np.ones(1), b[:1] * b[-1:] - 1]
        joined = np.concatenate(parts)
        return joined * np.nan if wall is not None and np.real(b).max() > wall else joined

    return residuals, start * unit, Bounds((start - below) * unit, (start + above) * unit)


@quick
@given(name=names, problem=problems())
def test_no_evaluated_point_is_ever_out_of_bounds(name, problem, squares):
    residuals, start, bounds = problem
    objective = squares(residuals)
    result = minimize(objective, start, optimizer=OPTIMIZERS[name](), bounds=bounds, max_steps=25)
    assert all(bounds.contains(theta) for theta in objective.asked)
    assert bounds.contains(result.theta)
    assert result.status is not Status.CRASHED


@quick
@given(name=names, problem=problems())
def test_the_result_is_the_best_value_seen_up_to_rounding(name, problem, squares):
    residuals, start, bounds = problem
    seen = []

    class Recording(squares):
        def value(self, theta):
            seen.append(super().value(theta))
            return seen[-1]

        def value_and_gradient(self, theta):
            value, gradient = super().value_and_gradient(theta)
            seen.append(value)
            return value, gradient

        def residuals_and_jacobian(self, theta):
            made = super().residuals_and_jacobian(theta)
            with np.errstate(all="ignore"):
                seen.append(float(np.sum(made[0] ** 2)))
            return made

    objective = Recording(residuals)
    result = minimize(objective, start, optimizer=OPTIMIZERS[name](), bounds=bounds, max_steps=25)
    assert result.value <= np.nanmin(seen) * (1 + 1e-9) + 1e-26
    assert result.value == objective.value(result.theta)


@quick
@given(name=st.sampled_from(["gradient-descent", "lbfgs", "newton-cg", "lm"]), problem=problems())
def test_the_loss_of_a_state_never_rises_by_more_than_rounding(name, problem, squares):
    residuals, start, bounds = problem
    objective, optimizer = squares(residuals), OPTIMIZERS[name]()
    state = optimizer.start(objective, start, bounds)
    for _ in range(25):
        new = optimizer.step(objective, bounds, state)
        assert new.value <= state.value + state.noise / 2
        if new.status is not None:
            assert new.theta.tobytes() == state.theta.tobytes()
            break
        assert new.theta.tobytes() != state.theta.tobytes()
        state = new


@quick
@given(name=st.sampled_from(["lbfgs", "newton-cg", "lm"]), problem=problems())
def test_a_second_fit_changes_no_byte(name, problem, squares):
    residuals, start, bounds = problem
    objective, optimizer = squares(residuals), OPTIMIZERS[name]()
    first = minimize(objective, start, optimizer=optimizer, bounds=bounds, max_steps=3000)
    assert first.status is not Status.MAX_STEPS
    second = minimize(objective, first.theta, optimizer=optimizer, bounds=bounds)
    assert second.theta.tobytes() == first.theta.tobytes()
    assert second.steps == 0
