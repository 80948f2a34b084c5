"""Fill in the blanks: from traced tests to the best values found. Knows nothing of pytest.

Tests and Params that share nothing are fits of their own, the connected components of the graph of
who reaches whom (:mod:`softtape.components`): each gets the optimizer that suits it, and none waits
for the steps that another one needs. How they make up one fit:

* A threshold T is on the sum. Each component first stops at an equal share of T, or where the
  total is at T whatever its own part; if all get there, so does the sum. Where one ends above its
  share, those that stopped early go on, one after the other, until the total is at T or all have
  converged. Tests above thresholds of their own send their component on to convergence. So no
  order of components leaves a total above T that another order would reach.
* The limit on steps holds for each component: a step of one is no step of the others. The time
  limit is on the whole fit: each gets an equal share of the time left when its turn comes, and
  those that need more go on with what the others did not use.
* Ctrl-C ends all; every component keeps its best point. One that fails or crashes ends alone.
* A path that reaches a new Param joins the components on both sides into one, which goes on from
  their best points; the others are not touched.
* Tests that reach no Param belong to none; their losses count in 𝓛. Params that only tests of
  weight 0 reach keep their values.

Components are fitted one after the other, in the order of their first tests. Threads would not pay:
small ones are bound by Python's lock, large ones use all cores by themselves, and a test that is
traced again needs the process to itself.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from pytest_soft.component import Component
from pytest_soft.goal import Goal
from pytest_soft.places import layout_of
from pytest_soft.restarts import Minimize
from pytest_soft.values import Groups, group_by_key, set_values
from softtape.components import connected
from softtape.objective import Layout, Objective, ShapeOfProblemChanged, Term
from softtape.optimize import Progress, Status, minimize

__all__ = ["CUT_SHORT", "FitProgress", "Solution", "solve", "without_slope"]

# which outcome of a component is that of the fit, where they differ
_GRAVEST = (
    Status.CRASHED,
    Status.BOTTOMLESS,
    Status.FAILED,
    Status.NO_GRADIENT,
    Status.TIMEOUT,
    Status.MAX_STEPS,
    Status.THRESHOLD,
    Status.PLATEAU,
    Status.EPOCHS,
    Status.OWN,
    Status.STEP,
    Status.GRADIENT,
)
CUT_SHORT = (Status.INTERRUPTED, Status.TIMEOUT, Status.MAX_STEPS, Status.CRASHED)
"""What ends a fit that could go on."""


@dataclass(frozen=True)
class FitProgress(Progress):
    """What the callback is told after each step: values are totals, steps count all components.

    Attributes
    ----------
    component
        Which component stepped, from 1.
    components
        How many there are.
    """

    component: int = 1
    components: int = 1


class Solution(NamedTuple):
    """How a fit ended.

    Attributes
    ----------
    values
        Best value of each Param by key; without those of components that did not start.
    losses
        Loss of each test there, as the tape computes it.
    before
        𝓛 at the start.
    after
        𝓛 at the best point.
    status
        Why it ended: interrupted, at the threshold, or else the gravest of its components.
    retraces
        How often a test was traced again because its path changed.
    components
        The components, in the order of their first tests.
    """

    values: Mapping[str, Any]
    losses: Sequence[float]
    before: float
    after: float
    status: Status
    retraces: int
    components: Sequence[Component]

    @property
    def outcome(self) -> str:
        """Why it ended, in words."""
        fitted = [c.status for c in self.components if c.started]
        same = fitted.count(self.status)
        if self.status in (Status.THRESHOLD, Status.INTERRUPTED) or same == len(fitted):
            return self.status.sentence
        if self.status.converged:
            return "converged: each component by itself"
        return f"{same} of {len(fitted)} components {self.status.sentence}"

    @property
    def cut_short(self) -> bool:
        """Whether a limit, a crash or Ctrl-C ended it, so that it could go on."""
        if self.status in (Status.THRESHOLD, Status.INTERRUPTED):
            return self.status is Status.INTERRUPTED
        return any(component.status in CUT_SHORT for component in self.components)

    @property
    def optimizer(self) -> str:
        """Which optimizer, and why; or which ones."""
        asked = {f"{c.optimizer} ({c.reason})" for c in self.components if c.status}
        if len(asked) <= 1:
            return "".join(asked)
        counts = Counter(c.optimizer for c in self.components if c.status).most_common()
        shown = ", ".join(f"{name} for {count}" for name, count in counts)
        return f"{shown} of the components, as suits each"

    @property
    def steps(self) -> int:
        """Accepted steps of all components."""
        return sum(component.steps for component in self.components)

    @property
    def evaluations(self) -> int:
        """Evaluations of single components, in all."""
        return sum(component.evaluations for component in self.components)

    @property
    def alone(self) -> Mapping[str, str]:
        """The tests that had to be run one by one, and the operation without a batching rule."""
        return {name: why for c in self.components for name, why in c.alone.items()}

    @property
    def last_failure(self) -> str | None:
        """Why a trial point could not be evaluated, if there was one."""
        failures = [c.last_failure for c in self.components if c.last_failure]
        return failures[-1] if failures else None


def solve(
    terms: Sequence[Term],
    start: Mapping[str, Any],
    goal: Goal,
    *,
    limits: Mapping[str, float | None] | None = None,
    callback: Callable[[FitProgress], None] | None = None,
    minimize: Minimize = minimize,
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
    minimize
        Does the descents.

    Raises
    ------
    SoftError
        No component can be fitted: the optimizer does not fit the losses, or the start has no
        finite loss. Where others can, it is the ``error`` of the component.
    """
    run = _Run(terms, start, goal, limits or {}, callback, minimize)
    run.fit()
    return run.solution()


def without_slope(solution: Solution, still: Collection[str]) -> set[str]:
    """Return which Params, of those that did not move, the fit could not move for want of a slope.

    Parameters
    ----------
    solution
        How the fit ended.
    still
        The keys of those that did not move.
    """
    flat: set[str] = set()
    for component in solution.components:
        converged = component.status is not None and component.status.converged
        if converged and component.after and not component.values.keys().isdisjoint(still):
            flat |= component.without_slope() & set(still)
    return flat


class _Run:
    """The components of one fit, and what they have in common: the goal and the clock."""

    def __init__(
        self,
        terms: Sequence[Term],
        start: Mapping[str, Any],
        goal: Goal,
        limits: Mapping[str, float | None],
        callback: Callable[[FitProgress], None] | None,
        minimize: Minimize,
    ) -> None:
        """Find the components; nothing is evaluated yet."""
        self._began = time.monotonic()
        self._terms = terms
        self._places = {term: place for place, term in enumerate(terms)}
        self._start = dict(start)
        self._goal = goal
        self._limits = {name: limit for name, limit in limits.items() if limit is not None}
        self._callback, self._minimize = callback, minimize
        self._groups = group_by_key(start)
        # tests that are only measured must not disturb the fit where they cannot be evaluated
        counted = [term for term in terms if term.weight]
        self._fixed = Objective([term for term in counted if not term.starts], Layout({}))
        self._offset = self._fixed.value(np.zeros(0))
        self._components: dict[Component, None] = {}  # a set with an order
        for found in connected([term.starts for term in counted]):
            self._add([counted[number] for number in found.tests], found.keys, self._start)
        self._share: float | None = None
        self._steps = 0
        self._reported = self._interrupted = False

    def fit(self) -> None:
        """Fit each component, again where it needs more, until the goal is reached."""
        for component in list(self._components):
            if component in self._components:  # else it was joined to another one
                self._measure(component)
        limit, waiting = self._goal.threshold, self._ordered()
        if limit is not None and waiting and np.isfinite(self._sum()):
            self._share = (limit - self._offset) / len(waiting)
        waiting = [component for component in waiting if component.error is None]
        try:
            for turn in count():
                self._take_turns(waiting, turn)
                above = limit is None or self._sum() > limit
                waiting = [c for c in self._ordered() if self._wants_more(c, above)]
                if not waiting:
                    break
        except KeyboardInterrupt:
            self._interrupted = True

    def solution(self) -> Solution:
        """Return how it ended; the Params get the best values."""
        components = self._ordered()
        if components and not any(component.started for component in components):
            raise next((c.error for c in components if c.error), KeyboardInterrupt())
        values = dict(self._start)
        for component in components:
            values |= component.values
        losses = dict(zip(self._fixed.terms, self._fixed.losses(np.zeros(0)), strict=True))
        for component in components:
            losses |= zip(component.terms, component.losses, strict=True)
        losses |= {term: self._measured(term, values) for term in self._terms if not term.weight}
        for component in components:
            if not component.started:
                for key in component.values:
                    del values[key]
        set_values({key: self._groups[key] for key in values}, values)
        return Solution(
            values=values,
            losses=[float(losses[term]) for term in self._terms],
            before=sum((c.before for c in components), self._offset),
            after=self._sum(),
            status=self._status(components),
            retraces=sum(term.traces - 1 for term in self._terms),
            components=components,
        )

    # ---- which components there are

    def _add(
        self, terms: Sequence[Term], keys: Iterable[str], values: Mapping[str, Any]
    ) -> Component:
        groups = self._grouped(keys)
        component = Component(terms, groups, {k: values[k] for k in groups}, self._goal.engine)
        self._components[component] = None
        return component

    def _grouped(self, keys: Iterable[str]) -> Groups:
        unknown = set(keys) - self._groups.keys()  # reached by a path that was not taken before
        if unknown:
            self._groups |= group_by_key(unknown)
        return {key: self._groups[key] for key in keys}

    def _ordered(self) -> list[Component]:
        return sorted(self._components, key=lambda c: self._places[c.terms[0]])

    def _measure(self, component: Component) -> Component:
        """Evaluate where a component starts; return it, or what it was joined to there."""
        while True:
            try:
                component.measure()
            except ShapeOfProblemChanged:
                component = self._joined(component)
            else:
                return component

    def _joined(self, component: Component) -> Component:
        """Put one in place of a component whose tests reach more than they did, and of those met.

        It may meet none: where its tests show no residuals any more, or reach a new Param.
        """
        values = {key: v for term in component.terms for key, v in term.starts.items()}
        self._start = {**values, **self._start}
        met = [c for c in self._components if not values.keys().isdisjoint(c.values)]
        for other in met:
            values |= other.values
            del self._components[other]
        terms = sorted((t for c in met for t in c.terms), key=self._places.__getitem__)
        joined = self._add(terms, sorted(values), values)
        joined.follow(met)
        return joined

    # ---- turns

    def _take_turns(self, waiting: Sequence[Component], turn: int) -> None:
        """Fit each of these from the best point it has."""
        numbers = {component: number for number, component in enumerate(self._ordered(), 1)}
        total = self._sum()
        for place, component in enumerate(waiting):
            number = numbers[component]
            while component in self._components:  # else it was joined to another one
                others = total - component.after
                left = self._time_left()
                steps = component.steps
                component.fit(
                    self._goal,
                    threshold=self._threshold(component, turn, others),
                    max_steps=self._goal.max_steps,
                    timeout=None if left is None else left / (len(waiting) - place),
                    callback=self._report(number, others),
                    restarts=self._goal.restarts if turn == 0 else 0,
                    minimize=self._minimize,
                )
                self._steps += component.steps - steps
                if not isinstance(component.error, ShapeOfProblemChanged):
                    total = others + component.after
                    break
                component = self._measure(self._joined(component))
                total = self._sum()
            if component.status is Status.INTERRUPTED:
                raise KeyboardInterrupt

    def _threshold(self, component: Component, turn: int, others: float) -> float | None:
        """Return where a component may stop, for its own part of 𝓛."""
        limit = self._goal.threshold
        if limit is None or self._share is None:
            return None
        if turn == 0:
            return max(self._share, limit - others)
        stopped = component.status is Status.THRESHOLD
        if stopped and (turn > 1 or self._misses(component)):  # perhaps by rounding to float32
            return None
        return limit - others

    def _wants_more(self, component: Component, above: bool) -> bool:
        """Whether a component stopped before it was done, and can go on.

        ``above`` tells whether the total is above the threshold, or there is none.
        """
        if component.status is Status.TIMEOUT and not self._time_left():
            return False
        stopped = component.status in (Status.THRESHOLD, Status.TIMEOUT)
        return stopped and (above or self._misses(component))

    def _sum(self) -> float:
        return sum((component.after for component in self._components), self._offset)

    def _misses(self, component: Component) -> bool:
        """Whether a single test is above its own threshold."""
        if not self._limits:
            return False
        limits = (self._limits.get(term.name, np.inf) for term in component.terms)
        return any(loss > most for loss, most in zip(component.losses, limits, strict=True))

    def _time_left(self) -> float | None:
        if self._goal.timeout is None:
            return None
        return max(self._began + self._goal.timeout - time.monotonic(), 0.0)

    # ---- the whole

    def _report(self, number: int, others: float) -> Callable[[Progress], None] | None:
        """Return what tells the callback of the steps of one component."""
        callback, before = self._callback, self._steps
        if callback is None:
            return None

        def report(progress: Progress) -> None:
            if self._reported and progress.step == 0:
                return  # nothing moved
            self._reported = True
            whole = FitProgress(
                step=before + progress.step,
                value=others + progress.value,
                best_value=others + progress.best_value,
                gradient_norm=progress.gradient_norm,
                description=progress.description,
                seconds=time.monotonic() - self._began,
                component=number,
                components=len(self._components),
            )
            callback(whole)

        return report

    def _measured(self, term: Term, values: Mapping[str, Any]) -> float:
        """Return the loss of a test that takes no part; inf where it cannot be evaluated."""
        while True:
            known = {**term.starts, **values}
            objective = Objective([term], layout_of(self._grouped(term.starts)))
            try:
                return float(objective.losses(objective.layout.pack(known))[0])
            except ShapeOfProblemChanged:
                continue  # once for each Param that it reaches on the way

    def _status(self, components: Sequence[Component]) -> Status:
        if self._interrupted:
            return Status.INTERRUPTED
        limit = self._goal.threshold
        if limit is not None and self._sum() <= limit and not any(map(self._misses, components)):
            return Status.THRESHOLD
        found = {component.status for component in components}
        return next((status for status in _GRAVEST if status in found), Status.GRADIENT)
