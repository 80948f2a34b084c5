"""Soft tests whose losses hold derivatives, rules of the user's own, and solvers."""

import numpy as np
import pytest

PROGRAM = """
    import numpy as np
    from softtape import Param, checkpoint, custom_root, custom_vjp, grad

    c = Param(np.zeros(5))
    rate = Param(0.5)

    def u(t):
        '''A polynomial that is 1 at 0.'''
        return 1.0 + t * (c[0] + t * (c[1] + t * (c[2] + t * (c[3] + t * c[4]))))

    def residual(t):
        return grad(u)(t) + 2.0 * t * u(t)      # u' = -2 t u

    @custom_vjp
    def cut(x):
        return min(x, 10.0)

    @cut.defvjp
    def _(g, y, x):
        return g if x < 10 else 0.0 * g

    @custom_root(lambda x, r: x * np.exp(x) - r)
    def lambert(start, r):
        x = start
        for _ in range(50):
            x = x - (x * np.exp(x) - r) / (np.exp(x) * (1 + x))
        return x

    def model(t):
        return cut(checkpoint(lambda s: lambert(0.5, rate * s))(t))
"""

TESTS = """
    import numpy as np
    import pytest
    from pytest_soft import soft_test
    from program import model, residual

    @soft_test
    @pytest.mark.parametrize("t", [i / 10 for i in range(11)])
    def test_equation(t):
        return residual(t) ** 2

    @soft_test
    @pytest.mark.parametrize("t, y", [(1.0, 0.5671432904097838), (2.0, 0.8526055020137254)])
    def test_model(t, y):
        return (model(t) - y) ** 2
"""


def test_a_fit_and_its_check(project):
    project.write("program.py", PROGRAM)
    project.write("test_program.py", TESTS)
    result = project.fit("-W", "error")
    assert result.ret == 0, result.stdout.str()
    stored = project.entries("program")
    assert stored["rate"]["value"] == pytest.approx(1.0, abs=1e-6)
    coefficients = np.array(stored["c"]["value"])
    for t in (0.3, 0.7, 1.0):
        u = 1 + sum(c * t ** (i + 1) for i, c in enumerate(coefficients))
        assert u == pytest.approx(np.exp(-t * t), abs=2e-3)
    assert project.check("--soft-threshold=1e-4", "-W", "error").ret == 0
