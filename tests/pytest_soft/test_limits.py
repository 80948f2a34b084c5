"""Limits on the mean, on the worst test and on named suites."""

import pytest

from pytest_soft.verdict import Suite, TestLoss, judge

TESTS = {
    "a": TestLoss(4.0, cases=2, suite="thermal"),
    "b": TestLoss(1.0, weight=2.0, suite="thermal"),
    "c": TestLoss(3.0, suite="acoustic"),
    "d": TestLoss(0.5),
    "e": TestLoss(100.0, counts=False, suite="thermal"),
    "f": TestLoss(100.0, held_out=True, suite="thermal"),
}  # 𝓛 = 9.5 over 6 weighted cases


def reasons(**limits):
    return list(judge(TESTS, threshold=None, asked=False, **limits).reasons)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"mean_threshold": 1.58}, "the mean loss 1.58333 is above its threshold 1.58"),
        ({"worst_threshold": 3.9}, "the worst loss 4 is above its threshold 3.9"),
        (
            {"suite_thresholds": {"thermal": 5.9, "acoustic": 3.0}},
            "the suite thermal has a total loss of 6, above its threshold 5.9",
        ),
        ({"suite_thresholds": {"acoustic": 0.0}}, "the suite acoustic has a total loss of 3, *"),
    ],
)
def test_limits_that_are_not_kept(limits, reason):
    (found,) = reasons(**limits)
    assert found.startswith(reason.rstrip("*"))


@pytest.mark.parametrize(
    "limits",
    [
        {"mean_threshold": 1.584},
        {"worst_threshold": 4.0},
        {"suite_thresholds": {"thermal": 6.0, "acoustic": 3.0, "unknown": 0.0}},
    ],
)
def test_limits_that_are_kept(limits):
    assert reasons(**limits) == []


def test_suites_are_listed_with_what_limits_them():
    verdict = judge(TESTS, threshold=None, asked=False, suite_thresholds={"x": 1.0, "acoustic": 5})
    assert verdict.suites == (
        Suite("acoustic", 1, 3.0, 5), Suite("thermal", 2, 6.0, None), Suite("x", 0, None, 1.0)
    )  # fmt: skip


PROGRAM = """
    import pytest
    from pytest_soft import Param, soft_test

    rate = Param(1.0)

    @soft_test(suite="thermal")
    @pytest.mark.parametrize("x", [1, 2])
    def test_thermal(x):
        return (rate * x - 2.0 * x) ** 2

    @soft_test(suite="acoustic")
    def test_acoustic():
        return (rate - 2.001) ** 2
"""


@pytest.fixture
def suites(project):
    project.write("test_it.py", PROGRAM)
    lines = "    thermal = 1e-3\n    optical=1\n"
    project.write("pytest.ini", f"[pytest]\nsoft_suite_thresholds =\n{lines}")
    return project


def test_a_suite_above_its_threshold_fails_the_run(suites):
    result = suites.check()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "FAILED  3 soft tests, total loss *",
            "  the suite thermal has a total loss of 5, above its threshold 0.001",
            "suites   acoustic  1 test, total loss 1.002",
            "         optical  0 tests, none of its tests ran, threshold 1",
            "         thermal  2 tests, total loss 5, threshold 0.001",
        ]
    )
    result.stdout.no_fnmatch_line("*no threshold*")


def test_a_fit_goes_on_where_the_total_is_not_all_that_counts(suites):
    result = suites.fit("--soft-threshold=10")
    assert result.ret == 0
    assert suites.value("rate", "test_it") == pytest.approx(2.0, abs=1e-3)
    result.stdout.fnmatch_lines(["suites   acoustic *", "         thermal  2 tests, total *"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("thermal", "*has the line 'thermal': it takes NAME = LOSS*"),
        ("thermal = much", "*has the line 'thermal = much': it takes NAME = LOSS*"),
        ("= 1", "*has the line '= 1': it takes NAME = LOSS*"),
        ("thermal = nan", "*has the line 'thermal = nan'*"),
        ("a = 1\n    a = 2", "*names the suite 'a' twice*"),
    ],
)
def test_lines_that_make_no_sense(suites, line, message):
    suites.write("pytest.ini", f"[pytest]\nsoft_suite_thresholds =\n    {line}\n")
    result = suites.check()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


@pytest.mark.parametrize("suite", ["1", "''", "'a=b'"])
def test_names_that_are_none(project, suite):
    project.write(
        "test_it.py",
        f"""
        from pytest_soft import soft_test

        @soft_test(suite={suite})
        def test_it():
            return 0.0
        """,
    )
    result = project.check()
    if suite == "1":
        result.stdout.fnmatch_lines(["*soft_test(suite=...) takes a name without =, not 1*"])
    assert result.ret == pytest.ExitCode.INTERRUPTED
