"""The one place that decides pass or fail.

The summary, the reports and the exit status all ask :func:`judge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum
from typing import NamedTuple

__all__ = ["TestLoss", "Verdict", "judge"]


class TestLoss(NamedTuple):
    """What a check measured of one soft test (tuples: dataclasses would slow the start).

    Attributes
    ----------
    loss
        Its loss on plain numbers, without its weight; None if it gave none.
    cases
        How many losses that is the sum of.
    weight
        Its factor in the total.
    threshold
        The limit on its own loss, or None.
    counts
        False for a test expected to fail (xfail): shown, but no part of the total.
    error
        Whether pytest failed it for another reason: an error in its teardown, or a strict
        xfail that passed.
    holds
        Whether its assertions hold, where its loss is their distance; None where it returned
        its loss.
    """

    loss: float | None
    cases: int = 1
    weight: float = 1.0
    threshold: float | None = None
    counts: bool = True
    error: bool = False
    holds: bool | None = None

    @property
    def failed(self) -> bool:
        """Whether it gave no loss, one above its own threshold, or asserts what does not hold."""
        return self.loss is None or self.holds is False or self.above

    @property
    def above(self) -> bool:
        """Whether its loss is above its own threshold."""
        return self.loss is not None and self.threshold is not None and self.loss > self.threshold


TestLoss.__test__ = False  # type: ignore[attr-defined]  # pytest shall not collect it


class Verdict(NamedTuple):
    """Pass or fail, and why.

    Attributes
    ----------
    passed
        What the exit status says too.
    total
        𝓛, the weighted sum over the tests that count and gave a loss; None if none did.
    threshold
        The limit on 𝓛, or None.
    reasons
        Why it failed, in words; empty if it passed.
    """

    passed: bool
    total: float | None
    threshold: float | None
    reasons: tuple[str, ...]


def judge(
    tests: Mapping[str, TestLoss],
    *,
    threshold: float | None,
    asked: bool,
    fit_failures: tuple[str, ...] = (),
) -> Verdict:
    """Return the verdict on a run.

    Parameters
    ----------
    tests
        What was measured, by test id.
    threshold
        The limit on 𝓛; 0 is a limit. None for no limit.
    asked
        Whether this run asked for soft tests on its command line. If so, running none is
        no pass.
    fit_failures
        Why the fit did not do what it was asked for, if so.
    """
    counted = {name: test for name, test in tests.items() if test.counts}
    losses = [test.weight * test.loss for test in counted.values() if test.loss is not None]
    # fsum rounds once, so that the total does not depend on the order in which tests ran
    total = _sum(losses) if losses else None
    reasons = list(fit_failures)
    if asked and total is None and not counted:
        reasons.append("no soft test ran")
    without = sum(test.loss is None for test in counted.values())
    if without:
        reasons.append(f"{_count(without, 'test')} gave no loss")
    wrong = sum(test.holds is False for test in counted.values())
    if wrong:
        reasons.append(f"{_count(wrong, 'test')} with an assertion that does not hold")
    above = sum(test.holds is not False and test.above for test in counted.values())
    if above:
        reasons.append(f"{_count(above, 'test')} above the threshold of the test")
    errors = sum(test.error for test in tests.values())
    if errors:
        reasons.append(f"{_count(errors, 'test')} failed for another reason than the loss")
    if threshold is not None and total is not None and not total <= threshold:
        reasons.append(f"the total loss {total:.6g} is above the threshold {threshold:.6g}")
    return Verdict(not reasons, total, threshold, tuple(reasons))


def _sum(losses: list[float]) -> float:
    try:
        return fsum(losses)
    except OverflowError:  # where sum() gives inf
        return sum(losses)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
