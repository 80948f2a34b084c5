"""Newton's method in a trust region, its systems solved by conjugate gradients."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from softtape.errors import SoftError
from softtape.optimize.base import (
    Bounds,
    Floats,
    Objective,
    State,
    Status,
    grown_scale,
    is_finite,
    relative_gradient,
    rounding,
    scale_by_slope,
)
from softtape.optimize.line_search import Rise

__all__ = ["NewtonCG", "NewtonCGState"]

_SURE = 20  # so many products are spent on a system in any case: small ones are solved exactly
_MOST = 200
_ROUNDED = 1e-8  # of L: a first-order change that tells nothing of the slope
_LOOSE, _TIGHT = 0.1, 1e-10  # the residual left in a system, by its gradient


@dataclass(frozen=True, kw_only=True, eq=False)
class NewtonCGState(State):
    """The state of Newton-CG.

    ``scale``, shape (n,), is the largest size each variable has had, in its own unit; ``radius``
    that of the trust region, where each variable is measured by its scale.
    """

    scale: Floats
    radius: float
    products: int = 0

    @property
    def description(self) -> str:
        """The region trusted next, and what the last step took."""
        return f"radius {self.radius:.2g}, {self.products} products"


@dataclass(frozen=True)
class _Move:
    """A step δ, shape (n,), the drop of L that the parabola promises, and what finding it took."""

    delta: Floats
    promised: float
    length: float
    products: int


@dataclass(frozen=True)
class NewtonCG:
    """Newton's method for L by products of its Hessian with vectors, never its Hessian.

    Each trial minimises gᵀδ + δᵀHδ/2 within ‖δ/s‖ <= radius by the conjugate gradients of Steihaug
    (SIAM Journal on Numerical Analysis 20, 1983), which follow negative curvature to the border;
    the radius follows the ratio of the drop of L to the promised one (Nocedal and Wright, 2006,
    algorithms 4.1 and 7.2). s is the size of each variable, so that units do not matter. Variables
    held at a bound leave the subspace; the step is projected onto the bounds, and its promise then
    reckoned again.
    """

    first_radius: float = 10.0

    @property
    def name(self) -> str:
        """The name a user selects it by."""
        return "newton-cg"

    def start(self, objective: Objective, theta: Floats, bounds: Bounds) -> NewtonCGState:
        """Evaluate ``theta``, shape (n,).

        Raises
        ------
        SoftError
            The objective has no ``hessian_product``.
        """
        if not getattr(objective, "has_curvature", hasattr(objective, "hessian_product")):
            msg = (
                "optimizer 'newton-cg' asks the objective for hessian_product(theta, direction), "
                "which this one does not have; choose 'lbfgs'"
            )
            raise SoftError(msg)
        value, gradient = objective.value_and_gradient(theta)
        return NewtonCGState(
            theta=theta,
            value=value,
            gradient=gradient,
            noise=rounding(theta, value, gradient),
            remaining=relative_gradient(theta, gradient, bounds),
            scale=scale_by_slope(theta, value, gradient, bounds),
            radius=self.first_radius * float(np.sqrt(theta.size)),
        )

    def step(self, objective: Objective, bounds: Bounds, state: NewtonCGState) -> NewtonCGState:
        """Return the state after one accepted trial, or ``state`` with its status."""
        radius, rise, products = state.radius, Rise(state.value, state.noise), 0
        while radius > np.finfo(np.float64).tiny:
            move = _move(objective, bounds, state, radius)
            products += move.products
            theta = bounds.project(state.theta + move.delta)
            if np.array_equal(theta, state.theta):
                break
            if move.promised > 0:
                value, gradient = objective.value_and_gradient(theta)
                new = _accepted(bounds, state, theta, value, gradient)
                if new is not None:
                    after = _radius(radius, move, state.value - value)
                    return replace(new, radius=after, products=products)
                if move.promised <= state.noise:
                    break
                rise.note(value, move.promised)
            radius = min(radius, move.length) / 4
        # a slope as small as this may be rounding, along directions in which L does not bend
        tells = state.remaining > _ROUNDED * abs(state.value)
        wrong = rise.unexplained and tells
        return replace(state, status=Status.FAILED if wrong else Status.STEP)


def _accepted(
    bounds: Bounds, state: NewtonCGState, theta: Floats, value: float, gradient: Floats
) -> NewtonCGState | None:
    """Return the state at a point lower in L, or level and nearer a minimum; else None."""
    if not is_finite(value, gradient):
        return None
    new = replace(
        state,
        theta=theta,
        value=value,
        gradient=gradient,
        noise=rounding(theta, value, gradient),
        remaining=relative_gradient(theta, gradient, bounds),
        scale=grown_scale(state.scale, theta, bounds),
    )
    nearer = new.level_and_nearer(state.value, state.noise, state.remaining)
    return new if nearer or value < state.value - state.noise else None


def _radius(radius: float, move: _Move, drop: float) -> float:
    """Return the radius to trust after a step, by the ratio of its drop of L to its promise."""
    gain = drop / move.promised
    if gain < 1 / 4:
        return min(radius, move.length) / 4
    grows = gain > 3 / 4 and move.length > 0.8 * radius
    return min(2 * radius, 1e100) if grows else radius


@np.errstate(over="ignore", invalid="ignore", under="ignore")
def _move(objective: Objective, bounds: Bounds, state: NewtonCGState, radius: float) -> _Move:
    """Return the step within the radius that stays within the bounds."""
    free, products = bounds.free(state.theta, state.gradient), 0

    def bent(direction: Floats) -> Floats:
        """Return the product with the Hessian, where each variable is measured by its scale."""
        nonlocal products
        products += 1
        length = float(np.sqrt(direction @ direction))
        unit = state.scale * (direction / length)
        product = objective.hessian_product(state.theta, unit)  # type: ignore[attr-defined]
        return np.asarray(product, dtype=np.float64) * state.scale * length

    gradient = np.where(free, state.scale * state.gradient, 0.0)
    loose = min(_LOOSE, float(np.sqrt(gradient @ gradient)) / max(abs(state.value), 1e-300))
    step, bend = _steihaug(lambda d: np.where(free, bent(d), 0.0), gradient, radius, loose)
    delta = state.scale * step
    inside = bounds.project(state.theta + delta) - state.theta
    if not np.all((bounds.lower <= state.theta + delta) & (state.theta + delta <= bounds.upper)):
        delta, step = inside, inside / state.scale
        bend = bent(step) if step.any() else step
    promised = -float(gradient @ step + step @ bend / 2)
    return _Move(delta, promised, float(np.sqrt(step @ step)), products)


def _steihaug(
    product: Callable[[Floats], Floats], gradient: Floats, radius: float, loose: float
) -> tuple[Floats, Floats]:
    """Minimise gᵀx + xᵀHx/2 within ‖x‖ <= radius; return x and Hx, each of shape (n,).

    Where H is not finite along a direction, L is taken for a straight line there.
    """
    step, bend = np.zeros_like(gradient), np.zeros_like(gradient)
    residual, direction = gradient, -gradient
    square = first = float(gradient @ gradient)
    for count in range(1, min(2 * gradient.size + 10, _MOST) + 1):
        if not first > 0 or not np.isfinite(first):
            break
        along = product(direction)
        curvature = float(direction @ along)
        length = square / curvature if curvature > 0 else np.inf
        ahead = step + length * direction if np.isfinite(length) else step
        if not np.isfinite(length) or not float(ahead @ ahead) < radius**2:
            length = _to_border(step, direction, radius)
            finite = is_finite(curvature, along)
            return step + length * direction, bend + length * along if finite else bend
        step, bend = ahead, bend + length * along
        residual = residual + length * along
        before, square = square, float(residual @ residual)
        left = np.sqrt(square / first)
        if left <= _TIGHT or (count >= _SURE and left <= loose):
            break
        direction = -residual + (square / before) * direction
    return step, bend


def _to_border(step: Floats, direction: Floats, radius: float) -> float:
    """Return how far it is along a direction from within the region to its border."""
    size = float(np.sqrt(direction @ direction))
    unit = direction / size
    ahead = float(step @ unit)
    room = max(radius**2 - float(step @ step), 0.0)
    root = float(np.sqrt(ahead**2 + room))
    return (room / (ahead + root) if ahead > 0 else root - ahead) / size
