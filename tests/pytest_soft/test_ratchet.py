"""No test worse than at the last fit."""

import json
import math
from itertools import takewhile

import pytest

from pytest_soft.ratchet import kept_losses, rounded_up, update
from softtape.errors import StoreError


@pytest.mark.parametrize(
    ("loss", "kept"),
    [
        (1.0, 1.0), (1.0001, 1.01), (0.0012345, 0.00124), (123456.0, 124000.0), (-1.2345, -1.23),
        (0.0, 0.0), (1e-30, 0.0), (1e-12, 0.0), (1.0001e-12, 1.01e-12), (9.999, 10.0),
    ],
)  # fmt: skip
def test_digits_are_rounded_up(loss, kept):
    assert rounded_up(loss) == kept


def write(path, losses):
    return update(path, {f"test_it.py::{name}": v for name, v in losses.items()}, new_files=True)


def test_a_function_is_a_line(tmp_path):
    losses = {
        "test_b[2-x]": 0.5,
        "test_b[10]": 1.23456,
        "TestC::test_a": 1e-30,
        "test_nan": math.nan,
    }
    (file,) = write(tmp_path, losses)
    assert file.name == "test_it.soft-losses.json"
    assert file.read_text(encoding="utf-8") == (
        '{\n "format": "pytest-soft losses",\n "version": 1,\n "losses": {\n'
        '  "TestC::test_a": 0.0,\n  "test_b": {"10": 1.24, "2-x": 0.5}\n }\n}\n'
    )
    assert json.loads(file.read_text())["losses"]["test_b"] == {"10": 1.24, "2-x": 0.5}


def test_some_tests_leave_the_others_alone(tmp_path):
    write(tmp_path, {"test_a": 1.0, "test_b[1]": 2.0, "test_b[2]": 3.0})
    write(tmp_path, {"test_b[2]": 4.0})
    names = {f"test_it.py::{name}": None for name in ("test_a", "test_b[1]", "test_b[2]", "test_c")}
    assert list(kept_losses(tmp_path, names).values()) == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("before", "loss", "written"),
    [
        (1.2341, 1.2341, False),
        (1.24, 1.24 * (1 + 1e-9), False),  # as another processor may round
        (1.24 * (1 + 1e-9), 1.24, False),
        (1.24, 1.2401, True),
        (1.24, 1.2, True),
        (3e-17, 5e-19, False),  # an exact fit is one on each machine
        (3e-17, 1e-9, True),
        (1e-9, 3e-17, True),
    ],
)  # fmt: skip
def test_what_stayed_within_its_digits_keeps_its_bytes(tmp_path, before, loss, written):
    write(tmp_path, {"test_a": before})
    assert bool(write(tmp_path, {"test_a": loss})) is written


def test_no_new_files_unless_asked_for(tmp_path):
    assert update(tmp_path, {"test_a.py::test": 1.0}, new_files=False) == []
    write(tmp_path, {"test_a": 1.0})
    assert update(tmp_path, {"test_it.py::test_a": 2.0}, new_files=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "test_it.soft-losses.json: cannot be read (Expecting property name"),
        ("[]", 'its "format" is not "pytest-soft losses"; restore it from version control, or'),
        ('{"format": "pytest-soft losses", "version": 2}', "written by a newer pytest-soft"),
        ('{"format": "pytest-soft losses", "version": 1, "losses": {"a": "x"}}', "what is no loss"),
    ],
)
def test_broken_files(tmp_path, text, message):
    (tmp_path / "test_it.soft-losses.json").write_text(text)
    with pytest.raises(StoreError) as error:
        write(tmp_path, {"test_a": 1.0})
    assert message in str(error.value)


PROGRAM = """
    import pytest
    from pytest_soft import Param, soft_test

    rate = Param(1.0)

    @soft_test(suite="all")
    @pytest.mark.parametrize("y", [1.9, 2.11])
    def test_rate(y):
        return (rate - y) ** 2

    @soft_test
    def test_exact():
        return {exact}
"""


def reasons(result):
    """Return why a run FAILED, each reason on one line."""
    lines = result.outlines
    begin = next(i for i, line in enumerate(lines) if line.startswith("FAILED  "))
    return [line.strip() for line in takewhile(lambda x: x.startswith("  "), lines[begin + 1 :])]


def test_a_check_holds_each_test_to_the_last_fit(project):
    project.write("test_it.py", PROGRAM.format(exact="1e-18"))
    result = project.check("--soft-ratchet=5%")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["  no loss of a last fit is known: pytest --soft-fit with *"])

    assert project.fit("--soft-ratchet=5%").ret == 0
    kept = project.path / "test_it.soft-losses.json"
    before = kept.read_bytes()
    assert b'"test_rate": {"1.9": 0.0111, "2.11": 0.0111}' in before
    assert b'"test_exact": 0.0,\n' in before
    assert project.check("--soft-ratchet=0%").ret == 0

    # a fit without the option keeps them current, and the same fit keeps the same bytes
    project.fit()
    assert kept.read_bytes() == before

    project.write(
        "test_it.py", PROGRAM.format(exact="1e-13").replace("rate - y", "rate - y - 0.01")
    )
    result = project.check("--soft-ratchet=25%")
    assert result.ret == 0
    result = project.check("--soft-ratchet=15%", "--soft-json=r.json")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["  1 test more than 15 % worse*, above all test_it.py::test_rate[[]2.11]*"]
    )
    tests = json.loads((project.path / "r.json").read_text())["tests"]
    assert [test["last"] for test in tests] == [0.0, 0.0111, 0.0111]


def test_a_new_test_is_named_until_the_next_fit(project):
    project.write("test_it.py", PROGRAM.format(exact="1e-18"))
    project.fit("--soft-ratchet=5%")
    project.write(
        "test_it.py",
        PROGRAM.format(exact="1e-18")
        + "\n\n    @soft_test\n    def test_new():\n        return 7\n",
    )
    result = project.check("--soft-ratchet=5%")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["note     1 test not yet fitted with soft_ratchet*", "         test_it.py::test_new"]
    )


def test_a_dry_run_and_a_broken_file_are_told(project):
    project.write("test_it.py", PROGRAM.format(exact="0"))
    project.fit("--soft-ratchet=5%", "--soft-dry-run")
    kept = project.path / "test_it.soft-losses.json"
    assert not kept.exists()
    kept.write_text("<<<<<<<")
    for run in (project.check, project.fit):
        result = run("--soft-ratchet=5%")
        assert result.ret == 1
        (reason,) = reasons(result)
        assert reason.startswith("test_it.soft-losses.json: cannot be read (")
        assert reason.endswith("); restore it from version control, or delete it and fit again")


def test_a_store_that_cannot_be_written_is_the_one_reason(project):
    project.write("test_it.py", PROGRAM.format(exact="0"))
    store = project.store("test_it")
    store.write_text('{"format": "pytest-soft", "version": 1, "params": {}}')
    store.chmod(0o444)
    result = project.fit("--soft-ratchet=5%")
    assert result.ret == 1
    assert reasons(result) == ["the fitted values could not be stored"]
    assert "make it writable (chmod u+w) to store the fit" in result.stdout.str()
