"""Priors in a fit: they pull, but are no part of the total loss."""

import math

import pytest

PROGRAM = """
    import pytest
    from pytest_soft import Param, soft_test
    from softtape.priors import normal

    gain = Param(1.0, prior=normal(2.0, 0.5))

    @soft_test
    @pytest.mark.parametrize("x", [1.0, 2.0, 3.0])
    def test_gain(x):
        return (gain * x - 3 * x) ** 2
"""
BEST = (14 * 3 + 4 * 2) / 18  # of 14 (gain - 3)² + 4 (gain - 2)²


def test_a_prior_pulls_and_is_shown_apart_from_the_total(project):
    project.write("test_it.py", PROGRAM)
    loss = 14 * (BEST - 3) ** 2
    result = project.fit(f"--soft-threshold={loss + 1e-9}")
    assert result.ret == 0  # though 𝓛 and the prior together are above it
    assert project.value("gain", "test_it") == pytest.approx(BEST)
    prior = 4 * (BEST - 2) ** 2
    # as weighted least squares has it, with the prior as a fourth residual
    error = math.sqrt((loss + prior) / 3 / 18)
    result.stdout.fnmatch_lines(
        [
            f"PASSED  3 soft tests, total loss 56 -> {loss:.6g}, threshold *",
            f"Params   gain  1 -> 2.77777* ± {error:.2g}",
            f"priors   gain ~ normal(2, 0.5)  4 -> {prior:.4g}, beside the total loss",
        ]
    )
    assert "tape" not in result.stdout.str()
    check = project.check(f"--soft-threshold={loss + 1e-9}")
    assert check.ret == 0
    assert "priors  " not in check.stdout.str()


def test_a_prior_is_in_every_fold_and_in_none_held_out(project):
    project.write("test_it.py", PROGRAM.replace("[1.0, 2.0, 3.0]", "[1.0 + i for i in range(9)]"))
    result = project.fit("--soft-kfold=3")
    assert result.ret == 0
    rows = [line.split() for line in result.outlines]
    table = rows[next(i for i, row in enumerate(rows) if row[:1] == ["folds"]) + 1 :]
    assert next(row for row in table if row[0] == "all")[1] == "9"


def test_a_prior_of_a_param_that_no_test_reaches_does_nothing(project):
    project.write("test_it.py", PROGRAM + "\n    other = Param(5.0, prior=normal(0.0, 1.0))\n")
    result = project.fit()
    assert project.entries("test_it").keys() == {"gain"}
    assert "other ~" not in result.stdout.str()


def test_components_show_the_losses_of_their_tests(project):
    project.write(
        "test_it.py",
        PROGRAM + "\n    other = Param(5.0)\n\n    @soft_test\n    def test_other():\n"
        "        return other ** 2\n",
    )
    result = project.fit()
    result.stdout.fnmatch_lines(["*gain * 3  56 -> 0.691 *", "*other * 1  25 -> 0 *"])
