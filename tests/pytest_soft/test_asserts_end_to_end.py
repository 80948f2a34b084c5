"""Plain tests that become soft by one line: fitted, then checked as plain asserts."""

import pytest

PROGRAM = """
    import numpy as np
    from softtape import Param

    gain = Param(1.0)
    offset = Param(0.5)
    decay = Param(0.2)

    def line(x):
        return gain * x + offset

    def fade(t):
        return np.exp(-decay * np.asarray(t, float))

    class Sensor:
        def read(self, x):
            if x < 0:
                raise ValueError("no negative readings")
            return line(x)
"""

TESTS = """
    import math
    import numpy as np
    import pytest
    from pytest_soft import soft_test
    from program import Sensor, fade, line

    {soft}
    def test_value():
        assert line(2) == pytest.approx(7)

    {soft}
    def test_tolerance():
        assert abs(line(0) - 1) < 1e-9, "the offset"

    {soft}
    def test_several():
        for x, y in [(1, 4.0), (3, 10.0)]:
            assert line(x) == pytest.approx(y, rel=1e-8)

    {soft}
    @pytest.mark.parametrize("x", [0.5, 1.5])
    def test_cases(x):
        assert math.isclose(line(x), 3 * x + 1)

    {soft}
    def test_range():
        assert 0 < line(1) <= 4.001 and line(2) > line(1)

    {soft}
    def test_allclose():
        x = np.arange(5.0)
        assert np.allclose(line(x), 3 * x + 1)

    {soft}
    def test_numpy_testing():
        np.testing.assert_allclose(fade([0.0, 1.0, 2.0]), [1.0, 0.5, 0.25], rtol=1e-9)

    {soft}
    def test_list():
        assert [fade(1), fade(3)] == pytest.approx([0.5, 0.125])

    {soft}
    def test_either():
        assert line(0) == pytest.approx(1) or line(0) == pytest.approx(-1)

    @pytest.fixture
    def sensor():
        return Sensor()

    class TestSensor:
        {soft}
        def test_method(self, sensor):
            assert isinstance(sensor, Sensor)
            assert not sensor.read(4) < 12.5
            with pytest.raises(ValueError, match="negative"):
                sensor.read(-1)
"""


@pytest.fixture
def suite(project):
    project.write("program.py", PROGRAM)
    project.write("test_program.py", TESTS.format(soft="@soft_test"))
    return project


def test_ten_tests_become_soft_by_one_line_each(suite):
    before = suite.check()
    before.assert_outcomes(failed=10, passed=1)
    result = suite.fit("-W", "error")
    result.assert_outcomes(passed=11)
    assert result.ret == 0
    assert suite.value("gain", "program") == pytest.approx(3, rel=1e-9)
    assert suite.value("offset", "program") == pytest.approx(1, rel=1e-8)
    assert suite.value("decay", "program") == pytest.approx(0.69314718, rel=1e-8)
    result.stdout.fnmatch_lines(["PASSED  11 soft tests, total loss * -> *"])
    result.stdout.no_fnmatch_line("*no threshold*")

    check = suite.check("-W", "error")
    check.assert_outcomes(passed=11)
    assert check.ret == 0

    suite.write("test_program.py", TESTS.format(soft=""))
    plain = suite.check()
    plain.assert_outcomes(passed=11)
    plain.stdout.no_fnmatch_line("*soft test*")


def test_without_rewriting_by_pytest(suite):
    suite.fit("--assert=plain").assert_outcomes(passed=11)


def test_a_failure_is_pytests_own_with_the_distances_beside(suite):
    result = suite.check("-k", "test_several or test_tolerance")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "E       AssertionError: the offset",
            "*soft asserts call*",
            "line 14   assert abs(line(0) - 1) < 1e-09: 5e+08 times its tolerance",
            "E           assert 1.5 == 4.0 *",
            "*soft asserts call*",
            "line 19   assert line(x) == pytest.approx(y, rel=1e-08): 6.25e+07 times its *",
            "line 19   assert line(x) == pytest.approx(y, rel=1e-08): 6.5e+07 times its *",
            "FAILED  2 soft tests, total loss *",
            "  2 tests with an assertion that does not hold",
        ]
    )


def test_asserts_and_returned_losses_in_one_suite(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import Param, soft_test

        a, b = Param(1.0, name="a"), Param(1.0, name="b")

        @soft_test
        def test_asserts():
            assert a == pytest.approx(2)

        @soft_test
        def test_returns():
            assert b < 100  # a plain assert beside the loss
            return (b - 3) ** 2
        """,
    )
    result = project.fit("--soft-threshold=1e-6")
    assert result.ret == 0
    assert project.value("a", "test_it") == pytest.approx(2)
    assert project.value("b", "test_it") == pytest.approx(3, abs=1e-3)


def test_a_threshold_does_not_end_the_fit_before_the_assertions_hold(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import Param, soft_test

        a = Param(1.0)

        @soft_test
        def test_it():
            assert a == pytest.approx(3, abs=0.1)
        """,
    )
    assert project.fit("--soft-threshold=1e6").ret == 0
    assert project.value("a", "test_it") == pytest.approx(3, abs=0.1)


def test_what_a_fit_cannot_reach_fails_as_an_assert(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import Param, soft_test

        a = Param(1.0, bounds=(0, 2))

        @soft_test
        def test_it():
            assert a == pytest.approx(3, abs=0.5)
        """,
    )
    result = project.fit()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "E       AssertionError: assert Param(2.0, name='a') == 3 *",
            "line 9    assert a == pytest.approx(3, abs=0.5): 2 times its tolerance",
            "FAILED  1 soft test, total loss 16 -> 4",
            "  1 test with an assertion that does not hold",
            "Params   a  1 -> 2  (on its bound)",
        ]
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("assert str(a) == 'x'", "*It does not hold, and has no distance to make smaller."),
        ("assert True", "*the soft test returned an empty dict, which is no loss*"),
        ("helper(a)", "*the soft test returned None: a soft test returns its loss, or asserts *"),
    ],
)
def test_tests_that_have_no_distance(project, body, message):
    project.write(
        "test_it.py",
        f"""
        from pytest_soft import Param, soft_test

        a = Param(1.0)

        def helper(x):
            assert x > 0

        @soft_test
        def test_it():
            {body}
        """,
    )
    result = project.fit()
    assert result.ret == 1
    result.stdout.fnmatch_lines([message])


def test_a_test_that_does_not_repeat_itself_fails(project):
    project.write(
        "test_it.py",
        """
        from pytest_soft import Param, soft_test

        a, runs = Param(1.0), []

        @soft_test
        def test_it():
            runs.append(1)
            assert a * len(runs) > 1.5
        """,
    )
    result = project.check()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*the assertions held when the test was run again: it does not *"])


def test_under_xdist(suite):
    suite.fit()
    result = suite.apart("-n", "2", "-p", "xdist")
    result.assert_outcomes(passed=11)
    assert result.ret == 0
