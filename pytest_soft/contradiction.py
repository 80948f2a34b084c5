"""Two tests that contradict each other, where statistics has too little to go by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.objective import Layout, Objective
from softtape.optimize import Bounds, choose, minimize
from softtape.optimize.base import parameter_scale
from softtape.statistics.influence import Conflict
from softtape.statistics.pulls import opposed, worth_telling
from softtape.terms import Term

__all__ = ["contradiction"]

Floats: TypeAlias = NDArray[np.float64]

_MOST = 12  # tests that are looked at, those with the largest losses
_STEPS = 100


def contradiction(
    terms: Sequence[Term],
    layout: Layout,
    theta: Floats,
    bounds: Bounds,
    losses: Sequence[float],
    *,
    missed: bool,
) -> Conflict | None:
    """Return the two tests that keep each other from their own minima, if there are such.

    Parameters
    ----------
    terms
        The tests of a component.
    layout
        Where each Param lies in θ.
    theta
        The minimum of their total loss, shape (n,).
    bounds
        The box.
    losses
        Loss of each test there, without its weight.
    missed
        Whether a threshold is missed: then what stands in its way is worth telling, however small.
    """
    paths = [term.path for term in terms]
    try:
        return _contradiction(terms, layout, theta, bounds, losses, missed)
    finally:
        for term, path in zip(terms, paths, strict=True):
            term.path = path  # that of the fit, whatever was tried here


def _contradiction(
    terms: Sequence[Term],
    layout: Layout,
    theta: Floats,
    bounds: Bounds,
    losses: Sequence[float],
    missed: bool,
) -> Conflict | None:
    weighted = [t.weight * loss for t, loss in zip(terms, losses, strict=True)]
    largest = sorted(range(len(terms)), key=lambda i: -weighted[i])[:_MOST]
    sizes = parameter_scale(theta, bounds)
    pulls = np.array([_gradient(terms[i], layout, theta) for i in largest]) * sizes
    held = ~bounds.free(theta, np.sum(pulls, axis=0))
    pulls[:, held] = 0.0
    pair = opposed(pulls)
    if pair is None:
        return None
    tests = largest[pair[0]], largest[pair[1]]
    gains = [
        losses[i] - _alone(terms, i, j, layout, theta, bounds) for i, j in (tests, tests[::-1])
    ]
    told = [
        worth_telling(terms[i].weight * g, pulls[p])
        for i, g, p in zip(tests, gains, pair, strict=True)
    ]
    if not (all(told) or (missed and min(gains) > 0)):
        return None
    return Conflict(tests, (gains[0], gains[1]))


def _gradient(term: Term, layout: Layout, theta: Floats) -> Floats:
    problem = Objective([term], layout)
    with problem.known_paths_only():
        return problem.value_and_gradient(theta)[1]


def _alone(
    terms: Sequence[Term], test: int, without: int, layout: Layout, theta: Floats, bounds: Bounds
) -> float:
    """Return the loss of a test where the others are fitted without one of them."""
    rest = Objective([t for i, t in enumerate(terms) if i != without], layout)
    with rest.known_paths_only():
        optimizer, _ = choose("auto", n_params=theta.size, has_residuals=rest.has_residuals)
        found = minimize(rest, theta, optimizer=optimizer, bounds=bounds, max_steps=_STEPS)
        own = Objective([terms[test]], layout)
        with own.known_paths_only():
            return float(own.losses(found.theta)[0])
