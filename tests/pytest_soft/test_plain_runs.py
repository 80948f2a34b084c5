"""What the plugin does to runs that have nothing to do with it, and how it looks in others."""

import os
import re
import subprocess
import sys

import pytest

PLAIN = """
    import pytest

    @pytest.mark.parametrize("i", range(3))
    def test_it(i):
        assert i < 2
"""


@pytest.fixture
def plain(project):
    project.write("test_it.py", PLAIN)
    return project


@pytest.mark.parametrize("args", [(), ("-q",), ("-v",), ("-rA",), ("--tb=line",)])
def test_nothing_is_printed(plain, args):
    def lines(*more):
        result = plain.check(*args, *more)
        assert result.ret == 1
        text = re.sub(r"\d+\.\d\ds", "", result.stdout.str())
        return [line for line in text.splitlines() if not line.startswith("plugins:")]

    assert lines() == lines("-p", "no:soft")
    assert "soft" not in "\n".join(lines()).replace(str(plain.path), "").replace("pytest_soft", "")


@pytest.mark.parametrize("body", [PLAIN, "", "from pytest_soft import soft_test"])
def test_neither_numpy_nor_softtape_is_imported(project, body):
    project.write("test_it.py", body)
    result = project.pytester.run(
        sys.executable, "-X", "importtime", "-m", "pytest", "-p", "no:hypothesispytest"
    )
    imported = {line.rpartition("|")[2].strip() for line in result.errlines if "|" in line}
    assert "pytest_soft.collect" in imported
    roots = {name.partition(".")[0] for name in imported}
    assert not roots & {"numpy", "softtape", "scipy"}


def test_a_soft_test_of_plain_floats_needs_no_numpy(project):
    project.write(
        "test_it.py",
        """
        import sys
        from pytest_soft import soft_test

        @soft_test
        def test_it():
            return 1.0

        def test_no_numpy():
            assert "numpy" not in sys.modules
        """,
    )
    assert project.apart("-p", "no:xdist").ret == 0


def test_disabled_plugin(sine):
    result = sine.check("-p", "no:soft", "-W", "ignore")
    ran = result.parseoutcomes()  # pytest 8.4 fails a test that returns something, others warn
    assert ran.get("passed", 0) + ran.get("failed", 0) == 21
    result.stdout.no_fnmatch_line("*= soft =*")
    result = sine.check("-p", "no:soft", "--soft-fit")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unrecognized arguments: --soft-fit*"])


def test_help(plain):
    result = plain.check("--help")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["soft tests: tests that return a loss:"])
    text = result.stdout.str()
    for option in ("fit", "dry-run", "threshold", "optimizer", "max-steps", "timeout", "seed"):
        assert f"--soft-{option}" in text
    for option in ("threshold", "optimizer", "max_steps", "timeout", "seed"):
        assert re.search(rf"^  soft_{option} \(\w+\):", text, re.M)


def test_the_mark_is_registered(plain):
    result = plain.check("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.soft_test(weight=1.0, threshold=None, *): a test *"])


def test_no_params_stay_sealed_after_a_run(sine):
    sine.fit()
    from softtape import reading

    assert reading.reader is None
    sine.write("conftest.py", "1 / 0")
    sine.fit()
    assert reading.reader is None


# ---- how it looks

LONG = """
    import pytest
    from pytest_soft import Param, soft_test

    a_blank_with_a_rather_long_name = Param(0.0)
    another = Param(1.0)

    @soft_test
    @pytest.mark.parametrize("x", [1.0, 2.0], ids=["a long id " * 9, "short"])
    def test_with_a_name_that_says_it_all(x):
        return (a_blank_with_a_rather_long_name - x) ** 2 + abs(another) ** 3
"""


def section(result):
    lines = result.outlines
    start = next(i for i, line in enumerate(lines) if re.fullmatch(r"=+ soft =+", line))
    end = next(i for i in range(start + 1, len(lines)) if lines[i].startswith("====="))
    return lines[start:end]


@pytest.mark.parametrize("columns", [60, 120])
def test_width(project, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    project.write("test_it.py", LONG)
    # in a process of its own: a nameless Param left by another test would be named by a long path
    lines = section(project.apart("--soft-fit", "--soft-threshold=3", "-v"))
    assert len(lines[0]) == columns
    assert max(len(line) for line in lines if "::" not in line) <= columns  # ids stay whole
    folded = " ".join("\n".join(lines[1:]).split())
    assert "worst" in folded
    assert re.search(r"\d+ steps?, \d+ evaluations.* by \w+ \(auto: .*\)", folded)


def test_colour(sine, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    result = sine.check("--color=yes")
    (line,) = [line for line in result.outlines if "21 soft tests" in line]
    assert line.startswith("\x1b[32m\x1b[1mPASSED  21 soft tests")
    result = sine.check("--color=yes", "--soft-threshold=0")
    (line,) = [line for line in result.outlines if "21 soft tests" in line]
    assert line.startswith("\x1b[31m\x1b[1mFAILED")


def test_no_colour(sine, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    result = sine.fit("--soft-threshold=1e-10")
    assert "\x1b" not in result.stdout.str()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
def test_live_line_on_a_terminal(project, monkeypatch):
    import pty

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("PY_COLORS", raising=False)
    project.write("test_it.py", LONG)
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "pytest", "--soft-fit", "-p", "no:hypothesispytest"]
    with subprocess.Popen(command, cwd=project.path, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        output = b""
        while True:
            try:
                read = os.read(controller, 4096)
            except OSError:
                break
            if not read:
                break
            output += read
    os.close(controller)
    assert process.returncode == 0
    text = output.decode()
    assert "\rsoft-fit: step 0, total loss" in text
    assert "\nsoft-fit: step" not in text


def test_a_small_fit_imports_what_it_needs(sine):
    done = sine.python("""
        import sys, pytest
        options = ["-p", "no:hypothesispytest", "--soft-fit", "--soft-threshold=1e-10"]
        assert pytest.main(options) == 0
        spared = ["numpy.ma", "numpy.random", "concurrent.futures.thread", "scipy", "numba"]
        spared += ["softtape.distributions", "softtape.points", "softtape.optimize.whole"]
        spared += [f"pytest_soft.{name}" for name in ("against", "asserts", "blame", "folds")]
        print("imported:", [name for name in spared if name in sys.modules])
    """)
    done.stdout.fnmatch_lines(["imported: [[][]]"])


def test_a_check_loads_nothing_that_records(sine):
    done = sine.python("""
        import sys, pytest
        assert pytest.main(["-p", "no:hypothesispytest"]) == 0
        assert "softtape.param" in sys.modules
        spared = ("softtape.tape", "softtape.ops", "softtape.optimize", "pytest_soft.summary")
        print("imported:", [name for name in spared if name in sys.modules])
    """)
    done.stdout.fnmatch_lines(["imported: [[][]]"])
