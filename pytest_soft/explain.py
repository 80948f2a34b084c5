"""Put what a fit's numbers mean into its summary: error bars, and notes on Params and tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pytest_soft.beforehand import PriorOf
from pytest_soft.component import Component
from pytest_soft.meaning import Meaning
from pytest_soft.solve import Solution
from pytest_soft.summary import FitSummary, ParamChange
from pytest_soft.values import Groups, group_by_key
from softtape.statistics.chi_squared import chance_of_more

if TYPE_CHECKING:
    from pytest_soft.against import Inputs
    from softtape.optimize.multistart import Basin
    from softtape.statistics.influence import Conflict

__all__ = ["elements", "explain", "on_gradient"]

_MOST = 5
_MOST_DATA = 100
_CHANCE = 0.001  # of χ², from which on it is no accident
_FEW = 3  # degrees of freedom: with fewer, residuals do not tell what scatter is usual

_Error: TypeAlias = tuple[float, tuple[float, float]]


def explain(
    summary: FitSummary,
    solution: Solution,
    groups: Groups,
    *,
    seed: int = 0,
    profile: bool = False,
    figures: Inputs | None = None,
    absolute: bool = False,
    missed: bool = False,
) -> list[tuple[Mapping[str, slice], Meaning]]:
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
        The arguments of the tests, where what a page draws is to be kept.
    absolute
        Whether the residuals are in units of their standard deviations.
    missed
        Whether a threshold is missed.

    Returns
    -------
    list
        Where the Params of a component lie in its θ, and what its numbers mean, if that is known.
    """
    told: list[tuple[Mapping[str, slice], Meaning]] = []
    errors: dict[str, _Error | str] = {}
    chi_squared, dof = 0.0, 0
    for component in solution.components:
        if not component.started:
            continue
        names = [
            name
            for key in component.slices
            for name in elements(groups[key][0].name, groups[key][0].shape)
        ]
        summary.notes += _on_basins(component, groups, seed)
        if figures is not None:
            _add_figures(summary, component, names, figures)
        summary.notes += _shortened(_on_bounds(component, groups))
        meaning = component.meaning(names, absolute=absolute)
        if isinstance(meaning, str):
            errors |= dict.fromkeys(component.slices, meaning)
        else:
            errors |= _errors(component, groups, meaning, profile=profile, absolute=absolute)
            summary.notes += _shortened(_on_params(meaning))
            summary.notes += _shortened(_on_tests(meaning, component))
            _add_data(summary, component, meaning, names)
            told.append((component.slices, meaning))
            chi_squared, dof = chi_squared + meaning.loss, dof + max(meaning.dof, 0)
        if isinstance(meaning, str) or meaning.dof < _FEW:
            summary.notes += _on_two(component, missed=missed)
    if absolute and dof > 0:
        summary.chi_squared = chi_squared, dof, chance_of_more(chi_squared, dof)
        summary.notes += _on_scales(summary.chi_squared[2])
    summary.influences = dict(sorted(summary.influences.items(), key=lambda i: -i[1])[:_MOST_DATA])
    summary.params = [
        _with_error(change, errors.get(key), "profile" if profile else "curvature")
        for key, change in zip(groups, summary.params, strict=True)
    ]
    return told


def _add_figures(
    summary: FitSummary, component: Component, names: Sequence[str], figures: Inputs
) -> None:
    """Add what a page draws of a component."""
    from pytest_soft.against import against
    from pytest_soft.figures import by_function

    drawn = component.figures(names)
    summary.against += against(component.terms, component.values, figures)
    if drawn is not None:
        tests = [term.name for term in component.terms]
        summary.figures.append({**drawn, **by_function(tests, drawn["sensitivity"])})


def _errors(
    component: Component, groups: Groups, meaning: Meaning, *, profile: bool, absolute: bool
) -> dict[str, _Error | str]:
    """Return the standard error and interval of each number by key, or why there is none."""
    found: dict[str, _Error | str] = {}
    for key, place in component.slices.items():
        if groups[key][0].shape:
            continue
        i = place.start
        error = float(meaning.errors[i])
        if math.isfinite(error):
            found[key] = error, _interval(component, key, i, meaning, profile, absolute)
        else:
            found[key] = meaning.reason or meaning.reasons.get(i, "it cannot be computed")
    return found


def _add_data(
    summary: FitSummary, component: Component, meaning: Meaning, names: Sequence[str]
) -> None:
    """Add what tables and later reports show."""
    tests = [term.name for term in component.terms]
    known = np.flatnonzero(np.isfinite(meaning.errors))
    if 1 < known.size <= _MOST_DATA:
        matrix = meaning.correlation[np.ix_(known, known)].tolist()
        summary.correlations.append({"params": [names[int(i)] for i in known], "matrix": matrix})
    summary.influences |= {tests[i]: distance for i, distance in meaning.influences.items()}
    advice = meaning.advice
    if advice is not None:
        summary.advice.append(
            f"{tests[advice.test]} once more would take the standard error of "
            f"{names[advice.param]} from {advice.before:.2g} to {advice.after:.2g}"
        )


def elements(name: str, shape: tuple[int, ...]) -> Iterator[str]:
    """Yield the names of a Param's elements."""
    if not shape:
        yield name
        return
    for index in np.ndindex(shape):
        yield f"{name}[{', '.join(map(str, index))}]"


def _interval(
    component: Component, key: str, place: int, meaning: Meaning, profile: bool, absolute: bool
) -> tuple[float, float]:
    """Return the 95 % confidence interval of a number."""
    error, half = float(meaning.errors[place]), float(meaning.half_widths[place])
    if profile:
        found = component.profile(place, error, meaning.dof, absolute=absolute)
        return found.lower, found.upper
    value = float(component.values[key])
    return value - half, value + half


def _with_error(change: ParamChange, error: _Error | str | None, by: str) -> ParamChange:
    if error is None or change.new is None:
        return change
    if isinstance(error, str):
        return change._replace(no_error=error)
    return change._replace(error=error[0], interval=error[1], interval_by=by)


def on_gradient(component: Component) -> str:
    """Say which test has no finite gradient where the fit ended for want of one; else nothing."""
    found = component.without_gradient()
    if found is None:
        return ""
    test, keys = found
    where = _at({key: component.values[key] for key in keys})
    return (
        f"the gradient of {test} is not finite with respect to {where}: a root, a power or a "
        "norm of 0 has none. Add a small positive constant inside it, or start elsewhere"
    )


def on_batches(component: Component) -> Iterator[str]:
    """Yield that batches were left out, and for which test at first."""
    found = component.left_out()
    if found is not None:
        count, test, values = found
        yield (
            f"{count} batch{'es were' if count > 1 else ' was'} left out, and the learning rate "
            f"halved each time: the loss or the gradient of {test} is not finite, at first with "
            f"{_at(values)}"
        )


def _at(values: Mapping[str, Any]) -> str:
    """Return the names of Params, and the values of those that are numbers."""
    groups = group_by_key(list(values))
    return ", ".join(
        groups[key][0].name if groups[key][0].shape else f"{groups[key][0].name} = {value:.6g}"
        for key, value in values.items()
    )


def _on_bounds(component: Component, groups: Groups) -> Iterator[str]:
    """Yield the bounds that keep the total loss from falling."""
    for key, element, upper, bound in component.pressed():
        param = groups[key][0]
        name = [*elements(param.name, param.shape)][element]
        yield (
            f"{name} ended on its {'upper' if upper else 'lower'} bound {bound:.6g}, and the total "
            "loss falls beyond it"
        )


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
        yield (
            f"the tests do not determine every Param: {sentence}. To repeat them does not help; a "
            "test in which they act differently does"
            if " " in sentence and "no effect" not in sentence
            else f"the tests do not determine every Param: {sentence}"
        )
    for one, other, correlation in meaning.correlated:
        yield (
            f"{one} and {other} are hardly told apart by the tests (correlation {correlation:+.3f})"
        )


def _on_tests(meaning: Meaning, component: Component) -> Iterator[str]:
    names = [term.name for term in component.terms]
    for conflict in meaning.conflicts:
        yield _contradiction(conflict, names)
    for outlier in meaning.outliers:
        said = f"{abs(outlier.studentized):.1f} standard deviations from what the other tests say"
        if math.isinf(outlier.studentized):
            if isinstance(component.terms[outlier.test], PriorOf):
                continue  # beside exact tests, no prior is likely: it has a width of its own
            said = "without it, the other tests agree up to rounding"
        yield f"{names[outlier.test]} stands out: {said}"


def _on_scales(chance: float) -> Iterator[str]:
    """Yield what it means that χ² is much too large, or much too small."""
    if chance < _CHANCE:
        yield (
            "the residuals are larger than their standard deviations say: these are too small, or "
            "the program does not describe what the tests measure"
        )
    elif chance > 1 - _CHANCE:
        yield (
            "the residuals are smaller than their standard deviations say: these are too large, "
            "or the losses are not sums of squares in units of them"
        )


def _on_two(component: Component, *, missed: bool) -> Iterator[str]:
    """Yield what can be said of two tests where nothing tells what scatter is usual."""
    conflict = component.contradiction(missed=missed)
    if conflict is not None:
        yield _contradiction(conflict, [term.name for term in component.terms])


def _contradiction(conflict: Conflict, names: Sequence[str]) -> str:
    (i, j), (gain, other) = conflict.tests, conflict.gains
    return (
        f"{names[i]} and {names[j]} contradict each other: without the other, the loss of "
        f"the first would fall by about {gain:.3g}, that of the second by {other:.3g}"
    )


def _shortened(notes: Iterator[str]) -> list[str]:
    """Return the first of many, and how many there are more."""
    listed = list(notes)
    if len(listed) <= _MOST + 1:
        return listed
    return [*listed[:_MOST], f"and {len(listed) - _MOST} more notes of this kind"]
