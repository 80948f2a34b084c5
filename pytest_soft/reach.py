"""Which tests reach which Params, and how strongly, from their tapes. Knows nothing of pytest.

Where the losses are sums of squares, what a test knows of an element of θ is its part of the
diagonal of JᵀJ, the information matrix, and its loss changes by (J · standard error)², to second
order, where the element is one standard error off. Elsewhere, the losses are compared a small step
to each side.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pytest_soft.coverage import ParamCoverage
from pytest_soft.keep import relative
from pytest_soft.places import bounds_of, layout_of, moved_by_values, placed
from pytest_soft.values import Groups, group_by_key
from softtape import Param, SoftError
from softtape.components import connected
from softtape.objective import Layout, Objective, ShapeOfProblemChanged, Term
from softtape.optimize import Bounds
from softtape.optimize.base import parameter_scale
from softtape.statistics.uncertainty import estimate

__all__ = ["LARGEST", "MOST_ELEMENTS", "Part", "losses_at", "parts_of", "reach"]

Floats: TypeAlias = NDArray[np.float64]

LARGEST = 20_000_000  # elements of a Jacobian, or of a table of tests by elements
MOST_ELEMENTS = 500  # that are looked at one by one
_NOTHING = 1e-12  # part of the steepest derivative below which one is but rounding
_STEP = 1e-6  # of the size of a Param
_ROUNDING = 16 * float(np.finfo(np.float64).eps)  # of a loss: below, it did not change


class Part(NamedTuple):
    """Tests and Params that share nothing with the others, at given values.

    Attributes
    ----------
    terms
        The tests.
    places
        Which ones they are of all.
    groups
        The Params by key.
    layout
        Where each Param lies in θ, which are values.
    theta
        Their values, shape (n,).
    bounds
        The box.
    """

    terms: Sequence[Term]
    places: Sequence[int]
    groups: Groups
    layout: Layout
    theta: Floats
    bounds: Bounds


def parts_of(terms: Sequence[Term], values: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the connected components of traced tests, where the Params have these values."""
    for found in connected([term.starts for term in terms]):
        groups = group_by_key(found.keys)
        known = {key: values[key] for key in groups}
        layout = moved_by_values(placed(layout_of(groups), groups, known))
        mine = [terms[number] for number in found.tests]
        theta, bounds = layout.pack(known), bounds_of(groups, layout)
        yield Part(mine, found.tests, groups, layout, theta, bounds)


def losses_at(terms: Sequence[Term], values: Mapping[str, Any]) -> dict[str, float]:
    """Return the losses of traced tests by name, where the Params have these values."""
    found: dict[str, float] = {}
    traced = [term for term in terms if term.traced]
    fixed = [term for term in traced if not term.starts]
    parts = [(part.terms, part.layout, part.theta) for part in parts_of(traced, values)]
    for mine, layout, theta in [*parts, (fixed, Layout({}), np.zeros(0))]:
        problem = Objective(mine, layout, "numpy")
        with np.errstate(all="ignore"), problem.known_paths_only():
            losses = problem.losses(theta).tolist()
        found |= zip((term.name for term in mine), losses, strict=True)
    return found


def reach(
    terms: Sequence[Term],
    values: Mapping[str, Any],
    params: Iterable[Param],
    *,
    absolute: bool = False,
) -> list[ParamCoverage]:
    """Return all Params that a fit could move, and the tests that reach them.

    Parameters
    ----------
    terms
        The traced tests.
    values
        Values of the Params that they reach, by key.
    params
        Those that they should reach.
    absolute
        Whether residuals are in units of their standard deviations.
    """
    found: dict[str, ParamCoverage] = {}
    for part in parts_of(terms, values):
        with np.errstate(all="ignore"):
            known = _measured(part, absolute)
        for key, place in part.layout.slices.items():
            found[key] = _covered(part, part.groups[key][0], known, key, place)
    theirs = [param for params in group_by_key(found).values() for param in params]
    fittable = _fittable([*params, *theirs], found)
    return [found.get(key) or _uncovered(param) for key, param in fittable.items()]


def _fittable(declared: Iterable[Param], found: Collection[str]) -> dict[str, Param]:
    """Return the Params that a fit could move, by key, in the order of files and names."""
    params: dict[str, Param] = {}
    for param in declared:
        try:
            key = param.key
        except SoftError:  # without a name, no fit could store it
            continue
        if not param.frozen and (param.file is not None or key in found):
            params.setdefault(key, param)
    return dict(sorted(params.items(), key=lambda item: (item[1].file or "", item[1].name)))


def _uncovered(param: Param) -> ParamCoverage:
    return ParamCoverage(param.name, _file(param), int(np.prod(param.shape)))


def _file(param: Param) -> str:
    return relative(Path(param.file or "<interactive>"))


class _Known(NamedTuple):
    """What tests know: ``strength`` by test and column, of ``columns`` by key, and more."""

    strength: Floats  # (tests, columns)
    columns: Mapping[str, slice]
    squares: Floats | None  # change of the loss for one standard error, NaN where there is none
    reached: NDArray[np.bool_]  # of the elements of θ


def _measured(part: Part, absolute: bool) -> _Known:
    problem = Objective(part.terms, part.layout, "numpy")
    with problem.known_paths_only():
        try:
            known = _by_residuals(problem, part, absolute) if problem.has_residuals else None
        except ShapeOfProblemChanged:
            known = None
        return known or _by_steps(problem, part)


def _by_residuals(problem: Objective, part: Part, absolute: bool) -> _Known | None:
    n, slices = part.theta.size, part.layout.slices
    if n > MOST_ELEMENTS or len(part.terms) * n > LARGEST:
        return None
    residuals, jacobian = problem.residuals_and_jacobian(part.theta)
    if jacobian.size > LARGEST or not np.all(np.isfinite(jacobian)):
        return None
    jacobian[np.abs(jacobian) <= _NOTHING * np.max(np.abs(jacobian), axis=0, initial=0.0)] = 0.0
    held = (part.theta <= part.bounds.lower) | (part.theta >= part.bounds.upper)
    errors = estimate(residuals, jacobian, held, absolute=absolute).errors
    strength = np.zeros((len(part.terms), n))
    np.add.at(strength, problem.residual_terms(part.theta), jacobian**2)
    return _Known(strength, slices, strength * errors**2, np.any(strength > 0, axis=0))


def _by_steps(problem: Objective, part: Part) -> _Known:
    """Compare losses a small step to each side, for each element, or each Param of many."""
    slices, n = part.layout.slices, part.theta.size
    size = parameter_scale(part.theta, part.bounds)
    single = n <= MOST_ELEMENTS and len(part.terms) * n <= LARGEST
    if single:
        directions, columns = list(np.diag(size)), slices
    else:  # all elements of a Param at once, to sides that do not make up for each other
        signs = np.random.default_rng(0).choice([-1.0, 1.0], n)
        directions = []
        for place in slices.values():
            directions.append(np.zeros(n))
            directions[-1][place] = (size * signs)[place]
        columns = {key: slice(i, i + 1) for i, key in enumerate(slices)}
    strength = np.column_stack([_change(problem, part, step) for step in directions])
    for key, column in columns.items():
        reads = np.array([key in term.starts for term in part.terms])
        unknown = np.isnan(strength[:, column]) & reads[:, None]
        strength[:, column] = np.where(
            reads[:, None] & ~unknown, strength[:, column], 1.0 * unknown
        )
    if single:
        return _Known(strength, columns, None, np.any(strength > 0, axis=0))
    aside = part.bounds.project(part.theta + _STEP * np.sum(directions, axis=0))
    slopes = problem.value_and_gradient(aside)[1]  # not in a minimum, where they cancel
    return _Known(strength, columns, None, ~(slopes == 0.0))


def _change(problem: Objective, part: Part, direction: Floats) -> Floats:
    """Return by how much each loss changes in a step, shape (tests,); NaN where none is known."""
    base = problem.losses(part.theta)
    changes = np.full((2, base.size), np.nan)
    for row, sign in zip(changes, (1.0, -1.0), strict=True):
        there = part.bounds.project(part.theta + sign * _STEP * direction)
        losses = problem.losses(there)
        if np.all(np.isfinite(losses)):
            change = np.abs(losses - base)
            row[:] = np.where(change > _ROUNDING * np.abs(base), change, 0.0)
    return np.asarray(np.fmax(changes[0], changes[1]))


def _covered(part: Part, param: Param, known: _Known, key: str, place: slice) -> ParamCoverage:
    column = known.columns[key]
    strength = known.strength[:, column]
    sums = np.sum(strength, axis=0)
    reached = int(np.sum(known.reached[place]))
    shares = np.sum(strength / np.where(sums > 0, sums, 1.0), axis=1) / max(np.sum(sums > 0), 1)
    rows = np.flatnonzero(shares > 0)
    counts = np.sum(strength > 0, axis=0)
    one_by_one = column == place
    alone = int(np.sum(counts == 1)) if one_by_one else reached * (rows.size == 1)
    sensitivity: list[float | None] = [None] * rows.size
    if known.squares is not None:
        squares = known.squares[:, column]
        if not np.all(np.isnan(squares)):
            sensitivity = [_short(x) for x in np.nansum(squares, axis=1)[rows]]
    return ParamCoverage(
        name=param.name,
        file=_file(param),
        elements=place.stop - place.start,
        reached=reached if rows.size else 0,
        alone=alone,
        tests=[part.places[int(row)] for row in rows],
        shares=[_short(x) for x in shares[rows]],
        sensitivity=sensitivity,
    )


def _short(x: float) -> float:
    return float(f"{x:.4g}")
