"""Stored values that are no longer those of the tests, end to end."""

import json

import pytest

PROGRAM = """
    import numpy as np
    from softtape import Param

    omega = Param(1.0)
    level = Param(2.0, bounds=(0, 5))

    def f(x):
        return np.sin(omega * x)

    def g(x):
        return level * x
"""
TESTS = """
    import numpy as np
    import pytest
    from pytest_soft import soft_test
    from prog import f, g

    @soft_test
    @pytest.mark.parametrize("x", np.linspace(0, 5, 12))
    def test_f(x):
        return (f(x) - np.sin(1.5 * x) - 0.01 * np.cos(7 * x)) ** 2

    @soft_test
    @pytest.mark.parametrize("x, y", [(1.0, 2.9), (2.0, 6.1), (3.0, 9.0)])
    def test_g(x, y):
        return (g(x) - y) ** 2
"""


@pytest.fixture
def fitted(project):
    project.write("prog.py", PROGRAM)
    project.write("test_it.py", TESTS)
    assert project.fit().ret == 0
    return project


def edit(project, file, old, new):
    path = project.path / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def look(project, *options):
    """Return the exit status, and the words of the section; Params of an earlier run are gone."""
    run = project.apart if "-n0" in options else project.check
    result = run("--soft-check=stale", *options)
    return result.ret, " ".join(result.stdout.str().partition("= soft =")[2].split())


def test_all_is_as_it_was_fitted(fitted):
    before = fitted.files(), fitted.store("prog").stat().st_mtime_ns
    status, told = look(fitted)
    assert status == 0
    assert "current all is as it was fitted: 15 tests of 2 functions" in told
    result = fitted.fit()
    result.stdout.fnmatch_lines(["fit      nothing to do, for all is as it was fitted: *"])
    assert (fitted.files(), fitted.store("prog").stat().st_mtime_ns) == before


CHANGES = {
    "a data point": (
        "test_it.py",
        "(2.0, 6.1)",
        "(2.0, 6.3)",
        "test_it.py::test_g has other numbers in 1 of 3 cases: test_it.py::test_g[2.0-6.3] "
        "(reaches level)",
    ),
    "a case more": (
        "test_it.py",
        "(2.0, 6.1)",
        "(2.0, 6.1), (4.0, 12.0)",
        "test_it.py::test_g has 4 cases, 1 more than at the last fit: "
        "test_it.py::test_g[4.0-12.0] (reaches level)",
    ),
    "a case less": (
        "test_it.py",
        "(2.0, 6.1), ",
        "",
        "test_it.py::test_g has 2 cases, 1 fewer than at the last fit (reaches level)",
    ),
    "an operation": (
        "prog.py",
        "level * x",
        "level * x + 0.5",
        "test_it.py::test_g computes something else (reaches level)",
    ),
    "bounds": (
        "prog.py",
        "bounds=(0, 5)",
        "bounds=(0, 6)",
        "level is declared with bounds 0.0 to 6.0, at the last fit with bounds 0.0 to 5.0",
    ),
    "a test that is gone": (
        "test_it.py",
        "def test_g",
        "def helper",
        "test_it.py::test_g was part of the last fit, and is gone",
    ),
    "a weight": (
        "test_it.py",
        '@soft_test\n@pytest.mark.parametrize("x, y"',
        '@soft_test(weight=2.0)\n@pytest.mark.parametrize("x, y"',
        "test_it.py::test_g has other numbers in 3 of 3 cases: ",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_named_and_nothing_else(fitted, what):
    file, old, new, told = CHANGES[what]
    edit(fitted, file, old, new)
    status, text = look(fitted, *(["-n0"] if file == "prog.py" else []))
    assert status == 1
    assert "FAILED 1" in text
    assert "the fit is stale: 1 change since" in text
    assert f"stale {told}" in text
    assert text.count("stale ") == 1
    assert "test_f has" not in text


def test_what_a_refit_would_gain(fitted):
    edit(fitted, "test_it.py", "(2.0, 6.1)", "(2.0, 6.3)")
    _, told = look(fitted)
    # level = Σxy / Σx² = 42.5 / 14, and 𝓛 falls by Σx² (change of level)²
    assert "refit would take about 0.0114 off the loss 0.0935714 of what it touches" in told
    assert "level 3.00714 -> 3.03571 (+0.528 standard errors)" in told
    assert "omega" not in told


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("prog.py", "def g(x):", "# of the sensor\n\n\ndef g(x):  # linear"),
        ("prog.py", "return level * x", "y = level * x\n    return y"),
        ("test_it.py", "(1.0, 2.9), (2.0, 6.1)", "(2.0, 6.1), (1.0, 2.9)"),
    ],
)
def test_what_computes_the_same_is_no_change(fitted, file, old, new):
    edit(fitted, file, old, new)
    status, told = look(fitted)
    assert status == 0
    assert "current" in told
    assert "stale " not in told


def test_another_name_is_told_and_passes(fitted):
    edit(fitted, "test_it.py", "def test_g", "def test_gain")
    status, told = look(fitted)
    assert status == 0
    assert "note test_it.py::test_gain was test_it.py::test_g" in told
    fitted.fit()
    assert list(json.loads(fitted.store("prog").read_text())["tests"]) == [
        "test_it.py::test_f",
        "test_it.py::test_gain",
    ]
    assert "note" not in look(fitted)[1].replace("note no threshold", "")


def test_a_refit_touches_what_changed(fitted):
    omega, lines = fitted.value("omega", "prog"), fitted.store("prog").read_text().splitlines()
    edit(fitted, "test_it.py", "(2.0, 6.1)", "(2.0, 6.3)")
    result = fitted.fit()
    result.stdout.fnmatch_lines(["changed  test_it.py::test_g has other numbers in 1 of 3 cases*"])
    assert fitted.value("omega", "prog") == omega
    assert fitted.value("level", "prog") == pytest.approx(42.5 / 14)
    now = fitted.store("prog").read_text().splitlines()
    moved = [line for line, before in zip(now, lines, strict=True) if line != before]
    assert len(moved) == 2  # the value of level, and the line of test_g
    assert look(fitted)[0] == 0


def test_a_part_of_the_suite(fitted):
    edit(fitted, "test_it.py", "(2.0, 6.1)", "(2.0, 6.3)")
    status, told = look(fitted, "-k", "test_f")
    assert status == 0
    assert "current all is as it was fitted: 12 tests of 1 function" in told
    assert look(fitted, "-k", "2.9")[0] == 0
    assert look(fitted, "-k", "6.3")[0] == 1
    fitted.fit("-k", "test_f")
    assert look(fitted)[0] == 1


def test_workers_say_the_same(fitted):
    edit(fitted, "prog.py", "level * x", "level * x + 0.5")
    result = fitted.apart("--soft-check=stale", "-n", "2", "--soft-json=run.json")
    assert result.ret == 1
    data = json.loads((fitted.path / "run.json").read_text())
    assert data["staleness"]["changes"] == [
        {
            "what": "test_it.py::test_g",
            "how": "computes something else",
            "params": ["level"],
            "stale": True,
        }
    ]
    assert data["verdict"]["reasons"] == ["the fit is stale: 1 change since"]
    (move,) = data["staleness"]["moves"]
    assert move["new"] == pytest.approx(39.1 / 14)


def test_paths_that_depend_on_the_values(project):
    project.write("prog.py", PROGRAM)
    project.write(
        "test_it.py",
        """
        from pytest_soft import soft_test
        from prog import level

        @soft_test
        def test_it():
            distance = level - 3.5 if level > 3 else 2 * (level - 3.25)
            return distance ** 2 + 0.1
        """,
    )
    project.fit()
    assert project.value("level", "prog") == pytest.approx(3.5)
    assert look(project)[0] == 0


def test_numbers_that_are_drawn_anew(project):
    project.write("prog.py", PROGRAM)
    project.write(
        "test_it.py",
        """
        import numpy as np
        from pytest_soft import soft_test
        from prog import level

        @soft_test
        def test_it():
            return (level - 3 + 1e-3 * np.random.default_rng().normal()) ** 2
        """,
    )
    project.fit("--soft-max-steps=3")
    status, told = look(project)
    assert status == 0
    assert "computes with other numbers each time, so a change of it cannot be noticed" in told


def test_a_loss_that_is_no_sum_of_squares(project):
    project.write("prog.py", PROGRAM)
    test = """
        import numpy as np
        from pytest_soft import soft_test
        from prog import level

        @soft_test
        def test_it():
            return np.cosh(level - 3.0) - 1
    """
    project.write("test_it.py", test)
    project.fit()
    edit(project, "test_it.py", "3.0", "3.1")
    status, told = look(project)
    assert status == 1
    assert "refit would take about 0.00499 off the loss 0.00500417 of what it touches" in told
    assert "level 3 -> 3.0996" in told


def test_without_a_fit_nothing_is_known(project):
    project.write("prog.py", PROGRAM)
    project.write("test_it.py", TESTS)
    status, told = look(project)
    assert status == 1
    assert "nothing tells what was fitted: pytest --soft-fit keeps it in the store" in told


def test_a_test_that_cannot_be_traced_says_so(fitted):
    edit(fitted, "prog.py", "return level * x", "return float(level) * x")
    status, told = look(fitted)
    assert status == 1
    assert "test_it.py::test_g[1.0-2.9] failed while it was traced: " in told
    assert "float() would take a traced value off the tape" in told
    assert "prog.py:12: return float(level) * x" in told
    assert "test_g[2.0-6.1] failed" not in told  # for the same reason


def test_the_plain_values_are_checked(fitted):
    """A look moves nothing: neither in the store nor in this process."""
    before = fitted.files()
    edit(fitted, "test_it.py", "(2.0, 6.1)", "(2.0, 6.3)")
    plain = fitted.check().stdout.str().partition("total loss ")[2].split()[0]
    assert f"total loss {plain}" in look(fitted)[1]
    assert fitted.files() == before


def test_a_folder_with_brackets(project):
    project.write("a[1]/prog.py", PROGRAM)
    project.write("a[1]/test_it.py", TESTS)
    assert project.fit().ret == 0
    tests = json.loads((project.path / "a[1]" / "prog.soft.json").read_text())["tests"]
    assert list(tests) == ["a[1]/test_it.py::test_f", "a[1]/test_it.py::test_g"]
    assert look(project)[0] == 0


# ---- what a plain check sees


def test_a_check_sees_declarations(fitted):
    edit(fitted, "prog.py", "bounds=(0, 5)", 'scale="log"')
    result = fitted.apart()
    assert result.ret == 0
    told = " ".join(result.stdout.str().split())
    how = "is declared with log scale, at the last fit with bounds 0.0 to 5.0"
    assert f"stale level {how}" in told


def test_a_check_sees_tests_that_are_gone(fitted):
    edit(fitted, "test_it.py", "def test_g", "def helper")
    result = fitted.check()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["stale    test_it.py::test_g was part of the last fit, and is*"])
    result = fitted.check("-k", "0.0")
    result.stdout.no_fnmatch_line("stale *")


def test_a_check_of_a_current_fit_is_quiet(fitted):
    for options in ([], ["-k", "2.9"], ["test_it.py::test_f"]):
        result = fitted.check(*options)
        result.stdout.no_fnmatch_line("stale *")
        result.stdout.no_fnmatch_line("current *")


# ---- entries that nothing declares


def test_an_entry_that_no_param_takes(fitted):
    edit(fitted, "prog.py", "level", "height")
    result = fitted.apart("--soft-fit")
    told = " ".join(result.stdout.str().split())
    assert "prog.soft.json has a value of 'level', but no Param of prog.py is called so" in told
    assert "--soft-prune removes it" in told
    assert set(fitted.entries("prog")) == {"omega", "level", "height"}
    result = fitted.apart("--soft-fit", "--soft-prune")
    assert "it is removed" in " ".join(result.stdout.str().split())
    assert set(fitted.entries("prog")) == {"omega", "height"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--soft-prune"], "--soft-prune needs --soft-fit: a check changes no store"),
        (["--soft-check=fresh"], "soft_check is 'fresh': it must be one of stale"),
    ],
)
def test_options_that_make_no_sense(fitted, options, told):
    result = fitted.check(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert told in " ".join(result.stderr.str().split())


def test_a_test_that_left_a_store_is_no_part_of_it(project):
    for name in ("one", "two"):
        project.write(f"{name}.py", f"from softtape import Param\n{name} = Param(1.0)")
    project.write(
        "test_it.py",
        """
        from pytest_soft import soft_test
        from one import one
        from two import two

        @soft_test
        def test_both():
            return (one - 3) ** 2 + (two - 2) ** 2

        @soft_test
        def test_two():
            return (two - 2) ** 2
        """,
    )
    assert project.fit().ret == 0
    edit(project, "test_it.py", "(one - 3) ** 2 + (two - 2) ** 2", "(one - 4) ** 2")
    assert project.fit().ret == 0
    status, told = look(project)
    assert status == 0, told


def test_one_case_of_several_paths(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import Param, soft_test

        rate = Param(1.0)

        @soft_test
        @pytest.mark.parametrize("n", [1, 2, 3])
        def test_it(n):
            return (sum(rate for _ in range(n)) - n * 2) ** 2
        """,
    )
    assert project.fit().ret == 0
    status, told = look(project, "test_it.py::test_it[2]")
    assert status == 0, told
    edit(project, "test_it.py", "n * 2)", "n * 2) * rate")
    status, told = look(project, "test_it.py::test_it[2]")
    assert status == 1
    assert "test_it.py::test_it computes something else" in told


def test_a_quiet_run_names_what_failed_it(fitted):
    edit(fitted, "test_it.py", "(2.0, 6.1)", "(2.0, 6.3)")
    result = fitted.check("--soft-check=stale", "-q")
    assert "  test_it.py::test_g has other numbers in 1 of 3 cases" in result.stdout.str()


def test_the_last_failed_are_a_part_of_the_suite(fitted):
    edit(fitted, "test_it.py", "@soft_test", "@soft_test(threshold=1e-2)")

    def run(*options):
        result = fitted.pytester.runpytest_inprocess("-p", "no:hypothesispytest", *options)
        return result.stdout.str()

    assert "1 failed, 14 passed" in run()
    assert "gone" not in run("--lf")
    assert "current  all is as it was fitted: 1 test" in run("--lf", "--soft-check=stale")
