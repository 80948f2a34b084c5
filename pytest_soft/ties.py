"""What became of the tied values of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pytest_soft.keep import relative
from pytest_soft.summary import ParamChange
from pytest_soft.values import Groups, set_values
from softtape.graph import Graph
from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape
from softtape.tied import tied, ties

if TYPE_CHECKING:
    from pytest_soft.meaning import Meaning

__all__ = ["Meanings", "tied_changes"]

Meanings: TypeAlias = "Sequence[tuple[Mapping[str, slice], Meaning]]"
"""Where the Params of a component lie in its θ, and what its numbers mean."""

_UNKNOWN = "the standard errors of its Params are not known"


def tied_changes(
    groups: Groups,
    start: Mapping[str, Any],
    end: Mapping[str, Any],
    meanings: Meanings,
) -> list[ParamChange]:
    """Return the values, before and after, that are tied to the fitted Params.

    The Params end at ``end``. A value that cannot be computed is left out: tests that use it say
    why. The standard error of a number follows from those of the Params and their correlations, as
    ``meanings`` has them for each component, by its gradient (the delta method).
    """
    found = []
    for value in ties():
        try:
            if _reads(value).isdisjoint(groups):
                continue
            both = []
            for values in (start, end):
                set_values(groups, values)
                both.append(np.asarray(value._softtape_peek(), float))
            known = {} if both[1].ndim else _error(value, end, meanings, float(both[1]))
        except Exception:
            continue
        finally:
            set_values(groups, end)
        old, new = both
        found.append(
            ParamChange(
                name=value.name,
                file=relative(Path(value.file)),
                shape=new.shape,
                old=None if new.ndim else float(old),
                new=None if new.ndim else float(new),
                change=float(np.sqrt(np.mean((new - old) ** 2))) if new.size else 0.0,
                at_bound=False,
                tied=True,
                **known,
            )
        )
    return found


def _error(value: tied, end: Mapping[str, Any], meanings: Meanings, at: float) -> dict[str, Any]:
    """Return the standard error and interval of a number, or why it has none."""

    def trace(_: Mapping[str, Any]) -> Graph:
        with Tape() as tape:
            return tape.graph([value._softtape_current()])

    term = Term(value.name, trace({}), trace)
    layout = Layout({key: np.shape(end[key]) for key in term.starts if key in end})
    gradient = Objective([term], layout, "numpy").value_and_gradient(layout.pack(end))[1]
    variance, factor, left = 0.0, 0.0, set(layout.slices)
    for slices, meaning in meanings:
        slope = np.zeros(meaning.errors.size)
        for key in slices.keys() & left:
            slope[slices[key]] = gradient[layout.slices[key]]
        (moved,) = np.nonzero(slope)
        left -= slices.keys()
        if not moved.size:
            continue
        errors = meaning.errors[moved]
        if not np.all(np.isfinite(errors)):
            why = (meaning.reasons.get(int(i), "") for i in moved[~np.isfinite(errors)])
            return {"no_error": meaning.reason or next(filter(None, why), _UNKNOWN)}
        parts = slope[moved] * errors
        variance += float(parts @ meaning.correlation[np.ix_(moved, moved)] @ parts)
        factor = max(factor, float(np.max(meaning.half_widths[moved] / errors)))
    if left or not variance > 0:
        return {"no_error": _UNKNOWN}
    error = variance**0.5
    return {"error": error, "interval": (at - factor * error, at + factor * error)}


def _reads(value: tied) -> set[str]:
    """Return the keys of the Params that a value is computed from."""
    with Tape() as tape:
        value._softtape_current()
        return set(tape.inputs)
