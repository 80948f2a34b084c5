"""The state of one pytest run, kept in pytest's own stash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_soft.collect import Options
    from pytest_soft.coverage import Coverage
    from pytest_soft.settings import Settings
    from pytest_soft.summary import FitSummary
    from pytest_soft.verdict import TestLoss, Verdict

__all__ = ["CAUGHT", "LOSS", "RUN", "Run"]


class Run:
    """What one pytest run knows of soft tests; in a worker and in the controller alike.

    Attributes
    ----------
    settings
        What the user asked for.
    options
        What the authors of the soft tests asked for, by test id.
    tests
        What the check measured, by test id.
    fit
        What the fit has to say, if there was one.
    coverage
        Which tests reach which Params, where that was measured.
    deselected
        The test files of which not all tests were selected.
    staleness
        What changed since the last fit, where that was looked for, as reports have it.
    problems
        What else fails the run, in words.
    params
        File, name, shape and value of each Param that was checked, where reports are wanted.
    earlier
        The report of the run to compare this one with, if there is one.
    comparison
        What changed since, once that is known.
    record
        Takes what the test returned that is being traced; None while tests are checked.
    """

    def __init__(self, settings: Settings) -> None:
        """Know nothing but the settings."""
        self.settings = settings
        self.options: dict[str, Options] = {}
        self.tests: dict[str, TestLoss] = {}
        self.fit: FitSummary | None = None
        self.coverage: Coverage | None = None
        self.deselected: set[str] = set()
        self.staleness: Mapping[str, Any] | None = None
        self.problems: list[str] = []
        self.params: list[dict[str, Any]] = []
        self.earlier: Mapping[str, Any] | None = None
        self.comparison: dict[str, Any] | None = None
        self.record: Callable[[object], object] | None = None

    def verdict(self) -> Verdict | None:
        """Return the verdict, or None for a run that has nothing to do with soft tests."""
        if not (self.tests or self.settings.asked):
            return None
        from pytest_soft.verdict import judge

        troubles = self.fit.troubles if self.fit else ()
        return judge(
            self.tests,
            threshold=self.settings.threshold,
            asked=self.settings.asked,
            fit_failures=(*(t.title for t in troubles), *self.problems),
            stale=self.staleness if self.settings.check == "stale" else None,
            gap=self.settings.gap,
            mean_threshold=self.settings.mean_threshold,
            worst_threshold=self.settings.worst_threshold,
            suite_thresholds=self.settings.suite_thresholds,
            ratchet=self.settings.ratchet,
            coverage=self.coverage.percent if self.coverage else None,
            coverage_fail_under=self.settings.coverage_fail_under,
            folds=self.fit.folds if self.fit else (),
        )


RUN = pytest.StashKey[Run]()

LOSS = pytest.StashKey[tuple[float | None, int, bool | None]]()
"""Of a test in a check: its loss, the number of its cases, whether its assertions hold."""

CAUGHT = pytest.StashKey[bool]()
"""Of a test that others call (see :mod:`pytest_soft.catching`): not to be called by us."""
