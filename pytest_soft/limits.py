"""What is above its limit: tests, suites, the total. Knows nothing of pytest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

from pytest_soft.verdict import TestLoss, most_allowed

__all__ = ["Above", "above_limits"]

_MOST = 3  # of each kind


class Above(NamedTuple):
    """Something that is above its limit.

    Attributes
    ----------
    what
        How to call it.
    tests
        Ids of the tests whose losses it is the sum of.
    loss
        That sum.
    limit
        The limit on it.
    """

    what: str
    tests: Sequence[str]
    loss: float
    limit: float


def above_limits(
    tests: Mapping[str, TestLoss],
    *,
    threshold: float | None,
    mean_threshold: float | None,
    worst_threshold: float | None,
    suite_thresholds: Mapping[str, float],
    ratchet: float | None,
) -> list[Above]:
    """Return what is above its limit, tests first, at most a few of each kind."""
    fitted = {n: t for n, t in tests.items() if t.counts and not t.held_out and t.loss is not None}
    found = []
    for name, test in fitted.items():
        limits = [test.threshold, worst_threshold]
        if ratchet is not None and test.last is not None:
            limits.append(most_allowed(test.last, ratchet))
        limit = min((each for each in limits if each is not None), default=inf)
        if test.loss is not None and test.loss > limit:
            found.append(Above(name, [name], test.loss, limit))
    found = sorted(found, key=lambda above: above.limit - above.loss)[:_MOST]
    sums = [
        (f"the suite {suite}", [n for n, t in fitted.items() if t.suite == suite], limit)
        for suite, limit in suite_thresholds.items()
    ]
    cases = sum(test.weight * test.cases for test in fitted.values())
    if mean_threshold is not None:
        sums.append(("the total loss, for its mean,", list(fitted), mean_threshold * cases))
    if threshold is not None:
        sums.append(("the total loss", list(fitted), threshold))
    for what, names, limit in sums:
        loss = sum(fitted[n].weight * (fitted[n].loss or 0.0) for n in names)
        if loss > limit and len(found) < 2 * _MOST:
            found.append(Above(what, names, loss, limit))
    return found
