"""Tied values in the report of a fit."""

import json

import pytest


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


def test_their_standard_errors_follow_from_those_of_the_params(project):
    """The same decay fitted by its rate, and by its half-life: one answer, with one error."""
    program = """
        import numpy as np
        import pytest
        from pytest_soft import Param, soft_test, tied

        gain, {0} = Param(1.0), Param({1})
        {2} = tied(lambda: np.log(2) * gain / {0})
        NOISE = [0.03, -0.04, 0.01, 0.05, -0.02, -0.03]

        @soft_test
        @pytest.mark.parametrize("t", range(6))
        def test_decay(t):
            y = 2.0 * np.exp(-0.4 * t) + NOISE[t]
            return (gain * np.exp(-{3} * t) - y) ** 2
    """
    project.write("test_rate.py", program.format("rate", 0.3, "area", "rate"))
    project.write("test_area.py", program.format("area", 3.0, "rate", "np.log(2) * gain / area"))
    project.check("--soft-fit", "--soft-json=fit.json")
    params = json.loads((project.path / "fit.json").read_text())["fit"]["params"]
    for name in ("area", "rate"):
        one, other = (param for param in params if param["name"] == name)
        assert one["new"] == pytest.approx(other["new"])
        assert one["error"] == pytest.approx(other["error"], rel=1e-5)


def test_a_tied_value_has_no_error_where_its_params_have_none(project):
    project.write(
        "test_it.py",
        """
        from pytest_soft import Param, soft_test, tied

        gain, offset = Param(1.0), Param(0.5)
        product = tied(lambda: gain * offset)

        @soft_test
        def test_one():
            return (gain * offset - 6.0) ** 2

        @soft_test
        def test_two():
            return (gain * offset - 7.0) ** 2
        """,
    )
    result = project.check("--soft-fit")
    result.stdout.fnmatch_lines(["*product  0.5 -> 6.5*(tied)"])
