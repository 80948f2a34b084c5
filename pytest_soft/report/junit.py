"""What pytest's JUnit file says of soft tests.

Properties of the test suite, which strict readers accept (those of a single test they do not),
and one more test case, the verdict: a total above its threshold fails a run in which no test did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

__all__ = ["add_to_junit", "properties", "verdict_report"]

CASE = "pytest-soft::verdict"


def properties(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and texts: the verdict, the fitted Params, and the loss of each test.

    Parameters
    ----------
    data
        What :func:`pytest_soft.report.data.run_data` returns.
    """
    verdict = data["verdict"]
    found = [("soft.verdict", "passed" if verdict["passed"] else "failed")]
    for name in ("total", "threshold", "coverage"):
        if verdict[name] is not None:
            found.append((f"soft.{name}", repr(verdict[name])))
    for param in (data["fit"] or {}).get("params", ()):
        if param["new"] is not None:
            found.append((f"soft.param.{param['name']}", repr(param["new"])))
    losses = ((test["id"], test["loss"]) for test in data["tests"])
    return found + [(f"soft.loss.{name}", repr(loss)) for name, loss in losses if loss is not None]


def verdict_report(data: Mapping[str, Any]) -> pytest.TestReport:
    """Return the verdict as pytest reports a test."""
    passed = data["verdict"]["passed"]
    return pytest.TestReport(
        nodeid=CASE,
        location=("pytest-soft", None, "verdict"),
        keywords={},
        outcome="passed" if passed else "failed",
        longrepr=None if passed else "\n".join(data["verdict"]["reasons"]),
        when="call",
    )


def add_to_junit(config: pytest.Config, data: Mapping[str, Any]) -> None:
    """Add both to the file that ``--junit-xml`` is about to write, if there is one."""
    for plugin in config.pluginmanager.get_plugins():
        if hasattr(plugin, "add_global_property"):  # LogXML, which has no public name
            for name, text in properties(data):
                plugin.add_global_property(name, text)
            plugin.pytest_runtest_logreport(verdict_report(data))
