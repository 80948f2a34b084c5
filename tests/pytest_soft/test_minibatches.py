"""Fits in minibatches of tests, from the command line."""

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
