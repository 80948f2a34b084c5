"""Params that keep to constraints, at every trial point of every optimizer."""

import numpy as np
import pytest

from pytest_soft.goal import Goal
from pytest_soft.solve import solve
from softtape import Param
from softtape.graph import Graph
from softtape.optimize import OPTIMIZERS
from softtape.param import assign
from softtape.tape import Tape
from softtape.terms import Term

rate = Param(1.0, scale="log", bounds=(1e-9, 1e3))
mix = Param([1.0, 0.0, 0.0], constraint="simplex")
shares = Param(np.array([0.25, 0.75], np.float32), constraint="simplex")
single = Param(np.array([0.2, 0.0], np.float32), bounds=(-0.1, 0.3))
OPTIONAL = {"cma": "cma", "scipy-minimize": "scipy", "scipy-least-squares": "scipy"}


def loss():
    for param in (rate, mix, shares, single):
        value = np.asarray(getattr(param.value, "_value", param.value))
        low, high = (np.float64(b) for b in param.bounds)
        assert np.all((value >= low) & (value <= high)), param
        if param.constraint == "simplex":
            assert abs(value.sum() - 1.0) <= 8 * np.finfo(value.dtype).eps
    return (
        (np.log(rate / 3.2e-7)) ** 2
        + np.sum((mix - np.array([-0.2, 0.3, 0.6])) ** 2)
        + np.sum((shares - np.array([0.6, 0.4])) ** 2)
        + np.sum((single - np.array([5.0, -5.0])) ** 2)
    )


def watched():
    """Return the loss as a test that looks at each value it is given."""

    def trace(inputs) -> Graph:
        for param in (rate, mix, shares, single):
            if param.key in inputs:
                assign(param, inputs[param.key])
        with Tape() as tape:
            made = loss()
            if made > 0 or made <= 0:  # a guard per point: most of them are traced
                return tape.graph([made])
            raise AssertionError

    return Term("test", trace({}), trace)


@pytest.fixture(autouse=True)
def _start():
    for param in (rate, mix, shares, single):
        assign(param, param.start)


@pytest.mark.parametrize("name", ["lm", "lbfgs", "adam", "gradient-descent", *OPTIONAL])
def test_every_optimizer_ends_in_the_constrained_minimum(name):
    pytest.importorskip(OPTIONAL.get(name, "numpy"))
    assert name in OPTIMIZERS
    term = watched()
    solution = solve([term], term.starts, Goal(optimizer=name, max_steps=2000))
    values = {key.rsplit("::")[-1]: value for key, value in solution.values.items()}
    assert values["rate"] == pytest.approx(3.2e-7, rel=1e-3)
    np.testing.assert_allclose(values["mix"], [0.0, 0.35, 0.65], atol=1e-4)
    assert values["mix"][0] < 1e-4
    np.testing.assert_allclose(values["shares"], [0.6, 0.4], atol=1e-4)
    assert abs(float(np.sum(values["shares"], dtype=np.float64)) - 1.0) < 1e-6
    # numpy compares these as float32, in which 0.3 is a bit more than the float64
    assert np.all(values["single"] <= 0.3)
    assert np.all(values["single"] >= -0.1)
    np.testing.assert_allclose(values["single"], [0.3, -0.1], atol=1e-4)


def test_a_fit_stores_and_reports_what_the_program_sees(project):
    project.write(
        "test_it.py",
        """
        import numpy as np
        from pytest_soft import Param, soft_test

        rate = Param(1.0, scale="log")
        mix = Param([0.0, 1.0, 0.0], constraint="simplex")
        part = Param(0.5, constraint="unit_interval")

        @soft_test
        def test_rate():
            return [(1e6 * rate * x - 0.32 * x - (-1) ** x * 0.01) ** 2 for x in (1, 2, 3)]

        @soft_test
        def test_mix():
            return (mix - np.array([0.6, 0.3, -0.2])) ** 2

        @soft_test
        def test_part():
            return (part - 2) ** 2
        """,
    )
    result = project.fit("-v")
    assert result.ret == 0
    rate = project.value("rate", "test_it")
    assert rate == pytest.approx(3.2e-7, rel=0.02)
    mix = project.value("mix", "test_it")
    assert mix == pytest.approx([0.65, 0.35, 0.0])
    assert mix[2] == 0.0
    result.stdout.fnmatch_lines(
        [
            "*mix * [[]3] changed by * (on its bound)",
            "*part * 0.5 -> 1  (on its bound)",
            "*rate * 1 -> 3.* ± *e-0*",
        ]
    )
    stored = project.files()
    assert project.fit().ret == 0
    assert project.files() == stored
