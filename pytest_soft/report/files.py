"""Write the reports that were asked for, once the run has its verdict."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_soft.compare import compare
from pytest_soft.report.data import run_data
from pytest_soft.report.html import page
from pytest_soft.report.junit import add_to_junit
from pytest_soft.report.markdown import markdown
from pytest_soft.run import Run
from pytest_soft.settings import STEP_SUMMARY
from pytest_soft.verdict import Verdict

__all__ = ["write_reports"]


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


_FORMATS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {"json": _json, "html": page}


def write_reports(session: pytest.Session, run: Run, verdict: Verdict) -> None:
    """Write the files that options and the environment name; add to pytest's JUnit file.

    Parameters
    ----------
    session
        The session, whose exit status is settled.
    run
        What it measured.
    verdict
        What was decided.
    """
    data = run_data(
        verdict,
        run.tests,
        run.fit,
        exit_status=session.exitstatus,
        params=run.params,
        coverage=run.coverage,
        staleness=run.staleness,
    )
    if run.earlier is not None:
        file = session.config.getoption("soft_compare")
        run.comparison = data["comparison"] = {"file": file, **compare(run.earlier, data)}
    add_to_junit(session.config, data)
    for name, render in _FORMATS.items():
        path = session.config.getoption(f"soft_{name}")
        if path is not None:
            _write(Path(path), render(data))
    picture = session.config.getoption("soft_plot")
    if picture is not None:
        from pytest_soft.report.plot import plot

        plot(data, Path(picture))
    summary = os.environ.get(STEP_SUMMARY)
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(markdown(data))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
