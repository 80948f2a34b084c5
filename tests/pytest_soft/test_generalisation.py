"""Tests that are held out of a fit, on whole projects."""

import pytest

MEAN = """
    from softtape import Param

    level = Param(0.0)
"""

TEST_MEAN = """
    import pytest
    from pytest_soft import soft_test
    from mean import level

    POINTS = [float((7 * i) % 11) for i in range(22)]

    @soft_test
    @pytest.mark.parametrize("y", POINTS)
    def test_level(y):
        return (level - y) ** 2
"""


@pytest.fixture
def mean(project):
    project.write("mean.py", MEAN)
    project.write("test_mean.py", TEST_MEAN)
    return project


def held_out(result):
    return {line for line in result.outlines if line.endswith("(held out)")}


def test_a_test_that_is_held_out_moves_nothing_and_is_no_part_of_the_total(project):
    project.write("mean.py", MEAN)
    project.write(
        "test_it.py",
        """
        from pytest_soft import soft_test
        from mean import level

        @soft_test
        def test_fitted():
            return (level - 1) ** 2 + 0.5

        @soft_test(holdout=True)
        def test_held_out():
            return (level - 3) ** 2
        """,
    )
    result = project.fit("--soft-gap=3.6")
    assert result.ret == 0
    assert project.value("level", "mean") == pytest.approx(1.0)
    result.stdout.fnmatch_lines(
        ["PASSED  2 soft tests, total loss 1.5 -> 0.5", "holdout  mean loss 0.5 fitted, 4 of 1*"]
    )
    check = project.check("--soft-threshold=0.6", "--soft-gap=3.4")
    assert check.ret == 1
    check.stdout.fnmatch_lines(
        ["  the mean loss of tests held out is 3.5 above the fitted one: the limit is 3.4"]
    )


def test_a_part_of_the_tests_is_held_out_by_the_seed(mean):
    result = mean.fit("--soft-holdout=0.3", "-vv")
    out = held_out(result)
    assert 2 <= len(out) <= 12
    kept = [float((7 * i) % 11) for i in range(22)]
    ids = [line.split("[")[1].split("]")[0] for line in result.outlines if "PASSED loss" in line]
    gone = {line.split("[")[1].split("]")[0] for line in out}
    fitted = [y for y, name in zip(kept, ids, strict=True) if name not in gone]
    assert mean.value("level", "mean") == pytest.approx(sum(fitted) / len(fitted))
    # a check that knows of it sees the same two sides, another seed draws others
    check = mean.check("--soft-holdout=0.3", "-vv")
    assert {line.split("test_mean")[1] for line in held_out(check)} == {
        line.split("test_mean")[1] for line in out
    }
    assert len(held_out(mean.check("-vv"))) == 0


def test_holdout_false_is_never_drawn(project):
    project.write("mean.py", MEAN)
    project.write("test_mean.py", TEST_MEAN.replace("@soft_test", "@soft_test(holdout=False)"))
    assert not held_out(project.check("--soft-holdout=0.9", "-vv"))


def test_nothing_is_left_to_fit(mean):
    mean.write("test_mean.py", TEST_MEAN.replace("@soft_test", "@soft_test(holdout=True)"))
    result = mean.fit()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["nothing to fit:", "  every soft test * held out*"])


def test_a_param_that_only_held_out_tests_reach_is_named(mean):
    mean.write(
        "test_more.py",
        """
        from pytest_soft import Param, soft_test

        other = Param(2.0)

        @soft_test(holdout=True)
        def test_other():
            return other ** 2
        """,
    )
    result = mean.fit()
    said = " ".join(" ".join(result.outlines).split())
    assert "held out or have weight 0, and so not fitted: other" in said
    assert "no slope" not in said


def test_folds_are_fitted_each_from_the_start_and_the_whole_fit_is_stored(mean):
    result = mean.fit("--soft-kfold=3", "--soft-gap=100")
    assert result.ret == 0
    values = [float((7 * i) % 11) for i in range(22)]
    assert mean.value("level", "mean") == pytest.approx(sum(values) / 22)
    rows = [line.split() for line in result.outlines]
    table = rows[next(i for i, row in enumerate(rows) if row[:1] == ["folds"]) + 1 :][:4]
    assert [len(row) for row in table[:3]] == [3, 3, 3]
    assert sum(int(row[0]) for row in table[:3]) == int(table[3][1]) == 22
    # leaving a part out, the others are met better, and it is met worse
    whole = sum((y - sum(values) / 22) ** 2 for y in values) / 22
    assert float(table[3][2]) < whole < float(table[3][3])


def test_the_gap_of_the_folds_can_fail_a_fit(mean):
    result = mean.fit("--soft-kfold=3", "--soft-gap=0")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["  the mean loss of folds held out is * above the fitted one*"])
    assert mean.value("level", "mean") != 0.0


def test_with_workers_the_sides_and_the_folds_are_the_same(mean):
    args = ("--soft-fit", "--soft-dry-run", "--soft-holdout=0.3", "--soft-kfold=2", "-q", "-v")
    alone = mean.check(*args)
    spread = mean.apart(*args, "-n", "2")
    tables = []
    for result in (alone, spread):
        first = next(i for i, line in enumerate(result.outlines) if line.startswith("holdout"))
        tables.append(result.outlines[first : first + 6])
    assert tables[0] == tables[1]
    assert tables[0][2].startswith("folds")
