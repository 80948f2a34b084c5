"""One fit of its own: tests and Params that share nothing with the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pytest_soft.goal import Goal
from pytest_soft.meaning import Meaning, meaning_of
from pytest_soft.places import bounds_of, layout_of, moved_by_values, placed
from pytest_soft.restarts import Minimize, minimize_from_many
from pytest_soft.values import Groups, as_declared, set_values
from softtape import SoftError
from softtape.objective import Layout, Objective, ShapeOfProblemChanged, Term
from softtape.optimize import Bounds, Progress, Status, minimize

if TYPE_CHECKING:
    from pytest_soft.outlook import Outlook
    from softtape.optimize.multistart import Basin
    from softtape.statistics.influence import Conflict
    from softtape.statistics.profiles import Interval

__all__ = ["Component"]

_MOST_CURVED = 32  # Params whose Hessian is looked at as a whole
_SHORT = 1e-6  # of the values or their move: no shorter step is worth taking
_HALVINGS = 40


class Component:
    """Tests and Params that share nothing with the others, and how far their fit is.

    Parameters
    ----------
    terms
        The tests. They are summed in this order.
    groups
        The Params by key.
    values
        Where to start, by key.
    engine
        ``auto``, ``numpy`` or ``numba``.

    Attributes
    ----------
    values
        Best value of each Param by key; at first, the start.
    before
        Its part of 𝓛 at the start, NaN before it is measured, inf where it cannot be.
    after
        Its part of 𝓛 at the best point.
    status
        Why its last fit ended, None before the first.
    optimizer, reason
        Which one, and why this.
    steps, evaluations
        Accepted steps, and evaluations of 𝓛 or its derivatives, in all its fits.
    error
        Why it could not be fitted, or not to the end.
    basins
        The local minima that its starts led to, lowest first.
    """

    def __init__(
        self, terms: Sequence[Term], groups: Groups, values: Mapping[str, Any], engine: str
    ) -> None:
        """Prepare; nothing is evaluated yet."""
        self.terms = terms
        self.values = dict(values)
        self.before = self.after = math.nan
        self.status: Status | None = None
        self.optimizer = self.reason = ""
        self.steps = self.evaluations = 0
        self.error: BaseException | None = None
        self.basins: Sequence[Basin] = ()
        self._groups = groups
        self._losses: list[float] | None = None
        self._plain = layout_of(groups)
        self._problem = Objective(terms, placed(self._plain, groups, values), engine)
        self._began = dict(values)

    @property
    def started(self) -> bool:
        """Whether it was fitted at all: its turn came, and nothing was wrong at the start."""
        return self.status is not None

    @property
    def improved(self) -> bool:
        """Whether the best point is better than the start."""
        return self.after < self.before

    @property
    def retraces(self) -> int:
        """How often one of its tests was traced again because its path changed."""
        return sum(term.traces - 1 for term in self.terms)

    @property
    def alone(self) -> Mapping[str, str]:
        """The tests that had to be run one by one, and the operation without a batching rule."""
        return self._problem.alone

    @property
    def last_failure(self) -> str | None:
        """Why a trial point could not be evaluated, if there was one."""
        return self._problem.last_failure

    @property
    def losses(self) -> Sequence[float]:
        """Loss of each test at the best point, without its weight."""
        if self._losses is None:
            losses = self._problem.losses(self._problem.layout.pack(self.values))
            self._losses = [float(loss) for loss in losses]  # numpy's do not travel from a worker
        return self._losses

    def measure(self) -> None:
        """Evaluate the start.

        Raises
        ------
        ShapeOfProblemChanged
            A test took a path that reaches another Param.
        """
        self._keep(self.values)
        if math.isnan(self.before):
            self.before = self.after
        if not math.isfinite(self.after) and self.last_failure:
            reason = f"𝓛 cannot be computed at the start: {self.last_failure}"
            self.error = SoftError(reason)

    def follow(self, others: Sequence[Component]) -> None:
        """Take over what these, which it takes the place of, have done so far."""
        self.before = sum(other.before for other in others)  # NaN where one was not measured
        self.steps = sum(other.steps for other in others)
        self.evaluations = sum(other.evaluations for other in others)

    def fit(
        self,
        goal: Goal,
        *,
        threshold: float | None,
        max_steps: int | None,
        timeout: float | None,
        callback: Callable[[Progress], None] | None,
        restarts: int = 0,
        minimize: Minimize = minimize,
    ) -> None:
        """Go on from the best point so far; whatever happens, it is kept.

        Parameters
        ----------
        goal
            What the whole fit is asked for: the optimizer and the seed count here.
        threshold
            Where to stop, for its part of 𝓛.
        max_steps
            Most accepted steps, in all its fits.
        timeout
            Most seconds, from now.
        callback
            Called after each step.
        restarts
            How many further starts are tried.
        minimize
            Does the descents.
        """
        layout = self._problem.layout
        theta = layout.pack(self.values)
        self.error = None
        try:
            chosen, self.reason = goal.choose(
                n_params=theta.size, has_residuals=self._problem.has_residuals
            )
            with np.errstate(all="ignore"):  # a trial point may be far out
                result, basins = minimize_from_many(
                    self._problem,
                    theta,
                    restarts=restarts,
                    seed=goal.seed,
                    optimizer=chosen,
                    bounds=bounds_of(self._groups, layout),
                    threshold=threshold,
                    max_steps=None if max_steps is None else max_steps - self.steps,
                    timeout=timeout,
                    callback=callback,
                    minimize=minimize,
                )
        except SoftError as error:
            self.error = error
            return
        self.basins = basins if restarts else self.basins
        self.optimizer, self.status, self.error = result.optimizer, result.status, result.error
        self.steps += result.steps
        self.evaluations += result.evaluations
        found = layout.unpack(result.theta)
        values = {key: as_declared(self._groups[key][0], value) for key, value in found.items()}
        if isinstance(result.error, ShapeOfProblemChanged):
            self.values = values  # where another component goes on from
        else:
            self._keep(values)

    def meaning(self, names: Sequence[str], *, absolute: bool = False) -> Meaning | str:
        """Return what the numbers of the best point mean, or why that cannot be told.

        Parameters
        ----------
        names
            What to call the elements of θ.
        absolute
            Whether the residuals are in units of their standard deviations.
        """
        problem = self._problem
        if not self.started:
            return "it was not fitted"
        if not problem.has_residuals:
            return "the losses are not visibly sums of squares"
        if not (self.after > 0 or absolute):
            return "the fit is exact, so nothing tells the scatter"
        with np.errstate(all="ignore"), problem.known_paths_only(), self._by_values() as layout:
            theta = layout.pack(self.values)
            return meaning_of(problem, theta, self._held(layout, theta), names, absolute=absolute)

    def outlook(self) -> Outlook | None:
        """Return what one step from the best point would gain; None where none can tell."""
        from pytest_soft.outlook import gauss_newton, newton

        problem = self._problem
        if not problem.differentiable:
            return None
        with np.errstate(all="ignore"), problem.known_paths_only(), self._by_values() as layout:
            theta = layout.pack(self.values)
            bounds = self._held(layout, theta)
            if problem.has_residuals:
                return gauss_newton(*problem.residuals_and_jacobian(theta), theta, bounds)
            if theta.size > _MOST_CURVED:
                return None
            gradient = problem.value_and_gradient(theta)[1]
            hessian = np.array([problem.hessian_product(theta, v) for v in np.eye(theta.size)])
            return newton(gradient, (hessian + hessian.T) / 2, theta, bounds)

    def contradiction(self, *, missed: bool) -> Conflict | None:
        """Return two tests that keep each other from their minima, by their gradients.

        Parameters
        ----------
        missed
            Whether a threshold is missed.
        """
        converged = self.status is not None and self.status.converged
        traced = all(term.traced for term in self.terms)
        if not (converged and traced and self.after > 0 and len(self.terms) > 1):
            return None
        from pytest_soft.contradiction import contradiction

        layout = self._problem.layout
        theta, bounds = layout.pack(self.values), bounds_of(self._groups, layout)
        with np.errstate(all="ignore"):
            return contradiction(self.terms, layout, theta, bounds, self.losses, missed=missed)

    def not_finite(self) -> tuple[str, str, Mapping[str, Any]] | None:
        """Return a test that kept the fit from going on, how, and the Params' values there.

        None where the fit did not fail, or not for losses that were not finite. At a kink, which
        may be a minimum, no step lowers 𝓛 either; but steps that are short enough are finite.
        """
        problem, theta = self._problem, self._problem.last_infinite
        if self.status is not Status.FAILED or theta is None or self._finite_towards(theta):
            return None
        problem.last_failure = None
        with np.errstate(all="ignore"):
            losses = problem.losses(theta).tolist()
        failed, values = problem.last_failure, problem.layout.unpack(theta)
        for term, loss in zip(self.terms, losses, strict=True):
            if failed and failed.startswith(f"{term.name}: "):
                return term.name, f"the last trial point could not be evaluated: {failed}", values
            if not (failed or math.isfinite(loss)):
                said = f"the loss of {term.name} was {loss} at the last trial point that failed"
                return term.name, said, values
        return None

    def _finite_towards(self, theta: NDArray[np.float64]) -> bool:
        """Whether 𝓛 is finite at shorter steps from the best point towards ``theta``."""
        layout = self._problem.layout
        best, began = layout.pack(self.values), layout.pack(self._began)
        least = _SHORT * np.maximum(np.abs(best), np.abs(best - began))
        move = theta - best
        with np.errstate(all="ignore"), self._problem.known_paths_only():
            for _ in range(_HALVINGS):
                if math.isfinite(self._problem.value(best + move)):
                    return True
                if np.all(np.abs(move) <= least):
                    break
                move = move / 2
        return False

    def without_gradient(self) -> tuple[str, list[str]] | None:
        """Return the first test whose gradient is not finite at the best point, and in which keys.

        None where the fit did not end for that reason, or where nothing is left to gain.
        """
        if self.status is not Status.NO_GRADIENT or not self.after:
            return None
        layout = self._problem.layout
        theta = layout.pack(self.values)
        for term in self.terms:
            with np.errstate(all="ignore"):
                gradient = Objective([term], layout).value_and_gradient(theta)[1]
            keys = [
                k for k, place in layout.slices.items() if not np.isfinite(gradient[place]).all()
            ]
            if keys:
                return term.name, keys
        return None

    def left_out(self) -> tuple[int, str, Mapping[str, Any]] | None:
        """Return how many batches were not finite, a test of the first, and the values there."""
        problem = self._problem
        if problem.first_left_out is None:
            return None
        tests, theta = problem.first_left_out
        for term in (self.terms[number] for number in tests):
            with np.errstate(all="ignore"), suppress(SoftError):
                value, gradient = Objective([term], problem.layout).value_and_gradient(theta)
                if np.isfinite(value) and np.isfinite(gradient).all():
                    continue
            return problem.left_out, term.name, problem.layout.unpack(theta)
        return None  # each for itself is finite, but not their sum

    def pressed(self) -> Sequence[tuple[str, int, bool, float]]:
        """Return where a bound keeps 𝓛 from falling: key, element, whether upper, the bound."""
        converged = self.status is not None and self.status.converged
        if not (converged and all(term.traced for term in self.terms)):
            return []
        with np.errstate(all="ignore"), self._by_values() as layout:
            theta, bounds = layout.pack(self.values), bounds_of(self._groups, layout)
            on_bound = (theta == bounds.lower) | (theta == bounds.upper)
            on_bound &= bounds.lower < bounds.upper
            for simplex in layout.coordinates.simplices if layout.coordinates else ():
                on_bound[simplex.place] = False  # there, the sum has a say as well
            if not on_bound.any():
                return []
            _, gradient = self._problem.value_and_gradient(theta)
        held = on_bound & ~bounds.free(theta, gradient)
        return [
            (key, int(i), bool(gradient[place][i] < 0), float(theta[place][i]))
            for key, place in layout.slices.items()
            for i in np.flatnonzero(held[place])
        ]

    def figures(self, names: Sequence[str]) -> dict[str, Any] | None:
        """Return what a page draws of the fit, or None where nothing was fitted.

        Parameters
        ----------
        names
            What to call the elements of θ.
        """
        from pytest_soft.figures import figures_of

        problem = self._problem
        if not self.started:
            return None
        try:
            with np.errstate(all="ignore"), problem.known_paths_only(), self._by_values() as layout:
                theta, began = layout.pack(self.values), layout.pack(self._began)
                return figures_of(problem, theta, began, bounds_of(self._groups, layout), names)
        except ShapeOfProblemChanged:
            return None

    def elsewhere(self, seed: int) -> Mapping[str, Any] | None:
        """Return values of the Params with a lower 𝓛 than was reached, if a few probes find any.

        Nobody looks where 𝓛 is at its goal.
        """
        done = self.status is not None and self.status.converged
        if not (done and self.after > 0 and not self.basins):
            return None
        from softtape.optimize.multistart import lower_elsewhere

        layout = self._problem.layout
        bounds = bounds_of(self._groups, layout)
        try:
            with np.errstate(all="ignore"), self._problem.known_paths_only():
                start = layout.pack(self._began)
                found = lower_elsewhere(self._problem.value, start, self.after, bounds, seed=seed)
        except ShapeOfProblemChanged:
            return None
        return None if found is None else layout.unpack(found)

    def profile(self, place: int, error: float, dof: int, *, absolute: bool = False) -> Interval:
        """Return the 95 % confidence interval of one element of θ by profile."""
        from softtape.statistics.profiles import profile_interval

        with np.errstate(all="ignore"), self._by_values() as layout:
            theta = layout.pack(self.values)
            return profile_interval(
                self._problem,
                theta,
                self._held(layout, theta),
                place,
                error=error,
                dof=dof,
                absolute=absolute,
            )

    @contextmanager
    def _by_values(self) -> Iterator[Layout]:
        """Within, θ is the values themselves: what they mean is told in their own units."""
        before = self._problem.layout
        self._problem.layout = moved_by_values(before)
        try:
            yield self._problem.layout
        finally:
            self._problem.layout = before

    def _held(self, layout: Layout, theta: NDArray[np.float64]) -> Bounds:
        """Return bounds that hold the largest share of each simplex, which follows the others."""
        bounds = bounds_of(self._groups, layout)
        for simplex in layout.coordinates.simplices if layout.coordinates else ():
            rows = theta[simplex.place].reshape(-1, simplex.width)
            place = simplex.place.start + np.arange(len(rows)) * simplex.width + rows.argmax(axis=1)
            bounds.lower[place] = bounds.upper[place] = theta[place]
        return bounds

    @property
    def slices(self) -> Mapping[str, slice]:
        """Place of each Param in θ, by key."""
        return self._problem.layout.slices

    def _keep(self, values: Mapping[str, Any]) -> None:
        """Make this the best point: what counts is the loss at the numbers that are kept."""
        layout = self._problem.layout = placed(self._plain, self._groups, values)
        after = float(self._problem.value(layout.pack(values)))
        self.values, self.after, self._losses = dict(values), after, None
        set_values(self._groups, self.values)

    def without_slope(self) -> set[str]:
        """Return the keys of the Params that no derivative of 𝓛 sees, here or if they moved a bit.

        At a minimum derivatives may all be exactly zero too, but not a little beside it.
        """
        if not self._problem.differentiable:
            return set()
        layout = self._problem.layout
        theta, bounds = layout.pack(self.values), bounds_of(self._groups, layout)
        flat = set()
        with np.errstate(all="ignore"), self._problem.known_paths_only():
            _, gradient = self._problem.value_and_gradient(theta)
            for key, place in layout.slices.items():
                if np.any(gradient[place]):
                    continue
                beside, here = theta.copy(), theta[place]
                move = _SHORT * np.maximum(np.abs(here), 1.0) * np.linspace(1.0, 2.0, here.size)
                move[here + move > bounds.upper[place]] *= -1.0
                beside[place] += move
                _, slope = self._problem.value_and_gradient(bounds.project(beside))
                if not np.any(slope[place]):
                    flat.add(key)
        return flat
