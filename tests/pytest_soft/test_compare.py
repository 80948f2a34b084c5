"""What changed since another run: as data, and in all reports."""

import json
import re

import pytest
from report_schema import validate

from pytest_soft.compare import compare
from pytest_soft.report.comparison import comparison_lines
from pytest_soft.report.data import run_data
from pytest_soft.report.markdown import markdown
from pytest_soft.summary import FitSummary, ParamChange
from pytest_soft.verdict import TestLoss, judge


def run(losses, params=None, errors=None):
    """Return a report: losses (or pairs with weights) by test, values and errors of Params."""
    tests = {
        f"t.py::{name}": TestLoss(*loss) if isinstance(loss, tuple) else TestLoss(loss)
        for name, loss in losses.items()
    }
    fit = None
    if errors is not None:
        fit = FitSummary()
        fit.params = [
            ParamChange(name, "p.py", (), 1.0, 1.0, 0.0, False, error=error)
            for name, error in errors.items()
        ]
    values = [
        {"file": "p.py", "name": name, "shape": [], "value": value}
        for name, value in (params or {}).items()
    ]
    verdict = judge(tests, threshold=None, asked=True)
    return json.loads(json.dumps(run_data(verdict, tests, fit, exit_status=0, params=values)))


def lines(before, after, verbosity=0):
    found = {"file": "main.json", **compare(before, after)}
    shown = [text for text, _ in comparison_lines(found, verbosity=verbosity, width=80)]
    return "\n".join(shown)


def test_params_move_in_standard_errors_of_the_earlier_run():
    before = run({}, {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}, {"a": 0.5, "b": None})
    after = run({}, {"a": 2.0, "b": 1.5, "c": 3.0, "d": 1.0}, {"a": 9.0, "b": 0.1})
    found = compare(before, after)
    rows = [(p["name"], p["moved"], p["error_of"]) for p in found["params"]]
    assert rows == [("b", pytest.approx(5.0), "after"), ("a", 2.0, "before"), ("c", None, None)]
    assert found["params_same"] == 1


def test_losses_are_weighted_and_the_worst_change_comes_first():
    before = run({"a": 1.0, "b": 1.0, "c": (1.0, 1, 5.0), "d": 1.0, "gone": 1.0, "x": None})
    after = run({"a": 1.5, "b": 0.5, "c": (2.0, 1, 5.0), "d": None, "added": 1.0, "x": 1.0})
    found = compare(before, after)
    assert [(t["id"], t["change"]) for t in found["tests"]] == [
        ("t.py::d", None),
        ("t.py::c", 5.0),
        ("t.py::a", 0.5),
        ("t.py::b", -0.5),
        ("t.py::x", None),
    ]
    assert (found["tests_added"], found["tests_removed"]) == (["t.py::added"], ["t.py::gone"])


def test_rounding_is_no_change():
    before, after = run({"a": 1.0, "b": 1e-30}), run({"a": 1.0 + 1e-12, "b": 3e-30})
    found = compare(before, after)
    assert (found["tests"], found["tests_same"]) == ([], 2)


def test_what_the_terminal_shows():
    before = run({"a": 1.0, "b": 2.0, "s": 1.0, "old": 0.0}, {"k": 1.0, "m": 1.0}, {"k": 0.25})
    after = run({"a": 1.5, "b": 0.5, "s": 1.0, "new": 0.0}, {"k": 2.0, "m": 1.0})
    assert lines(before, after) == "\n".join(
        [
            "since    main.json",
            "         total loss 4 -> 3",
            "Params   k  1 -> 2  +4 standard errors of that run",
            "         1 did not move",
            "losses   1 worse, 1 better, 1 as before, 1 new, 1 not run",
            "worse    +0.5      1 -> 1.5  t.py::a",
            "better   -1.5      2 -> 0.5  t.py::b",
            "new      t.py::new",
            "not run  t.py::old",
        ]
    )
    quiet = lines(before, after, -1)
    assert quiet.splitlines()[0].startswith("soft: total loss 4 -> 3, 1 worse, 1 better")


def test_of_many_the_first_are_shown():
    before = run({f"t{i}": 1.0 for i in range(20)}, {f"p{i:02}": 1.0 for i in range(20)})
    after = run({f"t{i}": 2.0 + i for i in range(20)}, {f"p{i:02}": 2.0 for i in range(20)})
    shown = lines(before, after)
    assert shown.count("t.py::t") == 3
    assert shown.count("no standard error is known") == 10
    assert "and 17 more (-vv shows all)" in shown
    assert lines(before, after, 2).count("t.py::t") == 20


def test_the_step_summary_has_it():
    before, after = run({"a|b": 1.0}, {"k": 1.0}, {"k": 0.5}), run({"a|b": 2.0}, {"k": 2.0})
    text = markdown({**after, "comparison": {"file": "main.json", **compare(before, after)}})
    assert "#### Since main.json: 1 worse" in text
    assert "| k | 1 | 2 | +2 standard errors of that run |" in text
    assert "| t.py::a\\|b | 1 | 2 | 1 |" in text


# ---- whole runs


@pytest.fixture
def sine(sine):
    file = sine.path / "test_sine.py"
    file.write_text(file.read_text().replace("i / 10))", "i / 10) + 0.01 * (-1) ** i)"))
    return sine


def held(project):
    text = (project.path / "r.html").read_text(encoding="utf-8")
    (found,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    return json.loads(found)["comparison"]


def test_a_check_compared_with_the_fit_before(sine, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(sine.path / "summary.md"))
    sine.fit("--soft-json=fit.json")
    store = sine.store()
    before = json.loads((sine.path / "fit.json").read_text(encoding="utf-8"))
    store.write_text(store.read_text().replace(repr(sine.value()), "1.6"), encoding="utf-8")
    options = ("--soft-compare=fit.json", "--soft-json=now.json", "--soft-html=r.html")
    for extra in ([], ["-n", "2"]):
        result = sine.apart(*options, *extra)
        (moved,) = [line for line in result.outlines if line.startswith("Params")]
        assert moved.startswith("Params   omega  1.4993")
        assert "standard errors of that run" in result.stdout.str()
        assert result.stdout.str().count("since    fit.json") == 1
        since = result.outlines[result.outlines.index("since    fit.json") :]
        assert all(len(line) <= 80 for line in since if "::" not in line)
        now = json.loads((sine.path / "now.json").read_text(encoding="utf-8"))
        validate(now)
        (param,) = now["comparison"]["params"]
        assert (param["before"], param["after"]) == (before["params"][0]["value"], 1.6)
        assert held(sine) == now["comparison"]
    assert (sine.path / "summary.md").read_text(encoding="utf-8").count("#### Since fit") == 2


def test_a_fit_may_write_the_file_that_it_is_compared_with(sine):
    sine.check("--soft-json=r.json")
    result = sine.fit("--soft-compare=r.json", "--soft-json=r.json")
    assert result.ret == 0
    assert "of this run" in result.stdout.str()
    found = json.loads((sine.path / "r.json").read_text(encoding="utf-8"))["comparison"]
    assert found["total"]["before"] > 1 > found["total"]["after"]
    assert found["params"][0]["error_of"] == "after"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not exist. Write one with: pytest --soft-json=there.json"),
        ("{", "cannot be read as JSON"),
        ("[1]", "is no report of pytest-soft. Write one with: pytest --soft-json=FILE"),
        (
            '{"format": "pytest-soft report", "version": 99}',
            "is a report of version 99, and this pytest-soft knows version 1.",
        ),
        ('{"format": "pytest-soft report", "version": 1}', "lacks a part that reports have"),
    ],
)
def test_what_is_no_such_report(sine, text, said):
    if text is not None:
        sine.write("there.json", text)
    result = sine.check("--soft-compare=there.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (message,) = [line for line in result.errlines if line.startswith("ERROR")]
    assert message.startswith("ERROR: --soft-compare: there.json ")
    assert said in message
