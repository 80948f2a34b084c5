"""Soft tests for which hypothesis draws the cases, and coroutines awaited by a plugin."""

import json

import hypothesis
import hypothesis.extra.numpy  # a run inside this one must not purge and import them again
import pytest

assert hypothesis.extra.numpy

PROGRAM = """
    from softtape import Param

    slope = Param(0.5)

    def f(x):
        return slope * x
"""
HEAD = """
    import pytest
    from hypothesis import assume, example, given, settings, strategies as st
    from pytest_soft import soft_test
    from prog import f

    few = settings(max_examples=20)
"""
SQUARES = """
    @soft_test
    @few
    @given(st.floats(0, 10))
    def test_it(x):
        return (f(x) - 3 * x) ** 2
"""


@pytest.fixture
def drawn(project):
    """Return what writes a program and drawn tests of it."""
    project.write("prog.py", PROGRAM)

    def write(tests=SQUARES):
        project.write("test_it.py", HEAD + tests)
        return project

    return write


def report(project, *args, run=None):
    result = (run or project.check)("--soft-json=report.json", *args)
    return result, json.loads((project.path / "report.json").read_text())


def test_drawn_cases_are_cases(drawn):
    result, found = report(drawn(), "--soft-fit")
    assert result.ret == 0
    (test,) = found["tests"]
    assert test["cases"] == 20
    assert found["verdict"]["total"] == test["loss"] == pytest.approx(0.0, abs=1e-12)
    assert drawn().value("slope", "prog") == pytest.approx(3.0)
    result.stdout.no_fnmatch_line("*another loss each time*")


def test_given_examples_count_as_well(drawn):
    project = drawn(SQUARES.replace("@few", "@few\n    @example(2.0)"))
    _, found = report(project)
    assert found["tests"][0]["cases"] == 21


def test_every_run_draws_the_same_cases(drawn):
    """Whatever modules with numbers in them are imported, in a fit, a check or a worker."""
    project = drawn(SQUARES.replace("** 2", "** 2 + 1"))
    project.write("conftest.py", "import os\nif 'MORE' in os.environ: import numbers_of_mine")
    project.write("numbers_of_mine.py", f"MANY = {[i / 8 for i in range(1, 80)]}")
    _, alone = report(project, "--soft-fit", "--soft-dry-run", "--soft-max-steps=0")
    _, again = report(project)
    project.pytester._monkeypatch.setenv("MORE", "1")
    _, more = report(project, "-n", "2", run=project.pytester.runpytest_subprocess)
    assert alone["tests"] == again["tests"] == more["tests"]
    assert alone["tests"][0]["loss"] > 100


def test_draws_in_the_test_assumptions_methods_and_fixtures(drawn):
    project = drawn(
        """
    @pytest.fixture(scope="module")
    def three():
        return 3.0

    class TestThem:
        @soft_test
        @few
        @given(data=st.data())
        def test_it(self, three, data):
            x = data.draw(st.floats(-5, 5))
            assume(f(x) > 0.1)  # a guard: other values of the Param let other cases pass
            return (f(x) - three * x) ** 2
        """
    )
    result = project.fit("--soft-threshold=1e-8")
    assert result.ret == 0
    assert project.value("slope", "prog") == pytest.approx(3.0)
    assert project.check("--soft-threshold=1e-8").ret == 0


ASSERTS = """
    @soft_test
    @few
    @given(st.integers(1, 9))
    def test_it(i):
        assert f(i) == pytest.approx(3 * i)
"""


def test_drawn_assertions_are_softened(drawn):
    result = drawn(ASSERTS).check()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "E * test_it(*",  # how hypothesis introduces it differs between versions
            "E *i=1,*",
            "FAILED  1 soft test, total loss *",
            "  1 test with an assertion that does not hold",
        ]
    )
    assert drawn(ASSERTS).fit().ret == 0
    assert drawn(ASSERTS).value("slope", "prog") == pytest.approx(3.0)
    assert drawn(ASSERTS).check().ret == 0


@pytest.mark.parametrize("fit", [False, True], ids=["check", "fit"])
def test_a_drawn_case_without_a_loss_is_an_error(drawn, fit):
    project = drawn(SQUARES.replace("return (f(x) - 3 * x) ** 2", "f(x)"))
    result = project.fit() if fit else project.check()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*the soft test returned None: a soft test returns its loss*"])
    result.stdout.fnmatch_lines(["*1 test gave no loss"])


def test_a_case_that_is_not_finite_is_shown_at_its_least(drawn):
    result = drawn(SQUARES.replace("(f(x)", "float('inf') if x > 4 else (f(x)")).check()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*the soft test returned a loss of inf*", "*x=5.0,*"])


def test_the_threshold_of_a_test_is_on_the_sum_of_its_cases(drawn):
    project = drawn(SQUARES.replace("@soft_test", "@soft_test(threshold=1e-3)"))
    result = project.check()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*is above the threshold 0.001 of this test*"])
    assert project.fit().ret == 0


def test_what_fails_while_it_is_traced_is_told_without_a_search_for_less(drawn):
    result = drawn(SQUARES.replace("(f(x) -", "float('no') + (f(x) -")).fit()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*failed while it was traced*", "*ValueError: could not convert*"])


AWAITS = """
    import asyncio
    import inspect
    import pytest

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(pyfuncitem):
        if inspect.iscoroutinefunction(pyfuncitem.obj):
            asyncio.run(pyfuncitem.obj())  # and drops what it returns
            return True
"""


def test_coroutines_are_awaited_in_a_fit_and_in_a_check(project):
    project.write("conftest.py", AWAITS)
    project.write(
        "test_it.py",
        """
        import asyncio
        from pytest_soft import Param, soft_test

        a = Param(0.0)

        class TestIt:
            @soft_test(threshold=0.1)
            async def test_it(self):
                await asyncio.sleep(0)
                return (a - 2) ** 2

        @soft_test
        async def test_none():
            await asyncio.sleep(0)
        """,
    )
    result = project.fit("-k", "test_it and not none")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["PASSED  1 soft test, total loss 4 -> 0*"])
    assert project.value("a", "test_it") == pytest.approx(2.0)
    result = project.check()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*the soft test returned None*", "  1 test gave no loss"])
