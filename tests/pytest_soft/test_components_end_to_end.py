"""``pytest --soft-fit`` on suites whose tests and Params fall into several components."""

import pytest

LOGISTIC = """
    import numpy as np
    from softtape import Param

    omega = Param(0.5)                       # called as that of sine.py
    scale = Param(1.0)

    def share(x):
        return scale / (1 + np.exp(-omega * x))
"""

TEST_LOGISTIC = """
    import math
    import pytest
    from pytest_soft import soft_test
    from logistic import share

    @soft_test
    @pytest.mark.parametrize("x", [-2.0, -1.0, 0.5, 1.0, 3.0])
    def test_share(x):
        return (share(x) - 2 / (1 + math.exp(-1.5 * x))) ** 2
"""


@pytest.fixture
def two(sine):
    """Return the project of the README beside a second program that shares nothing with it."""
    sine.write("logistic.py", LOGISTIC)
    sine.write("test_logistic.py", TEST_LOGISTIC)
    return sine


def test_two_programs_in_one_suite(two):
    result = two.fit("--soft-threshold=1e-10", "-W", "error")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "PASSED  26 soft tests, total loss * -> *, threshold 1e-10",
            "fit      the total loss is at or below the threshold",
            "         by lm (auto: the total loss is a sum of squares)",
            "         as 2 components that share no test and no Param",
            "         Params                 tests  loss * steps  end",
            "         logistic.omega, scale      5  *  threshold",
            "         sine.omega                21  *  threshold",
            "stored   in logistic.soft.json",
            "stored   in sine.soft.json",
        ]
    )
    assert two.value("scale", "logistic") == pytest.approx(2.0, abs=1e-4)
    assert two.value("omega", "logistic") == pytest.approx(1.5, abs=1e-4)
    assert two.value("omega", "sine") == pytest.approx(1.5, abs=1e-4)

    stored = two.files()
    again = two.fit("--soft-threshold=1e-10")
    assert two.files() == stored
    again.stdout.fnmatch_lines(["stored   nothing moved in sine.soft.json"])
    assert two.check("--soft-threshold=1e-10").ret == 0


def test_the_same_bytes_together_one_by_one_and_from_workers(two):
    def fitted(*runs):
        for path in two.files():
            (two.path / path).unlink()
        for run in runs:
            result = two.apart("--soft-fit", *run)
            assert result.ret == 0
        return result, two.files()

    _, together = fitted(["-p", "no:xdist"])
    assert sorted(together) == ["logistic.soft.json", "sine.soft.json"]
    alone = [["-p", "no:xdist", f"test_{name}.py"] for name in ("sine", "logistic")]
    assert fitted(*alone)[1] == together
    result, from_workers = fitted(["-n", "2"])
    assert from_workers == together
    result.stdout.fnmatch_lines(["*as 2 components*", "*sine.omega  *21  * converged"])


def test_one_that_cannot_be_fitted_does_not_keep_the_others_from_it(two):
    two.write(
        "test_logistic.py",
        """
        from pytest_soft import soft_test
        from logistic import omega, scale

        @soft_test
        def test_share():
            return abs(omega * scale - 2)
        """,
    )
    result = two.apart("-p", "no:xdist", "--soft-fit", "--soft-optimizer=lm")
    assert result.ret == 1
    assert two.value("omega", "sine") == pytest.approx(1.5)
    assert not two.store("logistic").exists()
    result.stdout.fnmatch_lines(
        [
            "FAILED  22 soft tests*",
            "  the fit of logistic.omega, scale failed",
            "  optimizer 'lm' needs every loss to be a sum of squares*",
            "         logistic.omega, scale * failed",
            "         sine.omega            * converged",
            "stored   in sine.soft.json",
        ]
    )
    result.stdout.no_fnmatch_line("*reached by no selected soft test*")


def test_one_that_did_not_improve_keeps_its_bytes(two):
    two.fit()
    entries = two.files()["logistic.soft.json"]
    two.store("sine").write_text(
        two.store("sine").read_text().replace('"value": 1.', '"value": 0.')
    )
    result = two.apart("--soft-fit", "-p", "no:xdist")
    assert two.files()["logistic.soft.json"] == entries
    assert two.value("omega", "sine") == pytest.approx(1.5)
    result.stdout.fnmatch_lines(["stored   nothing moved in logistic.soft.json"])


def test_a_path_that_joins_two(project):
    project.write(
        "prog.py",
        """
        from softtape import Param

        a, b, c = Param(1.0), Param(1.0), Param(1.0)

        def f():
            return a if a < 2 else a * b
        """,
    )
    project.write(
        "test_prog.py",
        """
        import prog
        from pytest_soft import soft_test

        @soft_test
        def test_f():
            return (prog.f() - 6) ** 2

        @soft_test
        def test_b():
            return (prog.b - 2) ** 2

        @soft_test
        def test_c():
            return (prog.c - 5) ** 2
        """,
    )
    result = project.fit()
    assert result.ret == 0
    found = [project.value(name, "prog") for name in "abc"]
    assert found == pytest.approx([3.0, 2.0, 5.0], abs=1e-6)
    result.stdout.fnmatch_lines(
        [
            "         *test run* traced again on another path",
            "         as 2 components that share no test and no Param",
            "         Params  tests  *",
            "         a, b        2  26 -> *",
            "         c           1  16 -> *",
        ]
    )


def test_ctrl_c_in_one_keeps_what_the_others_found(two):
    two.write(
        "slow.py",
        """
        from softtape import Param

        rate = Param(0.0)
        calls = 0

        def f():
            global calls
            calls += 1
            if calls >= 6:
                raise KeyboardInterrupt
            if rate > 0.001 * int(1000 * rate):     # another path at every point
                pass
            return rate
        """,
    )
    two.write(
        "test_rate.py",
        """
        import slow
        from pytest_soft import soft_test

        @soft_test
        def test_rate():
            return (slow.f() - 3) ** 4
        """,
    )
    result = two.apart("-p", "no:xdist", "--soft-fit", "--soft-optimizer=gradient-descent")
    assert result.ret == 2
    assert two.value("scale", "logistic") != 1.0  # test_logistic.py comes first
    assert 0 < two.value("rate", "slow") < 3
    assert not two.store("sine").exists()
    result.stdout.fnmatch_lines(
        [
            "INTERRUPTED  fit of 27 soft tests, total loss *, not checked",
            "         rate * stopped",
            "         sine.omega * not begun",
            "Params   omega  0.5 -> *",
            "         scale  1 -> *",
            "         rate   0 -> *",
            "stored   in logistic.soft.json",
        ]
    )
