"""From the graphs of many tests to the total loss 𝓛(θ), its gradient, residuals and Jacobian."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softtape.choice import EngineChoice, Kind, check_engine
from softtape.coordinates import Coordinates
from softtape.curvature import direction_key, slope_terms
from softtape.engines.quiet import ERRORS, IGNORED
from softtape.engines.threads import threads_to_use
from softtape.groups import CaseError, Group
from softtape.singles import Share
from softtape.terms import Members, NoSquaresError, ShapeOfProblemChanged, Term, TrialError

__all__ = ["Layout", "Objective", "ShapeOfProblemChanged", "Term", "TrialError"]

_MOST_PATHS = 32  # of groups that nothing is in any more


@dataclass(frozen=True)
class Layout:
    """Where each Param lies in θ.

    Attributes
    ----------
    shapes
        Shape of each Param by key, in the order of θ.
    narrow
        Keys of the Params that are float32. θ is float64; the tests see what ships.
    coordinates
        What θ has to do with the values; None where it is the values.
    """

    shapes: Mapping[str, tuple[int, ...]]
    narrow: frozenset[str] = frozenset()
    coordinates: Coordinates | None = None

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """Place of each Param in θ."""
        places, start = {}, 0
        for key, shape in self.shapes.items():
            stop = start + int(np.prod(shape))
            places[key] = slice(start, stop)
            start = stop
        return places

    @cached_property
    def places(self) -> Mapping[str, int | slice]:
        """Place of each Param in θ: an index for a number, a slice for an array."""
        return {k: s if self.shapes[k] else s.start for k, s in self.slices.items()}

    @cached_property
    def _reads(self) -> Sequence[tuple[str, int | slice, tuple[int, ...], bool]]:
        return [(k, p, self.shapes[k], k in self.narrow) for k, p in self.places.items()]

    @property
    def size(self) -> int:
        """Length of θ."""
        return max((s.stop for s in self.slices.values()), default=0)

    def pack(self, values: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return θ, shape (size,), where the Params have these values."""
        flat = self.flat(values)
        return flat if self.coordinates is None else self.coordinates.theta(flat)

    def flat(self, values: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return the values, or anything of their shapes, as one vector of shape (size,)."""
        theta = np.empty(self.size)
        for key, place in self.slices.items():
            theta[place] = np.ravel(np.broadcast_to(values[key], self.shapes[key]))
        return theta

    def unpack(self, theta: NDArray[np.float64]) -> dict[str, Any]:
        """Return the values at θ as one numpy scalar or array per Param, by key."""
        if self.coordinates is not None:
            theta = self.coordinates.values(theta)
        values: dict[str, Any] = {}
        for key, place, shape, narrow in self._reads:
            value = theta[place]
            if shape:
                value = value.reshape(shape)
            values[key] = value.astype(np.float32) if narrow else value
        return values


class Objective:
    """The total loss 𝓛(θ) = Σ weight · loss, over tests in their given order.

    Tests that take the same path are evaluated together. Each evaluation checks the guards of
    every test; one whose guards broke moves to the path it takes now, known or traced anew.
    Where a test cannot be evaluated, 𝓛 is infinite, which tells an optimizer to shorten its step.

    Parameters
    ----------
    terms
        The tests.
    layout
        Where each Param lies in θ; holds every Param that a test reaches.
    engine
        ``auto``, ``numpy`` or ``numba``; see :mod:`softtape.choice`.
    threads
        How many threads may run chunks of tests at the same time; by default as many as
        :func:`softtape.engines.threads.threads_to_use` says. The results are the same, bit by bit.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        layout: Layout,
        engine: str = "auto",
        threads: int | None = None,
    ) -> None:
        """Group the tests by their paths; nothing is evaluated yet."""
        check_engine(engine)
        self._choice = EngineChoice(engine)
        self._threads = threads_to_use() if threads is None else threads
        self.terms = terms
        self.layout = layout
        self.last_failure: str | None = None
        self.last_infinite: NDArray[np.float64] | None = None  # where 𝓛 was not finite
        self.left_out = 0  # parts that were not finite, and the first of them: its tests, and where
        self.first_left_out: tuple[list[int], NDArray[np.float64]] | None = None
        self._may_trace = True
        self._resumed: Mapping[str, Any] = {}
        self._groups: dict[Hashable, Members] = {}
        self._active: list[Members] | None = None
        members: dict[Hashable, list[int]] = {}
        for number, term in enumerate(terms):
            members.setdefault(term.path, []).append(number)
        for path, numbers in members.items():
            group = self._join(numbers[0], path)
            if len(numbers) > 1:
                group.take(numbers, terms)

    @property
    def has_residuals(self) -> bool:
        """Whether 𝓛 is visibly a sum of squares."""
        return all(group.has_residuals for group in self._in_order())

    @property
    def groups(self) -> Sequence[Members]:
        """The tests by the paths they took last."""
        return self._in_order()

    @property
    def differentiable(self) -> bool:
        """Whether 𝓛 has a gradient: no test has to be run plainly."""
        return all(term.traced for term in self.terms)

    @property
    def alone(self) -> dict[str, str]:
        """The tests that had to be run one by one, and the operation without a batching rule."""
        groups = [(g, g.alone) for g in self._in_order() if g.alone is not None]
        return {self.terms[n].name: reason for group, reason in groups for n in group.members}

    @property
    def retraces(self) -> int:
        """How often a test was traced again because it took a new path."""
        return sum(term.traces - 1 for term in self.terms)

    def losses(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the loss of each test, without its weight; all inf if one cannot be evaluated."""
        losses = np.full(len(self.terms), np.inf)
        for group, share in self._shares("value", theta) or []:
            losses[group.members] = share.losses
        return losses

    def value(self, theta: NDArray[np.float64], /) -> float:
        """Return 𝓛(θ)."""
        shares = self._shares("value", theta)
        return self._seen(theta, np.inf if shares is None else self._total(shares))

    def value_and_gradient(
        self, theta: NDArray[np.float64], /
    ) -> tuple[float, NDArray[np.float64]]:
        """Return 𝓛(θ) and its gradient, of the shape of θ."""
        shares = self._shares("gradient", theta)
        if shares is None:
            return self._seen(theta, np.inf), np.full(theta.shape, np.nan)
        gradient, places = np.zeros(theta.size), self.layout.places
        for _, share in shares:
            for key, part in share.gradient.items():
                place = places[key]
                gradient[place] += part if type(place) is int else part.ravel()
        value = self._seen(theta, self._total(shares))
        return value, self._pulled_back(theta, gradient)

    def hessian_product(
        self, theta: NDArray[np.float64], direction: NDArray[np.float64], /
    ) -> NDArray[np.float64]:
        """Return the product of the Hessian of 𝓛 with a direction, both of the shape of θ."""
        values, move, coordinates = theta, direction, self.layout.coordinates
        if coordinates is not None:
            values, move = coordinates.values(theta), coordinates.pushed_forward(theta, direction)
        self._slopes._may_trace = self._may_trace
        _, both = self._slopes.value_and_gradient(np.concatenate([values, move]))
        product, gradient = np.split(both, 2)
        if coordinates is None:
            return product
        changed = coordinates.pull_changed(theta, direction, gradient)
        return coordinates.pulled_back(theta, product) + changed

    @cached_property
    def _slopes(self) -> Objective:
        shapes, narrow = self.layout.shapes, self.layout.narrow
        moves = {direction_key(key): shape for key, shape in shapes.items()}
        both = Layout({**shapes, **moves}, narrow | {direction_key(key) for key in narrow})
        return Objective(slope_terms(self.terms), both, "numpy", self._threads)

    def _pulled_back(self, theta: NDArray[np.float64], slopes: Any) -> NDArray[np.float64]:
        coordinates = self.layout.coordinates
        return slopes if coordinates is None else coordinates.pulled_back(theta, slopes)

    def residuals_and_jacobian(
        self, theta: NDArray[np.float64], /
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return r, shape (m,), with 𝓛 = Σ r², and ∂r/∂θ, shape (m, n)."""
        shares = self._shares("jacobian", theta)
        if shares is None:
            self._seen(theta, np.inf)
            return np.full(1, np.inf), np.full((1, theta.size), np.nan)
        parts = [share.residuals for _, share in shares if share.residuals is not None]
        residuals = np.concatenate(parts) if parts else np.zeros(0)
        matrix = np.zeros((len(residuals), theta.size))
        start = 0
        for (_, share), part in zip(shares, parts, strict=True):
            for key, rows in share.rows.items():
                matrix[start : start + len(part), self.layout.slices[key]] = rows
            start += len(part)
        errors = ERRORS.set(IGNORED)
        try:
            total = float(residuals.dot(residuals))
        finally:
            ERRORS.reset(errors)
        self._seen(theta, total)
        return residuals, self._pulled_back(theta, matrix)

    @cached_property
    def kinds(self) -> Sequence[str]:
        """For each test, the name of the function it is a case of."""
        return [term.name.partition("[")[0] for term in self.terms]

    def part(
        self, tests: Sequence[int], theta: NDArray[np.float64], /
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the sum of the weighted losses of some tests, by number, and its gradient."""
        self._some.select(tests)
        value, gradient = self._some.value_and_gradient(theta)
        if not (isfinite(value) and np.isfinite(gradient).all()):
            self.left_out += 1
            self.first_left_out = self.first_left_out or (list(tests), theta.copy())
        return value, gradient

    @cached_property
    def _some(self) -> Objective:
        # one engine: which one pays would be counted anew after a resumed fit, bits and all
        return Objective(self.terms, self.layout, "numpy", self._threads)

    def select(self, tests: Sequence[int]) -> None:
        """Leave all other tests out of the sum from now on."""
        chosen: dict[Hashable, list[int]] = {path: [] for path in self._groups}
        for number in tests:
            chosen.setdefault(self.terms[number].path, []).append(number)
        for path, numbers in chosen.items():
            group = self._groups.get(path) or self._join(numbers[0], path)
            group.take(numbers, self.terms)
        self._active = None

    @property
    def engine_state(self) -> dict[str, Any]:
        """Which engine runs what from here on, as plain data.

        Engines differ in the last bits. An objective of the same terms that is given this state
        computes the same bits as this one does from now on.
        """
        groups = {
            repr(path): list(group.state)
            for path, group in self._groups.items()
            if isinstance(group, Group)
        }
        return {"choice": list(self._choice.state), "groups": groups}

    @engine_state.setter
    def engine_state(self, state: Mapping[str, Any]) -> None:
        paid, settled = state["choice"]
        self._choice.state = paid, settled
        self._resumed = state["groups"]
        for path, group in self._groups.items():
            self._resume(path, group)

    def _resume(self, path: Hashable, group: Members) -> None:
        if isinstance(group, Group):
            group.state = self._resumed.get(repr(path), group.state)

    @contextmanager
    def known_paths_only(self) -> Iterator[None]:
        """Within, no test is run: where one would take a new path, 𝓛 counts as infinite.

        For probes at points that no optimizer chose: a program may not end there.
        """
        before, self._may_trace = self._may_trace, False
        try:
            yield
        finally:
            self._may_trace = before

    def residual_terms(self, theta: NDArray[np.float64], /) -> NDArray[np.intp]:
        """Return which term each residual belongs to, by its number, shape (m,)."""
        found = []
        for group, share in self._shares("jacobian", theta) or []:
            assert share.residuals is not None
            each = share.residuals.size // len(group.members)
            found.append(np.repeat(np.array(group.members, np.intp), each))
        return np.concatenate(found) if found else np.zeros(0, np.intp)

    def _seen(self, theta: NDArray[np.float64], value: float) -> float:
        """Return ``value``, and keep the point where it is not finite."""
        if not isfinite(value) and self._may_trace:
            self.last_infinite = theta.copy()
        return value

    def _total(self, shares: Sequence[tuple[Members, Share]]) -> float:
        total = 0.0
        for group, share in shares:
            known = share.total
            total += float(group.weights @ share.losses) if known is None else known
        return total

    # ---- paths

    def _join(self, number: int, path: Hashable) -> Members:
        """Put a test into the group of a path."""
        term, new = self.terms[number], path not in self._groups
        group = self._groups[path] = term.join(
            number, path, self._groups.get(path), self._choice, self._threads
        )
        if new:
            self._resume(path, group)
        self._active = None
        return group

    def _in_order(self) -> list[Members]:
        """Return the groups in the order of their first tests, whatever happened before."""
        if self._active is None:
            groups = [group for group in self._groups.values() if group.members]
            self._active = sorted(groups, key=lambda group: group.members[0])
        return self._active

    def _shares(self, kind: Kind, theta: NDArray[np.float64]) -> list[tuple[Members, Share]] | None:
        """Return what each group contributes; None where a test cannot be evaluated."""
        try:
            return self._evaluated(kind, self.layout.unpack(theta))
        except CaseError as error:
            if self._may_trace:
                self.last_failure = f"{self.terms[error.member].name}: {error}"
            return None

    def _evaluated(self, kind: Kind, inputs: Mapping[str, Any]) -> list[tuple[Members, Share]]:
        """Return what each group contributes, each test on the path it takes there."""
        shares, broken = [], False
        errors = ERRORS.set(IGNORED)
        try:
            for group in self._active or self._in_order():
                share = self._share(group, kind, inputs, ())
                shares.append((group, share))
                if share.holds is not None:
                    broken = True
        finally:
            ERRORS.reset(errors)
        if not broken:
            return shares
        done = self._settled(kind, inputs, dict(shares))
        self._forget_groups()
        return [(group, done[group]) for group in self._in_order()]

    def _share(
        self, group: Members, kind: Kind, inputs: Mapping[str, Any], trusted: Container[int]
    ) -> Share:
        if kind == "jacobian" and not group.has_residuals:
            raise NoSquaresError("a test took a path that is no sum of squares")
        if not self._may_trace and group.runs_tests:
            raise CaseError(group.members[0], TrialError("it would have to be run"))
        return group.share(kind, inputs, trusted)

    @np.errstate(all="ignore")
    def _settled(
        self, kind: Kind, inputs: Mapping[str, Any], done: dict[Members, Share]
    ) -> dict[Members, Share]:
        """Move tests until all guards hold, and return what each group contributes then."""
        tried: dict[int, set[Hashable]] = {}
        trusted: set[int] = set()
        waiting = list(done)
        while waiting:
            group = waiting.pop()
            if group not in done:
                done[group] = self._share(group, kind, inputs, trusted)
            for changed in self._move_broken(group, done[group], inputs, tried, trusted):
                done.pop(changed, None)
                if changed.members and changed not in waiting:
                    waiting.append(changed)
        return done

    def _forget_groups(self) -> None:
        """Let the oldest of the groups go that nothing is in any more, with their programs."""
        empty = [path for path, group in self._groups.items() if not group.members]
        for path in empty[: max(0, len(empty) - _MOST_PATHS)]:
            del self._groups[path]

    def _move_broken(
        self,
        group: Members,
        share: Share,
        inputs: Mapping[str, Any],
        tried: dict[int, set[Hashable]],
        trusted: set[int],
    ) -> list[Members]:
        """Move the tests whose guards broke to other paths; return the groups that changed."""
        if share.holds is None or share.holds.all():
            return []
        holds = zip(group.members, share.holds.tolist(), strict=True)
        broken = [number for number, held in holds if not held and number not in trusted]
        paths = {number: self._other_path(number, inputs, tried, trusted) for number in broken}
        group.remove(set(broken))
        self._active = None
        joined = [self._join(number, path) for number, path in paths.items()]
        return list(dict.fromkeys([group, *joined])) if broken else []

    def _other_path(
        self,
        number: int,
        inputs: Mapping[str, Any],
        tried: dict[int, set[Hashable]],
        trusted: set[int],
    ) -> Hashable:
        """Return a known path that was not tried at this point, else trace the test again."""
        term = self.terms[number]
        known = tried.setdefault(number, set())
        known.add(term.path)
        if term.repeats:
            for path in reversed(term.paths):
                if path not in known:
                    return path
        if not self._may_trace:
            raise CaseError(number, TrialError("a path that is not known"))
        try:
            path = term.trace_again(inputs)
        except TrialError as error:
            raise CaseError(number, error) from error
        # These values took this path just now: guards that rounding lets an engine see
        # differently, at the very border of a branch, do not count.
        trusted.add(number)
        return path
