"""Beside other plugins: each run is a process of its own, which loads the one in question alone.

None of them is in the extra ``dev``, since most of them act on every run: what is not installed is
skipped. ``.ci/run`` installs them in an environment of their own.
"""

import pytest

PROGRAM = """
    from softtape import Param

    slope = Param(0.5)

    def f(x):
        if x < 0:
            return -slope * x
        return slope * x

    def unused():
        return 1
"""
TESTS = """
    import pytest
    from pytest_soft import soft_test
    from prog import f

    @soft_test(threshold=1e-6)
    @pytest.mark.parametrize("x", [1.0, 2.0])
    def test_it(x):
        return (f(x) - 3 * x) ** 2
"""


class Beside:
    """A project, and runs of it in which no plugin acts but those that are named."""

    def __init__(self, project, monkeypatch):
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        self.project = project
        project.write("prog.py", PROGRAM)

    def run(self, plugins, *args):
        """Run pytest with these plugins, separated by blanks."""
        loaded = [part for name in plugins.split() for part in ("-p", name)]
        command = ["-p", "no:cacheprovider", "-p", "pytest_soft.plugin", *loaded, *args]
        return self.project.pytester.runpytest_subprocess(*command)

    def fits(self, plugins, *args, slope=3.0, tests=2):
        """Fit and check, and return both results."""
        fit = self.run(plugins, "--soft-fit", *args)
        assert fit.ret == 0
        assert self.project.value("slope", "prog") == pytest.approx(slope)
        fit.stdout.no_fnmatch_line("*another loss each time it runs*")
        check = self.run(plugins, *args)
        assert check.ret == 0
        plural = "s" if tests > 1 else ""
        for result in (fit, check):
            result.stdout.fnmatch_lines([f"PASSED  {tests} soft test{plural}, total loss *"])
        return fit, check


@pytest.fixture
def beside(project, monkeypatch):
    return Beside(project, monkeypatch)


def test_pytest_cov(beside):
    pytest.importorskip("pytest_cov")
    beside.project.write("test_it.py", TESTS)
    options = ("--cov=prog", "--cov-report=term-missing", "--cov-branch")
    for result in beside.fits("pytest_cov", *options):
        result.stdout.fnmatch_lines(["prog.py  * 8 * 2 * 2 * 1 * 70% * 8, 12"])


def test_pytest_randomly(beside):
    """Each run has another order, and other numbers; in a run, a test draws the same each time."""
    pytest.importorskip("pytest_randomly")
    beside.project.write("test_it.py", TESTS)
    stores = []
    for seed in (1, 2):
        beside.fits("pytest_randomly", f"--randomly-seed={seed}")
        stores.append(beside.project.files())
        beside.project.store("prog").unlink()
    assert stores[0] == stores[1]
    draws = "import numpy as np\n    import random\n    import pytest"
    noisy = TESTS.replace("import pytest", draws, 1).replace("(threshold=1e-6)", "")
    noise = "+ 1e-3 * np.random.normal() + 1e-3 * random.random()) ** 2"
    beside.project.write("test_it.py", noisy.replace(") ** 2", noise))
    slope = pytest.approx(3.0, abs=0.01)
    beside.fits("pytest_randomly", "--randomly-seed=3", slope=slope)


def test_pytest_rerunfailures(beside):
    pytest.importorskip("pytest_rerunfailures")
    beside.project.write("test_it.py", TESTS)
    result = beside.run("pytest_rerunfailures", "--reruns=2")
    assert result.ret == 1
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "FAILED  2 soft tests, total loss 31.25",
            "  2 tests above the threshold of the test",
            "* 2 failed, 4 rerun in *",
        ]
    )
    beside.fits("pytest_rerunfailures", "--reruns=2")


def test_a_rerun_that_passes_counts(beside):
    pytest.importorskip("pytest_rerunfailures")
    beside.project.write(
        "test_it.py",
        """
        from pytest_soft import soft_test

        runs = []

        @soft_test(threshold=0.5)
        def test_it():
            runs.append(1)
            return 1.0 if len(runs) == 1 else 0.25
        """,
    )
    result = beside.run("pytest_rerunfailures", "--reruns=2")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["PASSED  1 soft test, total loss 0.25", "* 1 passed, 1 rerun in*"])


def test_pytest_html(beside):
    pytest.importorskip("pytest_html")
    beside.project.write("test_it.py", TESTS)
    options = ("--html=page.html", "--self-contained-html")
    for result in beside.fits("pytest_metadata.plugin pytest_html.plugin", *options):
        assert result.stdout.str().count("= soft =") == 1
    page = (beside.project.path / "page.html").read_text()
    assert "test_it.py::test_it[2.0]" in page


AWAITED = """
    import {library}
    import pytest
    from pytest_soft import soft_test
    from prog import f

    @soft_test(threshold=1e-6)
    @pytest.mark.{mark}
    async def test_it():
        await {library}.sleep(0)
        return (f(2.0) - 6.0) ** 2

    class TestThem:
        @soft_test(threshold=1e-6)
        @pytest.mark.{mark}
        async def test_method(self):
            await {library}.sleep(0)
            return (f(1.0) - 3.0) ** 2
"""


def test_pytest_asyncio(beside):
    pytest.importorskip("pytest_asyncio")
    beside.project.write("test_it.py", AWAITED.format(library="asyncio", mark="asyncio"))
    option = "--override-ini=asyncio_default_fixture_loop_scope=function"
    beside.fits("pytest_asyncio.plugin", option)


def test_anyio(beside):
    pytest.importorskip("anyio")
    fixture = """
    @pytest.fixture
    def anyio_backend():
        return "asyncio"
    """
    beside.project.write("test_it.py", AWAITED.format(library="anyio", mark="anyio") + fixture)
    beside.fits("anyio.pytest_plugin")


DRAWN_AWAITED = """
    from hypothesis import given, settings, strategies as st
    import pytest
    from pytest_soft import soft_test
    from prog import f

    @soft_test(threshold=1e-6)
    @pytest.mark.asyncio
    @settings(max_examples=10)
    @given(st.floats(0, 1))
    async def test_it(x):
        return (f(x) - 3 * x) ** 2
"""


def test_drawn_cases_that_are_awaited(beside):
    pytest.importorskip("pytest_asyncio")
    beside.project.write("test_it.py", DRAWN_AWAITED)
    option = "--override-ini=asyncio_default_fixture_loop_scope=function"
    beside.fits("pytest_asyncio.plugin _hypothesis_pytestplugin", option, tests=1)


def test_pytest_timeout(beside):
    pytest.importorskip("pytest_timeout")
    slow = """
    import time

    @soft_test
    @pytest.mark.timeout(0.2)
    def test_slow():
        time.sleep(2 if f(1.0) > 1 else 0)
        return 0.0
    """
    beside.project.write("test_it.py", TESTS)
    beside.fits("pytest_timeout", "--timeout=30")
    beside.project.write("test_it.py", TESTS + slow)
    result = beside.run("pytest_timeout")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*Timeout (>0.2s) from pytest-timeout*"])
    result.stdout.fnmatch_lines(["FAILED  3 soft tests, total loss *", "  1 test gave no loss"])


def test_pytest_benchmark(beside):
    """The benchmark calls the program once while it is traced, and often in the check."""
    pytest.importorskip("pytest_benchmark")
    beside.project.write(
        "test_it.py",
        """
        from pytest_soft import soft_test
        from prog import f

        @soft_test(threshold=1e-6)
        def test_it(benchmark):
            return (benchmark(f, 2.0) - 6.0) ** 2
        """,
    )
    options = ("--benchmark-min-rounds=2", "--benchmark-max-time=0.01")
    for result in beside.fits("pytest_benchmark.plugin", *options, tests=1):
        result.stdout.fnmatch_lines(["*benchmark: 1 tests*"])


SUBTESTS = """
    from pytest_soft import soft_test
    from prog import f

    @soft_test(threshold=1e-6)
    def test_it(subtests):
        total = 0.0
        for x in (1.0, 2.0):
            with subtests.test(x=x):
                assert x > {least}
                total = total + (f(x) - 3 * x) ** 2
        return total
"""


def test_subtests(beside):
    pytest.importorskip("_pytest.subtests")
    beside.project.write("test_it.py", SUBTESTS.format(least=0.5))
    for result in beside.fits("", "-v", tests=1):
        result.assert_outcomes(passed=1)
        assert result.stdout.str().count("SUBPASSED") == 2  # not those of the fit
    beside.project.write("test_it.py", SUBTESTS.format(least=1.5))
    result = beside.run("", "--soft-fit")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*test_it.py::test_it failed while it was traced*"])
    result.stdout.no_fnmatch_line("*Interrupted*")


def test_doctests(beside):
    beside.project.write("test_it.py", TESTS)
    beside.project.write("other.py", '"""\n>>> 1 + 1\n2\n"""\n')
    for result in beside.fits("", "--doctest-modules"):
        result.assert_outcomes(passed=3)


def test_unittest_says_what_to_do_instead(beside):
    beside.project.write(
        "test_it.py",
        """
        import unittest
        from pytest_soft import soft_test
        from prog import f

        class TestIt(unittest.TestCase):
            @soft_test
            def test_it(self):
                return (f(2.0) - 6.0) ** 2
        """,
    )
    result = beside.run("")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*TestIt::test_it: a soft test is a function or a method of a *"])
    assert "Let the class have no base" in result.stderr.str()
