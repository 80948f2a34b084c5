"""Fitted values written into the source."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_soft.source import Declared, SourceError, rewritten, rounded

SOURCE = b'''\
"""A program, \xc3\xa0 la carte."""
import numpy as np
import softtape
from softtape import Param as P, stop_gradient

gain = P(1.0, bounds=(0, 10))  # the gain,   in V per m
loss = softtape.Param( -2 )
w = P(
    [1.0, 2.0,  # two
     -3.0],
)
blank = P(...)
pair = P(..., shape=(2,))
m = P(np.array([[1, 2], [3, 4]], float), name="m")
e = P(2 * 3)
a, b = P(1.0), P(2.0)
k = P(value=1.0)
big = P(np.zeros(99))


class Model:
    rate = P(0.5)
'''


def written(*params):
    new, reasons = rewritten(SOURCE, [Declared(*param) for param in params])
    before, after = (text.decode().splitlines() for text in (SOURCE, new))
    assert len(before) == len(after)
    return [a for b, a in zip(before, after, strict=True) if a != b], reasons


def test_only_the_numbers_change():
    lines, reasons = written(
        ("gain", 6, 1.0, 1.4999996),
        ("loss", 7, -2.0, 3.5),
        ("w", 8, np.array([1.0, 2.0, -3.0]), np.array([1.0, -2.5, 3e-9])),
        ("blank", 12, None, -1.5),
        ("pair", 13, None, np.array([0.1, 0.2])),
        ("m", 14, np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.5], [3.0, 4.0]])),
        ("Model.rate", 22, 0.5, 0.25),
    )
    assert reasons == {}
    assert lines == [
        "gain = P(1.4999996, bounds=(0, 10))  # the gain,   in V per m",
        "loss = softtape.Param( 3.5 )",
        "    [1.0, -2.5,  # two",
        "     3e-09],",
        "blank = P(-1.5)",
        "pair = P([0.1, 0.2])",
        'm = P(np.array([[1, 2.5], [3, 4]], float), name="m")',
        "    rate = P(0.25)",
    ]


def test_what_has_no_place_in_the_source_is_left_with_a_reason():
    lines, reasons = written(
        ("e", 15, 6.0, 7.0),
        ("a", 16, 1.0, 2.0),
        ("b", 16, 2.0, 3.0),
        ("k", 17, 1.0, 2.0),
        ("big", 18, np.zeros(99), np.ones(99)),
        ("gain", 6, 1.25, 2.0),
        ("gone", 5, 1.0, 2.0),
    )
    assert lines == []
    assert reasons == {
        "e": "its declared value is an expression, not a number or a list of numbers",
        "a": "line 16 does not declare one Param by itself",
        "b": "line 16 does not declare one Param by itself",
        "k": "its value is not the first argument",
        "big": "an array of 99 elements is too large to read",
        "gain": "the file changed since it was imported",
        "gone": "line 5 does not declare one Param by itself",
    }


def test_source_that_cannot_be_parsed_stays():
    with pytest.raises(SourceError, match="it cannot be parsed"):
        rewritten(b"gain = Param(1.0\n", [Declared("gain", 1, 1.0, 2.0)])


def test_line_ends_stay():
    new, _ = rewritten(b"x = 1\r\ngain = Param(1.0)\r\n", [Declared("gain", 2, 1.0, 2.0)])
    assert new == b"x = 1\r\ngain = Param(2.0)\r\n"


@pytest.mark.parametrize(
    ("value", "start", "error", "made"),
    [
        (1.4999996123, None, 1e-4, 1.5),
        (1.4996123, None, 2.3e-4, 1.499612),
        (123456.789, None, 12.3, 123456.8),
        (1.5e-7, None, 1e-9, 1.5e-7),
        (2 / 3, None, None, 0.666666667),
        (0.0, None, None, 0.0),
        (1.5000004, 1.5, 1e-4, 1.5),
        (1.50004, 1.5, 1e-3, 1.50004),
        (1e300 / 3, None, None, 3.33333333e299),
    ],
)
def test_digits(value, start, error, made):
    assert rounded(value, start, error) == made


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e3), st.floats(-1, 1).map(lambda x: x * 1e-4))
def test_another_machines_refit_gives_no_diff(value, error, noise):
    written = rounded(value, None, error)
    assert abs(written - value) <= error / 100 + 1e-9 * abs(value)
    again = value + noise * error
    assert rounded(again, written, error) == written


def test_arrays_are_rounded_element_by_element():
    found = rounded(np.array([1 / 3, 2.0000000001]), np.array([0.0, 2.0]))
    assert found.tolist() == [0.333333333, 2.0]


# ---- whole runs

PROGRAM = """
    import numpy as np
    from softtape import Param

    gain = Param(1.0)     # per volt,  measured
    shift = Param(...,    # filled in
        bounds=(-9, 9))
    scale = Param(0.5 + 0.5)

    def f(x):
        return gain * x + shift + scale * x**2
"""

TESTS = """
    import pytest
    from pytest_soft import soft_test
    from program import f

    NOISE = [0.01, -0.02, 0.015, -0.005, 0.0, 0.01, -0.013]

    @soft_test
    @pytest.mark.parametrize("x, e", list(enumerate(NOISE)))
    def test_f(x, e):
        return (f(x) - (3 * x - 2 + 0.25 * x**2 + e)) ** 2
"""


@pytest.fixture
def program(project):
    project.write("program.py", PROGRAM)
    project.write("test_program.py", TESTS)
    return project


SOURCE_OPTION = "--soft-write=source"


def test_a_fit_into_the_source(program):
    result = program.fit(SOURCE_OPTION)
    assert result.ret == 0
    text = (program.path / "program.py").read_text()
    lines = text.splitlines()
    assert lines[4].startswith("gain = Param(3.0") or lines[4].startswith("gain = Param(2.9")
    assert lines[4].endswith(")     # per volt,  measured")
    assert len(lines[4]) < len("gain = Param(2.9876543)     # per volt,  measured")
    assert lines[5].startswith("shift = Param(-1.9") or lines[5].startswith("shift = Param(-2.0")
    assert lines[5].endswith(",    # filled in")
    assert [line for i, line in enumerate(lines) if i not in (4, 5)] == [
        line[4:] for i, line in enumerate(PROGRAM.splitlines()) if i not in (4, 5)
    ]
    assert program.entries("program").keys() == {"scale"}
    result.stdout.fnmatch_lines(
        [
            "stored   in program.py",
            "stored   in program.soft.json",
            "note     scale goes into the store: its declared value is an expression, not a*",
        ]
    )
    assert "on the tape" not in result.stdout.str()

    again = program.apart("--soft-fit", SOURCE_OPTION, "-p", "no:xdist")
    assert (program.path / "program.py").read_text() == text
    again.stdout.fnmatch_lines(["stored   nothing moved in program.py*"])
    assert program.apart("-p", "no:xdist").ret == 0


def test_a_dry_run_shows_the_diff(program):
    before = (program.path / "program.py").read_bytes()
    result = program.fit(SOURCE_OPTION, "--soft-dry-run")
    assert (program.path / "program.py").read_bytes() == before
    assert program.files() == {}
    result.stdout.fnmatch_lines(
        [
            "  --- program.py",
            "  +++ program.py",
            "  -gain = Param(1.0) *",
            "  +gain = Param(3.002) *",
        ]
    )


def test_values_move_from_the_store_into_the_source(program):
    program.fit()
    assert program.entries("program").keys() == {"gain", "shift", "scale"}
    program.apart("--soft-fit", SOURCE_OPTION, "-p", "no:xdist")
    assert program.entries("program").keys() == {"scale"}
    assert "gain = Param(1.0)" not in (program.path / "program.py").read_text()


def test_workers_write_the_same(program):
    program.fit(SOURCE_OPTION)
    alone = (program.path / "program.py").read_text()
    program.write("program.py", PROGRAM)
    program.store("program").unlink()
    result = program.apart("--soft-fit", SOURCE_OPTION, "-n", "2")
    assert result.ret == 0
    assert (program.path / "program.py").read_text() == alone


def test_a_source_that_changed_meanwhile_is_left_alone(program):
    program.write(
        "conftest.py",
        """
        from pathlib import Path

        def pytest_collection_finish():
            path = Path(__file__).with_name("program.py")
            path.write_text(path.read_text().replace("Param(1.0)", "Param(1.25)"))
        """,
    )
    result = program.fit(SOURCE_OPTION)
    assert "gain = Param(1.25)" in (program.path / "program.py").read_text()
    result.stdout.fnmatch_lines(
        ["*gain goes into the store: the file changed since it was imported*"]
    )


def test_unknown_places_and_a_missing_library_are_said(program, monkeypatch):
    result = program.fit("--soft-write=sauce")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*soft_write is 'sauce'*Did you mean 'source'?"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = program.fit(SOURCE_OPTION)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*soft_write=source needs LibCST: pip install 'pytest-soft*"])
