"""The headline and the exit status say the same."""

import re

import pytest

PROJECT = """
    import pytest
    from pytest_soft import Param, soft_test

    a = Param(0.0)

    @soft_test{near}
    def test_near():
        return (a - 1) ** 2

    @soft_test
    def test_far():
        return (a - 3) ** 2
"""
ENDS = {  # minimum at a = 2, total loss 2; 10 before the fit
    "no limit": ("", (), 0, 0),
    "total held": ("", ("--soft-threshold=2.5",), 1, 0),
    "total missed": ("", ("--soft-threshold=1.5",), 1, 1),
    "total of 0 missed": ("", ("--soft-threshold=0",), 1, 1),
    "test held": ("(threshold=1.5)", (), 0, 0),
    "test missed": ("(threshold=0.5)", (), 1, 1),
    "test missed, total held": ("(threshold=0.5)", ("--soft-threshold=100",), 1, 1),
    "test held, total missed": ("(threshold=1.5)", ("--soft-threshold=1.5",), 1, 1),
    "weight 0": ("(weight=0)", ("--soft-threshold=1e-6",), 1, 0),
}


def headline(result: pytest.RunResult) -> str:
    """Return the word of the soft section; there must be one, once."""
    words = [
        m[1]
        for line in result.outlines
        if (m := re.match(r"(?:soft: )?(PASSED|FAILED)  \d+ soft test", line))
    ]
    assert len(words) == 1, result.outlines
    return words[0]


def write(project, near=""):
    project.write("test_it.py", PROJECT.format(near=near))


@pytest.mark.parametrize("end", ENDS)
def test_in_one_process(project, end):
    near, args, unfitted, fitted = ENDS[end]
    write(project, near)
    runs = [
        (project.check, "-v", unfitted),
        (project.check, "-x", unfitted),
        (project.fit, "-q", fitted),
        (project.check, "-q", fitted),
        (project.check, "-x", fitted),
    ]
    for run, option, status in runs:
        # what ran until -x ended it may well be below the limit of all
        limits = () if near == "(threshold=0.5)" and option == "-x" else args
        result = run(*limits, option)
        assert result.ret == status, run
        assert headline(result) == ("FAILED" if status else "PASSED")


@pytest.mark.parametrize(
    ("end", "workers"), [("total held", "2"), ("test missed", "2"), ("total missed", "0")]
)
def test_with_workers(project, end, workers):
    near, args, _, status = ENDS[end]
    write(project, near)
    result = project.apart("--soft-fit", "-n", workers, *args)
    assert result.ret == status
    assert headline(result) == ("FAILED" if status else "PASSED")
    result.stdout.fnmatch_lines(["* 2 soft tests, total loss 10 -> 2*"])
    check = project.apart("-n", workers, *args)
    assert check.ret == status
    assert headline(check) == ("FAILED" if status else "PASSED")


def test_a_fit_that_fails_in_workers(project):
    project.write(
        "test_it.py", "import pytest\n@pytest.mark.soft_test\ndef test_it(): return 1.0\n"
    )
    result = project.apart("--soft-fit", "-n", "2")
    assert result.ret == 1
    assert headline(result) == "FAILED"
    result.stdout.fnmatch_lines(["  no soft test reaches a Param*"])


OTHERS = {
    "raises": ("raise ValueError", 1),
    "returns None": ("return None", 1),
    "skips": ("pytest.skip('x')", 0),
    "xfails": ("pytest.xfail('x')", 0),
}


@pytest.mark.parametrize("other", OTHERS)
def test_other_ends_of_a_test(project, other):
    body, status = OTHERS[other]
    project.write(
        "test_it.py",
        f"""
        import pytest
        from pytest_soft import soft_test

        @soft_test
        def test_good():
            return 1.0

        @soft_test
        def test_other():
            {body}
            return 1.0
        """,
    )
    result = project.check("--soft-threshold=5")
    assert result.ret == status
    assert headline(result) == ("FAILED" if status else "PASSED")


def test_an_error_in_a_teardown(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import soft_test

        @pytest.fixture
        def broken():
            yield
            raise OSError

        @soft_test
        def test_it(broken):
            return 1.0
        """,
    )
    result = project.check()
    assert result.ret == 1
    assert headline(result) == "FAILED"
    result.stdout.fnmatch_lines(["  1 test failed for another reason than the loss"])


def test_an_error_in_a_setup(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import soft_test

        @pytest.fixture
        def broken():
            raise OSError

        @soft_test
        def test_it(broken):
            return 1.0
        """,
    )
    result = project.check()
    assert result.ret == 1
    assert headline(result) == "FAILED"
    result.stdout.fnmatch_lines(["  1 test gave no loss"])


def test_only_an_ordinary_test_fails(project):
    write(project)
    project.write("test_ordinary.py", "def test_it(): assert 0")
    result = project.check("--soft-threshold=100")
    assert result.ret == 1
    assert headline(result) == "PASSED"  # it speaks of the soft tests


def test_none_asked_and_none_ran(project):
    project.write("test_ordinary.py", "def test_it(): pass")
    project.write("pytest.ini", "[pytest]\nsoft_threshold = 1\n")
    assert project.check().ret == 0
    result = project.check("--soft-threshold=1")
    assert result.ret == 1
    assert headline(result) == "FAILED"
    result.stdout.fnmatch_lines(["  no soft test ran"])


def test_no_tests_at_all_keeps_pytests_status(project):
    assert project.check().ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert project.check("--soft-threshold=1").ret == pytest.ExitCode.TESTS_FAILED


def test_collection_errors_stop_the_fit(project):
    write(project)
    project.write("test_broken.py", "1 / 0")
    result = project.fit()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert headline(result) == "FAILED"
    assert project.files() == {}
    result = project.fit("--continue-on-collection-errors")
    assert result.ret == 1
    assert project.value("a", "test_it") == pytest.approx(2)


def test_plugin_loaded_by_a_conftest(project, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    write(project)
    project.write("conftest.py", 'pytest_plugins = ["pytest_soft.plugin"]')
    result = project.pytester.runpytest_subprocess("--soft-fit", "--soft-threshold=2.5")
    assert result.ret == 0
    assert headline(result) == "PASSED"
    assert 1 < project.value("a", "test_it") < 3
