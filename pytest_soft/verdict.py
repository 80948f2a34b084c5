"""The one place that decides pass or fail.

The summary, the reports and the exit status all ask :func:`judge`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import fsum, inf
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["NOISE", "Sides", "Suite", "TestLoss", "Verdict", "judge", "most_allowed", "pooled"]

NOISE = 1e-12
"""The most that rounding leaves of a loss that is 0.

A distance between numbers up to 1000 is off by 1e-13 at a rounding each, its square by less.
"""
_ROUNDING = 1e-6  # relative: of long computations, and of differences of large numbers


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
    held_out
        Whether fits leave it out: shown beside the others, but no part of the total.
    suite
        The named suite it belongs to, or None.
    last
        Its loss at the last fit, rounded up; None where that is not known.
    """

    loss: float | None
    cases: int = 1
    weight: float = 1.0
    threshold: float | None = None
    counts: bool = True
    error: bool = False
    holds: bool | None = None
    held_out: bool = False
    suite: str | None = None
    last: float | None = None

    @property
    def failed(self) -> bool:
        """Whether it gave no loss, one above its own threshold, or asserts what does not hold."""
        return self.loss is None or self.holds is False or self.above

    @property
    def badness(self) -> tuple[bool, float]:
        """Orders several measurements of a test, the worst one last."""
        return self.failed or self.error, inf if self.loss is None else self.loss

    @property
    def above(self) -> bool:
        """Whether its loss is above its own threshold."""
        return self.loss is not None and self.threshold is not None and self.loss > self.threshold


TestLoss.__test__ = False  # type: ignore[attr-defined]  # pytest shall not collect it


class Sides(NamedTuple):
    """Losses of fitted tests and of tests held out, side by side.

    Attributes
    ----------
    fitted
        Σ weight · loss of the fitted tests.
    fitted_cases
        Σ weight · cases of them.
    held_out
        Σ weight · loss of the tests held out.
    held_out_cases
        Σ weight · cases of them.
    tests
        How many tests are held out.
    """

    fitted: float
    fitted_cases: float
    held_out: float
    held_out_cases: float
    tests: int

    @property
    def means(self) -> tuple[float, float]:
        """Mean loss of a case, fitted and held out."""
        return self.fitted / self.fitted_cases, self.held_out / self.held_out_cases

    @property
    def gap(self) -> float:
        """By how much the mean loss held out is above the fitted one."""
        fitted, held_out = self.means
        return held_out - fitted


def pooled(sides: Iterable[Sides]) -> Sides | None:
    """Return the sums over several fits; None where one of the sides has no cases."""
    columns = list(zip(*sides, strict=True))
    if not columns:
        return None
    fitted, fitted_cases, held_out, held_out_cases = (_sum(list(c)) for c in columns[:4])
    whole = Sides(fitted, fitted_cases, held_out, held_out_cases, int(sum(columns[4])))
    return whole if whole.fitted_cases > 0 and whole.held_out_cases > 0 else None


class Suite(NamedTuple):
    """A named suite.

    Attributes
    ----------
    name
        Its name.
    tests
        How many of its tests count.
    total
        Σ weight · loss of those that gave one; None if none did.
    threshold
        The limit on that, or None.
    """

    name: str
    tests: int
    total: float | None
    threshold: float | None

    @property
    def above(self) -> bool:
        """Whether it is above its threshold."""
        limited = self.threshold is not None and self.total is not None
        return limited and not self.total <= self.threshold  # type: ignore[operator]


class Verdict(NamedTuple):
    """Pass or fail, and why.

    Attributes
    ----------
    passed
        What the exit status says too.
    total
        𝓛, the weighted sum over the tests that count, are not held out and gave a loss; None
        if none did.
    threshold
        The limit on 𝓛, or None.
    reasons
        Why it failed, in words; empty if it passed.
    suites
        The named suites, by name: those of the tests, and those that have a limit.
    mean_threshold
        The limit on the mean loss of a case, or None.
    worst_threshold
        The limit on the loss of every test, or None.
    sides
        The fitted tests beside those held out; None where there are none of either.
    gap
        The limit on their gap, or None.
    ratchet
        By which part of it a loss may be above that of the last fit, or None for no such limit.
    coverage
        Percentage of the Params' elements that tests reach, or None where it was not measured.
    coverage_fail_under
        The least that it may be, or None.
    by_measures
        Whether it failed by what was measured, so that a fit may help.
    """

    passed: bool
    total: float | None
    threshold: float | None
    reasons: tuple[str, ...]
    suites: tuple[Suite, ...] = ()
    mean_threshold: float | None = None
    worst_threshold: float | None = None
    sides: Sides | None = None
    gap: float | None = None
    ratchet: float | None = None
    coverage: float | None = None
    coverage_fail_under: float | None = None
    by_measures: bool = False


def most_allowed(last: float, ratchet: float) -> float:
    """Return the most that a loss may be which was ``last`` at the last fit.

    Other processors round otherwise: that is no reason to fail, nor is ``NOISE``.
    """
    return last + max((ratchet + _ROUNDING) * abs(last), NOISE)


def judge(
    tests: Mapping[str, TestLoss],
    *,
    threshold: float | None,
    asked: bool,
    fit_failures: tuple[str, ...] = (),
    gap: float | None = None,
    folds: Sequence[Sides] = (),
    mean_threshold: float | None = None,
    worst_threshold: float | None = None,
    suite_thresholds: Mapping[str, float] = MappingProxyType({}),
    ratchet: float | None = None,
    coverage: float | None = None,
    coverage_fail_under: float | None = None,
    stale: Mapping[str, Any] | None = None,
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
    gap
        The limit on the gap between what is held out, be it tests or folds, and what is
        fitted; None for no limit.
    folds
        What the fits without each fold gave.
    mean_threshold
        The limit on 𝓛 divided by the weighted number of its cases.
    worst_threshold
        The limit on the loss of every single test, without its weight.
    suite_thresholds
        The limits on the sums of named suites.
    ratchet
        By which part of it the loss of a test or suite may be above that of the last fit.
    coverage
        Percentage of the Params' elements that tests reach; None where it was not measured.
    coverage_fail_under
        The least that it may be.
    stale
        What changed since the last fit, as `pytest_soft.stale` has it, where that shall be
        nothing.
    """
    counted = {name: test for name, test in tests.items() if test.counts}
    fitted = [test for test in counted.values() if not test.held_out]
    losses = [test.weight * test.loss for test in fitted if test.loss is not None]
    # fsum rounds once, so that the total does not depend on the order in which tests ran
    total = _sum(losses) if losses else None
    reasons = list(fit_failures)
    if asked and not fitted:
        reasons.append("no soft test ran" + (" that is not held out" if counted else ""))
    reasons += _singly(tests, counted)
    suites = _suites(fitted, suite_thresholds)
    reasons += _above(fitted, total, threshold, mean_threshold, worst_threshold, suites)
    if ratchet is not None:
        reasons += _worse(counted, ratchet, explained=bool(fit_failures))
    reasons += _uncovered(coverage, coverage_fail_under)
    if stale is not None:
        reasons += _stale(stale)
    sides = _sides(fitted, [test for test in counted.values() if test.held_out])
    for whose, found in (("tests", sides), ("folds", pooled(folds))):
        if gap is not None and found is not None and not found.gap <= gap:
            reasons.append(
                f"the mean loss of {whose} held out is {found.gap:.6g} above the fitted one: "
                f"the limit is {gap:.6g}"
            )
    return Verdict(
        not reasons,
        total,
        threshold,
        tuple(reasons),
        suites,
        mean_threshold,
        worst_threshold,
        sides,
        gap,
        ratchet,
        coverage,
        coverage_fail_under,
        len(reasons) > len(fit_failures),
    )


def _singly(tests: Mapping[str, TestLoss], counted: Mapping[str, TestLoss]) -> Iterator[str]:
    """Yield what is wrong with single tests."""
    without = sum(test.loss is None for test in counted.values())
    if without:
        yield f"{_count(without, 'test')} gave no loss"
    wrong = sum(test.holds is False for test in counted.values())
    if wrong:
        yield f"{_count(wrong, 'test')} with an assertion that does not hold"
    above = sum(test.holds is not False and test.above for test in counted.values())
    if above:
        yield f"{_count(above, 'test')} above the threshold of the test"
    errors = sum(test.error for test in tests.values())
    if errors:
        yield f"{_count(errors, 'test')} failed for another reason than the loss"


def _above(
    fitted: Sequence[TestLoss],
    total: float | None,
    threshold: float | None,
    mean_threshold: float | None,
    worst_threshold: float | None,
    suites: Sequence[Suite],
) -> Iterator[str]:
    """Yield the limits of the whole run that are not kept."""
    if total is None:
        return
    if threshold is not None and not total <= threshold:
        yield f"the total loss {total:.6g} is above the threshold {threshold:.6g}"
    summed, cases = _sums(fitted)
    mean = summed / cases if cases > 0 else 0.0
    if mean_threshold is not None and not mean <= mean_threshold:
        yield f"the mean loss {mean:.6g} is above its threshold {mean_threshold:.6g}"
    worst = max(test.loss for test in fitted if test.loss is not None)
    if worst_threshold is not None and not worst <= worst_threshold:
        yield f"the worst loss {worst:.6g} is above its threshold {worst_threshold:.6g}"
    for suite in suites:
        if suite.above:
            yield (
                f"the suite {suite.name} has a total loss of {suite.total:.6g}, above its "
                f"threshold {suite.threshold:.6g}"
            )


def _worse(counted: Mapping[str, TestLoss], ratchet: float, *, explained: bool) -> Iterator[str]:
    """Yield what is worse than at the last fit by more than the ratchet allows.

    ``explained`` tells whether another reason may be why no loss is known: a fit that stored
    nothing, a file that cannot be read. To fit with soft_ratchet is no way out then.
    """
    known = [
        (name, test, test.loss, test.last)
        for name, test in counted.items()
        if test.loss is not None and test.last is not None
    ]
    limit = f"{100 * ratchet:.6g} %"
    if not (known or explained) and any(test.loss is not None for test in counted.values()):
        yield "no loss of a last fit is known: pytest --soft-fit with soft_ratchet keeps them"
    worse = [
        (now - last, name, now, last)
        for name, _, now, last in known
        if not now <= most_allowed(last, ratchet)
    ]
    if worse:
        _, name, now, last = max(worse)
        yield (
            f"{_count(len(worse), 'test')} more than {limit} worse than at the last fit, above "
            f"all {name}: {now:.6g}, it was {last:.6g}"
        )
    for suite in sorted({test.suite for _, test, _, _ in known if test.suite is not None}):
        mine = [(t.weight * now, t.weight * last) for _, t, now, last in known if t.suite == suite]
        now, last = (_sum(list(losses)) for losses in zip(*mine, strict=True))
        if not now <= most_allowed(last, ratchet):
            yield (
                f"the suite {suite} is more than {limit} worse than at the last fit: {now:.6g}, "
                f"it was {last:.6g}"
            )


def _uncovered(coverage: float | None, fail_under: float | None) -> Iterator[str]:
    if fail_under is None:
        return
    if coverage is None:
        yield "nothing tells which Params the tests reach: there are none, or it was not measured"
    elif not coverage >= fail_under:
        limit = f"the limit is {fail_under:.4g} %"
        yield f"tests reach {coverage:.4g} % of the Params' elements: {limit}"


def _stale(stale: Mapping[str, Any]) -> Iterator[str]:
    """Yield why the stored values are not those of the tests."""
    changes = sum(change["stale"] for change in stale["changes"])
    if not stale["known"]:
        yield (
            "nothing tells what was fitted: pytest --soft-fit keeps it in the store "
            "(--soft-write=source does not)"
        )
    elif changes:
        yield f"the fit is stale: {_count(changes, 'change')} since"


def _suites(fitted: Sequence[TestLoss], thresholds: Mapping[str, float]) -> tuple[Suite, ...]:
    names = {test.suite for test in fitted if test.suite is not None} | set(thresholds)
    made = []
    for name in sorted(names):
        tests = [test for test in fitted if test.suite == name]
        losses = [test.weight * test.loss for test in tests if test.loss is not None]
        made.append(Suite(name, len(tests), _sum(losses) if losses else None, thresholds.get(name)))
    return tuple(made)


def _sides(fitted: Sequence[TestLoss], held_out: Sequence[TestLoss]) -> Sides | None:
    return pooled([Sides(*_sums(fitted), *_sums(held_out), len(held_out))])


def _sums(tests: Sequence[TestLoss]) -> tuple[float, float]:
    """Return the weighted losses and the weighted cases of the tests that gave a loss."""
    measured = [(test.weight, test.loss, test.cases) for test in tests if test.loss is not None]
    return _sum([w * loss for w, loss, _ in measured]), _sum([w * n for w, _, n in measured])


def _sum(losses: list[float]) -> float:
    try:
        return fsum(losses)
    except OverflowError:  # where sum() gives inf
        return sum(losses)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
