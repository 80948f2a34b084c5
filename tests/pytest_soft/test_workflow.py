"""The workflow file for GitHub Actions: what it runs, runs."""

import re
from pathlib import Path

import pytest

WORKFLOW = Path(__file__).parents[2] / "examples" / "github-actions.yml"


@pytest.mark.skipif(not WORKFLOW.exists(), reason="the tests stand without the examples")
def test_its_commands_fit_and_then_check(sine, monkeypatch):
    check, fit = re.findall(r"- run: pytest (.*)", WORKFLOW.read_text(encoding="utf-8"))
    sine.write("pytest.ini", "[pytest]\nsoft_threshold = 1e-10\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(sine.path / "summary.md"))
    assert sine.check(*check.split()).ret == 1
    assert sine.check(*fit.split()).ret == 0
    assert sine.check(*check.split()).ret == 0
    assert {"report.json", "report.html", "junit.xml"} <= {p.name for p in sine.path.iterdir()}
    heads = re.findall(r"### . (\w+):", (sine.path / "summary.md").read_text(encoding="utf-8"))
    assert heads == ["FAILED", "PASSED", "PASSED"]
