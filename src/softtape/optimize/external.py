"""Optimizers of scipy and pycma, behind our interface; they come with extras.

One step is one whole run of theirs. ``differential-evolution`` and ``cma`` ask for values of L
alone: they fit programs that cannot be differentiated, too.
"""

import importlib
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from softtape.errors import SoftError
from softtape.optimize.base import (
    Bounds,
    Floats,
    Objective,
    State,
    parameter_scale,
)
from softtape.optimize.whole import after_run, evaluated

__all__ = ["CMA", "DifferentialEvolution", "ScipyLeastSquares", "ScipyMinimize"]

_LARGE = 1e300  # stands for inf, which spoils the arithmetic of a population


def _imported(module: str, name: str, extra: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cma's, that it cannot plot
            return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        msg = f"optimizer {name!r} needs {package}: pip install 'pytest-soft[{extra}]'"
        raise SoftError(msg) from error


@dataclass(frozen=True)
class ScipyLeastSquares:
    """``scipy.optimize.least_squares``, method ``trf``, on our residuals and Jacobian."""

    @property
    def name(self) -> str:
        """The name a user selects it by."""
        return "scipy-least-squares"

    def start(self, objective: Objective, theta: Floats, bounds: Bounds) -> State:
        """Evaluate ``theta``, shape (n,)."""
        _imported("scipy.optimize", self.name, "scipy")
        return evaluated(objective, theta, bounds)

    def step(self, objective: Objective, bounds: Bounds, state: State) -> State:
        """Run it to its end."""
        least_squares = _imported("scipy.optimize", self.name, "scipy").least_squares

        def residuals(theta: Floats) -> Floats:
            objective.value(theta)  # the loop keeps the best of what it sees
            return objective.residuals_and_jacobian(theta)[0]

        def jacobian(theta: Floats) -> Floats:
            return objective.residuals_and_jacobian(theta)[1]

        found = least_squares(
            residuals,
            _inside(state.theta, bounds),
            jac=jacobian,
            bounds=_apart(bounds),
            x_scale="jac",
            ftol=1e-15,
            xtol=1e-15,
            gtol=1e-15,
        )
        theta = bounds.project(np.asarray(found.x, dtype=np.float64))
        return after_run(objective, theta, bounds, state)


@dataclass(frozen=True)
class ScipyMinimize:
    """``scipy.optimize.minimize``, method ``L-BFGS-B``, in units of the variables' sizes."""

    @property
    def name(self) -> str:
        """The name a user selects it by."""
        return "scipy-minimize"

    def start(self, objective: Objective, theta: Floats, bounds: Bounds) -> State:
        """Evaluate ``theta``, shape (n,)."""
        _imported("scipy.optimize", self.name, "scipy")
        return evaluated(objective, theta, bounds)

    def step(self, objective: Objective, bounds: Bounds, state: State) -> State:
        """Run it to its end."""
        minimize = _imported("scipy.optimize", self.name, "scipy").minimize
        scale = parameter_scale(state.theta, bounds)

        def value_and_gradient(point: Floats) -> tuple[float, Floats]:
            value, gradient = objective.value_and_gradient(bounds.project(point * scale))
            return value, gradient * scale

        found = minimize(
            value_and_gradient,
            state.theta / scale,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(bounds.lower / scale, bounds.upper / scale, strict=True)),
            options={"ftol": 1e-16, "gtol": 0.0, "maxiter": 100_000, "maxfun": 1_000_000},
        )
        theta = bounds.project(np.asarray(found.x, dtype=np.float64) * scale)
        return after_run(objective, theta, bounds, state)


@dataclass(frozen=True)
class DifferentialEvolution:
    """``scipy.optimize.differential_evolution`` over the box, which must be finite."""

    seed: int = 0

    @property
    def needs_gradient(self) -> bool:
        """It asks for values of L alone."""
        return False

    @property
    def name(self) -> str:
        """The name a user selects it by."""
        return "differential-evolution"

    def start(self, objective: Objective, theta: Floats, bounds: Bounds) -> State:
        """Evaluate ``theta``, shape (n,).

        Raises
        ------
        SoftError
            A variable has no bounds.
        """
        _imported("scipy.optimize", self.name, "scipy")
        open_ends = ~(np.isfinite(bounds.lower) & np.isfinite(bounds.upper))
        if open_ends.any():
            msg = (
                f"optimizer {self.name!r} draws from the bounds, and {int(open_ends.sum())} of "
                f"{theta.size} variables have none on one side or both: declare them, as in "
                "Param(1.0, bounds=(0.0, 5.0)), or choose 'cma', which needs none"
            )
            raise SoftError(msg)
        return evaluated(objective, theta, bounds, gradient=False)

    def step(self, objective: Objective, bounds: Bounds, state: State) -> State:
        """Run it to its end."""
        scipy_optimize = _imported("scipy.optimize", self.name, "scipy")
        found = scipy_optimize.differential_evolution(
            lambda theta: _finite(objective.value(bounds.project(theta))),
            list(zip(bounds.lower, bounds.upper, strict=True)),
            x0=state.theta,
            rng=self.seed,
            tol=1e-10,
            atol=0.0,
            polish=False,
        )
        theta = bounds.project(np.asarray(found.x, dtype=np.float64))
        return after_run(objective, theta, bounds, state)


@dataclass(frozen=True)
class CMA:
    """CMA-ES (Hansen, The CMA Evolution Strategy: A Tutorial, 2016) as the package ``cma`` has it.

    The first steps are about a third of each variable's size.
    """

    seed: int = 1
    first_step: float = 0.3

    @property
    def needs_gradient(self) -> bool:
        """It asks for values of L alone."""
        return False

    @property
    def name(self) -> str:
        """The name a user selects it by."""
        return "cma"

    def start(self, objective: Objective, theta: Floats, bounds: Bounds) -> State:
        """Evaluate ``theta``, shape (n,)."""
        _imported("cma", self.name, "cma")
        return evaluated(objective, theta, bounds, gradient=False)

    def step(self, objective: Objective, bounds: Bounds, state: State) -> State:
        """Run it to its end; a single variable is doubled, since its method needs two."""
        cma = _imported("cma", self.name, "cma")
        scale = parameter_scale(state.theta, bounds)
        n = state.theta.size
        width = max(n, 2)

        def value(point: Floats) -> float:
            theta = state.theta + scale * np.asarray(point)[:n]
            value = _finite(objective.value(bounds.project(theta)))
            outside = theta - bounds.project(theta)
            return value + abs(value) * float(np.sum((outside / scale) ** 2))

        search = cma.CMAEvolutionStrategy(
            np.zeros(width), self.first_step, {"seed": self.seed, "verbose": -9, "tolfun": 1e-14}
        )
        while not search.stop():
            points = search.ask()
            search.tell(points, [value(point) for point in points])
        best = np.asarray(search.result.xbest, dtype=np.float64)[:n]
        theta = bounds.project(state.theta + scale * best)
        return after_run(objective, theta, bounds, state)


def _finite(value: float) -> float:
    return value if np.isfinite(value) else _LARGE


def _apart(bounds: Bounds) -> tuple[Floats, Floats]:
    """Return the box with a little room where both bounds are one: scipy asks for it."""
    same = bounds.lower == bounds.upper
    return bounds.lower, np.where(same, np.nextafter(bounds.upper, np.inf), bounds.upper)


def _inside(theta: Floats, bounds: Bounds) -> Floats:
    lower, upper = _apart(bounds)
    return np.clip(theta, lower, upper)
