"""The one loop that drives every optimizer: when to stop, and which point to keep."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from softtape.errors import SoftError
from softtape.optimize.base import (
    Bounds,
    Floats,
    Objective,
    Optimizer,
    State,
    Status,
    relative_gradient,
)
from softtape.optimize.snapshot import Snapshot
from softtape.optimize.watch import Stop, Watch

__all__ = ["Progress", "Result", "minimize"]

S = TypeVar("S", bound=State)

# Each leg but the last gains more than rounding; a handful is usual.
_MOST_LEGS = 100
# What `Status.PLATEAU` says. No problem of NIST or Moré, Garbow and Hillstrom comes near it.
_WINDOW, _LEAST_GAIN = 500, 1e-6
_FLAT = 1e-7


@dataclass(frozen=True)
class Progress:
    """What the callback is told after each accepted step, and once before the first (step 0).

    Losses are in the unit of L; ``gradient_norm`` is the Euclidean norm over the variables not
    held by a bound.
    """

    step: int
    value: float
    best_value: float
    gradient_norm: float
    description: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Result:
    """The best point seen, shape (n,), and how the minimisation ended.

    ``value`` is nan if not even the start could be evaluated; ``gradient_norm`` (over the
    variables not held by a bound) is nan if the gradient at ``theta`` was never asked for.
    ``error`` holds the exception behind ``Status.CRASHED``: it is the caller's to raise, after
    keeping ``theta``.
    """

    theta: Floats
    value: float
    status: Status
    steps: int
    evaluations: int
    gradient_norm: float
    optimizer: str
    seconds: float
    error: BaseException | None = None


def minimize(
    objective: Objective,
    theta: Floats,
    *,
    optimizer: Optimizer[S],
    bounds: Bounds,
    threshold: float | None = None,
    max_steps: int | None = None,
    timeout: float | None = None,
    gradient_tolerance: float = 1e-12,
    callback: Callable[[Progress], None] | None = None,
    snapshots: Callable[[Snapshot], None] | None = None,
    resume: Snapshot | None = None,
) -> Result:
    """Minimise L from ``theta`` and return the best point seen, however it ends.

    An optimizer that finds no further step is started afresh at the best point, and only when
    that changes nothing is the fit over. Therefore a second fit from the result runs exactly as
    the last leg of the first did, and returns ``theta`` bit for bit. On a plateau, where 500 steps
    lower L by less than a millionth, and the slope by less than to a tenth, the fit ends at once.

    Parameters
    ----------
    objective
        L; every point it is asked for lies within ``bounds``.
    theta
        The start, shape (n,), n >= 1, within ``bounds``.
    optimizer
        Takes the steps; see `softtape.optimize.choose`.
    bounds
        The box, arrays of shape (n,).
    threshold
        The goal, in the unit of L: the first point found with L <= threshold ends the fit, be
        it the start itself or a trial within a step. None: run to convergence.
    max_steps
        The limit on accepted steps, >= 0.
    timeout
        The limit in seconds, looked at before each evaluation but the first.
    gradient_tolerance
        Converged where max |gᵢ| max(|θᵢ|, 1) <= gradient_tolerance · |L|. This compares with L
        and not with the gradient at the start, so it says the same of a point in every fit.
    callback
        Called with a `Progress`; an exception from it ends the fit like one of the objective. The
        last call has the loss that is returned, unless an exception ended the fit: a step from
        within which it ends, at the threshold, the time limit or Ctrl-C, counts if it led lower.
    snapshots
        Called with a `Snapshot` before the first step and after each, before ``callback`` is.
    resume
        A snapshot of a minimisation of the same L with the same arguments: this one goes on
        from there, and ends as that one would have, bit for bit.

    Returns
    -------
    Result
        Its status tells why the fit ended. Ctrl-C and an exception of the objective (status
        ``CRASHED``, the exception in ``error``) lose no point either.

    Raises
    ------
    SoftError
        If ``theta`` is empty, not finite or out of bounds, a limit is negative or nan, or L is
        not finite at the start; the optimizer refuses the problem.
    """
    start = np.array(theta, dtype=np.float64)
    _check(start, bounds, threshold, max_steps, timeout)
    watch = Watch(objective, start, threshold=threshold, timeout=timeout)
    drive = _Drive(watch, optimizer, bounds, max_steps, gradient_tolerance, callback, snapshots)
    error: BaseException | None = None
    try:
        status = drive.to_end(resume)
    except KeyboardInterrupt:  # once more, in the last call of the callback
        status = Status.INTERRUPTED
    except BaseException as exception:  # also pytest's Skipped and SystemExit: kept, not lost
        if isinstance(exception, SoftError) and not watch.evaluations:
            raise  # the optimizer refuses the problem: there is no point to keep yet
        status, error = Status.CRASHED, exception
    if watch.bad_start:
        msg = f"the total loss is {watch.bad_start} at the start, so there is nothing to follow"
        raise SoftError(msg)
    best = watch.best
    return Result(
        theta=best.theta,
        value=best.value,
        status=status,
        steps=drive.steps,
        evaluations=watch.evaluations,
        gradient_norm=_norm(best.theta, best.gradient, bounds),
        optimizer=optimizer.name,
        seconds=watch.seconds,
        error=error,
    )


@dataclass
class _Drive(Generic[S]):
    """One minimisation: legs of steps, each from a fresh start at the best point."""

    watch: Watch
    optimizer: Optimizer[S]
    bounds: Bounds
    max_steps: int | None
    gradient_tolerance: float
    callback: Callable[[Progress], None] | None
    snapshots: Callable[[Snapshot], None] | None
    steps: int = 0
    leg: int = 0
    leg_start: Floats | None = None
    marked: int = 0
    mark: float = 0.0
    slope: float = 0.0
    flattest: float = 0.0
    told: Floats | None = None  # the best point at the last report
    description: str = ""

    def to_end(self, resume: Snapshot | None) -> Status:
        """Run until something ends it; return what did. The callback hears of the best point."""
        try:
            status = self.run(resume)
        except Stop as stop:
            status = stop.status
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        best = self.watch.best
        if best.theta is not self.told and not np.isnan(best.value):
            self.steps += self.told is not None  # a trial of a step that came to no end
            self._tell(best.theta, best.value, best.gradient)
        return status

    def run(self, resume: Snapshot | None = None) -> Status:
        """Run legs until one changes nothing; return its status."""
        state = self._begin() if resume is None else self._resumed(resume)
        self._report(state)
        status = Status.STEP
        while self.leg < _MOST_LEGS:
            state = self._leg(state)
            status = state.status or status
            if status in (Status.MAX_STEPS, Status.PLATEAU):
                break
            if self.watch.best.theta is self.leg_start:
                break
            if status in (Status.OWN, Status.EPOCHS) or (
                status is Status.GRADIENT and self._at_best(state)
            ):
                break  # this depends on the point alone: a fresh start would say the same
            self.leg += 1
            state = self._begin()
        return status

    def _resumed(self, snapshot: Snapshot) -> S:
        """Take everything up as it was."""
        self.watch.resume(snapshot.best, snapshot.lowest, snapshot.evaluations)
        self.steps, self.leg = snapshot.steps, snapshot.leg
        self.marked, self.mark = snapshot.marked, snapshot.mark
        self.slope, self.flattest = snapshot.slope, snapshot.flattest
        self.leg_start = None if snapshot.moved else self.watch.best.theta
        state: S = snapshot.state
        return state

    def _begin(self) -> S:
        """Start the optimizer at the best point."""
        state = self.optimizer.start(self.watch, self.watch.best.theta.copy(), self.bounds)
        self.watch.settle(state)
        self.watch.lowest = state.value  # a leg must not depend on what came before it
        self.leg_start = self.watch.best.theta
        self._look_out(state.remaining)
        self._snapshot(state)
        return state

    def _leg(self, state: S) -> S:
        """Step until the state is final; return it with its status."""
        while True:
            status = state.status or self._verdict(state)
            if status is not None:
                return replace(state, status=status)
            before = state
            state = self.optimizer.step(self.watch, self.bounds, before)
            if state.status is not None:
                return state
            self.steps += 1
            self._keep(state)
            self.flattest = min(self.flattest, state.remaining)
            self._snapshot(state)
            self._report(state)

    def _look_out(self, slope: float) -> None:
        """Begin a window of steps whose gain is to be looked at."""
        self.marked, self.mark = self.steps, self.watch.lowest
        self.slope, self.flattest = slope, float("inf")

    def _on_plateau(self) -> bool:
        """Tell whether the window that ends here gained next to nothing; else begin the next.

        A descent that converges gains nothing either, in the end, but its slope keeps falling, or
        is nearly none.
        """
        if self.steps - self.marked < _WINDOW:
            return False
        gain = self.mark - self.watch.lowest
        converges = self.flattest < max(self.slope / 10, _FLAT * abs(self.mark))
        if gain < _LEAST_GAIN * abs(self.mark) and not converges:
            return True
        self._look_out(min(self.slope, self.flattest))
        return False

    def _verdict(self, state: S) -> Status | None:
        """Return why to stop here, or None."""
        if state.gradient.size:
            if not np.isfinite(state.gradient).all():
                return Status.NO_GRADIENT
            change = relative_gradient(state.theta, state.gradient, self.bounds, floor=1.0)
            if change <= self.gradient_tolerance * abs(state.value):
                return Status.GRADIENT
        if self.max_steps is not None and self.steps >= self.max_steps:
            return Status.MAX_STEPS
        return Status.PLATEAU if self._on_plateau() else None

    def _keep(self, state: S) -> None:
        """Keep an accepted state which is level with the best in L, and nearer."""
        best = self.watch.best
        level = state.level_and_nearer(self.watch.lowest, best.margin, best.remaining)
        if level or self._at_best(state):
            self.watch.settle(state)

    def _at_best(self, state: S) -> bool:
        return np.array_equal(state.theta, self.watch.best.theta)

    def _snapshot(self, state: S) -> None:
        if self.snapshots is None:
            return
        snapshot = Snapshot(
            state=state,
            best=self.watch.best,
            lowest=self.watch.lowest,
            steps=self.steps,
            evaluations=self.watch.evaluations,
            leg=self.leg,
            moved=self.watch.best.theta is not self.leg_start,
            marked=self.marked,
            mark=self.mark,
            slope=self.slope,
            flattest=self.flattest,
        )
        self.snapshots(snapshot)

    def _report(self, state: S) -> None:
        self.description = state.description
        self._tell(state.theta, state.value, state.gradient)

    def _tell(self, theta: Floats, value: float, gradient: Floats | None) -> None:
        best = self.watch.best
        self.told = best.theta
        if self.callback is None:
            return
        progress = Progress(
            step=self.steps,
            value=value,
            best_value=best.value,
            gradient_norm=_norm(theta, gradient, self.bounds),
            description=self.description,
            seconds=self.watch.seconds,
        )
        self.callback(progress)


def _norm(theta: Floats, gradient: Floats | None, bounds: Bounds) -> float:
    """Return the Euclidean norm of the gradient over the free variables, nan if unknown."""
    if gradient is None or not gradient.size:
        return float("nan")
    with np.errstate(over="ignore", invalid="ignore"):
        free = bounds.free(theta, gradient)
        return float(np.sqrt(np.sum(gradient**2, where=free)))


def _check(
    theta: Floats,
    bounds: Bounds,
    threshold: float | None,
    max_steps: int | None,
    timeout: float | None,
) -> None:
    """Raise a SoftError for arguments that cannot be meant."""
    if theta.ndim != 1 or theta.size == 0:
        msg = f"theta has shape {theta.shape}; it must be (n,) with n >= 1: are there any Params?"
        raise SoftError(msg)
    if theta.shape != bounds.lower.shape:
        msg = f"theta has shape {theta.shape}, its bounds {bounds.lower.shape}"
        raise SoftError(msg)
    for i in np.flatnonzero(~np.isfinite(theta)):
        msg = f"variable {i} starts at {theta[i]!s}; a start must be finite"
        raise SoftError(msg)
    for i in np.flatnonzero((theta < bounds.lower) | (theta > bounds.upper)):
        box = f"[{bounds.lower[i]!s}, {bounds.upper[i]!s}]"
        msg = f"variable {i} starts at {theta[i]!s}, outside its bounds {box}"
        raise SoftError(msg)
    if threshold is not None and np.isnan(threshold):
        msg = "the threshold is nan, which no loss can reach"
        raise SoftError(msg)
    for name, limit in (("max_steps", max_steps), ("timeout", timeout)):
        if limit is not None and not limit >= 0:
            msg = f"{name} is {limit}; it must be >= 0, or None for no limit"
            raise SoftError(msg)
