"""Every bad input has its message, and none harms a store."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

STORE = (
    '{\n  "format": "pytest-soft",\n  "version": 1,\n  "params": {\n'
    '    "other": {"start": 0.0, "value": 7.25},\n'
    '    "rate": {"start": 1.0, "value": 1.25}\n  }\n}\n'
)
PROGRAM = """
    import numpy as np
    from softtape import Param

    rate = Param(1.0)

    def f(x):
        return np.exp(-rate * x)
"""
TEST = """
    from math import sin
    import numpy as np
    import pytest
    from pytest_soft import soft_test
    import prog

    @soft_test
    def test_it():
        return {}
"""
GOOD = "(prog.f(1.0) - 0.3) ** 2"


def two_tests(returned, returned_too):
    """Return the text of test_it and of test_two."""
    second = TEST[TEST.index("    @") :].replace("test_it", "test_two")
    return TEST.format(returned) + second.format(returned_too)


@pytest.fixture
def prog(project):
    """Return a project whose store holds 1.25 for its blank, and an entry of nobody's."""
    project.write("prog.py", PROGRAM)
    project.write("test_it.py", TEST.format(GOOD))
    project.store("prog").write_text(STORE)
    return project


def refused(project, *lines, args=(), ret=1, run=None):
    """Fit; expect these lines, the exit status, FAILED, and every store as it was."""
    before = project.files()
    result = (run or project.fit)(*args)
    if lines:
        result.stdout.fnmatch_lines([line.replace("[", "[[]") for line in lines])
    assert result.ret == ret
    assert project.files() == before
    result.stdout.no_fnmatch_line("PASSED  *")
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.no_fnmatch_line("stored * in *")
    return result


# ---- nothing to fit


def test_no_soft_tests(prog):
    prog.write("test_it.py", "def test_it(): pass")
    refused(
        prog,
        "FAILED  0 soft tests",
        "  no soft test",
        "no soft test:",
        "  no soft test was selected, so there is nothing to fit. Mark a test function*",
    )


def test_no_tests_at_all(prog):
    prog.path.joinpath("test_it.py").unlink()
    refused(prog, "FAILED  0 soft tests")


def test_no_soft_test_selected(prog):
    result = refused(prog, "FAILED  0 soft tests", args=("-k", "nothing"))
    result.assert_outcomes(deselected=1)


def test_all_skipped(prog):
    prog.write("test_it.py", TEST.replace("@soft_test", '@pytest.mark.skip("x")\n    @soft_test'))
    refused(prog, "  all soft tests were skipped or are expected to fail")


def test_no_param_reached(prog):
    prog.write("test_it.py", TEST.format("0.5"))
    refused(
        prog,
        "  no Param",
        "no Param:",
        "  no soft test reaches a Param, so there is nothing to fill in. Mark a value*",
    )


def test_param_that_no_test_reaches_is_a_note(prog):
    prog.write("prog.py", PROGRAM + "\n    other = Param(0.0)\n    lonely = Param(2.0)\n")
    result = prog.apart("-p", "no:xdist", "--soft-fit")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["note     reached by no selected soft test: other (prog.py), lonely (prog.py)"]
    )
    assert prog.value("other", "prog") == 7.25


# ---- tests that cannot be traced


def test_a_test_that_raises(prog):
    bad = "\n    def bad(x):\n        raise ValueError('too big: %s' % x)\n"
    prog.write("prog.py", PROGRAM + bad)
    prog.write("test_it.py", two_tests("prog.bad(prog.rate)", GOOD))
    refused(
        prog,
        "  test_it.py::test_it failed while it was traced",
        "test_it.py::test_it failed while it was traced:",
        "*return prog.bad(prog.rate)",
        "*raise ValueError('too big: %s' % x)",
        "*E       ValueError: too big: 1.25",
        "*prog.py:11: ValueError",
    )


def test_every_test_that_raises_is_named(prog):
    prog.write("test_it.py", two_tests("1 / 0", "[][0]"))
    result = refused(prog, "test_it.py::test_it failed*:", "*E *ZeroDivisionError*")
    result.stdout.fnmatch_lines(["test_it.py::test_two failed*:", "*E *IndexError*"])


def test_an_error_in_a_fixture(prog):
    prog.write(
        "test_it.py",
        TEST.replace("test_it()", "test_it(broken)").format(GOOD)
        + "\n    @pytest.fixture\n    def broken():\n        raise OSError('no data')\n",
    )
    refused(prog, "test_it.py::test_it failed while it was traced:", "*E *OSError: no data")


@pytest.mark.parametrize(
    ("returned", "value", "where"),
    [
        ("np.log(prog.rate - 2) * 2", "nan", "first seen in log(-0.75) at test_it.py:10: return*"),
        ("np.float64(1) / (prog.rate - 1.25)", "inf", "first seen in divide(1, 0) at test_*:10: *"),
        ("{'a': prog.rate, 'b': np.exp(prog.rate * 1e4)}", "inf", "first seen in exp(12500) at *"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_not_finite_at_the_start(prog, returned, value, where):
    prog.write("test_it.py", TEST.format(returned))
    part = "the loss['b'] is" if "'b'" in returned else "the loss is"
    refused(
        prog,
        "the loss of test_it.py::test_it is not finite at the start:",
        f"  {part} {value}",
        f"  {where}",
        "  with rate = 1.25",
    )


@pytest.mark.filterwarnings("ignore")
def test_not_finite_in_the_program_names_the_case(prog):
    prog.write("prog.py", PROGRAM + "\n    def g(x):\n        return np.sqrt(x - rate)\n")
    prog.write(
        "test_it.py",
        TEST.replace("@soft_test", '@soft_test\n    @pytest.mark.parametrize("x", [2.0, 1.0])')
        .replace("test_it()", "test_it(x)")
        .format("prog.g(x)"),
    )
    refused(
        prog,
        "the loss of test_it.py::test_it[1.0] is not finite at the start:",
        "  first seen in sqrt(-0.25) at prog.py:11: return np.sqrt(x - rate)",
    )


@pytest.mark.parametrize(
    "optimizer", ["auto", "lbfgs", "newton-cg", "momentum", "adam", "gradient-descent"]
)
@pytest.mark.filterwarnings("ignore")
def test_not_finite_wherever_a_step_leads_names_the_case(prog, optimizer):
    prog.write(
        "test_it.py",
        """
        import numpy as np
        import pytest
        from pytest_soft import soft_test
        import prog

        @soft_test
        @pytest.mark.parametrize("x", [1.0, 2.0])
        def test_it(x):
            wall = np.where(prog.rate < 1.2, -1.0, 1.0)
            return (x * prog.rate) ** 2 + 0.0 * np.sqrt(wall)
        """,
    )
    result = prog.fit(f"--soft-optimizer={optimizer}")
    said = " ".join(result.stdout.str().split())
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "the fit failed; the best point so far is kept: the loss of test_it.py::test_it[" in said
    assert "] was nan at the last trial point that failed first seen in sqrt(-1) at test_it" in said
    assert "py:11: return" in said
    assert "with rate = " in said
    assert 1.2 <= prog.value("rate", "prog") < 1.2001


@pytest.mark.parametrize("optimizer", ["lbfgs", "gradient-descent"])
@pytest.mark.filterwarnings("ignore")
def test_no_failure_at_a_kink_though_a_step_was_too_long(prog, optimizer):
    prog.write(
        "test_it.py",
        TEST.format("abs(prog.rate - 0.5) + 0.0 * np.sqrt(prog.rate - 0.4)"),
    )
    result = prog.fit(f"--soft-optimizer={optimizer}")
    result.stdout.fnmatch_lines(["PASSED  1 soft test*"])
    assert prog.value("rate", "prog") == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("float(prog.rate)", "float() would take a traced value off the tape*"),
        ("sin(prog.rate)", "sin would take a traced value off*Use np.sin*"),
        ("complex(prog.rate).real", "complex() would take a traced value off*"),
        ("{prog.rate * 1: 2}", "hash() *would take a traced value off*"),
    ],
)
def test_leaving_the_tape(prog, returned, message):
    prog.write("test_it.py", TEST.format(returned))
    result = refused(
        prog,
        "test_it.py::test_it failed while it was traced:",
        f"*E *TraceError: test_it.py:10: return {returned}",
        f"*E *{message}",
    )
    result.stdout.no_fnmatch_line("*def __*")  # the user's lines alone


def test_assignment_into_a_plain_array(prog):
    prog.write(
        "prog.py",
        PROGRAM
        + """
    OUT = np.zeros(3)

    def g():
        OUT[0] = rate * 2
        return OUT.sum()
    """,
    )
    prog.write("test_it.py", TEST.format("prog.g()"))
    refused(
        prog,
        "*E *TraceError: prog.py:13: OUT[0] = rate * 2",
        "*E *assigning into a plain array would take a traced value off the tape*np.array(x)*",
    )


# ---- Params that are read too early


@pytest.mark.parametrize("line", ["K = np.log(2) / rate", "K = 2 * rate", "K = float(rate)"])
def test_read_at_import_time(prog, line):
    prog.write("prog.py", PROGRAM + f"\n    {line}\n")
    result = refused(
        prog,
        f"E   softtape.errors.ParamError: prog.py:10: {line}",
        "E   The Param declared at prog.py:5 is read while test files are imported and*",
        ret=2,
    )
    result.stdout.fnmatch_lines(["*function that the test calls, declare the Param frozen=True*"])
    assert prog.check().ret == 0


def test_read_in_conftest(prog):
    prog.write("conftest.py", "import prog\nK = prog.rate * 2\n")
    before = prog.files()
    result = prog.fit()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*ParamError: conftest.py:2: K = prog.rate * 2"])
    assert prog.files() == before


def test_read_in_parametrize_arguments(prog):
    prog.write(
        "test_it.py",
        TEST.replace("@soft_test", '@soft_test\n    @pytest.mark.parametrize("x", [prog.rate * 2])')
        .replace("test_it()", "test_it(x)")
        .format("x"),
    )
    refused(prog, "E   softtape.errors.ParamError: test_it.py:9: @pytest.mark.parametrize*", ret=2)


@pytest.mark.parametrize("scope", ["session", "package", "module", "class"])
def test_read_in_a_fixture_of_wider_scope(prog, scope):
    prog.write(
        "test_it.py",
        TEST.replace("test_it()", "test_it(decay)").format("(decay - 0.3) ** 2")
        + f"""
    @pytest.fixture(scope="{scope}")
    def decay():
        return prog.f(1.0)
    """,
    )
    refused(
        prog,
        "test_it.py::test_it failed while it was traced:",
        "*E *ParamError: prog.py:8: return np.exp(-rate * x)",
        f"*E *is read in the {scope}-scoped fixture 'decay', which is kept for several tests*",
    )
    assert prog.check().ret == 0


def test_kept_in_a_cache(prog):
    prog.write(
        "prog.py",
        PROGRAM
        + """
    import functools

    @functools.cache
    def g():
        return rate * 2
    """,
    )
    prog.write("test_it.py", two_tests("prog.g()", "prog.g()"))
    refused(
        prog,
        "test_it.py::test_two failed while it was traced:",
        "  the soft test returned a traced value that outlived the run it belongs to (kept in a*",
    )


# ---- names


def test_two_params_with_one_name(prog):
    prog.write("prog.py", PROGRAM + '\n    twin = Param(2.0, name="rate")\n')
    prog.write("test_it.py", TEST.format("prog.rate * prog.twin"))
    refused(
        prog,
        "*E *ParamError: prog.py:5: the name 'rate' is already that of the Param declared at *",
    )


def test_param_without_a_name(prog):
    made = "\n    def make():\n        return Param(2.0)\n\n    made = {make()}\n"
    prog.write("prog.py", PROGRAM + made)
    prog.write("test_it.py", TEST.format("sum(prog.made)"))
    refused(prog, "*E *ParamError: prog.py:11: this Param has no name. Assign it to a global*")


def test_param_made_while_a_test_runs(prog):
    prog.write("prog.py", PROGRAM + '\n    def made():\n        return Param(2.0, name="made")\n')
    prog.write("test_it.py", TEST.format("(prog.made() - 1.0) ** 2"))
    refused(
        prog, "a Param is gone:", "  *prog.py::made: made while a test ran, and gone with it. *"
    )


# ---- the store

BROKEN = {
    "garbage": ("not json", "is not valid JSON at line 1"),
    "truncated": (STORE[:90], "is not valid JSON"),
    "empty": ("", "is not valid JSON"),
    "version": (STORE.replace('"version": 1', '"version": 99'), "written by a newer pytest-soft"),
    "format": (STORE.replace("pytest-soft", "other"), "is not a store"),
    "nan": (STORE.replace("1.25", "NaN"), "holds NaN, which is no finite number"),
    "text": (STORE.replace("1.25", '"1.25"'), 'Param "rate": value is a string, not a number'),
    "shape": (STORE.replace("1.25", "[1.0, 2.0]"), "the stored value of rate has shape (2,), not"),
    "merge": ("<<<<<<< HEAD\n" + STORE, "has an unresolved merge conflict at line 1"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("fit", [False, True], ids=["check", "fit"])
def test_broken_stores(prog, name, fit):
    text, message = BROKEN[name]
    prog.store("prog").write_text(text)
    before = prog.files()
    result = prog.fit() if fit else prog.check()
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"*E *StoreError: *prog.soft.json: *{message}*"])
    result.stdout.fnmatch_lines(["FAILED  1 soft test*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    assert prog.files() == before


def test_stored_value_outside_its_bounds(prog):
    prog.write("prog.py", PROGRAM.replace("Param(1.0)", "Param(1.0, bounds=(0, 1.2))"))
    refused(prog, "*E *StoreError: *prog.soft.json: the stored value of rate is outside the *")


@pytest.mark.parametrize("args", [(), ("--soft-dry-run",)])
def test_read_only_store(prog, args):
    prog.store("prog").chmod(0o444)
    result = prog.fit(*args)
    assert prog.store("prog").read_text() == STORE
    if args:
        assert result.ret == 0
        return
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "FAILED  1 soft test*",
            "  the fitted values could not be stored",
            "the fitted values could not be stored:",
            "  *prog.soft.json: is read-only; make it writable (chmod u+w) to store the fit",
            "  rate = 1.20*",
        ]
    )


def test_read_only_folder(prog):
    prog.store("prog").unlink()
    prog.path.chmod(0o555)
    try:
        result = prog.fit()
    finally:
        prog.path.chmod(0o755)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["  *prog.soft.json: its folder * is read-only*", "  rate = 1.20*"])
    assert prog.files() == {}


# ---- while it fits


def test_exception_at_a_trial_point_only(prog):
    prog.write(
        "prog.py",
        """
        import numpy as np
        from softtape import Param

        rate = Param(1.0)

        def f(x):
            if rate > 1.5:
                raise ValueError("rate is too large")
            return rate * x
        """,
    )
    prog.write("test_it.py", TEST.format("np.cosh(prog.f(1.0) - 1.45) ** 9"))
    result = prog.fit("--soft-optimizer=gradient-descent")
    assert result.ret == 0
    assert prog.value("rate", "prog") == pytest.approx(1.45, abs=1e-4)


def test_exception_wherever_the_minimum_is(prog):
    prog.write(
        "prog.py",
        """
        from softtape import Param

        rate = Param(1.0)

        def f():
            if rate > 1.5:
                raise ValueError("rate is too large")
            return rate
        """,
    )
    prog.write("test_it.py", TEST.format("np.exp(-prog.f())"))
    result = prog.fit()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert 1.45 < prog.value("rate", "prog") <= 1.5
    told = " ".join(result.stdout.str().split())
    assert "the fit failed; the best point so far is kept: the last trial point could not" in told
    assert "with rate = 1.5" in told
    assert "note some trial points could not be evaluated, the last because test_it.py" in told
    assert "test_it.py::test_it: ValueError: rate is too large (prog.py:8: ValueError)" in told


def test_check_after_a_failed_fit_runs_on_stored_values(prog):
    prog.write(
        "test_it.py",
        TEST.format("(prog.rate - 3) ** 2 if prog.rate < 2 else np.cosh(prog.rate - 3)")
        + "\n    def test_stored():\n        assert prog.rate == 1.25\n",
    )
    result = refused(
        prog, "*'lm' needs every loss to be a sum of squares*", args=("--soft-optimizer=lm",)
    )
    result.assert_outcomes(passed=2)


def test_a_test_with_unseeded_noise(prog):
    prog.write("test_it.py", TEST.format("(prog.rate - np.random.rand()) ** 2 + 1"))
    result = prog.fit()
    assert result.ret == 0
    told = " ".join(result.stdout.str().split())
    assert "test_it.py::test_it gives another loss each time it runs, at the same Params: " in told
    assert "error of ours" not in told


def test_a_test_that_remembers_its_first_run(prog):
    prog.write(
        "test_it.py",
        TEST.format("(prog.rate - len(RUNS)) ** 2 + 1")
        + """
    RUNS = []

    @pytest.fixture(autouse=True)
    def count():
        RUNS.append(1)
        del RUNS[2:]
    """,
    )
    told = " ".join(prog.fit().stdout.str().split())
    assert "test_it.py::test_it gives another loss each time it runs" in told
    assert "error of ours" not in told


def test_a_test_that_takes_random_paths(prog):
    prog.write(
        "test_it.py",
        TEST.format("(prog.rate - 2) ** 2 if prog.rate > DRAW.random() else 3 + prog.rate")
        + "\n    DRAW = np.random.default_rng(1)\n",
    )
    result = prog.fit("--soft-max-steps=20", "--soft-seed=1")
    assert result.ret in (0, 1)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.fnmatch_lines(["[PF]A*ED  1 soft test*"])


# ---- Ctrl-C

SLOW = """
    import time
    from softtape import Param

    rate = Param(0.0)
    calls = 0

    def f():
        global calls
        calls += 1
        if rate > 0.001 * int(1000 * rate):     # another path at every point
            pass
        {}
        return rate
"""
SLOW_TEST = "(prog.f() - 3) ** 4"
MOVING = "if calls == 6: open('moving', 'w').close(), time.sleep(60)"  # until Ctrl-C


def test_keyboard_interrupt_from_the_program(project):
    project.write("prog.py", SLOW.format("if calls >= 6: raise KeyboardInterrupt"))
    project.write("test_it.py", TEST.format(SLOW_TEST))
    result = project.apart("-p", "no:xdist", "--soft-fit", "--soft-optimizer=gradient-descent")
    assert result.ret == 2
    assert 0 < project.value("rate", "prog") < 3
    result.stdout.fnmatch_lines(
        [
            "INTERRUPTED  fit of 1 soft test, total loss *, not checked",
            "fit      stopped: interrupted from the keyboard",
            "Params   rate  0 -> *",
            "stored   in prog.soft.json",
        ]
    )
    result.stdout.fnmatch_lines(["!*! Interrupted: the fit was stopped from the keyboard !*!"])
    assert "fitting.py" not in result.stdout.str()


def test_keyboard_interrupt_while_the_suite_is_traced(prog):
    prog.write("prog.py", PROGRAM + "\n    def g():\n        raise KeyboardInterrupt\n")
    prog.write("test_it.py", TEST.format("prog.rate + prog.g()"))
    before = prog.files()
    result = prog.apart("-p", "no:xdist", "--soft-fit")
    assert result.ret == 2
    assert prog.files() == before
    assert "soft tests" not in result.stdout.str()


def test_keyboard_interrupt_while_tests_are_collected(prog):
    prog.write("test_it.py", TEST.format(GOOD) + "\n    raise KeyboardInterrupt")
    result = prog.apart("-p", "no:xdist", "--soft-fit")
    assert result.ret == 2
    assert "KeyboardInterrupt" in result.stdout.str()
    assert "0 soft tests" not in result.stdout.str()


def test_a_real_sigint(project):
    project.write("prog.py", SLOW.format(MOVING))
    project.write("test_it.py", TEST.format(SLOW_TEST))
    command = [sys.executable, "-m", "pytest", "--soft-fit", "--soft-optimizer=gradient-descent"]
    command += ["-p", "no:xdist", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
    with subprocess.Popen(command, cwd=project.path, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not (project.path / "moving").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "stopped: interrupted from the keyboard" in output
    assert "stored   in prog.soft.json" in output
    assert 0 < project.value("rate", "prog") < 3


def test_a_real_sigint_to_workers(project):
    project.write("prog.py", SLOW.format(MOVING))
    project.write("test_it.py", TEST.format(SLOW_TEST))
    command = [sys.executable, "-m", "pytest", "--soft-fit", "--soft-optimizer=gradient-descent"]
    command += ["-n", "2", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
    with subprocess.Popen(
        command, cwd=project.path, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 30
        while not (project.path / "moving").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "INTERRUPTED  fit of 1 soft test, total loss" in output
    assert "stopped: interrupted from the keyboard" in output
    assert "stored   in prog.soft.json" in output
    assert 0 < project.value("rate", "prog") < 3


def test_nothing_is_left_beside_the_store(prog):
    prog.fit()
    assert sorted(p.name for p in prog.path.iterdir() if "soft" in p.name) == ["prog.soft.json"]
    assert json.loads(prog.store("prog").read_text())["params"]["other"]["value"] == 7.25


@pytest.mark.parametrize("run", ["check", "fit"])
@pytest.mark.parametrize("fault", ["name", "store"])
def test_tracebacks_of_params_end_in_the_users_code(prog, fault, run):
    if fault == "name":
        prog.write("prog.py", PROGRAM + "\n    unnamed = {Param(2.0)}\n")
        prog.write("test_it.py", TEST.format("sum(prog.unnamed)"))
    else:
        prog.store("prog").write_text("not json")
    result = getattr(prog, run)("-W", "error")
    result.stdout.fnmatch_lines(["*E *Error: *prog.*"])
    text = result.stdout.str()
    assert "softtape/" not in text
    assert "def starting_value" not in text
    assert "JSONDecodeError" not in text


@pytest.mark.parametrize("returned", ["prog.f(1.0)", "None"])
def test_failures_without_a_traceback_do_not_speak_of_one(prog, returned):
    text = TEST.replace("@soft_test", "@soft_test(threshold=1e-9)").format(returned)
    prog.write("test_it.py", text)
    result = prog.check()
    assert result.ret == 1
    assert "hidden" not in result.stdout.str()


def test_an_option_that_is_none_is_told_by_the_line_of_its_decorator(prog):
    prog.write("test_it.py", TEST.replace("@soft_test", "@soft_test(weight=-1)").format("0.0"))
    result = prog.check()
    result.stdout.fnmatch_lines(["test_it.py:*", "E   ValueError: soft_test(weight=-1*"])
    assert "read_options" not in result.stdout.str()


def test_tracebacks_end_in_the_users_code(prog):
    prog.write(
        "test_it.py", two_tests("1 / (prog.rate - 1.25)", "np.packbits(prog.rate * np.ones(1))")
    )
    result = refused(prog, "*E *ZeroDivisionError: float division by zero", "*E *TraceError: *")
    assert "softtape/" not in result.stdout.str()


@pytest.mark.parametrize(
    "returned",
    [
        "(1.0 if prog.rate > 0.5 else 0.0) + 1.0",
        "(round(prog.rate) - 5) ** 2",
        'float(f"{prog.rate}") ** 2',
    ],
)
def test_a_param_without_a_slope_is_named(prog, returned):
    prog.write("test_it.py", TEST.format(returned))
    result = prog.fit()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["note     the total loss has no slope in rate: a fit *"])
    assert prog.value("rate", "prog") == 1.25


def test_a_param_at_its_optimum_is_not_called_without_a_slope(prog):
    for returned in (GOOD, GOOD):
        prog.write("test_it.py", TEST.format(returned))
        assert "no slope" not in prog.fit().stdout.str()


def test_a_param_between_two_targets_is_not_called_without_a_slope(prog):
    prog.write("test_it.py", two_tests("(prog.rate - 1.0) ** 2", "(prog.rate - 3.0) ** 2"))
    for _ in range(2):  # the second fit begins where the derivative is exactly zero
        assert "no slope" not in prog.fit().stdout.str()


@pytest.mark.parametrize(
    "line", ["assert rate * 2 == pytest.approx(2.0)", "return rate == pytest.approx([2.0])"]
)
def test_approx_is_no_loss(project, line):
    project.write(
        "test_it.py",
        f"""
        import pytest
        from pytest_soft import Param, soft_test

        rate = Param(1.0)

        @soft_test
        def test_it():
            {line}
            return (rate - 2) ** 2
        """,
    )
    result = project.fit()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [f"*test_it.py:9: {line.replace('[', '[[]')}", "*Return a distance as the loss, such as*"]
    )


@pytest.mark.parametrize("args", [(), ("--soft-restarts=2",), ("--soft-optimizer=newton-cg",)])
def test_a_loss_without_a_minimum_fails_and_moves_nothing(project, args):
    project.write(
        "test_it.py",
        """
        from pytest_soft import Param, soft_test

        a = Param(1.0)

        @soft_test
        def test_it():
            return -a
        """,
    )
    result = project.fit(*args)
    assert result.ret == 1
    assert project.files() == {}
    told = " ".join(result.stdout.str().split())
    assert "FAILED 1 soft test, total loss -1 -> -1 " in told
    assert "fit failed: the total loss falls as far as one looks: it has no minimum" in told
    assert "A loss needs a lower bound: return a distance, such as a square, or give the" in told
