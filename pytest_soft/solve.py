"""Fill in the blanks: from traced tests to the best values found. Knows nothing of pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softtape import Param, SoftError
from softtape.objective import Layout, Objective, ShapeOfProblemChanged, Term
from softtape.optimize import Bounds, Progress, Result, Status, choose, minimize
from softtape.param import assign, declared

__all__ = [
    "Goal",
    "Solution",
    "as_declared",
    "group_by_key",
    "set_values",
    "solve",
    "without_slope",
]

# relative to the total loss; least squares converges to rounding in a few steps more
_GRADIENT_TOLERANCE = {"lm": 1e-12}

Groups = Mapping[str, Sequence[Param]]


@dataclass(frozen=True)
class Goal:
    """When a fit ends, and how it gets there.

    Attributes
    ----------
    optimizer
        A name of :data:`softtape.optimize.OPTIMIZERS`, or ``auto``.
    threshold
        𝓛 to reach, or None to run to convergence.
    max_steps
        Most accepted steps, or None.
    timeout
        Most seconds, or None.
    engine
        ``auto``, ``numpy`` or ``numba``.
    """

    optimizer: str = "auto"
    threshold: float | None = None
    max_steps: int | None = None
    timeout: float | None = None
    engine: str = "auto"


@dataclass(frozen=True)
class Solution:
    """How a fit ended.

    Attributes
    ----------
    values
        Best value of each Param by key.
    losses
        Loss of each test there, as the tape computes it.
    before
        𝓛 at the start.
    after
        𝓛 at the best point.
    result
        What the optimizer's loop reported last.
    reason
        Why this optimizer was chosen.
    steps
        Accepted steps.
    evaluations
        Evaluations of 𝓛 or its derivatives.
    retraces
        How often a test was traced again because its path changed.
    last_failure
        Why a trial point could not be evaluated, if there was one.
    """

    values: Mapping[str, Any]
    losses: Sequence[float]
    before: float
    after: float
    result: Result
    reason: str
    steps: int
    evaluations: int
    retraces: int
    last_failure: str | None

    @property
    def improved(self) -> bool:
        """Whether the best point is better than the start."""
        return self.after < self.before


def group_by_key(keys: Sequence[str]) -> dict[str, list[Param]]:
    """Return the Params with these keys, sorted by key.

    Several Params have one key where their module was imported under several names.
    """
    groups: dict[str, list[Param]] = {key: [] for key in sorted(keys)}
    for param in declared():
        try:
            key = param.key
        except SoftError:  # has no name: no test can have reached it
            continue
        if key in groups and not param.frozen:
            groups[key].append(param)
    return groups


def set_values(groups: Groups, values: Mapping[str, Any]) -> None:
    """Give each Param its value, in its own dtype."""
    for key, params in groups.items():
        for param in params:
            assign(param, as_declared(param, values[key]))


def as_declared(param: Param, value: Any) -> NDArray[Any]:
    """Return ``value`` in the dtype of ``param``, not rounded out of its bounds."""
    wide = np.asarray(value)
    cast = wide.astype(param.dtype)
    lower, upper = param.bounds
    cast = np.where(cast > upper, np.nextafter(cast, -np.inf, dtype=param.dtype), cast)
    return np.where(cast < lower, np.nextafter(cast, np.inf, dtype=param.dtype), cast)


def solve(
    terms: Sequence[Term],
    start: Mapping[str, Any],
    goal: Goal,
    *,
    limits: Mapping[str, float | None] | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> Solution:
    """Minimise 𝓛 over the Params that the tests reach; the Params end at the best values.

    Parameters
    ----------
    terms
        The tests. They are summed in this order.
    start
        Value of each reached Param by key.
    goal
        When to stop.
    limits
        Thresholds of single tests by name: the goal is reached where these hold too.
    callback
        Called after each step.

    Raises
    ------
    SoftError
        The optimizer does not fit the losses, or the start has no finite loss.
    """
    # tests that are only measured must not disturb the fit where they cannot be evaluated
    counted = [term for term in terms if term.weight]
    before: float | None = None
    steps = evaluations = 0
    remaining, threshold = goal.timeout, goal.threshold
    while True:
        groups = group_by_key(sorted(start))
        problem = _problem(counted, groups, goal.engine)
        theta = problem.layout.pack(start)
        before = problem.value(theta) if before is None else before
        if not np.isfinite(before) and problem.last_failure:
            raise SoftError(f"𝓛 cannot be computed at the start: {problem.last_failure}")
        with_residuals = problem.has_residuals
        optimizer, reason = choose(
            goal.optimizer, n_params=theta.size, has_residuals=with_residuals
        )
        with np.errstate(all="ignore"):  # a trial point may be far out
            result = minimize(
                problem,
                theta,
                optimizer=optimizer,
                bounds=_bounds(groups, problem.layout),
                threshold=threshold,
                max_steps=None if goal.max_steps is None else goal.max_steps - steps,
                timeout=remaining,
                callback=callback,
            )
        steps, evaluations = steps + result.steps, evaluations + result.evaluations
        remaining = None if remaining is None else max(remaining - result.seconds, 0.0)
        values = problem.layout.unpack(result.theta)
        # what counts is the loss at the numbers that are kept
        values = {key: as_declared(groups[key][0], value) for key, value in values.items()}
        theta = problem.layout.pack(values)
        set_values(groups, values)
        if isinstance(result.error, ShapeOfProblemChanged):
            start = {**{key: v for t in terms for key, v in t.starts.items()}, **values}
            continue
        losses = _losses(terms, problem, theta)
        if result.status is Status.THRESHOLD and _misses(terms, losses, limits):
            start, threshold = values, None
            continue
        return Solution(
            values=values,
            losses=losses,
            before=before,
            after=problem.value(theta),
            result=result,
            reason=reason,
            steps=steps,
            evaluations=evaluations,
            retraces=sum(term.traces - 1 for term in terms),
            last_failure=problem.last_failure,
        )


def without_slope(terms: Sequence[Term], values: Mapping[str, Any], engine: str) -> set[str]:
    """Return the keys of the Params whose derivatives of 𝓛 are all exactly zero at ``values``."""
    counted = [term for term in terms if term.weight]
    problem = _problem(counted, group_by_key(list(values)), engine)
    with np.errstate(all="ignore"):
        _, gradient = problem.value_and_gradient(problem.layout.pack(values))
    return {key for key, part in problem.layout.unpack(gradient).items() if not np.any(part)}


def _problem(terms: Sequence[Term], groups: Groups, engine: str) -> Objective:
    shapes = {key: params[0].shape for key, params in groups.items()}
    narrow = frozenset(k for k, params in groups.items() if params[0].dtype == np.float32)
    return Objective(terms, Layout(shapes, narrow), engine)


def _losses(terms: Sequence[Term], problem: Objective, theta: NDArray[np.float64]) -> list[float]:
    """Return the loss of each test, without its weight; inf where it cannot be evaluated."""
    measured = [Objective([term], problem.layout) for term in terms if not term.weight]
    found = dict(zip(problem.terms, problem.losses(theta), strict=True))
    found |= {each.terms[0]: each.losses(theta)[0] for each in measured}
    return [float(found[term]) for term in terms]  # numpy's do not travel from a worker


def _bounds(groups: Groups, layout: Layout) -> Bounds:
    return Bounds(
        *(
            layout.pack({key: params[0].bounds[side] for key, params in groups.items()})
            for side in (0, 1)
        )
    )


def _misses(
    terms: Sequence[Term], losses: Sequence[float], limits: Mapping[str, float | None] | None
) -> bool:
    """Whether a single test is above its own threshold."""
    for term, loss in zip(terms, losses, strict=True):
        limit = (limits or {}).get(term.name)
        if limit is not None and loss > limit:
            return True
    return False
