"""Put what a fit's numbers mean into its summary: error bars, and notes on Params and tests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pytest_soft.component import Component
from pytest_soft.figures import by_function
from pytest_soft.meaning import Meaning
from pytest_soft.solve import Solution
from pytest_soft.summary import FitSummary, ParamChange
from pytest_soft.values import Groups

if TYPE_CHECKING:
    from softtape.optimize.multistart import Basin

__all__ = ["explain"]

_MOST = 5


def explain(
    summary: FitSummary,
    solution: Solution,
    groups: Groups,
    *,
    seed: int = 0,
    profile: bool = False,
    figures: bool = False,
) -> None:
    """Add standard errors to the Params of ``summary``, and notes on what stands out.

    Parameters
    ----------
    summary
        Whose ``params`` are in the order of ``groups``.
    solution
        How the fit ended.
    groups
        The Params by key.
    seed
        Of the probes for a lower loss elsewhere.
    profile
        Find confidence intervals by profile.
    figures
        Keep what a page draws.
    """
    errors: dict[str, tuple[float, tuple[float, float]]] = {}
    for component in solution.components:
        if not component.started:
            continue
        names = [
            name
            for key in component.slices
            for name in _elements(groups[key][0].name, groups[key][0].shape)
        ]
        summary.notes += _on_basins(component, groups, seed)
        drawn = component.figures(names) if figures else None
        if drawn is not None:
            tests = [term.name for term in component.terms]
            summary.figures.append({**drawn, **by_function(tests, drawn["sensitivity"])})
        meaning = component.meaning(names)
        if meaning is None:
            continue
        for key, place in component.slices.items():
            if not groups[key][0].shape:
                i = place.start
                errors[key] = (
                    float(meaning.errors[i]),
                    _interval(component, key, i, meaning, profile),
                )
        summary.notes += _shortened(_on_params(meaning))
        summary.notes += _shortened(_on_tests(meaning, component))
    summary.params = [
        _with_error(change, errors.get(key), "profile" if profile else "curvature")
        for key, change in zip(groups, summary.params, strict=True)
    ]


def _elements(name: str, shape: tuple[int, ...]) -> Iterator[str]:
    """Yield the names of a Param's elements."""
    if not shape:
        yield name
        return
    for index in np.ndindex(shape):
        yield f"{name}[{', '.join(map(str, index))}]"


def _interval(
    component: Component, key: str, place: int, meaning: Meaning, profile: bool
) -> tuple[float, float]:
    """Return the 95 % confidence interval of a number."""
    error, half = float(meaning.errors[place]), float(meaning.half_widths[place])
    if profile and math.isfinite(error):
        found = component.profile(place, error, meaning.dof)
        return found.lower, found.upper
    value = float(component.values[key])
    return value - half, value + half


def _with_error(
    change: ParamChange, error: tuple[float, tuple[float, float]] | None, by: str
) -> ParamChange:
    if error is None or not math.isfinite(error[0]):
        return change
    return replace(change, error=error[0], interval=error[1], interval_by=by)


def _on_basins(component: Component, groups: Groups, seed: int) -> Iterator[str]:
    """Yield the local minima that several starts led to, or that there must be another."""
    if not component.basins:
        better = component.elsewhere(seed)
        if better is not None:
            where = ", ".join(
                f"{groups[key][0].name} = {value:.4g}"
                for key, value in better.items()
                if not groups[key][0].shape
            )
            yield (
                f"the fit ended in a local minimum: the total loss is lower at {where or 'a probe'}"
                "; --soft-restarts=20 tries further starts"
            )
    if len(component.basins) < 2:
        return
    shown = ", ".join(f"{b.value:.4g} ({_starts(b)})" for b in component.basins[:_MOST])
    more = f" and {len(component.basins) - _MOST} more" if len(component.basins) > _MOST else ""
    yield f"local minima of the total loss, lowest first: {shown}{more}"


def _starts(basin: Basin) -> str:
    return f"{basin.starts} start" + ("s" if basin.starts > 1 else "")


def _on_params(meaning: Meaning) -> Iterator[str]:
    for sentence in meaning.undetermined:
        yield f"the tests do not determine every Param: {sentence}"
    for one, other, correlation in meaning.correlated:
        yield (
            f"{one} and {other} are hardly told apart by the tests (correlation {correlation:+.3f})"
        )


def _on_tests(meaning: Meaning, component: Component) -> Iterator[str]:
    names = [term.name for term in component.terms]
    for conflict in meaning.conflicts:
        (i, j), (gain, other) = conflict.tests, conflict.gains
        yield (
            f"{names[i]} and {names[j]} contradict each other: without the other, the loss of "
            f"the first would fall by about {gain:.3g}, that of the second by {other:.3g}"
        )
    for outlier in meaning.outliers:
        yield (
            f"{names[outlier.test]} stands out: {abs(outlier.studentized):.1f} standard "
            "deviations from what the other tests say"
        )


def _shortened(notes: Iterator[str]) -> list[str]:
    """Return the first of many, and how many there are more."""
    listed = list(notes)
    if len(listed) <= _MOST + 1:
        return listed
    return [*listed[:_MOST], f"and {len(listed) - _MOST} more notes of this kind"]
