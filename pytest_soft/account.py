"""What became of Params and components, as the summary of a fit has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pytest_soft.beforehand import PriorOf
from pytest_soft.component import Component
from pytest_soft.keep import relative
from pytest_soft.solve import Solution
from pytest_soft.summary import ComponentFit, ParamChange, PriorTerm
from pytest_soft.values import group_by_key
from softtape import Param
from softtape.optimize import Status

__all__ = ["change_of", "component_fits"]


def component_fits(
    solution: Solution, priors: Mapping[str, PriorTerm] | None = None
) -> list[ComponentFit]:
    """Return what happened in each component, its Params by names that tell them apart.

    Their losses are those of the tests, without the priors of their Params, given by key.
    """
    beside = priors or {}
    groups = group_by_key(key for c in solution.components for key in c.values)
    shared = Counter(params[0].name for params in groups.values())
    names = {
        key: p[0].name if shared[p[0].name] == 1 else f"{Path(p[0].file or '').stem}.{p[0].name}"
        for key, p in groups.items()
    }
    return [
        ComponentFit(
            params=[names[key] for key in component.values],
            tests=[t.name for t in component.terms if not isinstance(t, PriorOf)],
            before=component.before
            - sum(p.before for k, p in beside.items() if k in component.values),
            after=component.after
            - sum(p.after for k, p in beside.items() if k in component.values),
            end=_end(component),
            outcome=component.status.sentence if component.status else "",
            optimizer=component.optimizer,
            reason=component.reason,
            steps=component.steps,
            evaluations=component.evaluations,
            retraces=component.retraces,
        )
        for component in solution.components
    ]


def _end(component: Component) -> str:
    if component.status is Status.THRESHOLD:
        return "threshold"
    if component.status is not None:
        return component.status.sentence.partition(":")[0]
    return "failed" if component.error else "not begun"


def change_of(param: Param, old: Any, new: Any) -> ParamChange:
    """Return a Param before and after.

    Parameters
    ----------
    param
        The Param.
    old
        Its value before; None for a blank never filled in.
    new
        Its value after, of its shape.
    """
    before = np.full(param.shape, np.nan) if old is None else old
    new = np.asarray(new)
    difference = np.asarray(new, float) - np.asarray(before, float)
    number = not param.shape
    lower, upper = param.bounds
    return ParamChange(
        name=param.name,
        file=relative(Path(param.file or "<interactive>")),
        shape=param.shape,
        old=float(old) if number and old is not None else None,
        new=float(new) if number else None,
        change=_root_mean_square(difference) if difference.size else 0.0,
        at_bound=bool(np.any((new == lower) | (new == upper))),
    )


def _root_mean_square(array: Any) -> float:
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.mean(array**2)))
