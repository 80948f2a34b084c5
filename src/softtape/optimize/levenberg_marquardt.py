"""Levenberg-Marquardt: damped Gauss-Newton steps for sums of squares."""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from softtape.errors import NoResidualsError
from softtape.optimize.base import (
    Bounds,
    Floats,
    Objective,
    State,
    Status,
    is_finite,
)

__all__ = ["LevenbergMarquardt", "LevenbergMarquardtState"]

_EPS = float(np.finfo(np.float64).eps)
_SQRT_EPS = float(np.sqrt(_EPS))
_LARGEST_DAMPING = 1e100
_FEW = 32  # variables whose derivatives cost so little that they are asked for on suspicion
_LOST = 1e-2  # of the norm of J's column: by less than this a variable hardly matters any more
_TINY = float(np.finfo(np.float64).tiny)
_QUIETLY = np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore")


class _Model(NamedTuple):
    """L at a point, the residuals r with L = Σ r², shape (m,), and their Jacobian, (m, n)."""

    value: float
    residuals: Floats
    jacobian: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class LevenbergMarquardtState(State):
    """The state of Levenberg-Marquardt, with J = QR and k = min(m, n).

    ``factor`` is R, shape (k, n); ``rotated`` is Qᵀr, shape (k,): all a step needs of J and r.
    ``norms``, shape (n,), are those of J's columns, ``scale`` the largest that each has had. With
    R = UΣVᵀD, where D is ``scale``, ``sigma`` is Σ, shape (k,), ``right`` Vᵀ, shape (k, n), and
    ``turned`` UᵀQᵀr, shape (k,), so that a step is a matter of two products. ``damping`` is μ,
    without unit, and ``growth`` the factor for the next rejection. ``newton``, shape (n,), is
    the undamped step, and ``remaining`` the drop of L which it promises: near a minimum that falls
    at every undamped step, whatever the conditioning of J. While ``polishing``, only
    level steps are tried. ``sure`` tells that the last step was the first trial: then the next
    one is expected to be so, too.
    """

    factor: Floats
    rotated: Floats
    norms: Floats
    scale: Floats
    sigma: Floats
    right: Floats
    turned: Floats
    damping: float
    newton: Floats
    growth: float = 2.0
    polishing: bool = False
    sure: bool = True

    @property
    def description(self) -> str:
        """The damping of the next trial."""
        return f"damping {self.damping:.2e}"


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Levenberg-Marquardt for L = Σ r².

    Each trial minimises ‖r + Jδ‖² + μ‖Dδ‖² by orthogonal factorisation, never by normal equations:
    J = QR, and the singular values of RD⁻¹ serve every μ. D is the running maximum of J's column
    norms (Moré, The Levenberg-Marquardt algorithm, 1978), μ follows the gain ratio (Nielsen,
    IMM-REP-1999-05; Madsen, Nielsen and Tingleff, Methods for Non-Linear Least Squares Problems,
    2004). Variables that a step would carry beyond a bound stop there, and the others are solved
    for again. A trial that is not finite raises the damping. So does one after which some variable
    hardly matters any more: a step far too long may well lower L, and end on a plain from where
    that variable never returns. Where the drop of L drowns in rounding, undamped steps go on as
    long as each leaves less to gain: that is where the last digits come from. L is what the
    residuals give, and is asked for by itself only at a trial that may well fail.
    """

    first_damping: float = 0.1

    @property
    def name(self) -> str:
        """The name a user selects it by."""
        return "lm"

    def start(self, objective: Objective, theta: Floats, bounds: Bounds) -> LevenbergMarquardtState:
        """Evaluate ``theta``, shape (n,): its residuals and their Jacobian."""
        model = _model(objective, theta)
        state = _linearise(bounds, theta, model, np.zeros_like(theta), self.first_damping)
        if state is not None:
            return state
        unknown = np.full_like(theta, np.nan)
        return LevenbergMarquardtState(
            theta=theta,
            value=model.value,
            gradient=unknown,
            noise=0.0,
            remaining=np.inf,
            status=Status.NO_GRADIENT,
            factor=np.empty((0, theta.size)),
            rotated=np.empty(0),
            norms=unknown,
            scale=unknown,
            sigma=np.empty(0),
            right=np.empty((0, theta.size)),
            turned=np.empty(0),
            newton=unknown,
            damping=self.first_damping,
        )

    def step(
        self, objective: Objective, bounds: Bounds, state: LevenbergMarquardtState
    ) -> LevenbergMarquardtState:
        """Return the state after one accepted trial, or ``state`` with its status."""
        if state.polishing or state.remaining <= state.noise:
            return _polish(objective, bounds, state)
        damping, growth, sure = state.damping, state.growth, state.sure
        while damping < _LARGEST_DAMPING:
            theta, promised = _trial(state, bounds, damping)
            if (theta == state.theta).all():
                break
            if promised > state.noise:
                value, model = _tried(objective, theta, sure)
                if math.isfinite(value) and value < state.value - state.noise:
                    model = model or _model(objective, theta)
                    after = _relaxed(damping, (state.value - value) / promised)
                    accepted = _linearise(bounds, theta, model, state.scale, after)
                    if accepted is not None and _all_matter(state, accepted):
                        first = damping == state.damping
                        return accepted if first else replace(accepted, sure=False)
            damping, growth, sure = damping * growth, 2 * growth, False
        return _polish(objective, bounds, state)


@_QUIETLY
def _trial(state: LevenbergMarquardtState, bounds: Bounds, damping: float) -> tuple[Floats, float]:
    """Return the point that a damped step leads to, and the drop of L that is promised there."""
    theta = bounds.project(state.theta + _move(state, bounds, damping))
    return theta, _predicted(state, theta - state.theta)


def _tried(objective: Objective, theta: Floats, sure: bool) -> tuple[float, _Model | None]:
    """Return L at a trial, and residuals and Jacobian if these were asked for at once."""
    if sure and theta.size <= _FEW:
        try:
            model = _model(objective, theta)
        except NoResidualsError:
            pass  # at a trial that is not accepted that does not matter
        else:
            return model.value, model
    return objective.value(theta), None


def _model(objective: Objective, theta: Floats) -> _Model:
    residuals, jacobian = objective.residuals_and_jacobian(theta)
    return _Model(_total(residuals), residuals, jacobian)


@_QUIETLY
def _total(residuals: Floats) -> float:
    return float((residuals**2).sum())


@_QUIETLY
def _linearise(
    bounds: Bounds, theta: Floats, model: _Model, scale: Floats, damping: float
) -> LevenbergMarquardtState | None:
    """Return the state at ``theta``, or None where its residuals or Jacobian are not finite."""
    value, residuals, jacobian = model
    gradient = 2 * (jacobian.T @ residuals)
    norms = np.sqrt((jacobian**2).sum(axis=0))
    if not is_finite(value, gradient, norms):
        return None
    factor, rotated = _triangle(jacobian, residuals)
    scale = np.maximum(scale, norms)
    sigma, right, turned = _split(factor / _units(scale), rotated)
    state = LevenbergMarquardtState(
        theta=theta,
        value=value,
        gradient=gradient,
        noise=_noise(theta, value, norms),
        remaining=np.inf,
        factor=factor,
        rotated=rotated,
        norms=norms,
        scale=scale,
        sigma=sigma,
        right=right,
        turned=turned,
        newton=gradient,
        damping=damping,
    )
    newton = _newton(state, bounds)
    return replace(state, newton=newton, remaining=_predicted(state, newton))


def _noise(theta: Floats, value: float, norms: Floats) -> float:
    """Return the rounding of L = Σ r², in its unit, from the norms of J's columns, shape (n,).

    Every residual has at least the rounding of what a last-place change of θ does to it, however
    much of it cancels in the gradient.
    """
    rounded = math.sqrt(value) * float(norms @ np.abs(theta))
    return 4 * _EPS * (2 * value + (rounded if math.isfinite(rounded) else 0.0))


def _newton(state: LevenbergMarquardtState, bounds: Bounds) -> Floats:
    """Return the undamped step, shape (n,), or a damped one where bounds spoil that.

    Stopping variables one by one at their bounds need not lower the linearised loss; with enough
    damping it does, unless θ is a minimum. Only so may ``remaining`` tell of convergence.
    """
    newton = _move(state, bounds, 0.0)
    if bounds.none:
        return newton
    lower, upper = bounds.lower - state.theta, bounds.upper - state.theta
    stopped = (newton != 0) & ((newton <= lower) | (newton >= upper))
    if not stopped.any():
        return newton
    moves = [newton] + [_move(state, bounds, d) for d in (1e-2, 1.0, 1e2, 1e4)]
    return max(moves, key=lambda move: _predicted(state, move))


def _units(scale: Floats) -> Floats:
    """Return D: what each variable is measured in, shape (n,)."""
    return np.where(scale > 0, scale, 1.0)


def _move(state: LevenbergMarquardtState, bounds: Bounds, damping: float) -> Floats:
    """Return the damped step δ, shape (n,), that stays within the bounds."""
    scale = _units(state.scale)
    if bounds.none:
        return _damped(state.sigma, state.right, state.turned, damping) / scale
    free = bounds.free(state.theta, state.gradient)
    lower, upper = bounds.lower - state.theta, bounds.upper - state.theta
    matrix, move = state.factor / scale, np.zeros_like(state.theta)
    while free.any():
        rest = state.rotated + state.factor[:, ~free] @ move[~free]
        move[free] = _damped(*_split(matrix[:, free], rest), damping) / scale[free]
        beyond = free & ((move < lower) | (move > upper))
        if not beyond.any():
            break
        move[beyond] = np.clip(move[beyond], lower[beyond], upper[beyond])
        free &= ~beyond
    return move


def _damped(sigma: Floats, right: Floats, turned: Floats, damping: float) -> Floats:
    """Return x that minimises ‖t + Ax‖² + damping ‖x‖², of several the shortest.

    A = UΣVᵀ is given by Σ, Vᵀ and Uᵀt, with which each damping is a matter of two products.
    """
    squares = sigma**2 + damping
    kept = squares > (_EPS * right.shape[1]) ** 2 * squares[:1]  # which is the largest
    step: Floats = right.T @ np.where(kept, -sigma * turned / squares, 0.0)
    return step


def _split(matrix: Floats, target: Floats) -> tuple[Floats, Floats, Floats]:
    """Return Σ, Vᵀ and Uᵀt of a matrix UΣVᵀ and a target t."""
    left, sigma, right = np.linalg.svd(matrix, full_matrices=False)
    return sigma, right, left.T @ target


def _triangle(matrix: Floats, column: Floats) -> tuple[Floats, Floats]:
    """Return R of matrix = QR, and Qᵀ times a column, for which Q itself is not needed."""
    m, n = matrix.shape
    table = np.empty((m, n + 1))
    table[:, :n], table[:, n] = matrix, column
    made: Any = np.linalg.qr(table, mode="raw")  # with what makes Q below R, and transposed
    rows = min(m, n)
    factor, rotated = made[0].T[:rows, :n].copy(), made[0][n, :rows].copy()
    for i in range(1, rows):
        factor[i, :i] = 0.0
    return factor, rotated


def _predicted(state: LevenbergMarquardtState, move: Floats) -> float:
    """Return the drop of L that the linearised residuals promise for a step."""
    change = state.factor @ move
    return -float(change @ (2 * state.rotated + change))


def _all_matter(before: LevenbergMarquardtState, after: LevenbergMarquardtState) -> bool:
    """Tell whether each variable that had a say in the residuals still has one after a step."""
    had, has = before.norms, after.norms
    return not ((has < _LOST * had) & (had > _SQRT_EPS * before.scale)).any()


def _relaxed(damping: float, gain: float) -> float:
    """Return Nielsen's damping after a step with this ratio of actual to promised drop.

    It falls to a tenth where his falls to a third: as sure, and fewer steps with nearly none.
    """
    # The cube is monotone and bounded below: a wildly good gain needs no care for overflow.
    cube = (2 * min(gain, 2.0) - 1) ** 3
    return max(damping * max(1 / 10, 1 - cube), _TINY)


def _polish(
    objective: Objective, bounds: Bounds, state: LevenbergMarquardtState
) -> LevenbergMarquardtState:
    """Return the state after a Gauss-Newton step to a point level in L and nearer.

    Half the step is tried as well, which still gains where large residuals make the whole one
    overshoot. Else the state is final. The outcome depends on θ alone, not on the damping.
    """
    for fraction in (1.0, 0.5):
        theta = bounds.project(state.theta + fraction * state.newton)
        if (theta == state.theta).all():
            break
        value, model = _tried(objective, theta, sure=True)
        if not value <= state.value + state.noise / 2:
            continue
        model = model or _model(objective, theta)
        new = _linearise(bounds, theta, model, state.scale, state.damping)
        if new is not None and new.level_and_nearer(state.value, state.noise, state.remaining):
            return replace(new, polishing=True)
    return replace(state, status=_exhausted(state))


def _exhausted(state: LevenbergMarquardtState) -> Status:
    """Return what it means that no step is left to take.

    A minimum, if the Gauss-Newton step is at the noise of a long computation; else a failure.
    """
    small_gain = state.remaining <= max(state.noise, _SQRT_EPS * state.value)
    small_step = bool(np.all(np.abs(state.newton) <= _SQRT_EPS * np.abs(state.theta)))
    return Status.STEP if small_gain or small_step else Status.FAILED
