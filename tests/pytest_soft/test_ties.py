"""Tied values in the report of a fit."""


def test_a_fit_reports_them(project):
    project.write(
        "test_it.py",
        """
        import numpy as np
        from pytest_soft import Param, soft_test, tied

        gain = Param(1.0)
        idle = Param(1.0, frozen=True)
        twice = tied(lambda: 2 * gain)
        apart = tied(lambda: 2 * idle)

        @tied
        def pair():
            return np.stack([gain, -gain]) * twice

        @soft_test
        def test_twice():
            return (twice - 6.0) ** 2
        """,
    )
    result = project.check("--soft-fit")
    assert result.ret == 0
    assert project.entries("test_it").keys() == {"gain"}
    result.stdout.fnmatch_lines(["Params   gain   1 -> 3", "*twice  2 -> 6  (tied)"])
    assert "apart" not in result.stdout.str()
