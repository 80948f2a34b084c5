"""Reports for machines: whatever a run is like, they say what its exit status says."""

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from junitparser import JUnitXml

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report.schema.json").read_text())

PROGRAM = """
    from pytest_soft import Param, soft_test
    import pytest

    rate = Param(1.0)

    @soft_test(threshold={own})
    def test_own():
        return (rate - {target}) ** 2

    @soft_test(suite="cases")
    @pytest.mark.parametrize("x", [1, 2, 3])
    def test_cases(x):
        return (rate * x - 2.0 * x) ** 2

    @soft_test
    def test_asserts():
        assert rate == pytest.approx(2.0, abs={tolerance})

    def test_ordinary():
        pass
"""

# what limits the run: its total, …, what a test asserts, a fit that gets nowhere
KINDS = {
    "total": (["--soft-threshold=0.01"], ["--soft-threshold=100"]),
    "zero": (["--soft-threshold=0"], ["--soft-threshold=inf"]),
    "own": ({"own": 0.5}, {"own": 1.5}),
    "mean": (["--soft-mean-threshold=0.5"], ["--soft-mean-threshold=5"]),
    "worst": (["--soft-worst-threshold=8.9"], ["--soft-worst-threshold=9.1"]),
    "suite": (
        ["-o", "soft_suite_thresholds=cases = 13.9"],
        ["-o", "soft_suite_thresholds=cases = 14.1"],
    ),
    "ratchet": (["--soft-ratchet=5%"], ["--soft-ratchet=30%"]),
    "asserts": ({"tolerance": 0.5}, {"tolerance": 1.5}),
    "fit": (["--soft-fit", "--soft-max-steps=0", "--soft-threshold=1e-9"], ["--soft-fit"]),
    "none": ({}, {}),
}


# what the tests had at the last fit: test_cases[3] has become 9, 20 % more
LAST = """
{"format": "pytest-soft losses", "version": 1, "losses":
 {"test_own": 1.0, "test_cases": {"1": 1.0, "2": 4.0, "3": 7.5}}}
"""


def write(project, own=None, target=2.0, tolerance=10.0):
    project.write("test_it.soft-losses.json", LAST)
    project.write("test_it.py", PROGRAM.format(own=own, target=target, tolerance=tolerance))


def reports(project):
    """Return what the JSON file, the JUnit file and the step summary say of the verdict."""
    data = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    jsonschema.validate(data, SCHEMA)
    suites = JUnitXml.fromfile(str(project.path / "r.xml"))
    (verdict,) = [case for suite in suites for case in suite if case.classname == "pytest-soft"]
    summary = (project.path / "summary.md").read_text(encoding="utf-8")
    return data, verdict.is_passed, summary


def agree(project, result):
    """Assert that everything says the same, and return whether that is a pass of soft tests."""
    data, junit, summary = reports(project)
    passed = data["verdict"]["passed"]
    assert junit is passed
    assert summary.startswith("### ✅ PASSED" if passed else "### ❌ FAILED")
    assert data["exit_status"] == result.ret
    (banner,) = [
        line
        for line in result.outlines
        if line.removeprefix("soft: ").startswith(("PASSED  ", "FAILED  "))
    ]
    assert banner.removeprefix("soft: ").startswith("PASSED" if passed else "FAILED")
    assert passed is not bool(data["verdict"]["reasons"])
    if not passed:
        assert result.ret == 1
    return passed


@pytest.fixture
def reporting(project, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
    return project


FILES = ("--soft-json=r.json", "--junit-xml=r.xml")


@pytest.mark.parametrize("how", [[], ["-q"], ["-v"], ["-x"], ["-k", "own or cases or asserts"]])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("passes", [False, True])
def test_banner_reports_and_exit_status_agree(reporting, kind, passes, how):
    given = KINDS[kind][passes]
    write(reporting, **(given if isinstance(given, dict) else {}))
    options = given if isinstance(given, list) else []
    result = reporting.check(*FILES, *options, *how)
    assert agree(reporting, result) is (passes or kind == "none")


@pytest.mark.parametrize("kind", ["asserts", "fit"])
def test_workers_agree_too(reporting, kind):
    given = KINDS[kind][False]
    write(reporting, **(given if isinstance(given, dict) else {}))
    options = given if isinstance(given, list) else []
    result = reporting.apart("-n", "2", *FILES, *options)
    assert agree(reporting, result) is False
    data, *_ = reports(reporting)
    alone = reporting.path / "alone.json"
    (reporting.path / "summary.md").unlink()
    reporting.check(f"--soft-json={alone}", *options)
    assert json.loads(alone.read_text(encoding="utf-8"))["tests"] == data["tests"]


def test_the_last_failed_tests_alone(reporting):
    write(reporting, own=0.5)
    lean = ("-p", "no:xdist", "-p", "no:hypothesispytest")
    reporting.pytester.runpytest_inprocess(*lean)
    (reporting.path / "summary.md").unlink()
    result = reporting.pytester.runpytest_inprocess(*lean, "--lf", *FILES)
    assert agree(reporting, result) is False
    assert [test["id"] for test in reports(reporting)[0]["tests"]] == ["test_it.py::test_own"]


def test_no_soft_test_is_no_pass(reporting):
    reporting.write("test_it.py", "def test_ordinary():\n    pass\n")
    result = reporting.check(*FILES)
    assert result.ret == 1
    data, junit, _ = reports(reporting)
    assert data["verdict"]["reasons"] == ["no soft test ran"]
    assert not junit


def test_ordinary_failures_are_not_the_verdicts(reporting):
    write(reporting)
    reporting.write("test_other.py", "def test_fails():\n    assert False\n")
    result = reporting.check(*FILES)
    assert result.ret == 1
    data, junit, _ = reports(reporting)
    assert (data["verdict"]["passed"], junit, data["exit_status"]) == (True, True, 1)


def test_what_is_reported_of_a_fit(reporting):
    write(reporting)
    reporting.fit(*FILES, "--soft-threshold=1e-6")
    data, _, summary = reports(reporting)
    (param,) = data["fit"]["params"]
    assert (param["name"], param["old"]) == ("rate", 1.0)
    assert param["new"] == pytest.approx(2.0, abs=1e-3)
    losses = {test["id"]: test["loss"] for test in data["tests"]}
    assert losses.keys() == data["fit"]["losses"].keys()
    assert "| rate (test\\_it.py) | 1 | 1.99" in summary
    root = ElementTree.parse(reporting.path / "r.xml").getroot()
    found = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert found["soft.verdict"] == "passed"
    assert float(found["soft.param.rate"]) == param["new"]
    assert float(found["soft.loss.test_it.py::test_own"]) == losses["test_it.py::test_own"]
    assert not [case for case in root.iter("testcase") if case.find("properties") is not None]


def test_numbers_that_json_does_not_have(reporting):
    reporting.write(
        "test_it.py",
        """
        from pytest_soft import soft_test

        @soft_test
        def test_it():
            return float("nan")
        """,
    )
    reporting.check(*FILES, "--soft-threshold=inf")
    data, *_ = reports(reporting)
    assert data["verdict"]["threshold"] is None
    assert data["tests"][0]["loss"] is None


def test_reports_go_into_new_folders_and_nothing_is_written_unasked(reporting, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    write(reporting)
    before = set(reporting.path.iterdir())
    reporting.check()
    assert {p.name for p in set(reporting.path.iterdir()) - before} <= {"__pycache__"}
    reporting.check("--soft-json=out/deep/r.json")
    assert json.loads((reporting.path / "out/deep/r.json").read_text())["verdict"]["passed"]
