"""Fit without each of several parts of the tests, and measure what was left out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_soft.goal import Goal
from pytest_soft.solve import solve
from pytest_soft.split import fold_of
from pytest_soft.verdict import Sides
from softtape import SoftError
from softtape.optimize import Status
from softtape.terms import Term

__all__ = ["fit_folds"]


def fit_folds(
    terms: Sequence[Term],
    start: Mapping[str, Any],
    goal: Goal,
    *,
    cases: Mapping[str, int],
    folds: int,
) -> Iterator[Sides]:
    """Yield what each fold of the tests has to say of a fit to the others.

    Every fit begins where that of all tests began, and has the same goal; a threshold in
    proportion to the cases that are left. A fold that the draw left empty is passed over.

    Parameters
    ----------
    terms
        The tests. Those of weight 0 are in no fold.
    start
        Value of each Param at the start, by key.
    goal
        When a fit ends; its ``timeout`` is for all of them together.
    cases
        How many losses that of a test is the sum of, by test id.
    folds
        How many.

    Raises
    ------
    SoftError
        A fit failed, or there is not enough time for it.
    KeyboardInterrupt
        A fit was interrupted.
    """
    began = time.monotonic()
    tests = [term for term in terms if term.weight and term.name in cases]  # priors always count
    drawn = {term.name: fold_of(term.name, goal.seed, folds) for term in tests}
    weights = {t.name: t.weight * cases[t.name] for t in terms if t.name in drawn}
    filled = sorted(set(drawn.values()))
    for fold in filled if len(filled) > 1 else []:
        out = {name for name, number in drawn.items() if number == fold}
        left = None if goal.timeout is None else began + goal.timeout - time.monotonic()
        part = 1.0 - sum(weights[name] for name in out) / sum(weights.values())
        limit = None if goal.threshold is None else part * goal.threshold
        solution = solve(
            [term.reweighted(0.0 if term.name in out else term.weight) for term in terms],
            start,
            goal._replace(threshold=limit, timeout=None if left is None else max(left, 0.0)),
        )
        if solution.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        if solution.status is Status.TIMEOUT:
            raise SoftError(f"the time limit ended the fit without fold {fold + 1} of {folds}")
        error = next((c.error for c in solution.components if c.error), None)
        if error is not None:
            raise SoftError(f"the fit without fold {fold + 1} of {folds}: {error}")
        losses = {t.name: t.weight * v for t, v in zip(terms, solution.losses, strict=True)}
        fitted = drawn.keys() - out
        yield Sides(
            fitted=sum(losses[name] for name in drawn if name in fitted),
            fitted_cases=sum(weights[name] for name in drawn if name in fitted),
            held_out=sum(losses[name] for name in drawn if name in out),
            held_out_cases=sum(weights[name] for name in drawn if name in out),
            tests=len(out),
        )
