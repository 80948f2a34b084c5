"""Whether the stored values are still those of the tests: what changed since the fit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from pytest_soft.component import Component
from pytest_soft.explain import elements
from pytest_soft.record import (
    Change,
    Function,
    changes_since,
    fitted_functions,
    records,
)
from pytest_soft.values import Groups, group_by_key
from softtape import store
from softtape.components import connected
from softtape.errors import SoftError
from softtape.terms import Term, TrialError

__all__ = ["Since", "outlook", "since_the_fit"]


class Since:
    """What the tests compute now, beside what was fitted.

    Attributes
    ----------
    functions
        What they compute now.
    changes
        What is not as it was fitted.
    known
        Whether anything is known of the last fit.
    """

    def __init__(
        self, functions: Mapping[str, Function], changes: Sequence[Change], *, known: bool
    ) -> None:
        """Keep them."""
        self.functions = functions
        self.changes = changes
        self.known = known

    @property
    def current(self) -> bool:
        """Whether all is as it was fitted."""
        return self.known and not any(change.stale for change in self.changes)

    @property
    def gone(self) -> set[str]:
        """Names of functions that are in the record, and no longer among the tests."""
        renamed = {change.former for change in self.changes if change.former is not None}
        return renamed | {c.what for c in self.changes if c.what not in self.functions}

    def records(
        self, terms: Sequence[Term], values: Mapping[str, Any], groups: Groups
    ) -> dict[str, store.Record]:
        """Return what the stores are to keep after a fit of these tests, by source file.

        Parameters
        ----------
        terms
            The tests.
        values
            Where the Params are now, by key.
        groups
            The Params by key.
        """
        functions = self.functions
        if any(len(term.paths) > 1 for term in terms if term.traced):
            # the values that are stored may be on another path than the last trial point
            functions = fitted_functions([_traced_at(term, values) for term in terms], groups)
        return records(functions, groups, self.gone)

    def to_dict(self, groups: Groups) -> dict[str, Any]:
        """Return plain data, as reports have them."""

        def names(change: Change) -> list[str]:
            if change.stale and change.what not in self.functions and len(change.keys) > 1:
                return []  # of a test that is gone
            return sorted(groups[key][0].name for key in change.keys if groups.get(key))

        return {
            "known": self.known,
            "current": self.current,
            "functions": len(self.functions),
            "tests": sum(len(function.cases) for function in self.functions.values()),
            "changes": [
                {
                    "what": change.what,
                    "how": change.how,
                    "params": names(change),
                    "stale": change.stale,
                }
                for change in self.changes
            ],
        }


def _traced_at(term: Term, values: Mapping[str, Any]) -> Term:
    """Return a test on the path that it takes there."""
    if not term.traced or len(term.paths) == 1:
        return term
    return Term(term.name, term.graph_at(values), term.graph_at, term.weight)


def since_the_fit(
    terms: Sequence[Term], groups: Groups, root: Path, whole: Collection[str]
) -> Since:
    """Compare what was traced with what the stores say was fitted.

    Parameters
    ----------
    terms
        The tests, traced where the Params have their stored values.
    groups
        The Params that they reach, by key.
    root
        The folder that test ids start from.
    whole
        The test files of which all tests were selected.

    Raises
    ------
    StoreError
        A store cannot be read.
    """
    functions = fitted_functions(terms, groups)
    files = sorted({params[0].file for params in groups.values() if params and params[0].file})
    kept = {file: store.load_record(store.path_for(file)) for file in files}
    known = any(record.tests for record in kept.values())
    changes = changes_since(functions, groups, kept, root=root, whole=whole) if known else []
    by_name = {term.name: term for term in terms}
    return Since(functions, [_looked_at_again(c, by_name, groups) for c in changes], known=known)


def _looked_at_again(change: Change, terms: Mapping[str, Term], groups: Groups) -> Change:
    """Return the change of a test; one that differs from itself did not change."""
    for name in change.tests[:1]:
        term = terms[name]
        values = dict(term.starts)
        try:
            again = Term(name, term.graph_at(values), term.graph_at, term.weight)
        except TrialError:
            return change
        twice = [fitted_functions([t], groups) for t in (term, again)]
        if [f.line for f in twice[0].values()] != [f.line for f in twice[1].values()]:
            how = "computes with other numbers each time, so a change of it cannot be noticed"
            return change._replace(how=how, stale=False)
    return change


def outlook(
    terms: Sequence[Term], start: Mapping[str, Any], changed: Collection[str], engine: str
) -> dict[str, Any]:
    """Return what a refit promises, by one step from where the Params are.

    Parameters
    ----------
    terms
        All that a fit would minimise.
    start
        The stored values, by key.
    changed
        Keys of the Params to look at; what hangs together with them moves too.
    engine
        As for a fit.

    Returns
    -------
    dict
        ``before``, 𝓛 of these tests now; ``gain``, by how much it would fall; ``moves`` of
        numbers, the farthest in standard errors first; ``untold``, what no step can tell.
    """
    counted = [term for term in terms if term.weight]
    before = gain = 0.0
    moves: list[dict[str, Any]] = []
    untold: list[str] = []
    for found in connected([term.starts for term in counted]):
        if set(found.keys).isdisjoint(changed):
            continue
        groups = group_by_key(found.keys)
        mine = [counted[number] for number in found.tests]
        component = Component(mine, groups, {key: start[key] for key in groups}, engine)
        try:
            component.measure()
            step = component.outlook()
        except (SoftError, np.linalg.LinAlgError):
            step = None
        names = sorted(params[0].name for params in groups.values())
        if step is None or not isfinite(step.gain):
            untold += names
            continue
        before, gain = before + component.after, gain + max(step.gain, 0.0)
        moves += _moves(component, groups, step.step, step.errors)
    moves.sort(key=lambda move: -abs(move["moved"] or 0.0))
    return {"before": before, "gain": gain, "moves": moves, "untold": untold}


def _moves(
    component: Component, groups: Groups, step: Any, errors: Any
) -> Iterable[dict[str, Any]]:
    for key, place in component.slices.items():
        values = np.ravel(component.values[key])
        for name, old, by, error in zip(
            elements(groups[key][0].name, groups[key][0].shape),
            values.tolist(),
            step[place].tolist(),
            errors[place].tolist(),
            strict=True,
        ):
            moved = by / error if isfinite(error) and error > 0 else None
            yield {"name": name, "old": old, "new": old + by, "moved": moved}
