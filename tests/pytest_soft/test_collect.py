"""What counts as a soft test, and what its author may ask for."""

import numpy as np
import pytest

from pytest_soft import soft_test
from pytest_soft.collect import Options, read_options

CLEAN = ("-W", "error", "--strict-markers")


def losses(result: pytest.RunResult) -> dict[str, str]:
    """Return the loss shown by ``-v``, by test id without the file."""
    found = {}
    for line in result.outlines:
        if " PASSED loss " in line and "::" in line:
            name, _, rest = line.partition(" PASSED loss ")
            found[name.split("::", 1)[1]] = rest.split()[0]
    return found


# ---- options, without pytest


def test_options_have_defaults():
    assert read_options({}) == Options(weight=1.0, threshold=None)


@pytest.mark.parametrize("weight", [0, 2, 0.5, np.float64(3), np.float32(0.5), np.int64(2)])
def test_options_become_plain_numbers(weight):
    options = read_options({"weight": weight, "threshold": weight})
    assert type(options.weight) is float
    assert type(options.threshold) is float
    assert options.weight == options.threshold == weight


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"wieght": 2}, TypeError, "no option 'wieght'; it takes weight=, threshold=, "),
        ({"holdout": 1}, TypeError, r"soft_test\(holdout=...\) takes True, False or None, not 1"),
        ({"weight": "2"}, TypeError, r"soft_test\(weight=...\) takes a number, not '2'"),
        ({"weight": None}, TypeError, r"soft_test\(weight=...\) takes a number, not None"),
        ({"weight": True}, TypeError, r"soft_test\(weight=...\) takes a number, not True"),
        ({"weight": np.zeros(2)}, TypeError, r"soft_test\(weight=...\) takes a number, not array"),
        ({"threshold": "low"}, TypeError, r"soft_test\(threshold=...\) takes a number, not 'low'"),
        ({"weight": -1}, ValueError, "weight=-1.*0 or more, and finite"),
        ({"weight": float("inf")}, ValueError, "weight=inf.*0 or more, and finite"),
        ({"weight": float("nan")}, ValueError, "weight=nan.*0 or more, and finite"),
        ({"threshold": float("nan")}, ValueError, "threshold=nan"),
    ],
)
def test_wrong_options_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        soft_test(**given)


def test_positional_options_are_refused():
    with pytest.raises(TypeError, match="takes its options by keyword, not 2"):
        soft_test(2)


def test_decorated_function_still_runs():
    @soft_test
    def test_it():
        return 4.0

    @soft_test(weight=2)
    def test_other():
        return 5.0

    assert test_it() == 4.0
    assert test_other() == 5.0


# ---- where a soft test may stand


def test_functions_methods_and_classes(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import soft_test

        @soft_test
        def test_bare():
            return 1.0

        @soft_test(weight=2.0, threshold=7)
        def test_with_options():
            return 2.0

        @soft_test()
        def test_with_empty_brackets():
            return 3.0

        @pytest.mark.soft_test
        def test_mark():
            return 4.0

        @pytest.mark.soft_test(weight=0.5)
        def test_mark_with_options():
            return 5.0

        class TestMethods:
            @soft_test
            def test_method(self):
                return 6.0

            @soft_test
            @staticmethod
            def test_static():
                return 7.0

            def test_ordinary(self):
                pass

        @soft_test(weight=3)
        class TestMarked:
            def test_inherits(self):
                return 8.0

            @soft_test(threshold=9)
            def test_adds(self):
                return 8.5

        @pytest.mark.soft_test
        class TestMarked2:
            def test_it(self):
                return 9.0
        """,
    )
    result = project.check("-v", *CLEAN)
    result.assert_outcomes(passed=11)
    assert losses(result) == {
        "test_bare": "1", "test_with_options": "2", "test_with_empty_brackets": "3",
        "test_mark": "4", "test_mark_with_options": "5", "TestMethods::test_method": "6",
        "TestMethods::test_static": "7", "TestMarked::test_inherits": "8",
        "TestMarked::test_adds": "8.5", "TestMarked2::test_it": "9",
    }  # fmt: skip
    total = 1 + 2 * 2 + 3 + 4 + 0.5 * 5 + 6 + 7 + 3 * 8 + 3 * 8.5 + 9
    result.stdout.fnmatch_lines([f"PASSED  10 soft tests, total loss {total:.6g}"])


def test_module_mark(project):
    project.write(
        "test_it.py",
        """
        import pytest
        pytestmark = pytest.mark.soft_test(weight=2)

        def test_one():
            return 1.0

        @pytest.mark.soft_test(weight=5)
        def test_nearer_mark_wins():
            return 1.0
        """,
    )
    project.check(*CLEAN).stdout.fnmatch_lines(["PASSED  2 soft tests, total loss 7"])


def test_mark_added_by_a_conftest(project):
    project.write(
        "conftest.py",
        """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.soft_test(weight=2))
        """,
    )
    project.write("test_it.py", "def test_it(): return 3.0")
    project.check(*CLEAN).stdout.fnmatch_lines(["PASSED  1 soft test, total loss 6"])


def test_fixtures_of_every_scope(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import soft_test

        calls = []

        @pytest.fixture(scope="session")
        def hundreds():
            calls.append("session")
            return 100.0

        @pytest.fixture(scope="module")
        def tens(hundreds):
            calls.append("module")
            yield 10.0 + hundreds
            calls.append("module down")

        @pytest.fixture
        def ones(tens, request):
            calls.append("function")
            yield 1.0 + tens
            calls.append("function down")

        @pytest.fixture(params=[1.0, 2.0], ids=["one", "two"])
        def scale(request):
            return request.param

        @soft_test
        def test_all(ones, scale):
            return ones * scale

        @pytest.mark.usefixtures("ones")
        @soft_test
        def test_usefixtures():
            return float(calls.count("function"))

        def test_calls():
            assert calls == ["session", "module"] + ["function", "function down"] * 3
        """,
    )
    result = project.check("-v", *CLEAN)
    result.assert_outcomes(passed=4)
    assert losses(result) == {
        "test_all[one]": "111", "test_all[two]": "222", "test_usefixtures": "3"
    }  # fmt: skip


def test_arguments_with_defaults_and_patches(project):
    project.write(
        "test_it.py",
        """
        from unittest import mock
        from pytest_soft import soft_test
        import math

        @soft_test
        def test_default(tmp_path, gain=2.0):
            assert tmp_path.exists()
            return gain

        @soft_test
        @mock.patch("math.floor")
        def test_patched(floor, tmp_path):
            floor.return_value = 3.0
            assert tmp_path.exists()
            return math.floor(0.5)

        @soft_test
        def test_keyword_only(*, tmp_path):
            assert tmp_path.exists()
            return 4.0
        """,
    )
    result = project.check("-v", *CLEAN)
    assert losses(result) == {"test_default": "2", "test_patched": "3", "test_keyword_only": "4"}


PARAMETRIZED = """
    import pytest
    from pytest_soft import soft_test

    @soft_test
    @pytest.mark.parametrize("x", [1.0, pytest.param(2.0, id="two"), pytest.param(
        3.0, marks=pytest.mark.soft_test(weight=10))])
    @pytest.mark.parametrize("y", [1.0])
    def test_it(x, y):
        return x * y

    def test_ordinary():
        pass
"""


def test_parametrize_and_ids(project):
    project.write("test_it.py", PARAMETRIZED)
    result = project.check("-v", *CLEAN)
    result.assert_outcomes(passed=4)
    assert losses(result) == {
        "test_it[1.0-1.0]": "1", "test_it[1.0-two]": "2", "test_it[1.0-3.0]": "3"
    }  # fmt: skip
    result.stdout.fnmatch_lines(["PASSED  3 soft tests, total loss 33"])


@pytest.mark.parametrize(
    ("select", "names"),
    [
        (("-k", "two"), {"test_it[1.0-two]"}),
        (("test_it.py::test_it[1.0-1.0]",), {"test_it[1.0-1.0]"}),
        (("-m", "soft_test"), {"test_it[1.0-1.0]", "test_it[1.0-two]", "test_it[1.0-3.0]"}),
    ],
)
def test_selection(project, select, names):
    project.write("test_it.py", PARAMETRIZED)
    result = project.check("-v", *CLEAN, *select)
    result.assert_outcomes(passed=len(names), deselected=0 if "::" in select[0] else 4 - len(names))
    assert losses(result).keys() == names


def test_deselected_soft_tests_leave_no_trace(project):
    project.write("test_it.py", PARAMETRIZED)
    result = project.check("-m", "not soft_test", *CLEAN)
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.no_fnmatch_line("*= soft =*")


@pytest.mark.parametrize("fit", [(), ("--soft-fit",), ("--soft-threshold=1",)])
def test_collect_only(project, fit):
    project.write("test_it.py", PARAMETRIZED)
    result = project.check("--collect-only", "-q", *CLEAN, *fit)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["test_it.py::test_it[[]1.0-two]", "4 tests collected*"])
    result.stdout.no_fnmatch_line("*soft:*")
    result.stdout.no_fnmatch_line("*= soft =*")


@pytest.mark.parametrize("option", ["--setup-only", "--setup-plan"])
def test_runs_that_call_no_test_have_no_verdict(project, option):
    project.write("test_it.py", PARAMETRIZED)
    result = project.check(option, "--soft-fit")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*= soft =*")


def test_skip_and_xfail(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import soft_test

        @soft_test
        def test_counts():
            return 1.0

        @pytest.mark.skip(reason="no")
        @soft_test
        def test_skipped():
            return 1e6

        @pytest.mark.skipif(True, reason="no")
        @soft_test
        def test_skipif():
            return 1e6

        @soft_test
        def test_skips_itself():
            pytest.skip("no")

        @pytest.mark.xfail
        @soft_test(threshold=1)
        def test_xfail_by_its_threshold():
            return 1e6

        @pytest.mark.xfail(strict=True)
        @soft_test
        def test_xfail_by_an_error():
            raise ValueError

        @pytest.mark.xfail(run=False)
        @soft_test
        def test_xfail_not_run():
            return 1e6

        @pytest.mark.xfail
        @soft_test
        def test_xpass():
            return 1e6
        """,
    )
    result = project.check(*CLEAN, "--soft-threshold=2")
    result.assert_outcomes(passed=1, skipped=3, xfailed=3, xpassed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["PASSED *soft tests, total loss 1, threshold 2"])
    result.stdout.fnmatch_lines(["*1e+06*test_xpass  (xfail, not counted)"])


def test_strict_xfail_that_passes_fails_the_verdict_too(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import soft_test

        @pytest.mark.xfail(strict=True)
        @soft_test
        def test_it():
            return 1.0
        """,
    )
    result = project.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["FAILED  1 soft test*"])


# ---- wrong marks: what and where


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("wieght=1", "*test_it.py::test_it: soft_test has no option 'wieght'*"),
        ("3.0", "*test_it.py::test_it: soft_test takes its options by keyword, not (3.0,)*"),
        ("weight=-1", "*test_it.py::test_it: soft_test(weight=-1*): a weight is 0 or more*"),
        ("threshold=float('nan')", "*test_it.py::test_it: soft_test(threshold=nan)*"),
    ],
)
def test_wrong_marks_are_usage_errors(project, mark, message):
    project.write(
        "test_it.py",
        f"""
        import pytest

        @pytest.mark.soft_test({mark})
        def test_it():
            return 1.0
        """,
    )
    result = project.check()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_wrong_decorators_are_collection_errors(project):
    project.write(
        "test_it.py",
        """
        from pytest_soft import soft_test

        @soft_test(wieght=1)
        def test_it():
            return 1.0
        """,
    )
    result = project.check()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["test_it.py:4: in <module>", "E   TypeError: soft_test has no option 'wieght'*"]
    )


def test_unittest_methods_are_refused(project):
    project.write(
        "test_it.py",
        """
        import unittest
        from pytest_soft import soft_test

        class TestOld(unittest.TestCase):
            @soft_test
            def test_it(self):
                return 1.0
        """,
    )
    result = project.check()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_it.py::TestOld::test_it: a soft test is a function or*"])


# ---- results of every kind

RETURNED = """
    import numpy as np
    import pytest
    from pytest_soft import Param, soft_test

    omega = Param(2.5)

    @soft_test
    def test_it():
        return {}
"""


@pytest.mark.parametrize(
    ("returned", "loss", "cases"),
    [
        ("2.5", "2.5", 1),
        ("3", "3", 1),
        ("np.float32(2.5)", "2.5", 1),
        ("np.array(2.5)", "2.5", 1),
        ("np.array([[1.0, 2.0], [3.0, 4.0]])", "10", 4),
        ("np.arange(4)", "6", 4),
        ("[1.0, np.array([2.0, 3.0])]", "6", 3),
        ("(1.0, 2.0)", "3", 2),
        ("{'near': 1.0, 'far': np.array([2.0, 3.0])}", "6", 3),
        ("{'a': {'b': [4.0]}}", "4", 1),
        ("omega", "2.5", 1),
        ("-1.0", "-1", 1),
    ],
)
def test_returned_losses(project, returned, loss, cases):
    project.write("test_it.py", RETURNED.format(returned))
    result = project.check("-v", *CLEAN)
    assert losses(result) == {"test_it": loss}
    (report,) = [
        r for r in result.reprec.getreports("pytest_runtest_logreport") if r.when == "call"
    ]
    assert report.soft["cases"] == cases
    assert type(report.soft["loss"]) is float


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "returned None: a soft test returns its loss*"),
        ("'low'", "returned the text 'low' instead of a loss"),
        ("1.0 * float('nan')", "returned a loss of nan"),
        ("1.0 * float('inf')", "returned a loss of inf"),
        ("np.stack([1.0, np.nan])", "returned a loss of nan"),
        ("{'a': 1.0, 'b': np.inf}", "returned a loss of inf (at ['b'])"),
        ("1j", "returned the complex number 1j*"),
        ("1.0 * 1j", "returned the complex number *np.abs(z) ** 2 or z.real*"),
        ("np.array([1j])", "returned the complex number*"),
        ("True", "returned True, a pass or fail*"),
        ("1.0 > 3", "returned *False*, a pass or fail*"),
        ("np.stack([1.0]) > 3", "returned *array(*False*, a pass or fail*"),
        ("np.zeros(0)", "returned an empty array*"),
        ("[]", "returned an empty list*"),
        ("{}", "returned an empty dict*"),
        ("{'a': []}", "returned an empty list (at ['a'])*"),
        ("[1.0, None]", "returned None*(at [1])"),
        ("object()", "returned <object*, a object, instead of a loss"),
        ("np.array(['x'])", "returned an array of dtype <U1, not of numbers"),
    ],
)
@pytest.mark.parametrize("fit", [False, True], ids=["check", "fit"])
def test_returned_nonsense(project, returned, message, fit):
    returned = returned.replace("1.0", "omega") if fit else returned
    project.write("test_it.py", RETURNED.format(returned))
    result = project.fit() if fit else project.check()
    assert result.ret == 1
    escaped = message.replace("[", "[[]")
    if "a loss of" in message and fit:
        escaped = "*loss of test_it.py::test_it is not finite at the start*"
    result.stdout.fnmatch_lines([f"*{escaped}"])
    where = "*test_it.py::test_it*" if fit else "test_it.py:8: the soft test*"
    result.stdout.fnmatch_lines([where])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    assert project.files() == {}


@pytest.mark.parametrize("fit", [False, True], ids=["check", "fit"])
def test_async_tests_need_a_plugin_that_awaits_them(project, fit):
    project.write(
        "test_it.py",
        """
        from pytest_soft import soft_test

        @soft_test
        async def test_it():
            return 1.0
        """,
    )
    result = (project.fit if fit else project.check)("-W", "error")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*You need to install a suitable plugin for your async*"])


def test_strange_objects_in_dtype(project):
    project.write(
        "test_it.py",
        """
        from decimal import Decimal
        from fractions import Fraction
        from pytest_soft import soft_test

        @soft_test
        def test_fraction():
            return Fraction(1, 2)

        @soft_test
        def test_decimal():
            return Decimal("0.25")
        """,
    )
    result = project.check("-v", *CLEAN)
    assert losses(result) == {"test_fraction": "0.5", "test_decimal": "0.25"}
