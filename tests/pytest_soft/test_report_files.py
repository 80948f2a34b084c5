"""Reports for machines: whatever a run is like, they say what its exit status says."""

import json
import re
from xml.etree import ElementTree

import pytest
from junitparser import JUnitXml
from report_schema import validate

PROGRAM = """
    from pytest_soft import Param, soft_test
    import pytest

    rate = Param(1.0)
    other = Param(1.0)

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
    "gap": (
        ["--soft-holdout=0.4", "--soft-gap=-100"],
        ["--soft-holdout=0.4", "--soft-gap=100"],
    ),
    "coverage": (  # of the two Params, tests reach one
        ["--soft-coverage", "--soft-coverage-fail-under=51"],
        ["--soft-coverage", "--soft-coverage-fail-under=50"],
    ),
    "both": (["--soft-fit", "--soft-coverage", "--soft-coverage-fail-under=51"], ["--soft-fit"]),
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
    validate(data)
    suites = JUnitXml.fromfile(str(project.path / "r.xml"))
    (verdict,) = [case for suite in suites for case in suite if case.classname == "pytest-soft"]
    summary = (project.path / "summary.md").read_text(encoding="utf-8")
    page = (project.path / "r.html").read_text(encoding="utf-8")
    (held,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)
    assert json.loads(held) == data
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


FILES = ("--soft-json=r.json", "--soft-html=r.html", "--junit-xml=r.xml")
SELECTIONS = ([], ["-x"], ["--lf"], ["-k", "own or cases or asserts"])
LOUDNESS = ([], ["-q"], ["-v"])
ROWS = [(kind, passes) for kind in KINDS for passes in (False, True)]


def some(row, loud, chosen):
    """Whether to try by default: each limit with each option, each option with each other one."""
    kind = row // 2
    return any(
        (loud, chosen) == ((row + more) % len(LOUDNESS), (2 * row + more + kind) % len(SELECTIONS))
        for more in (0, 1)
    )


ALL = [
    pytest.param(*row, i, j, marks=() if some(number, i, j) else pytest.mark.many)
    for number, row in enumerate(ROWS)
    for i in range(len(LOUDNESS))
    for j in range(len(SELECTIONS))
]


def run(reporting, kind, passes, options, *, workers=False):
    """Return how a run ended that writes all reports; with ``--lf``, another one comes before."""
    given = KINDS[kind][passes]
    write(reporting, **(given if isinstance(given, dict) else {}))
    options = [*(given if isinstance(given, list) else []), *options]
    lean = ["-p", "no:hypothesispytest", *([] if workers else ["-p", "no:xdist"])]
    start = reporting.pytester.runpytest_inprocess
    if workers:
        start, lean = reporting.pytester.runpytest_subprocess, [*lean, "-n", "2"]
    if "--lf" in options:
        start(*lean, *(option for option in options if option != "--lf"))
        (reporting.path / "summary.md").unlink()
    else:
        lean += ["-p", "no:cacheprovider"]
    return start(*lean, *FILES, *options)


@pytest.mark.parametrize(("kind", "passes", "loud", "chosen"), ALL)
def test_banner_reports_and_exit_status_agree(reporting, kind, passes, loud, chosen):
    result = run(reporting, kind, passes, [*LOUDNESS[loud], *SELECTIONS[chosen]])
    assert agree(reporting, result) is (passes or kind == "none")


@pytest.mark.many
@pytest.mark.parametrize(("kind", "passes", "loud", "chosen"), ALL)
def test_they_agree_under_workers(reporting, kind, passes, loud, chosen):
    options = [*LOUDNESS[loud], *SELECTIONS[chosen]]
    result = run(reporting, kind, passes, options, workers=True)
    assert agree(reporting, result) is (passes or kind == "none")


def test_workers_agree_too(reporting):
    kind = "both"
    result = run(reporting, kind, False, [], workers=True)
    assert agree(reporting, result) is False
    data, *_ = reports(reporting)
    (reporting.path / "summary.md").unlink()
    (reporting.path / "test_it.soft.json").unlink(missing_ok=True)
    run(reporting, kind, False, [])
    alone, *_ = reports(reporting)
    assert alone["tests"] == data["tests"]
    assert alone["coverage"] == data["coverage"]


def test_the_last_failed_tests_alone(reporting):
    result = run(reporting, "own", False, ["--lf"])
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
