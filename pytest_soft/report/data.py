"""All that a run has to say, as plain data: what the reports for machines and pages render."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_soft.coverage import Coverage
from pytest_soft.summary import FitSummary
from pytest_soft.verdict import TestLoss, Verdict

__all__ = ["FORMAT", "VERSION", "run_data"]

FORMAT = "pytest-soft report"
VERSION = 1


def run_data(
    verdict: Verdict,
    tests: Mapping[str, TestLoss],
    fit: FitSummary | None,
    *,
    exit_status: int,
    params: Sequence[Mapping[str, Any]] = (),
    coverage: Coverage | None = None,
    staleness: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return dicts, lists, texts, truths and finite numbers, as ``report.schema.json`` has them.

    Parameters
    ----------
    verdict
        What was decided.
    tests
        What was measured, by test id.
    fit
        What the fit has to say, if there was one.
    exit_status
        What pytest tells the shell.
    params
        File, name, shape and value of each Param that was checked.
    coverage
        Which tests reach which Params, if that was measured.
    staleness
        What changed since the last fit, where that was looked for.
    """
    data = {
        "format": FORMAT,
        "version": VERSION,
        "exit_status": int(exit_status),
        "verdict": {
            **verdict._asdict(),
            "suites": [suite._asdict() for suite in verdict.suites],
            "sides": verdict.sides and verdict.sides._asdict(),
        },
        "tests": [_test(name, test) for name, test in sorted(tests.items())],
        "params": params,
        "fit": None if fit is None else fit.to_dict(),
        "coverage": None if coverage is None else _coverage(coverage),
        "comparison": None,
        "staleness": staleness,
    }
    return {key: _finite(value) for key, value in data.items()}


def _coverage(coverage: Coverage) -> dict[str, Any]:
    plain = coverage.to_dict()
    moved = "name", "before", "after"
    for blame in plain["blames"]:
        for key in ("moves", "worse"):
            blame[key] = [dict(zip(moved, change, strict=True)) for change in blame[key]]
    return {"percent": coverage.percent, **plain}


def _test(name: str, test: TestLoss) -> dict[str, Any]:
    return {"id": name, **test._asdict(), "passed": not (test.failed or test.error)}


def _finite(value: Any) -> Any:
    """Return data that JSON has: NaN and inf, which it has not, become null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
