"""Fits in minibatches of tests, from the command line."""

import re

import pytest

TESTS = """
    import numpy as np
    import pytest
    from pytest_soft import Param, soft_test

    slope, offset = Param(0.5), Param(np.zeros(2))

    @soft_test
    @pytest.mark.parametrize("x", np.linspace(-1, 1, 24).tolist())
    def test_line(x):
        y = slope * x + np.sum(offset)
        if y > 0:  # both sides of a branch
            return (y - 3 * x + 2) ** 2
        return 1.0 * (3 * x - 2 - y) ** 2

    @soft_test(weight=1e-6)
    def test_penalty():
        return np.sum(offset ** 2)
"""
BATCHES = ("--soft-batch-size=6", "--soft-epochs=40")


@pytest.fixture
def line(project):
    project.write("test_line.py", TESTS)
    return project


@pytest.mark.parametrize("optimizer", ["auto", "adam", "momentum"])
def test_it_fits(line, optimizer):
    result = line.fit(*BATCHES, f"--soft-optimizer={optimizer}", "--soft-threshold=0.05")
    assert result.ret == 0
    assert line.value("slope", "test_line") == pytest.approx(3.0, abs=0.2)
    said = " ".join(" ".join(result.outlines).split())
    assert f"by {'adam' if optimizer == 'auto' else optimizer} in batches of 6" in said


def test_the_same_seed_writes_the_same_bytes(line):
    line.fit(*BATCHES, "--soft-epochs=4", "--soft-seed=3")
    first = line.files()
    line.store("test_line").unlink()
    line.apart("--soft-fit", *BATCHES, "--soft-epochs=4", "--soft-seed=3")
    assert line.files() == first


def test_a_step_is_an_epoch(line):
    result = line.fit(*BATCHES, "--soft-epochs=3")
    result.stdout.fnmatch_lines(["fit *stopped: all epochs are done", "*3 steps, *"])


def test_tests_without_a_finite_gradient_fail_the_fit_by_name(project):
    project.write(
        "test_root.py",
        """
        import numpy as np
        import pytest
        from pytest_soft import Param, soft_test

        width = Param(0.0)

        @soft_test
        @pytest.mark.parametrize("y", range(6))
        def test_root(y):
            return (np.sqrt(width) - y) ** 2
        """,
    )
    result = project.fit("--soft-batch-size=2")
    assert result.ret == 1
    told = " ".join(result.stdout.str().split())
    assert "fit failed: the gradient is not finite at the best point" in told
    assert "the gradient of test_root.py::test_root[0] is not finite with respect to width" in told
    assert "Add a small positive constant inside it, or start elsewhere" in told


def test_batches_that_are_left_out_on_the_way_are_told_of(project):
    project.write(
        "test_root.py",
        """
        import numpy as np
        import pytest
        from pytest_soft import Param, soft_test

        width = Param(0.1)

        @soft_test
        @pytest.mark.parametrize("y", range(8))
        def test_root(y):  # below 0, the root has a value, but no slope
            return (width + 1) ** 2 + (np.sqrt(np.maximum(width, 0.0)) if y == 5 else 0.0)
        """,
    )
    result = project.fit("--soft-batch-size=2", "--soft-optimizer=gradient-descent")
    told = " ".join(result.stdout.str().split())
    said = re.search(r"note (\d+) batch.*? left out, and the learning rate halved each time", told)
    assert said, told
    assert int(said[1]) > 0
    at = re.search(
        r"gradient of test_root.py::test_root\[5\] is not finite, at .* width = (\S+)", told
    )
    assert at, told
    assert float(at[1]) < 0


def test_constraints_and_priors_hold_in_batches(project):
    project.write(
        "test_decay.py",
        """
        import numpy as np
        import pytest
        from pytest_soft import Param, soft_test
        from softtape.priors import normal

        shares = Param([0.5, 0.3, 0.2], constraint="simplex")
        rate = Param(1e-4, scale="log")
        gain = Param(1.0, prior=normal(2.0, 0.1))

        def f(s, r, g, t):
            return g * (s[0] * np.exp(-r * t) + s[1] * np.exp(-10 * r * t) + s[2])

        @soft_test
        @pytest.mark.parametrize("t", np.linspace(0, 2000, 64).tolist())
        def test_decay(t):
            return (f(shares, rate, gain, t) - f([0.2, 0.7, 0.1], 1e-3, 2.1, t)) ** 2 / 0.01 ** 2
        """,
    )
    result = project.fit("--soft-batch-size=8", "--soft-epochs=100", "--soft-threshold=1")
    assert result.ret == 0
    found = {name: entry["value"] for name, entry in project.entries("test_decay").items()}
    assert found["shares"] == pytest.approx([0.2, 0.7, 0.1], abs=2e-3)
    assert sum(found["shares"]) == pytest.approx(1.0)
    assert found["rate"] == pytest.approx(1e-3, rel=0.01)
    assert found["gain"] == pytest.approx(2.1, abs=2e-3)
    result.stdout.fnmatch_lines(["priors   gain ~ normal(2, 0.1)  100 -> *"])
